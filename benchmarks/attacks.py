"""Attacks beside foolbox's and pyautoattack's, on the same model in one process: speed, and who survives.

    python benchmarks/attacks.py [--quick] [--samples 200] [--rounds 5] [--checkpoint PATH]
    python benchmarks/attacks.py --parity [--markdown PATH]

Speed: samples a second of PGD-20 (L-infinity, the same step size) and of APGD-20, interleaved, medians, with the mean
robust accuracy that each leaves. A sample counts as robust if a fresh pass over what came back is right. At one radius
half of the samples stand, at the other none: stopping early gains little at the first, much at the second. Parameters
are frozen, so that nobody pays for their gradients.

Parity: survivors of every attack that a peer has too, by norm, on two fixed models, at equal radius, steps and step
size. Random starts differ there; in the table of speed foolbox gets ours.

Without a checkpoint a ResNet-14 is trained here, on Fashion-MNIST where it is installed, else on scikit-learn's
digits. The second model of the tables is a small network trained against PGD.
"""

from __future__ import annotations

import argparse
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

import eagerpy
import foolbox
import torch
from pyautoattack.autopgd_base import APGDAttack, APGDAttack_targeted
from torch import Tensor, nn
from torch.nn import functional

from featmask.attacks import Attack, Draws, Stream, run
from featmask.attacks.ball import random_start
from featmask.data import Images, load_images
from featmask.errors import FeatmaskError
from featmask.models import Normalized, build_model

#: Of the samples that are right, the share that PGD is to leave at the first radius; at the second none.
STANDING = 0.5
STEPS = 20
Attacked = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Subject:
    """A model with test images."""

    name: str
    model: nn.Module
    x: Tensor
    y: Tensor

    def right(self, x: Tensor) -> Tensor:
        """Who is classified right, by a fresh pass."""
        with torch.no_grad():
            return torch.cat([self.model(part).argmax(1) for part in x.split(250)]) == self.y


def ours(attack: Attack, step_size: float | None = None) -> Attacked:
    sized, seeds = replace(attack, step_size=step_size), itertools.count()
    return lambda model, x, y: run(sized, model, x, y, Draws.of(next(seeds), range(len(y)), attack.name))


def theirs(attack: Any, eps: float) -> Attacked:
    """An attack of foolbox; it returns clipped images for one radius."""

    def perturb(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu", preprocessing=None)
        found: Tensor = attack(wrapped, x, y, epsilons=eps)[1]
        return found

    return perturb


class FromOurs(foolbox.attacks.LinfPGD):
    """Foolbox's PGD from the random starts that ours gets in the same round: what differs is not the draw."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seeds = itertools.count()

    def get_random_start(self, x0: Any, epsilon: float) -> Any:
        """One start a call."""
        name = Attack("pgd", Fraction(epsilon).limit_denominator(510)).name
        draws = Draws.of(next(self.seeds), range(len(x0)), name)
        return eagerpy.astensor(random_start(x0.raw, epsilon, "linf", draws))


def auto(norm: str, eps: float, loss: str, steps: int = STEPS, targets: int = 0) -> Attacked:
    """pyautoattack's APGD."""
    seeds = itertools.count()

    def perturb(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        name = {"linf": "Linf", "l2": "L2", "l1": "L1"}[norm]
        common = {"n_iter": steps, "norm": name, "eps": eps, "seed": next(seeds), "device": "cpu"}
        if targets:
            attack: Any = APGDAttack_targeted(model, n_target_classes=targets, **common)
        else:
            attack = APGDAttack(model, loss=loss, **common)
        found: Tensor = attack.perturb(x, y)
        return found

    return perturb


def train(model: nn.Module, data: Images, count: int, epochs: int, eps: Fraction | None = None) -> nn.Module:
    """Brief training on the first images; with ``eps``, on images that PGD has changed (Madry et al. 2018)."""
    torch.manual_seed(0)
    x, y = gather(data, count)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    batches = epochs * (len(y) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=batches)
    for number in range(batches):
        start = number % (len(y) // 64) * 64
        pixels, labels = x[start : start + 64], y[start : start + 64]
        if eps is not None:
            attack = Attack("pgd", eps * min(1, Fraction(2 * number, batches)), steps=5)
            pixels = run(attack, model.eval(), pixels, labels, Stream(len(labels)))
        loss = functional.cross_entropy(model.train()(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval().requires_grad_(False)


def gather(data: Images, count: int) -> tuple[Tensor, Tensor]:
    items = [data[i] for i in range(min(count, len(data)))]
    return torch.stack([item.image for item in items]), torch.tensor([item.label for item in items])


def data_sets(quick: bool) -> Any:
    try:
        return load_images("digits" if quick else "fashion_mnist")
    except FeatmaskError:
        return load_images("digits")


def trained(splits: Any, quick: bool, samples: int) -> Subject:
    """The ResNet-14."""
    torch.manual_seed(0)
    model = Normalized(build_model("resnet14", num_classes=10, in_chans=1), *splits.train.statistics())
    train(model, splits.train, 600 if quick else 6000, 1 if quick else 2)
    return Subject(f"ResNet-14, {splits.name}", model, *gather(splits.test, samples))


def hardened(splits: Any, quick: bool, samples: int) -> Subject:
    """A small network without normalisation, trained against PGD."""
    torch.manual_seed(1)
    side = splits.train[0].image.shape[-1] // 4
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * side * side, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    train(model, splits.train, 600 if quick else 6000, 2 if quick else 4, Fraction(16, 255))
    return Subject(f"small CNN trained against PGD, {splits.name}", model, *gather(splits.test, samples))


def read(path: Path, samples: int) -> Subject:
    """A checkpoint of a run, with the test images of its recipe."""
    from featmask.study.run import load_model

    model, header = load_model(path)
    data = header.recipe["data"]
    splits = load_images(data["name"], root=data.get("root"), size=data.get("size"))
    x, y = gather(splits.test, samples)
    return Subject(f"{path.parent}", model.eval().requires_grad_(False), x, y)


def radius_for(subject: Subject, wanted: float) -> Fraction:
    """The least eps of a ladder at which PGD leaves at most this share."""
    ladder = [Fraction(k, 510) for k in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)]
    for eps in ladder:
        attack = Attack("pgd", eps, steps=STEPS)
        if float(subject.right(ours(attack)(subject.model, subject.x, subject.y)).double().mean()) <= wanted:
            return eps
    return ladder[-1]


def speed(subject: Subject, rounds: int) -> None:
    middle = STANDING * float(subject.right(subject.x).double().mean())
    for eps in (radius_for(subject, middle), radius_for(subject, 0.0)):
        size, step = float(eps), float(eps) / 10
        runs = {
            "featmask PGD": ours(Attack("pgd", eps, steps=STEPS), step),
            "featmask APGD": ours(Attack("apgd", eps, steps=STEPS)),
            # what the time that is saved buys
            "featmask APGD, 30 steps": ours(Attack("apgd", eps, steps=30)),
            "foolbox LinfPGD": theirs(FromOurs(abs_stepsize=step, steps=STEPS), size),
            "pyautoattack APGDAttack": auto("linf", size, "ce"),
        }
        medians, robust = race(subject, runs, rounds)
        best = max(value for name, value in medians.items() if not name.startswith("featmask"))
        for name, value in medians.items():
            print(
                f"| {size * 255:g}/255 | {name} | {value:.1f} | {value / best:.2f} | {robust[name]:.1%} |", flush=True
            )


def race(subject: Subject, runs: dict[str, Attacked], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Samples a second, medians of runs that take turns, and the mean robust accuracy over their random starts."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    robust: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        # each has every place in the order in turn: none always follows the same other
        names = list(runs)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            found = runs[name](subject.model, subject.x, subject.y)
            seconds[name].append(time.perf_counter() - start)
            robust[name].append(float(subject.right(found).double().mean()))
    rates = {name: len(subject.y) / statistics.median(values) for name, values in seconds.items()}
    return rates, {name: statistics.mean(values) for name, values in robust.items()}


def rows(norm: str, eps: Fraction) -> dict[str, dict[str, Attacked]]:
    """Attack -> who -> how; equal radius, steps and step size."""
    size = float(eps)
    base = Attack("pgd", eps, norm, steps=STEPS)  # type: ignore[arg-type]
    step = {"linf": size / 10, "l2": size / 10, "l1": size / 5}[norm]
    fast = {"linf": foolbox.attacks.FGSM(), "l2": foolbox.attacks.FGM()}.get(norm)
    pgd = {
        "linf": foolbox.attacks.LinfPGD(abs_stepsize=step, steps=STEPS),
        "l2": foolbox.attacks.L2PGD(abs_stepsize=step, steps=STEPS),
        "l1": foolbox.attacks.SparseL1DescentAttack(abs_stepsize=step, steps=STEPS, random_start=True),
    }[norm]
    heavy = {
        "linf": foolbox.attacks.MIFGSM,
        "l2": foolbox.attacks.L2MomentumIterativeFastGradientMethod,
    }.get(norm)
    found = {
        "FGSM": {"featmask": ours(replace(base, kind="fgsm"))} | ({"foolbox": theirs(fast, size)} if fast else {}),
        "PGD-20": {"featmask": ours(base, step), "foolbox": theirs(pgd, size)},
        "APGD-20 CE": {"featmask": ours(replace(base, kind="apgd")), "pyautoattack": auto(norm, size, "ce")},
        "APGD-20 DLR": {
            "featmask": ours(replace(base, kind="apgd", loss="dlr")),
            "pyautoattack": auto(norm, size, "dlr"),
        },
        "APGD-20 DLR, 3 targets": {
            "featmask": ours(replace(base, kind="apgd", loss="dlr", targets=3)),
            "pyautoattack": auto(norm, size, "dlr", targets=3),
        },
    }
    if heavy is not None:
        found["MI-FGSM-20"] = {
            "featmask": ours(replace(base, kind="mifgsm"), step),
            "foolbox": theirs(heavy(abs_stepsize=step, steps=STEPS), size),
        }
    return found


def parity(subject: Subject, radii: dict[str, list[Fraction]]) -> list[str]:
    """A Markdown table of survivors."""
    lines = [
        f"### {subject.name}: survivors of {len(subject.y)}, {int(subject.right(subject.x).sum())} right before",
        "",
        "| norm | eps | attack | featmask | foolbox | pyautoattack |",
        "| --- | ---: | --- | ---: | ---: | ---: |",
    ]
    for norm, sizes in radii.items():
        for eps in sizes:
            for title, by in rows(norm, eps).items():
                left = {
                    who: int(subject.right(how(subject.model, subject.x, subject.y)).sum()) for who, how in by.items()
                }
                peers = " | ".join(str(left.get(who, "")) for who in ("featmask", "foolbox", "pyautoattack"))
                lines.append(f"| {norm} | {float(eps):.4g} | {title} | {peers} |")
                print(lines[-1], flush=True)
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="digits, 40 samples, one round: a check that it runs")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--checkpoint", type=Path, help="model.safetensors of a classification run")
    parser.add_argument("--parity", action="store_true", help="survivors instead of speed")
    parser.add_argument("--markdown", type=Path, help="where the tables of --parity are written too")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    samples, rounds = (40, 1) if arguments.quick else (arguments.samples, arguments.rounds)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "foolbox", "pyautoattack"))
    print(f"{libraries}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores, one thread")
    splits = data_sets(arguments.quick)
    subject = read(arguments.checkpoint, samples) if arguments.checkpoint else trained(splits, arguments.quick, samples)
    if arguments.parity:
        eps = radius_for(subject, 0.4)
        small = {"linf": [eps], "l2": [eps * 10], "l1": [eps * 100]}
        large = {"linf": [Fraction(16, 255)], "l2": [Fraction(1)], "l1": [Fraction(8)]}
        lines = parity(subject, small) + parity(hardened(splits, arguments.quick, samples), large)
        if arguments.markdown:
            arguments.markdown.write_text("\n".join(lines))
        return
    print(f"{subject.name}: {len(subject.y)} samples, {float(subject.right(subject.x).double().mean()):.1%} right\n")
    print("| eps | 20 steps of | samples/s | of the faster peer | robust |\n| ---: | --- | ---: | ---: | ---: |")
    speed(subject, rounds)


if __name__ == "__main__":
    main()
