"""featmask: Local Feature Masking for CNNs, its family, honest training, evaluation and reports.

Names are imported when they are first used: the layer needs torch and numpy alone, and the command line answers
before torch is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import retrieval
    from .classification.suites import Options, SuiteOptions, evaluate, evaluate_suites
    from .doctor import examine
    from .errors import FeatmaskError, FeatmaskWarning
    from .family import FAMILY, build_layer, dropped_fraction
    from .functional import local_feature_masking, published_feature_masking
    from .insert import attach, detach, shallow_points
    from .layers import LocalFeatureMasking, PublishedFeatureMasking
    from .models import Normalized, build_model
    from .models.foreign import read_model, wrap
    from .reid.models import Descriptor, build_embedder
    from .reid.people import load_people
    from .study.comparing import compare

__version__ = "0.1.0"

__all__ = [
    "FAMILY", "Descriptor", "FeatmaskError", "FeatmaskWarning", "LocalFeatureMasking", "Normalized", "Options",
    "PublishedFeatureMasking", "SuiteOptions", "__version__", "attach", "build_embedder", "build_layer", "build_model",
    "compare", "detach", "dropped_fraction", "evaluate", "evaluate_suites", "examine", "load_people",
    "local_feature_masking", "published_feature_masking", "read_model", "retrieval", "shallow_points", "wrap",
]  # fmt: skip

#: Where the names are. ``retrieval`` is a module, with its own names: its ``evaluate`` is not ``featmask.evaluate``.
_MODULES = {
    "classification.suites": ("Options", "SuiteOptions", "evaluate", "evaluate_suites"),
    "doctor": ("examine",),
    "errors": ("FeatmaskError", "FeatmaskWarning"),
    "family": ("FAMILY", "build_layer", "dropped_fraction"),
    "functional": ("local_feature_masking", "published_feature_masking"),
    "insert": ("attach", "detach", "shallow_points"),
    "layers": ("LocalFeatureMasking", "PublishedFeatureMasking"),
    "models": ("Normalized", "build_model"),
    "models.foreign": ("read_model", "wrap"),
    "reid.models": ("Descriptor", "build_embedder"),
    "reid.people": ("load_people",),
    "study.comparing": ("compare",),
}


def __getattr__(name: str) -> Any:
    if name == "retrieval":
        return importlib.import_module(".retrieval", __name__)
    module = next((module for module, names in _MODULES.items() if name in names), None)
    if module is None:
        raise AttributeError(f"module 'featmask' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
