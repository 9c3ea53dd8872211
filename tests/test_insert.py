"""Attaching: the mask runs where it should, once, and the model is otherwise the model that it was."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils import checkpoint

from featmask.errors import FeatmaskError, FeatmaskWarning
from featmask.insert import Point, attach, attached, detach, inplace_is_safe, point_shape, shallow_points


class Counting(nn.Module):
    """Stands in for a mask layer: counts its calls and zeroes the top half of every map in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.masked = 0
        self.seen: tuple[int, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen = tuple(x.shape)
        if not self.training:
            return x
        self.masked += 1
        return top_zeroed(x)


class Plain(nn.Module):
    """The same without state, for compilers and exporters."""

    inplace_safe_after_conv = True

    def __init__(self) -> None:
        super().__init__()
        self.inplace = False

    def forward(self, x: Tensor) -> Tensor:
        return top_zeroed(x) if self.training else x


def top_zeroed(x: Tensor) -> Tensor:
    keep = (torch.arange(x.shape[2], device=x.device) >= x.shape[2] // 2).to(x.dtype)
    return x * keep[None, None, :, None]


class Net(nn.Module):
    """A convolution registered last runs first; a stage and its blocks; a layer that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(self._block(), self._block())
        self.relu = nn.ReLU()
        self.fc = nn.Linear(6, 5)
        self.unused = nn.Conv2d(6, 6, 1)
        self.bn = nn.BatchNorm2d(6)
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1)

    @staticmethod
    def _block() -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv(x)))
        return self.fc(self.layer1(x).mean((2, 3)))

    def by_hand(self, x: Tensor, at: str) -> Tensor:
        """The forward with the mask written into it: the oracle."""

        def here(name: str, value: Tensor) -> Tensor:
            return top_zeroed(value) if name == at else value

        x = here("conv", self.conv(here("input", x)))
        x = here("relu", self.relu(here("bn", self.bn(x))))
        x = here("layer1.0", self.layer1[0](x))
        return self.fc(here("layer1", self.layer1[1](x)).mean((2, 3)))


PLACES = ["conv", "input", "bn", "relu", "layer1.0", "layer1"]


def images(samples: int = 2, size: int = 16) -> Tensor:
    return torch.randn(samples, 3, size, size, generator=torch.Generator().manual_seed(0))


def net() -> Net:
    torch.manual_seed(1)
    return Net()


def snapshot(model: nn.Module) -> list[tuple[str, list[str], dict[str, Any]]]:
    """Everything torch keeps on every module that attaching could leave something in."""
    hooks = [key for key in vars(nn.Module()) if "hooks" in key]
    return [
        (name, [child for child, _ in module.named_children()], {key: dict(vars(module)[key]) for key in hooks})
        for name, module in model.named_modules()
    ]


# --- where it acts


@pytest.mark.parametrize("at", PLACES)
def test_train_forward_equals_the_mask_written_into_the_model(at: str) -> None:
    model, x = net(), images()
    expected, plain = model.by_hand(x, at), model(x)
    layer = Counting()
    handle = attach(model, layer, at)
    assert torch.equal(model(x), expected)
    assert not torch.equal(expected, plain), "the oracle must differ from the plain model"
    assert (layer.masked, [point.name for point in handle.points]) == (1, [at])


def test_stem_is_the_first_convolution_to_run_not_to_be_registered() -> None:
    model, layer = net(), Counting()
    handle = attach(model, layer)
    assert attached(model) == [("conv", layer)]
    assert handle.layers == [layer]
    (point,) = handle.points
    assert (point.name, point.kind, point.channels, point.stride, point.stem) == ("conv", "Conv2d", 6, 2, True)
    model(images())
    assert layer.seen == (2, 6, 8, 8), "the convolution's output, before its norm"


def test_several_places_get_their_own_copies() -> None:
    model, layer, x = net(), Counting(), images()
    handle = attach(model, layer, ["stem", "layer1.0", "input"])
    model(x)
    assert handle.layers[0] is layer
    assert len(set(map(id, handle.layers))) == 3
    assert [one.masked for one in handle.layers] == [1, 1, 1]
    assert [one.seen[1] for one in handle.layers] == [6, 6, 3]
    assert {name for name, _ in attached(model)} == {"conv", "layer1.0", "input"}


def test_input_given_by_keyword_is_masked_too() -> None:
    model, x = net(), images()
    attach(model, Plain(), "input")
    assert torch.equal(model(x=x), model(x))


def test_a_module_called_twice_is_masked_at_each_call() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(self.conv(x))

    model, layer = Shared(), Counting()
    attach(model, layer)
    layer.calls = 0
    model(images())
    assert layer.calls == 2


def test_an_alias_of_a_shared_module_is_a_valid_name() -> None:
    model = net()
    model.alias = model.conv
    assert point_shape(model, "alias", example=images()) == (6, 8, 8)


def test_branches_that_read_the_same_input_are_masked_where_they_meet() -> None:
    class Stem(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.three = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4))
            self.one = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))

        def forward(self, x: Tensor) -> Tensor:
            return self.three(x) + self.one(x)

    model = nn.Sequential(nn.Sequential(Stem(), nn.ReLU()), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.LazyLinear(2))
    x = images()
    model(x)
    expected = model[3](model[2](model[1](model[0][1](top_zeroed(model[0][0](x))))))
    handle = attach(model, Counting(), example=x)
    assert handle.points[0].name == "0.0"
    assert "2 branches" in handle.points[0].note
    assert torch.equal(model(x), expected)


def test_branches_that_never_meet_warn() -> None:
    class TwoPaths(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return (self.a(x) + self.b(x)).mean((2, 3))

    with pytest.warns(FeatmaskWarning, match="only 'a' is masked"):
        assert attach(TwoPaths(), Counting()).points[0].name == "a"


def test_patch_embedding_warns_and_works() -> None:
    model, layer = nn.Sequential(nn.Conv2d(3, 8, 16, stride=16), nn.Flatten(), nn.Linear(32, 2)), Counting()
    with pytest.warns(FeatmaskWarning, match=r"patch embedding \(stride 16\)"):
        attach(model, layer, example=images(size=32))
    model(images(size=32))
    assert layer.masked == 1


# --- what stays as it was


@pytest.mark.parametrize("at", PLACES)
def test_eval_keys_and_strict_loading_are_untouched(at: str) -> None:
    model, x = net(), images()
    before, keys = model.eval()(x), list(model.state_dict())
    layer = Counting()
    attach(model, layer, at)
    assert not layer.training, "a layer joins in the mode of its target"
    layer.calls = 0
    assert torch.equal(model(x), before)
    assert layer.calls == 1
    assert list(model.state_dict()) == keys
    net().load_state_dict(model.state_dict(), strict=True)
    model.load_state_dict(net().state_dict(), strict=True)
    assert [name for name, _ in model.named_children()] == [name for name, _ in net().named_children()]
    assert len(model.layer1) == 2


@pytest.mark.parametrize("at", [*PLACES, PLACES])
def test_removal_restores_the_model_exactly(at: Any) -> None:
    model = net()
    before = snapshot(model)
    handle = attach(model, Plain(), at)
    assert snapshot(model) != before
    handle.remove()
    handle.remove()
    assert snapshot(model) == before
    with attach(model, Plain(), at):
        assert attached(model)
    assert snapshot(model) == before
    attach(model, Plain(), at)
    assert detach(model) == (1 if isinstance(at, str) else len(at))
    assert (snapshot(model), detach(model), attached(model)) == (before, 0, [])


def test_an_old_handle_does_not_remove_a_newer_layer() -> None:
    model = net()
    old = attach(model, Plain())
    detach(model)
    newer = Plain()
    attach(model, newer)
    old.remove()
    assert attached(model) == [("conv", newer)]


def test_probe_leaves_flags_statistics_and_random_state() -> None:
    model = net()
    model.layer1[0].eval()
    model.noise = nn.Dropout()
    flags = [module.training for module in model.modules()]
    values = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    shallow_points(model)
    with pytest.raises(FeatmaskError):
        attach(model, Plain(), "nowhere")
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(value, values[key]) for key, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_probe_hides_random_draws_and_works_with_one_sample() -> None:
    class Noisy(Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + torch.randn_like(x))

    state = torch.get_rng_state()
    shallow_points(Noisy(), example=images(1))
    del state
    torch.manual_seed(3)
    expected = torch.rand(1)
    model = Noisy()
    torch.manual_seed(3)
    shallow_points(model, example=images(1))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("channels", "size", "dtype"), [(1, 28, torch.float32), (4, 32, torch.float64), (3, 299, None)]
)
def test_input_is_guessed(channels: int, size: int, dtype: torch.dtype | None) -> None:
    side = (size - 3) // 8 + 1
    model = nn.Sequential(nn.Conv2d(channels, 2, 3, stride=8), nn.Flatten(), nn.Linear(2 * side * side, 2)).to(dtype)
    assert point_shape(model) == (2, side, side)


def test_a_model_on_the_meta_device_is_probed_there() -> None:
    with torch.device("meta"):
        model = torchvision.models.resnet18(weights=None)
    assert point_shape(model) == (64, 112, 112)


# --- copies, files, wrappers


def both_kinds(test: Any) -> Any:
    return pytest.mark.parametrize("at", ["conv", "layer1", "input"])(test)


@both_kinds
def test_a_deep_copy_calls_its_own_layer(at: str) -> None:
    model, layer, x = net(), Counting(), images()
    attach(model, layer, at)
    layer.calls = layer.masked = 0
    twin = copy.deepcopy(model)
    ((_, own),) = attached(twin)
    assert own is not layer
    twin.eval()
    assert (own.training, layer.training) == (False, True)
    twin(x)
    assert (own.calls, own.masked, layer.calls) == (1, 0, 0)
    model(x)
    assert (own.calls, layer.calls, layer.masked) == (1, 1, 1)
    assert detach(twin) == 1
    assert attached(model) == [(at, layer)]


def test_a_deep_copy_of_the_target_alone_carries_its_layer() -> None:
    model, layer = net(), Counting()
    attach(model, layer, "layer1")
    layer.calls = 0
    stage = copy.deepcopy(model.layer1).eval()
    x = torch.randn(2, 6, 8, 8)
    assert torch.equal(stage(x), net().layer1.eval()(x))
    assert layer.calls == 0


@both_kinds
def test_pickle_and_torch_save(at: str) -> None:
    model, x = net(), images()
    attach(model, Plain(), at)
    expected = net().by_hand(x, at)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for again in (pickle.loads(pickle.dumps(model)), torch.load(buffer, weights_only=False)):
        assert torch.equal(again.train()(x), expected)
        ((name, _),) = attached(again)
        assert (name, detach(again)) == (at, 1)


@both_kinds
def test_averaged_model(at: str) -> None:
    model, layer, x = net(), Counting(), images()
    attach(model, layer, at)
    averaged = AveragedModel(model)
    averaged.update_parameters(model)
    layer.calls = 0
    averaged.eval()
    assert torch.equal(averaged(x), net().eval()(x))
    assert (layer.calls, layer.training) == (0, True)
    ((_, own),) = attached(averaged)
    assert own.calls > 0


@both_kinds
def test_wrappers_mean_the_model_inside(at: str) -> None:
    for wrap in (nn.DataParallel, AveragedModel):
        model, layer, x = wrap(net()), Counting(), images()
        attach(model, layer, at)
        layer.calls = 0
        assert torch.equal(model(x), net().by_hand(x, at))
        assert layer.calls == 1
        assert detach(model) == 1


@both_kinds
def test_distributed_data_parallel(at: str, tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        for before in (True, False):
            model, layer, x = net(), Counting(), images()
            if before:
                attach(model, layer, at)
            wrapped = nn.parallel.DistributedDataParallel(model)
            if not before:
                attach(wrapped, layer, at)
            layer.calls = 0
            output = wrapped(x)
            output.sum().backward()
            assert torch.equal(output, net().by_hand(x, at))
            assert layer.calls == 1
    finally:
        torch.distributed.destroy_process_group()


@both_kinds
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpointing_runs_the_layer_once_more_in_the_backward(at: str, use_reentrant: bool) -> None:
    model, layer = net(), Counting()
    attach(model, layer, at)
    layer.calls = 0
    x = images().requires_grad_()
    checkpoint.checkpoint(model, x, use_reentrant=use_reentrant).sum().backward()
    assert layer.calls == 2


# --- compilers, exporters, tracers


@both_kinds
@pytest.mark.parametrize("attach_first", [True, False])
def test_compile_fullgraph(at: str, attach_first: bool) -> None:
    torch.compiler.reset()
    model, x = net(), images()
    if attach_first:
        attach(model, Plain(), at)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    if not attach_first:
        attach(compiled, Plain(), at)
    assert torch.equal(compiled(x), net().by_hand(x, at))
    compiled.eval()
    model.load_state_dict(net().state_dict())
    assert torch.equal(compiled(x), net().eval()(x))
    compiled.train()
    assert torch.equal(compiled(x), net().by_hand(x, at))


@both_kinds
def test_attaching_after_a_compiled_forward_takes_effect(at: str) -> None:
    torch.compiler.reset()
    model, x = net(), images()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    plain = compiled(x)
    handle = attach(compiled, Plain(), at)
    assert torch.equal(compiled(x), net().by_hand(x, at))
    handle.remove()
    assert torch.equal(compiled(x), plain)


def test_a_model_compiled_in_place_is_probed_without_compiling() -> None:
    torch.compiler.reset()
    model, x = net(), images()
    model.compile(fullgraph=True, backend="eager")
    attach(model, Plain(), "layer1")
    assert torch.equal(model(x), net().by_hand(x, "layer1"))


@pytest.mark.slow
@both_kinds
def test_compile_inductor(at: str) -> None:
    torch.compiler.reset()
    model, x = net(), images()
    attach(model, Plain(), at)
    torch.testing.assert_close(torch.compile(model, fullgraph=True)(x), net().by_hand(x, at))


@both_kinds
def test_export_leaves_no_node(at: str) -> None:
    x = images()
    plain = torch.export.export(net().eval(), (x,))
    model = net().eval()
    attach(model, Plain(), at)
    masked = torch.export.export(model, (x,))
    targets = [[node.target for node in program.graph.nodes] for program in (plain, masked)]
    assert [str(target) for target in targets[0]] == [str(target) for target in targets[1]]
    assert torch.equal(masked.module()(x), plain.module()(x))


@pytest.mark.slow
@both_kinds
def test_onnx_export_leaves_no_node(at: str, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    counts = []
    for with_layer in (False, True):
        model = net().eval()
        if with_layer:
            attach(model, Plain(), at)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(model, (images(),), tmp_path / "model.onnx", dynamo=True, verbose=False)
        counts.append([node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node])
    assert counts[0] == counts[1]


@pytest.mark.parametrize("at", [place for place in PLACES if place != "input"])
def test_symbolic_trace_keeps_the_layer_in_both_modes(at: str) -> None:
    model, layer, x = net(), Counting(), images()
    del model.unused  # tracing keeps what runs
    attach(model, layer, at)
    traced = torch.fx.symbolic_trace(model)
    layer.calls = 0
    assert torch.equal(traced(x), net().by_hand(x, at))
    traced.load_state_dict(net().state_dict(), strict=False)
    assert torch.equal(traced.eval()(x), net().eval()(x))
    assert layer.calls == 2


@pytest.mark.parametrize("at", ["conv1", "layer1"])
def test_torchvision_feature_extractor(at: str) -> None:
    from torchvision.models.feature_extraction import create_feature_extractor

    model, x = torchvision.models.resnet18(weights=None), images(size=32)
    with torch.no_grad():
        expected = model.eval()(x)
    layer = Counting()
    attach(model, layer, at, example=x)
    extractor = create_feature_extractor(model, {"layer2": "two", "fc": "out"})
    layer.calls = layer.masked = 0
    assert torch.equal(extractor.eval()(x)["out"], expected)
    extractor.train()(x)
    assert (layer.calls, layer.masked) == (2, 1)


def test_a_sequential_of_the_children_keeps_a_stage_layer() -> None:
    model = torchvision.models.resnet18(weights=None)
    layer = Counting()
    attach(model, layer, "layer1", example=images(size=32))
    body = nn.Sequential(*list(model.children())[:-1]).eval()
    layer.calls = 0
    assert body(images(size=32)).shape == (2, 512, 1, 1)
    assert (layer.calls, layer.training) == (1, False)


def test_timm_features_only() -> None:
    timm = pytest.importorskip("timm")
    x = images(size=32)
    for at in ("stem", "layer1"):
        model = timm.create_model("resnet18", features_only=True, pretrained=False)
        expected = [feature.detach() for feature in model.eval()(x)]
        layer = Counting()
        attach(model, layer, at, example=x)
        layer.calls = 0
        for mine, plain in zip(model(x), expected, strict=True):
            assert torch.equal(mine, plain)
        model.train()(x)
        assert (layer.calls, layer.masked) == (2, 1)


@both_kinds
def test_jit_trace(at: str) -> None:
    model, x = net().eval(), images()
    attach(model, Plain(), at)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert torch.equal(torch.jit.trace(model, x)(x), net().eval()(x))


def test_fusing_conv_and_norm() -> None:
    model, x = net().eval(), images()
    attach(model, Plain(), "conv")
    model.conv = torch.nn.utils.fusion.fuse_conv_bn_eval(model.conv, model.bn)
    model.bn = nn.Identity()
    torch.testing.assert_close(model(x), net().eval()(x))
    assert [name for name, _ in attached(model)] == ["conv"]


def test_a_stage_whose_holder_was_replaced_says_so_in_training_only() -> None:
    model, x = net(), images()
    attach(model, Plain(), "layer1")
    model.layer1[0][0] = nn.Conv2d(6, 6, 1)
    assert model.eval()(x).shape == (2, 5)
    with pytest.raises(FeatmaskError, match="detach"):
        model.train()(x)
    assert detach(model) == 1
    model(x)


def test_parametrised_stem() -> None:
    model, x = net(), images()
    nn.utils.parametrizations.weight_norm(model.conv)
    keys, expected = list(model.state_dict()), copy.deepcopy(model).by_hand(x, "conv")
    attach(model, Counting())
    assert torch.equal(model(x), expected)
    assert list(model.state_dict()) == keys
    assert [name for name, _ in attached(model)] == ["conv"]


# --- listing


def test_shallow_points_of_resnet() -> None:
    points = shallow_points(torchvision.models.resnet18(weights=None), example=images(size=64))
    assert [point.name for point in points] == ["conv1", "maxpool", "layer1.0", "layer1"]
    assert points[0] == Point("conv1", "Conv2d", 64, 32, 32, stride=2, stem=True, note="stem")
    assert str(points[-1]) == "layer1: Sequential, 64 x 16 x 16, stride 4"
    deeper = shallow_points(torchvision.models.resnet18(weights=None), example=images(size=64), max_reduction=8)
    assert [point.name for point in deeper[4:]] == ["layer2.0", "layer2"]


def test_a_point_names_its_module_even_if_that_is_called_stem() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2))

        def forward(self, x: Tensor) -> Tensor:
            return self.stem(x).mean((2, 3))

    model = Named()
    conv, whole = shallow_points(model, example=images())
    assert (conv.name, whole.name) == ("stem.0", "stem")
    assert attach(model, Plain(), "stem", example=images()).points == [conv]
    assert attach(model, Plain(), whole, example=images()).points == [whole]


def test_attaching_does_not_change_the_list() -> None:
    model = net()
    before = shallow_points(model)
    attach(model, Plain(), ["stem", "layer1", "input"])
    assert shallow_points(model) == before


# --- in place


def test_inplace_is_chosen_only_where_the_output_has_no_other_reader() -> None:
    layer = Plain()
    handle = attach(net(), layer, "conv")
    assert layer.inplace
    handle.remove()
    assert not layer.inplace, "removing gives the layer back as it came"
    for at in ("layer1", "bn", "input"):
        other = Plain()
        attach(net(), other, at)
        assert not other.inplace
    handle = attach(net(), Plain(), ["conv", "layer1"])
    assert [one.inplace for one in handle.layers] == [True, False]
    model, hooked = net(), Plain()
    model.conv.register_forward_hook(lambda *_: None)
    attach(model, hooked)
    assert not hooked.inplace


def test_inplace_follows_the_class_and_the_force() -> None:
    class Undeclared(Plain):
        inplace_safe_after_conv = False

    for force, expected in ((None, False), (False, False), (True, True)):
        layer = Undeclared()
        attach(net(), layer, inplace=force)
        assert layer.inplace is expected
    with pytest.raises(FeatmaskError, match="unsafe at 'layer1'"):
        attach(net(), Plain(), ["stem", "layer1"], inplace=True)
    with pytest.raises(FeatmaskError, match="no bool 'inplace'"):
        attach(net(), Counting(), inplace=True)


def test_inplace_is_safe() -> None:
    class Mine(nn.Conv2d):
        pass

    assert inplace_is_safe(nn.Conv2d(1, 1, 1))
    for module in (Mine(1, 1, 1), nn.ReLU(), nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 1, 1))):
        assert not inplace_is_safe(module)
    for register in ("register_forward_hook", "register_full_backward_hook", "register_full_backward_pre_hook"):
        conv = nn.Conv2d(1, 1, 1)
        getattr(conv, register)(lambda *_: None)
        assert not inplace_is_safe(conv)


# --- mistakes


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.norm, self.nhwc, self.pair = nn.LayerNorm(8), nn.LayerNorm(8), Pair()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pair(self.patch(x))[0]
        return self.norm(x.flatten(2).mT).mean(1) + self.nhwc(x.permute(0, 2, 3, 1)).mean((1, 2))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ("layer9", "no module named 'layer9'; did you mean 'layer1'"),
        ("", "no module named ''"),
        ([], "at least one place"),
        (["stem", 3], "expected a module's name in at=, got int"),
        ("unused", r"'unused' \(Conv2d\) did not run"),
        ("fc", "expected N x C x H x W from 'fc', but it returns 1 x 5"),
        (["conv", "stem"], "'conv' is given twice"),
    ],
)
def test_a_wrong_place_is_told(at: Any, message: str) -> None:
    model = net()
    before = snapshot(model)
    with pytest.raises(FeatmaskError, match=message) as caught:
        attach(model, Plain(), at)
    if "module named" in message or "run" in message or "N x C" in message:
        assert "conv: Conv2d, 6 x 112 x 112, stride 2  (stem)" in str(caught.value)
    assert snapshot(model) == before


@pytest.mark.parametrize(
    ("at", "message"),
    [("norm", "1 x 256 x 8, a sequence of tokens"), ("nhwc", "N x H x W x C"), ("pair", "returns a tuple")],
)
def test_an_output_of_another_layout_is_told(at: str, message: str) -> None:
    with pytest.raises(FeatmaskError, match=message):
        attach(Tokens(), Plain(), at, example=images(1, 64))


@pytest.mark.parametrize("at", PLACES)
def test_attaching_twice_is_told(at: str) -> None:
    model = net()
    attach(model, Plain(), at)
    with pytest.raises(FeatmaskError, match=f"attached at '{at}' already.*Plain at '{at}'"):
        attach(model, Plain(), at)
    assert len(attached(model)) == 1


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Plain, "call it to make one"),
        (lambda x: x, "expected the layer as an nn.Module"),
        (nn.Conv2d(1, 1, 1), "has weight, bias"),
        (nn.BatchNorm2d(1, affine=False), "running_mean"),
    ],
)
def test_a_wrong_layer_is_told(layer: Any, message: str) -> None:
    with pytest.raises(FeatmaskError, match=message):
        attach(net(), layer)


def test_one_layer_object_serves_one_place_at_a_time() -> None:
    layer, model = Plain(), net()
    handle = attach(model, layer)
    with pytest.raises(FeatmaskError, match="attached already, to a Conv2d"):
        attach(net(), layer)
    handle.remove()
    attach(net(), layer)
    attach(net(), layer)  # the model before was dropped: a notebook cell that runs again


def test_a_wrong_model_is_told() -> None:
    with pytest.raises(FeatmaskError, match=r"expected a model \(nn.Module\), got str"):
        attach("resnet50", Plain())  # type: ignore[arg-type]
    with pytest.raises(FeatmaskError, match=r"no nn.Conv2d ran.*Shallow points: none"):
        attach(nn.Sequential(nn.Flatten(), nn.LazyLinear(2).cls_to_become(3 * 32 * 32, 2)), Plain())
    with pytest.raises(FeatmaskError, match="lazy layers"):
        attach(nn.Sequential(nn.LazyConv2d(2, 3)), Plain())
    with pytest.raises(FeatmaskError, match="pass example="):
        attach(nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(17, 2)), Plain())
    with pytest.raises(FeatmaskError, match=r"does not run on the example \(\(2, 3, 16, 16\)\)"):
        attach(nn.Conv2d(5, 2, 3), Plain(), example=images())


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_model_is_told() -> None:
    with pytest.raises(FeatmaskError, match="scripted"):
        attach(torch.jit.script(nn.Sequential(nn.Conv2d(3, 2, 3))), Plain())


def test_a_quantised_model_is_told() -> None:
    from torch.ao.nn import quantized

    with pytest.raises(FeatmaskError, match="quantised"):
        attach(nn.Sequential(quantized.Conv2d(3, 2, 3)), Plain())
