"""Versions and machine, for the record."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .. import __version__
from .source import code_version

PACKAGES = ("torch", "torchvision", "timm", "accelerate", "numpy", "scipy", "scikit-learn")


def environment(field: str) -> dict[str, str]:
    """Versions of what computed for a field (a recipe's ``task``), and what it ran on; no names of hosts or users."""
    import torch

    found = {"featmask": __version__, "code": code_version(field), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found |= {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
