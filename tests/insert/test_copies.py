"""Copies, files, wrappers."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch.utils import checkpoint

from featmask.insert import attach, attached, detach
from oracles.models import Counting, Plain, both_kinds, images, net


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
