"""Studies on disk as a comparison leaves them, with made-up figures: for tests of reports."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from matplotlib.image import imsave

from featmask.records.names import CORRUPTIONS
from featmask.records.suite import Suite, write_suite

KINDS = [kind for kinds in CORRUPTIONS.values() for kind in kinds]
N = 60
PARTS = ("linf", "l2", "occlusion", "corruptions")


def right(rng: np.random.Generator, share: float) -> np.ndarray:
    return (rng.random(N) < share).astype(int)


def attacked(rng: np.random.Generator, clean: np.ndarray, norm: str, sizes: list[str], left: float) -> dict:
    """Each attack hits some of what is right; the worst case is worse than each, and larger sizes than smaller."""
    columns, ending = {"clean": clean}, "" if norm == "linf" else f"-{norm}"
    worst = clean
    for size in sizes:
        for attack in ("pgd", "apgd-margin"):
            columns[f"{attack}{ending}@{size}"] = worst * right(rng, left)
        worst = np.minimum(*(columns[f"{attack}{ending}@{size}"] for attack in ("pgd", "apgd-margin")))
        columns[f"worst{ending}@{size}"] = worst
    return columns


def squared(rng: np.random.Generator, clean: np.ndarray) -> dict:
    columns = {"clean": clean}
    for kind, share in (("erasing", 0.97), ("occlusion", 0.8), ("patch", 0.5)):
        left = clean
        for size in ("10%", "20%", "30%"):
            left = left * right(rng, share)
            columns[f"{kind}@{size}"] = left
    for size in ("10%", "20%", "30%"):
        columns[f"worst@{size}"] = np.min([columns[f"{k}@{size}"] for k in ("erasing", "occlusion", "patch")], axis=0)
    return columns


def put(folder: Path, name: str, columns: dict, more=None, **settings) -> None:
    metrics = {key: float(values.mean()) for key, values in columns.items()} | (more or {})
    write_suite(folder, Suite(name, "test", N, metrics, settings), {"index": np.arange(N), **columns})


def corrupted(rng: np.random.Generator, clean: np.ndarray, level: float) -> tuple[dict, dict]:
    columns = {"clean": clean}
    for kind in KINDS:
        columns |= {f"{kind}:{s}": clean * right(rng, level - 0.06 * s) for s in (1, 3, 5)}
    means = {kind: float(np.mean([columns[f"{kind}:{s}"].mean() for s in (1, 3, 5)])) for kind in KINDS}
    return columns, {**means, "corrupted": float(np.mean(list(means.values())))}


def make_run(study: Path, method: str, seed: int, gain: float, number: int, parts=PARTS) -> None:
    rng = np.random.default_rng([number, seed, 7])
    folder = study / "".join(c if c.isalnum() or c in "_-" else "_" for c in method) / f"seed-{seed}"
    folder.mkdir(parents=True)
    clean = right(rng, 0.86 + gain)
    put(folder, "clean", {"correct": clean}, {"accuracy": float(clean.mean()), "ece": 0.05 + rng.normal(0, 0.01)})
    if "linf" in parts:
        put(folder, "linf", attacked(rng, clean, "linf", ["1/255", "2/255", "4/255"], 0.85 + gain))
    if "l2" in parts:
        put(folder, "l2", attacked(rng, clean, "l2", ["0.25", "0.5", "1"], 0.8 + gain))
    if "occlusion" in parts:
        put(folder, "occlusion", squared(rng, clean))
    if "corruptions" in parts:
        columns, means = corrupted(rng, clean, 0.95 + gain)
        put(folder, "corruptions", columns, means, severities=[1, 3, 5])
    recipe = {"name": study.parent.name, "note": "Made-up figures.", "data": {"name": "x"}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    (folder / "env.json").write_text(json.dumps({"featmask": "0", "machine": "one & two"}))
    lines = [
        {"epoch": e, "train_loss": 2 / e + rng.normal(0, 0.03), "val_accuracy": 0.9 - 0.5 / e + rng.normal(0, 0.01)}
        for e in range(1, 9)
    ]
    (folder / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    info = {"method": method, "seed": seed, "dropped_fraction": 0.02 * number, "point": "stem"}
    info["seconds_per_epoch"] = 2.0 + 0.1 * number + abs(rng.normal(0, 0.1))
    (folder / "run.json").write_text(json.dumps(info))
    (folder / "model.safetensors").write_bytes(b"weights")


def make_study(
    root: Path, name="study", key="abc123", methods=("none", "lfm"), seeds=5, gains=None, parts=PARTS
) -> Path:
    """``root/name/key``; every third method is a little better or worse unless ``gains`` says more."""
    study = root / name / key
    for number, method in enumerate(methods):
        for seed in range(seeds):
            gain = (gains or {}).get(method, (0, 0.05, -0.05)[number % 3] if number else 0)
            make_run(study, method, seed, gain, number, parts)
    record = {"schema": 1, "command": f"featmask compare {name}.yaml", "methods": list(methods), "failed": {}}
    (study / "comparison.json").write_text(json.dumps({**record, "seeds": list(range(seeds))}))
    return study


def add_extras(study: Path, methods, failed=True, doctor=True) -> None:
    """Pictures, a search for options, a failed run, the doctor's record of one run."""
    rng = np.random.default_rng(0)
    (study / "pictures").mkdir()
    for name, kind, shape in (
        ("attention", "attention", (180, 700, 3)), ("saved", "saved", (160, 600, 3)), ("masks", "masks", (90, 300, 3))
    ):  # fmt: skip
        imsave(study / "pictures" / f"{name}.png", rng.random(shape))
        (study / "pictures" / f"{name}.json").write_text(json.dumps({"kind": kind, "caption": f"A picture of {name}."}))
    entries = {}
    for method in methods:
        trials = [
            {"number": i, "at": "stem", "options": {"p": 0.1 * i}, "value": 0.8 + rng.normal(0, 0.02)}
            for i in range(1, 5)
        ]
        found = {"space": {"p": {"low": 0.05, "high": 1.0, "log": True}, "at": {"choices": ["stem", "layer1"]}}}
        found |= {"best": {"at": "stem", "options": {"p": 0.2, "area": [0.02, 0.31]}}, "trials": trials}
        found |= {"value": max(trial["value"] for trial in trials)}
        entries[method] = {"space": {}, "best": None, "value": None, "trials": []} if method == "none" else found
    tuning = {"schema": 1, "trials": 4, "metric": "val_accuracy", "epochs": 3, "seed": 1000, "seconds": 812.0}
    (study / "tuning.json").write_text(json.dumps({**tuning, "methods": entries}))
    if failed:
        record = json.loads((study / "comparison.json").read_text())
        record["failed"] = {f"{methods[-1]}, seed 9": "killed by <signal> 9"}
        (study / "comparison.json").write_text(json.dumps(record))
    if doctor:
        told = {"name": "chance", "group": "set-up", "title": "Better than chance", "verdict": "ok", "figure": "86 %"}
        weak = {
            "name": "steps",
            "title": "More steps",
            "group": "attacks",
            "verdict": "suspicious",
            "figure": "3 points",
            "why": "a < b",
        }
        record = {"schema": 1, "trusted": True, "verdict": "suspicious", "checks": [told, weak]}
        next(study.glob("*/seed-0")).joinpath("doctor.json").write_text(json.dumps(record))
