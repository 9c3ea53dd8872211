"""What stays as it was."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from featmask.errors import FeatmaskError
from featmask.insert import attach, attached, detach, point_shape, shallow_points
from oracles.models import PLACES, Counting, Net, Plain, images, net, snapshot


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
