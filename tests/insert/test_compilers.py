"""Compilers, exporters, tracers."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from featmask.errors import FeatmaskError
from featmask.insert import attach, attached, detach
from oracles.models import PLACES, Counting, Plain, both_kinds, images, net


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
    plain = torch.export.export(net().eval(), (x,), strict=False)
    model = net().eval()
    attach(model, Plain(), at)
    masked = torch.export.export(model, (x,), strict=False)
    # names of placeholders differ between versions of torch; what is computed must not
    operations = [[(n.op, str(n.target) * (n.op == "call_function")) for n in p.graph.nodes] for p in (plain, masked)]
    assert operations[0] == operations[1]
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
