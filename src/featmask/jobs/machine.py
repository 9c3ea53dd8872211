"""This machine's cores and GPUs, and how workers share them."""

from __future__ import annotations

import os
from pathlib import Path

#: Read by OpenMP, MKL, OpenBLAS, Accelerate and numexpr, when they are loaded and not later.
THREADS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"
)  # fmt: skip
CGROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """Cores that this process may use: its affinity, and its container's quota, are heeded."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _quota(CGROUPS) or allowed))


def _quota(root: Path) -> int | None:
    """Whole cores that a container may use; None: there is no limit."""
    try:
        if (root / "cpu.max").is_file():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota, period = ((root / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) // int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no control groups, or a quota of "max"
        return None


def gpus() -> list[str]:
    """Names of the CUDA devices, as ``CUDA_VISIBLE_DEVICES`` takes them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def share(workers: int) -> list[dict[str, str]]:
    """Each worker's variables: an equal part of the cores as threads, and the GPUs in turn.

    A smaller ``OMP_NUM_THREADS`` of the user's stays.
    """
    threads = max(1, cores() // workers)
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit():
        threads = max(1, min(threads, int(asked)))
    devices = gpus()
    return [
        dict.fromkeys(THREADS, str(threads))
        | ({"CUDA_VISIBLE_DEVICES": devices[index % len(devices)]} if devices else {})
        for index in range(workers)
    ]
