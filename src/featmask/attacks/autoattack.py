"""AutoAttack (Croce and Hein 2020) through pyautoattack 0.2, with its known faults kept away from the figures.

What the library does, and what is done about it here and in ``autoattack_library``:

* Pixels outside [0, 1] are taken as they are and moved by up to 1 for a radius of 8/255: refused.
* With fewer than 10 classes its targeted attacks index classes that are not there, and its DLR losses need 3 or 4: what
  is changed is said by ``deviations``.
* Square in L2 and L1 lays a grid of height // 5 pixels that leaves many images (12 x 12, 28 x 25) and divides by zero
  under 5 rows: Square of this package takes its place there, which is said too.
* ``sys.settrace(None)`` ends coverage and debuggers; torch's generators are seeded: both are put back.
* Without a seed it takes the time: the seed comes from ``draws``. One stream serves the whole batch, so a result
  depends on which samples stand together; the same batch gives the same result.
* FAB calls ``backward``, which fills the parameters' ``grad``; Square writes -inf into the logits it was given; APGD
  views gradients that may be channels_last; models without a gradient raise: the model is wrapped.
* It works on the CPU unless told otherwise, in float32 whatever came: the device is that of the pixels, and pixels that
  are not float32 are refused.
* A random model is only warned about: ``standard`` refuses it. ``rand`` judges by one pass, and never attacks what one
  unlucky pass got wrong, which then counts as robust: here each verdict takes the mean of 20 passes.
* Warnings go to stderr where no log is set up: silenced. Its flags (zero gradients, probabilities, a Square that finds
  more) are left to checks that can fail.
* Its examples are projected once more (rounding leaves the ball in L1), and count if a fresh pass gets them wrong;
  elsewhere the clean pixels come back.
* Square stops at a margin of exactly 0, where the label may still be the answer: such samples survive it.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, NamedTuple, get_args

import torch

from ..errors import FeatmaskError, require
from ..records import names
from .attack import Attack, Method, Model, budget_text, check_samples
from .autoattack_library import LIBRARY_NORMS, Asked, apart, ensemble_examples, square_fits
from .ball import Norm, check_budget, project
from .draws import Noise
from .registry import register

Version = Literal["standard", "rand"]

#: Passes that ``rand`` averages, gradients in the library and verdicts here.
_PASSES = 20
#: Relative to the largest logit: more between two passes than a GPU's order of summation makes.
_RANDOM = 1e-4
STEPS, QUERIES = 100, 5000


class _Plan(NamedTuple):
    """What is run: the library's attacks, then ours on what survived; targets of APGD and FAB; what is unpublished."""

    library: list[str]
    ours: list[Attack]
    targets: tuple[int, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class AutoAttack(Method):
    """The ensemble of parameter-free attacks.

    Attributes:
        eps: radius in pixels: of each pixel's change for ``linf``, of the whole image's for ``l2`` and ``l1``.
        norm: of the ball.
        version: ``standard`` (APGD on cross-entropy, targeted APGD on DLR, targeted FAB, Square) or ``rand`` (APGD on
            cross-entropy and on DLR, gradients averaged over 20 passes) for models that are left random.
    """

    eps: Fraction
    norm: Norm = "linf"
    version: Version = "standard"
    kind = "autoattack"

    def __post_init__(self) -> None:
        if self.version not in get_args(Version):
            raise FeatmaskError(f"version: expected one of {', '.join(get_args(Version))}; got {self.version!r}")
        Attack("apgd", self.eps, self.norm)  # the same radii and norms

    @property
    def name(self) -> str:
        """For tables: ``autoattack@8/255``, ``autoattack-rand-l2@0.5``."""
        kind = names.Kind(self.kind, ("rand",) * (self.version == "rand"), self.norm)
        return kind.at(budget_text(self.eps, self.norm))

    @property
    def needs_classes(self) -> int:
        """Fewest classes it can confuse."""
        return 2

    def plain(self) -> dict[str, Any]:
        """JSON values for the record; ``deviations`` tells what the number of classes changes."""
        require("pyautoattack", "attacks")
        library = f"pyautoattack {importlib.metadata.version('pyautoattack')}"
        return {"name": self.name, "kind": self.kind, "eps": str(self.eps), "norm": self.norm,
                "version": self.version, "library": library}  # fmt: skip

    def deviations(self, classes: int, size: tuple[int, int] | None = None) -> tuple[str, ...]:
        """What differs from the published attack, each starting with ``non-standard: ``.

        ``size`` is the height and width of the images; None: one that the library can take.
        """
        return tuple(f"non-standard: {note}" for note in self._plan(classes, size).notes)

    def check(self, adversarial: torch.Tensor, x: torch.Tensor) -> None:
        """See ``check_budget``."""
        check_budget(adversarial, x, self)

    def run(self, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise) -> torch.Tensor:
        """Per sample an image within the budget that is misclassified, if one was found; else the clean pixels.

        Raises:
            FeatmaskError: pixels that are not float32 in [0, 1], fewer than 2 classes, or a random model under
                ``standard``.
        """
        require("pyautoattack", "attacks")
        check_samples(self.name, x, y, "float32 pixels (N, C, H, W)", x.dtype == torch.float32)
        if not len(x) or not self.eps:
            return x.clone()
        with torch.inference_mode(False), apart():
            seed = int(float(draws.uniform(1)[0, 0]) * 2**24)
            torch.manual_seed(seed)  # of a random model too
            found = x.clone()
            asked = Asked(model, _PASSES if self.version == "rand" else 1)
            if self.version == "standard":
                _refuse_random(self.name, model, found)
            logits = asked(found)
            plan = self._plan(logits.shape[1], (x.shape[2], x.shape[3]))
            left = (logits.argmax(1) == y).nonzero().flatten()
            if len(left):
                tried = ensemble_examples(
                    asked, found[left].contiguous(), y[left].long(), plan.library, plan.targets,
                    norm=LIBRARY_NORMS[self.norm], eps=float(self.eps), version=self.version, seed=seed,
                )  # fmt: skip
                left = self._settle(asked, found, tried, y, left)
            for attack in plan.ours:
                if not len(left):
                    break
                left = self._settle(asked, found, attack.run(model, found[left], y[left], draws.take(left)), y, left)
        self.check(found, x)
        return found

    def _settle(
        self, asked: Asked, found: torch.Tensor, tried: torch.Tensor, y: torch.Tensor, left: torch.Tensor
    ) -> torch.Tensor:
        """Keep the examples that are in the ball and misclassified; return the samples that are left."""
        origin = found[left]
        tried = torch.where(tried.isfinite(), tried, origin)
        tried = project(tried, origin, float(self.eps), self.norm)
        right = asked(tried).argmax(1) == y[left]
        found[left[~right]] = tried[~right]
        return left[right]

    def _plan(self, classes: int, size: tuple[int, int] | None) -> _Plan:
        if classes < self.needs_classes:
            raise FeatmaskError(f"{self.name}: expected a model of {self.needs_classes} classes or more, got {classes}")
        eps, norm = self.eps, self.norm
        if self.version == "rand":
            notes = [f"verdicts from the mean logits of {_PASSES} passes, not from one"]
            if classes >= 3:
                return _Plan(["apgd-ce", "apgd-dlr"], [], (0, 0), tuple(notes))
            notes.append(f"with {classes} classes APGD on the margin in place of DLR, which needs 3")
            ours = [Attack("apgd", eps, norm, steps=STEPS, loss="margin", eot=_PASSES)]
            return _Plan(["apgd-ce"], ours, (0, 0), tuple(notes))
        names, extra, changed = ["apgd-ce", "apgd-t", "fab-t", "square"], [], []
        full = {"apgd-t": 5 if norm == "l1" else 9, "fab-t": 9}
        if classes < 4:
            names.remove("apgd-t")
            extra.append(Attack("apgd", eps, norm, steps=STEPS, loss="margin", targets=classes - 1))
            changed.append(
                f"with {classes} classes APGD on the targeted margin in place of targeted DLR, which needs 4"
            )
        capped = [name for name in names if full.get(name, 0) > classes - 1]
        if capped:
            least = ", ".join(f"{full[name]} in {name}" for name in capped)
            changed.append(f"every other class as a target ({classes - 1}) in place of {least}")
        if norm != "linf" and size is not None and not square_fits(*size):
            names.remove("square")
            extra.append(Attack("square", eps, norm, steps=QUERIES))
            changed.append(f"Square of this package: the library's fails on images of {size[0]} x {size[1]} in {norm}")
        targets = {name: min(count, classes - 1) for name, count in full.items()}
        return _Plan(names, extra, (targets["apgd-t"], targets["fab-t"]), tuple(changed))


register("autoattack", AutoAttack, gradients=True, standard=True)(AutoAttack.run)


def _refuse_random(name: str, model: Model, x: torch.Tensor) -> None:
    with torch.no_grad():
        first = model(x).clone()
        if any(float((model(x) - first).abs().max()) > _RANDOM * float(first.abs().max()) for _ in range(4)):
            raise FeatmaskError(
                f"{name}: the model answers the same pixels differently; use version='rand', "
                "or switch its randomness off"
            )
