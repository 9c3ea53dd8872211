"""Folders such as ``featmask evaluate --save`` and ``featmask doctor --save`` leave, made of random numbers alone.

Every sample has a distance to the decision boundary; attacks find it, or a larger one, so that figures hang together as
real ones do: stronger attacks leave less, larger sizes leave less, worst cases least.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from featmask.records.suite import Suite, write_suite
from featmask.stats.calibration import calibration_error

ATTACKS = {"fgsm": 1.6, "pgd": 1.15, "apgd": 1.05, "apgd-dlr-t": 1.0}
SIZES = {"linf": ("1/255", "2/255", "4/255", "8/255"), "l2": ("0.25", "0.5", "1"), "l1": ("4", "8", "16")}
CORRUPTIONS = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "snow",
    "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
ALL = ("clean", "linf", "l2", "autoattack", "corruptions", "occlusion")


def number(size: str) -> float:
    top, _, bottom = size.partition("/")
    return float(top) / float(bottom or 1)


class Made:
    """Draws of one model: which samples are right, and how far each is from being wrong."""

    def __init__(self, n: int, accuracy: float, strength: float, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.n, self.seed = n, seed
        self.right = (self.rng.random(n) < accuracy).astype(int)
        # a median of 1/255 at strength 1; some samples are far away
        self.distance = strength * self.rng.lognormal(np.log(1 / 255), 0.9, n)
        self.base = {"index": np.arange(n), "label": np.random.default_rng(n).integers(0, 2, n)}

    def after(self, radius: float, blunt: float = 1.0) -> np.ndarray:
        return self.right * (self.distance * blunt > radius).astype(int)


def write_folder(
    folder: Path,
    *,
    title: str = "elpv, lfm, seed 0",
    n: int = 300,
    accuracy: float = 0.93,
    strength: float = 1.0,
    seed: int = 0,
    suites: Sequence[str] = ALL,
    doctor: str | None = "ok",
    deviations: Sequence[str] = (),
    search: bool = True,
    about: dict[str, Any] | None = None,
) -> Made:
    """Write one folder.

    Args:
        folder: where to.
        title: the model's name.
        n: samples.
        accuracy: without attack.
        strength: 1 is an undefended network.
        seed: of all draws.
        suites: some of ``ALL``, ``l1``, and ``blackbox``.
        doctor: ``ok``, ``suspicious``, ``failed``, or None for no doctor.
        deviations: of AutoAttack.
        search: with the smallest radius that flips each sample.
        about: replaces keys of ``subject.json``.
    """
    made = Made(n, accuracy, strength, seed)
    for name in suites:
        if name == "clean":
            _clean(folder, made)
        elif name == "corruptions":
            _corruptions(folder, made)
        elif name == "occlusion":
            _occlusion(folder, made)
        else:
            _attacks(folder, made, name, deviations, search)
    subject = {
        "schema": 1,
        "title": title,
        "checkpoint": "model.safetensors",
        "sha256": "ab" * 32,
        "method": "lfm",
        "seed": seed,
        "recipe": {"name": "elpv", "data": {"name": "elpv", "size": 96}, "train": {"epochs": 5}},
        "data": "elpv",
        "classes": ["sound", "defective"],
        "dropped_fraction": 0.0155,
        "environment": {"featmask": "0.1.0", "torch": "2.15.0", "system": "Linux x86_64"},
        "command": f"featmask evaluate {folder.name}/model.safetensors --suite full",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "subject.json").write_text(json.dumps(subject | (about or {})))
    if doctor is not None:
        (folder / "doctor.json").write_text(json.dumps(diagnosis(doctor)))
    return made


def _clean(folder: Path, made: Made) -> None:
    rng = np.random.default_rng(made.seed + 1)
    confidence = np.clip(rng.beta(6, 1.2, made.n) * (0.75 + 0.25 * made.right), 0.5, 1)
    columns = made.base | {"predicted": made.base["label"], "confidence": confidence, "correct": made.right}
    gap = calibration_error(confidence, made.right == 1)
    metrics = {"accuracy": float(made.right.mean()), "balanced_accuracy": 0.9, "ece": gap, "brier": 0.112,
               "nll": 0.254, "ood_auroc": 0.871}  # fmt: skip
    settings = {"seed": 0, "limit": None, "classes": 2, "ood": "fashion_mnist", "ood_n": 1000}
    write_suite(folder, Suite("clean", "test", made.n, metrics, settings), columns)


def _attacks(folder: Path, made: Made, name: str, deviations: Sequence[str], search: bool) -> None:
    norm = name if name in SIZES else "linf"
    ending = "" if norm == "linf" else f"-{norm}"
    scale = {"linf": 1.0, "l2": 60.0, "l1": 1200.0}[norm]
    sizes = SIZES[norm]
    kinds = {"autoattack": {"autoattack": 0.98}, "blackbox": {"uniform": 30.0, "square": 1.3}}.get(name, ATTACKS)
    columns: dict[str, np.ndarray] = {"clean": made.right}
    listed = []
    for kind, blunt in kinds.items():
        for size in sizes:
            columns[f"{kind}{ending}@{size}"] = made.after(number(size) / scale, blunt)
            listed.append({"name": f"{kind}{ending}@{size}", "kind": kind, "eps": size, "norm": norm,
                           "steps": 1 if kind == "fgsm" else 20, "restarts": 1})  # fmt: skip
    for size in sizes:
        own = [values for key, values in columns.items() if key.endswith(f"@{size}")]
        columns[f"worst{ending}@{size}"] = np.min(own, axis=0)
    metrics = {key: float(values.mean()) for key, values in columns.items()}
    settings: dict[str, Any] = {"seed": 0, "limit": None, "classes": 2, "norm": norm, "attacks": listed}
    if name in SIZES and search:
        highest = number(sizes[-1])
        radii = np.where(made.right == 1, scale * made.distance, 0.0)
        radii = np.where(radii > highest, np.inf, radii)
        columns["flip_eps"] = radii
        before = radii[made.right == 1]
        if np.isfinite(np.median(before)):
            metrics["median_eps"] = float(np.median(before))
        metrics["unflipped"] = float(np.isinf(before).mean())
        settings["smallest"] = {"attack": {"name": f"apgd{ending}@{sizes[0]}"}, "rounds": 5, "norm": norm,
                                "highest": sizes[-1]}  # fmt: skip
    if name == "autoattack":
        settings["deviations"] = list(deviations)
    warnings = {"autoattack": tuple(deviations)}.get(name, ("Not AutoAttack's standard set: an upper bound",))
    write_suite(folder, Suite(name, "test", made.n, metrics, settings, warnings), made.base | columns)


def _corruptions(folder: Path, made: Made) -> None:
    rng = np.random.default_rng(made.seed + 2)
    columns: dict[str, np.ndarray] = {"clean": made.right}
    metrics = {"clean": float(made.right.mean())}
    for place, kind in enumerate(CORRUPTIONS):
        for severity in range(1, 6):
            lost = 0.018 * severity * (1 + (place * 7 % 15) / 3)
            columns[f"{kind}:{severity}"] = made.right * (rng.random(made.n) > lost).astype(int)
    metrics |= {key: float(values.mean()) for key, values in columns.items()}
    for kind in CORRUPTIONS:
        metrics[kind] = float(np.mean([metrics[f"{kind}:{severity}"] for severity in range(1, 6)]))
    metrics["corrupted"] = float(np.mean([metrics[kind] for kind in CORRUPTIONS]))
    settings = {"seed": 0, "classes": 2, "severities": [1, 2, 3, 4, 5], "kinds": list(CORRUPTIONS),
                "table": "imagenet", "frost": "rendered"}  # fmt: skip
    write_suite(folder, Suite("corruptions", "test", made.n, metrics, settings), made.base | columns)


def _occlusion(folder: Path, made: Made) -> None:
    rng = np.random.default_rng(made.seed + 3)
    held = rng.random(made.n)
    columns: dict[str, np.ndarray] = {"clean": made.right}
    for kind, harm in {"erasing": 0.2, "occlusion": 0.8, "patch": 1.6}.items():
        for size in (10, 20, 30):
            columns[f"{kind}@{size}%"] = made.right * (held > harm * size / 100).astype(int)
    for size in (10, 20, 30):
        own = [values for key, values in columns.items() if key.endswith(f"@{size}%")]
        columns[f"worst@{size}%"] = np.min(own, axis=0)
    metrics = {key: float(values.mean()) for key, values in columns.items()}
    listed = [{"name": "patch@20%", "kind": "patch", "size": "1/5", "steps": 20, "restarts": 2}]
    settings = {"seed": 0, "limit": None, "classes": 2, "attacks": listed}
    write_suite(folder, Suite("occlusion", "test", made.n, metrics, settings), made.base | columns)


def diagnosis(verdict: str) -> dict[str, Any]:
    """Eleven checks, one of which has ``verdict``."""
    checks = [
        ("eval_mode", "set-up", "Every part is in evaluation mode", "ok", "0 of 61 modules are in training mode", {}),
        ("deterministic", "set-up", "Two passes give the same logits", "ok", "largest difference 0", {}),
        ("input_range", "set-up", "Pixels lie in [0, 1]", "ok", "0.000 to 1.000", {}),
        ("logits", "set-up", "The model returns logits", "ok", "0.0 % of the rows sum to 1", {}),
        ("finite_differences", "gradients", "Gradients agree with finite differences", "ok",
         "median cosine 0.998 on 16 samples", {}),
        ("zero_gradient", "gradients", "Gradients reach the pixels", verdict,
         "61.7 % of 128 samples have an all-zero gradient" if verdict != "ok" else "0.0 % of 128 samples", {}),
        ("monotone", "attacks", "Accuracy falls with eps and reaches 0", "ok", "0.0 % at 64/255",
         {"x": [0, 1, 2, 4, 8, 16, 32, 64], "y": [0.93, 0.4, 0.12, 0.02, 0, 0, 0, 0],
          "x_label": "eps, 1/255", "y_label": "robust accuracy"}),
        ("steps", "attacks", "More steps find little more", "ok", "0.8 points from 20 to 100 steps",
         {"x": [1, 5, 10, 20, 50, 100], "y": [0.31, 0.12, 0.07, 0.06, 0.055, 0.052],
          "x_label": "steps", "y_label": "robust accuracy"}),
        ("black_box", "attacks", "White box is at least as strong as Square", "ok", "1.6 % against 9.4 %",
         {"x": ["PGD", "Square", "noise"], "y": [0.016, 0.094, 0.9], "x_label": "attack", "y_label": "accuracy"}),
        ("noise", "attacks", "Noise is weaker than gradients", "ok", "92.2 % against 1.6 %", {}),
        ("transfer", "attacks", "Transferred attacks are weaker", "skipped", "no surrogate was given", {}),
    ]  # fmt: skip
    why = {"ok": "As it should be.", "skipped": "Give --surrogate to run it.",
           "suspicious": "Gradients vanish for some samples: attacks that follow them go nowhere.",
           "failed": "Gradients vanish: what attacks leave standing says nothing about robustness."}  # fmt: skip
    return {
        "schema": 1,
        "verdict": verdict,
        "trusted": verdict != "failed",
        "checks": [
            {"name": name, "group": group, "title": title, "verdict": said, "figure": figure, "why": why[said],
             "values": values}
            for name, group, title, said, figure, values in checks
        ],
        "settings": {"samples": 128, "eps": "8/255", "norm": "linf", "seed": 0},
        "environment": {"featmask": "0.1.0", "torch": "2.15.0"},
        "command": "featmask doctor model.safetensors",
    }  # fmt: skip
