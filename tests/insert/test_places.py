"""Where it acts; listing."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import Tensor, nn

from featmask.errors import FeatmaskWarning
from featmask.insert import Point, attach, attached, point_shape, shallow_points
from oracles.models import PLACES, Counting, Plain, images, net, top_zeroed


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
