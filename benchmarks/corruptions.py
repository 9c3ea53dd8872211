"""What a corrupted image costs: ours beside imagecorruptions-imaug where it is installed, in one process, interleaved.

    python benchmarks/corruptions.py [--threads 1] [--rounds 7] [--images 16] [--severity 3] [--json FILE]

Images a second for each of the fifteen corruptions at 96 x 96 RGB, both tools, and at 28 x 28 grey, ours alone: the
peer refuses images below 32 pixels. Medians over the rounds; the peer's compiler (numba) runs before the clock starts.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from featmask.data import CORRUPTIONS, corrupt


def pictures(count: int, channels: int, side: int) -> torch.Tensor:
    """Smooth colours with edges and some grain: (count, channels, side, side) 8-bit levels in [0, 1]."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((count, channels, 6, 6), dtype=np.float32))
    images = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic")
    images = images + 0.04 * torch.from_numpy(rng.standard_normal(tuple(images.shape), dtype=np.float32))
    images[:, :, side // 4 : side // 2, side // 4 : side // 2] *= 0.5
    return (images.clamp(0, 1) * 255).round() / 255


def peer() -> Callable[..., Any] | None:
    """The peer's function, or None."""
    # numba looks for a package that our own coverage.py, beside this file, would stand in for
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != Path(__file__).resolve().parent]
    try:
        from imagecorruptions import corrupt as other
    except ImportError:
        return None
    function: Callable[..., Any] = other
    return function


def seconds(work: Callable[[], object]) -> float:
    """The time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--severity", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    other = peer()
    if other is not None:
        import cv2

        cv2.setNumThreads(options.threads)
    large, small = pictures(options.images, 3, 96), pictures(options.images, 1, 28)
    arrays = [np.ascontiguousarray(image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8) for image in large]
    rows, severity = range(options.images), options.severity
    print(f"{platform.machine()}, torch {torch.__version__}, {options.threads} thread(s), severity {severity}")
    print(f"{'images/s':<20}{'ours 96 RGB':>12}{'peer 96 RGB':>12}{'ratio':>8}{'ours 28 grey':>14}")
    record = {}
    for name in CORRUPTIONS:
        tasks: dict[str, Callable[[], object]] = {
            "ours96": lambda name=name: corrupt(large, name, severity, rows),
            "ours28": lambda name=name: corrupt(small, name, severity, rows),
        }
        if other is not None:
            tasks["peer96"] = lambda name=name: [
                other(array, corruption_name=name, severity=severity) for array in arrays
            ]
        for work in tasks.values():
            work()
        taken: dict[str, list[float]] = {task: [] for task in tasks}
        for _ in range(options.rounds):
            for task, work in tasks.items():
                taken[task].append(seconds(work))
        speed = {task: options.images / statistics.median(values) for task, values in taken.items()}
        record[name] = speed
        theirs = f"{speed['peer96']:>12.0f}{speed['ours96'] / speed['peer96']:>8.1f}" if "peer96" in speed else " " * 20
        print(f"{name:<20}{speed['ours96']:>12.0f}{theirs}{speed['ours28']:>14.0f}", flush=True)
    if other is not None:
        ratios = [speed["ours96"] / speed["peer96"] for speed in record.values()]
        print(f"{'geometric mean':<20}{'':>24}{statistics.geometric_mean(ratios):>8.1f}")
    else:
        print("imagecorruptions-imaug is not installed, so there is no ratio")
    if options.json:
        options.json.write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
