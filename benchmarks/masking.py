"""What a mask costs: ours beside the peers, in one process, interleaved, medians.

    python benchmarks/masking.py [--threads 1] [--rounds 15] [--shape 32 64 128 64] [--only lfm]
        [--cpu-time] [--json FILE]

Forward + backward of one layer on a float32 tensor that a cheap operation made (so that in-place layers have something
to overwrite), with that operation's own time taken off by measuring it alone in the same rounds. Every layer of a round
draws from the same seed, so that guided and random masks are of the same sizes; what guiding costs is told at the end.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from featmask import LocalFeatureMasking

CLONE, DROPOUT = "clone + clone (floor of a copy)", "nn.Dropout(0.1)"


class _Clone(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _CloneBoth.apply(x)


class _CloneBoth(torch.autograd.Function):
    """The floor of any layer that returns a copy: one clone forward, one clone of the gradient backward."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: object, grad: torch.Tensor) -> torch.Tensor:
        return grad.clone()


def layers() -> dict[str, nn.Module]:
    """The layers that are timed."""
    table: dict[str, nn.Module] = {
        CLONE: _Clone(),
        "lfm p=0.15": LocalFeatureMasking(0.15),
        "lfm p=0.15 inplace": LocalFeatureMasking(0.15, inplace=True),
        "lfm p=1": LocalFeatureMasking(1.0),
        "lfm p=1 inplace": LocalFeatureMasking(1.0, inplace=True),
        "lfm strongest p=0.15": LocalFeatureMasking(0.15, place="strongest"),
        "lfm strongest p=1": LocalFeatureMasking(1.0, place="strongest"),
        "lfm published p=1": LocalFeatureMasking.published(1.0),
        DROPOUT: nn.Dropout(0.1),
        "nn.Dropout2d(0.1)": nn.Dropout2d(0.1),
    }
    try:
        from torchvision.ops import DropBlock2d

        table["torchvision DropBlock2d(0.1, 7)"] = DropBlock2d(0.1, 7)
    except ImportError:
        pass
    try:
        from timm.layers import DropBlock2d as TimmDropBlock

        table["timm DropBlock2d(0.1, 7)"] = TimmDropBlock(0.1, 7)
    except ImportError:
        pass
    return table


def _seconds(
    layer: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, grad: torch.Tensor, clock: Callable[[], float]
) -> float:
    # a fresh copy outside the clock: in-place layers need a tensor that is no leaf, others must meet the same memory
    source = x.clone().requires_grad_()
    made = _Hand.apply(source)
    start = clock()
    out = layer(made)
    out.backward(grad)
    return clock() - start


class _Hand(torch.autograd.Function):
    """Hand a tensor on as a non-leaf without copying, forward and backward."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.detach()

    @staticmethod
    def backward(ctx: object, grad: torch.Tensor) -> torch.Tensor:
        return grad


def saved_bytes(layer: nn.Module, x: torch.Tensor) -> int:
    """Bytes that autograd keeps for the backward pass, the plan's coordinates included."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(_Hand.apply(x.clone().requires_grad_()))
    plan = getattr(layer, "_plan", None)
    return sum(kept.values()) + (plan.boxes.nbytes + plan.uniform.nbytes if plan is not None else 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--shape", type=int, nargs=4, default=(32, 64, 128, 64), metavar=("N", "C", "H", "W"))
    parser.add_argument("--only", default="", help="layers with this in their name, beside clone and Dropout")
    parser.add_argument("--cpu-time", action="store_true", help="of this thread: where others keep the machine busy")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    clock = time.thread_time if arguments.cpu_time else time.perf_counter
    torch.manual_seed(0)
    x, grad = torch.randn(arguments.shape), torch.randn(arguments.shape)
    table = {name: one for name, one in layers().items() if arguments.only in name or name in (CLONE, DROPOUT)}
    seconds: dict[str, list[float]] = {name: [] for name in table}
    for turn in range(arguments.rounds + 2):
        for name, layer in table.items():
            torch.manual_seed(turn)
            took = _seconds(layer, x, grad, clock)
            if turn >= 2:
                seconds[name].append(took)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    dropout, clone = medians[DROPOUT], medians[CLONE]
    print(f"shape {tuple(arguments.shape)} float32, {arguments.threads} thread(s), {arguments.rounds} rounds,")
    print(f"torch {torch.__version__}, {platform.machine()}, Python {platform.python_version()}\n")
    print("| layer | median ms | of Dropout | of clone | saved for backward |\n| --- | ---: | ---: | ---: | ---: |")
    rows = []
    for name, value in medians.items():
        saved = saved_bytes(table[name], x)
        rows.append(
            {
                "layer": name,
                "ms": value * 1e3,
                "of_dropout": value / dropout,
                "of_clone": value / clone,
                "saved_bytes": saved,
            }
        )
        print(f"| {name} | {value * 1e3:.1f} | {value / dropout:.2f} | {value / clone:.2f} | {saved / 1024:,.1f} KB |")
    for p in ("p=0.15", "p=1"):
        if f"lfm strongest {p}" in medians:
            print(f"\nstrongest over random, {p}: {medians[f'lfm strongest {p}'] / medians[f'lfm {p}']:.2f}", end="")
    print()
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
