"""In place; mistakes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from featmask.errors import FeatmaskError
from featmask.insert import attach, attached, inplace_is_safe
from oracles.models import PLACES, Counting, Plain, images, net, snapshot


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
