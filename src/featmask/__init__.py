"""featmask: Local Feature Masking for CNNs, its family, honest training, evaluation and reports.

Names are imported when they are first used: the layer needs torch and numpy alone, and the command line answers
before torch is loaded.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import retrieval as retrieval
    from .classification.suites import Options as Options
    from .classification.suites import SuiteOptions as SuiteOptions
    from .classification.suites import evaluate as evaluate
    from .classification.suites import evaluate_suites as evaluate_suites
    from .doctor import examine as examine
    from .errors import FeatmaskError as FeatmaskError
    from .errors import FeatmaskWarning as FeatmaskWarning
    from .family import FAMILY as FAMILY
    from .family import build_layer as build_layer
    from .family import dropped_fraction as dropped_fraction
    from .functional import local_feature_masking as local_feature_masking
    from .functional import published_feature_masking as published_feature_masking
    from .insert import attach as attach
    from .insert import detach as detach
    from .insert import shallow_points as shallow_points
    from .layers import LocalFeatureMasking as LocalFeatureMasking
    from .layers import PublishedFeatureMasking as PublishedFeatureMasking
    from .models import Normalized as Normalized
    from .models import build_model as build_model
    from .models.foreign import read_model as read_model
    from .models.foreign import wrap as wrap
    from .reid.models import Descriptor as Descriptor
    from .reid.models import build_embedder as build_embedder
    from .reid.people import load_people as load_people
    from .study.comparing import compare as compare

__version__ = "0.1.0"

_HOME = {
    "FeatmaskError": "errors",
    "FeatmaskWarning": "errors",
    "local_feature_masking": "functional",
    "published_feature_masking": "functional",
    "LocalFeatureMasking": "layers",
    "PublishedFeatureMasking": "layers",
    "FAMILY": "family",
    "build_layer": "family",
    "dropped_fraction": "family",
    "attach": "insert",
    "detach": "insert",
    "shallow_points": "insert",
    "Descriptor": "reid.models",
    "Normalized": "models",
    "build_embedder": "reid.models",
    "build_model": "models",
    "read_model": "models.foreign",
    "wrap": "models.foreign",
    "load_people": "reid.people",
    "Options": "classification.suites",
    "SuiteOptions": "classification.suites",
    "evaluate": "classification.suites",
    "evaluate_suites": "classification.suites",
    "examine": "doctor",
    "compare": "study.comparing",
}

#: Whole parts, for their own names: ``featmask.retrieval.evaluate`` is not ``featmask.evaluate``.
_PARTS = ("retrieval",)

__all__ = ["__version__", *_HOME, *_PARTS]  # noqa: PLE0604 - the names are strings


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f".{name}", __name__)
    if name not in _HOME:
        raise AttributeError(f"module 'featmask' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
