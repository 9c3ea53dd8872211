"""What a training step costs: memory format, precision, and each method of the family, interleaved, medians.

    python benchmarks/training.py [--model tf_efficientnet_lite0] [--size 96] [--batch 32] [--rounds 9]

Forward + backward + SGD step on random images. Methods are attached at the stem with their default options; lfm and
lfm_published also with p = 1, where every step masks.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

from featmask import FAMILY, attach, build_layer, build_model
from featmask.family import member


class Step:
    """One configuration: a model with its optimiser and data."""

    def __init__(
        self, arguments: argparse.Namespace, channels_last: bool, bf16: bool, method: str, p: float | None
    ) -> None:
        torch.manual_seed(0)
        order = torch.channels_last if channels_last else torch.contiguous_format
        self.model: nn.Module = build_model(arguments.model, num_classes=10).to(memory_format=order).train()
        self.x = torch.randn(arguments.batch, 3, arguments.size, arguments.size).contiguous(memory_format=order)
        self.y = torch.randint(10, (arguments.batch,))
        layer = build_layer(method, **({} if p is None else {"p": p}))
        if layer is not None:
            attach(self.model, layer, at="input" if member(method).place == "input" else "stem", example=self.x[:1])
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        self.bf16 = bf16

    def seconds(self) -> float:
        """Time one step."""
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
            logits = self.model(self.x)
        functional.cross_entropy(logits.float(), self.y).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tf_efficientnet_lite0")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    table = {
        "none, default order, float32": Step(arguments, False, False, "none", None),
        "none, default order, bf16": Step(arguments, False, True, "none", None),
        "none, channels_last, bf16": Step(arguments, True, True, "none", None),
    }
    table |= {f"{name}, channels_last, float32": Step(arguments, True, False, name, None) for name in FAMILY}
    for name in ("lfm", "lfm_published"):
        table[f"{name} p=1, channels_last, float32"] = Step(arguments, True, False, name, 1.0)
    seconds: dict[str, list[float]] = {name: [] for name in table}
    for turn in range(arguments.rounds + 1):
        for name, step in table.items():
            took = step.seconds()
            if turn:
                seconds[name].append(took)
    base = statistics.median(seconds["none, channels_last, float32"])
    print(
        f"{arguments.model}, {arguments.size} pixels, batch {arguments.batch}, {torch.get_num_threads()} threads, ",
        end="",
    )
    print(
        f"torch {torch.__version__}\n\n| step | ms an image | of none, channels_last, float32 |\n| --- | ---: | ---: |"
    )
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"| {name} | {median / arguments.batch * 1e3:.2f} | {median / base:.2f} |")


if __name__ == "__main__":
    main()
