"""What an attack on a classifier is: its kind, its norm ball, its objective, its budget of steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, NamedTuple, get_args

import torch

from ..errors import FeatmaskError
from ..records import names
from .ball import Norm, check_budget, check_pixels, grey_levels
from .draws import Noise
from .objectives import Loss, needs_classes
from .registry import Row, row_of

#: Pixels (N, C, H, W) in [0, 1] -> logits (N, classes).
Model = Callable[[torch.Tensor], torch.Tensor]
#: Settings that every kind has.
_COMMON = ("kind", "eps", "norm", "steps", "restarts")


class Victim(NamedTuple):
    """What an attack is given: the model, pixels (N, C, H, W) with labels (N,), each sample's draws and radius.

    Radii are (N, 1, 1, 1).
    """

    model: Model
    x: torch.Tensor
    y: torch.Tensor
    draws: Noise
    eps: torch.Tensor


class Method(ABC):
    """An attack of any kind, as suites use it."""

    kind: str

    @property
    @abstractmethod
    def name(self) -> str:
        """For tables and columns, with its budget: ``pgd@2/255``, ``occlusion@20%``."""

    @property
    def row(self) -> Row:
        """Of its kind, in the table of all attacks."""
        return row_of(self.kind, type(self))

    @property
    def gradients(self) -> bool:
        """Whether it needs a model that gradients flow through."""
        return self.row.gradients

    @property
    def needs_classes(self) -> int:
        """Fewest classes that it works with."""
        return 1

    @abstractmethod
    def run(self, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise) -> torch.Tensor:
        """Adversarial pixels for ``x`` (N, C, H, W) in [0, 1] with labels ``y`` (N,)."""

    @abstractmethod
    def check(self, adversarial: torch.Tensor, x: torch.Tensor) -> None:
        """Refuse pixels that left the budget."""

    @abstractmethod
    def plain(self) -> dict[str, Any]:
        """JSON values for a record."""


@dataclass(frozen=True)
class Attack(Method):
    """One attack with its budget, on pixels in [0, 1].

    Attributes:
        kind: ``fgsm`` (one step from the image), ``pgd`` (several from a random start), ``mifgsm`` (several with
            momentum from the image), ``apgd`` (Auto-PGD, whose step sizes adapt), ``square`` (black box, no gradients),
            ``uniform`` and ``gaussian`` (noise of the same size, the weakest control).
        eps: radius in pixels: of each pixel's change for ``linf``, of the whole image's for ``l2`` and ``l1``.
        norm: of the ball.
        steps: gradient steps per restart; queries of ``square``; ``fgsm`` makes one. Of noise: how many draws.
        step_size: of one step in pixels; None: 2.5 * eps / steps, as Madry et al. choose it. ``apgd`` adapts its own.
        restarts: random starts; a sample counts as robust only if it survives all.
        loss: what is maximised: cross-entropy, the margin max_other z - z_y (Carlini and Wagner 2017), or the
            difference of logits ratio (Croce and Hein 2020; needs 3 classes, targeted 4).
        targets: 0: away from the label. k: towards each of the k most probable other classes, one after the other, and
            at most classes - 1 of them.
        momentum: share of the past that ``mifgsm`` keeps.
        eot: passes that a gradient is averaged over (expectation over transformation, Athalye et al. 2018), for models
            that are left random.
    """

    kind: str
    eps: Fraction
    norm: Norm = "linf"
    steps: int = 10
    step_size: float | None = None
    restarts: int = 1
    loss: Loss = "ce"
    targets: int = 0
    momentum: float = 1.0
    eot: int = 1

    def __post_init__(self) -> None:
        for key, value, known in (("norm", self.norm, self.row.norms), ("loss", self.loss, get_args(Loss))):
            if value not in known:
                raise FeatmaskError(f"{key}: expected one of {', '.join(known)}; got {value!r}")
        if self.norm == "linf" and not 0 <= self.eps <= 1:
            raise FeatmaskError(f"eps: expected pixels in [0, 1], for example 8/255; got {self.eps}")
        if not 0 <= self.eps < math.inf:
            raise FeatmaskError(f"eps: expected a radius of 0 or more for the whole image; got {self.eps}")
        for key, number in (("steps", self.steps), ("restarts", self.restarts), ("eot", self.eot)):
            if number < 1:
                raise FeatmaskError(f"{key}: expected 1 or more, got {number}")
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise FeatmaskError(f"step_size: expected pixels above 0, or None; got {self.step_size}")
        if self.targets < 0:
            raise FeatmaskError(f"targets: expected 0 (untargeted) or a number of classes, got {self.targets}")
        if not 0 <= self.momentum < math.inf:
            raise FeatmaskError(f"momentum: expected 0 or more, got {self.momentum}")

    @property
    def title(self) -> str:
        """The name without the budget: ``pgd``, ``apgd-dlr-t``, ``pgd-margin-l2``."""
        return str(self._kind)

    @property
    def name(self) -> str:
        """``pgd@2/255``, ``apgd-dlr-t@8/255``, ``pgd-l2@0.5``."""
        return self._kind.at(budget_text(self.eps, self.norm))

    @property
    def _kind(self) -> names.Kind:
        variants = (self.loss,) * (self.loss != "ce") + ("t",) * bool(self.targets)
        return names.Kind(self.kind, variants, self.norm)

    @property
    def needs_classes(self) -> int:
        """Fewest classes that its loss is defined for."""
        return needs_classes(self.loss, self.targets > 0) if "loss" in self.row.settings else 1

    def run(self, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise) -> torch.Tensor:
        """Adversarial pixels: see the function ``run``."""
        return run(self, model, x, y, draws)

    def check(self, adversarial: torch.Tensor, x: torch.Tensor) -> None:
        """Refuse pixels that left the budget: see ``check_budget``."""
        check_budget(adversarial, x, self)

    def plain(self) -> dict[str, Any]:
        """JSON values for a record: the name, and every setting that this kind has."""
        kept = {key: value for key, value in asdict(self).items() if key in _COMMON + self.row.settings}
        return {"name": self.name, **kept, "eps": str(self.eps)}


def run(
    attack: Attack, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise, eps: torch.Tensor | None = None
) -> torch.Tensor:
    """Attack a classifier on pixels ``x`` (N, C, H, W) in [0, 1] with labels ``y`` (N,).

    Neither ``x`` nor parameters nor modes are touched; the caller holds eval mode, and autocast off.

    Args:
        attack: which, and how far.
        model: pixels (N, C, H, W) in [0, 1] -> logits (N, classes).
        draws: what is drawn for each sample: ``Draws``, or ``Stream`` where a sample's numbers may depend on its place.
        eps: radii that replace the attack's own, (N,); an explicit step size is scaled alike.

    Returns:
        Pixels within the budget. For each sample an image that is misclassified if any was met, else the last one (of
        APGD the one with the highest objective). Samples that are misclassified already come back as they are.

    Raises:
        FeatmaskError: pixels, labels or radii that do not fit; too few classes for the loss; or, for attacks that
            follow gradients, a model that gradients do not flow through.
    """
    _check(attack, x, y, eps)
    if not len(x):
        return x.clone()
    radii = x.new_full((len(x),), float(attack.eps)) if eps is None else eps.to(x)
    with torch.inference_mode(False):
        return attack.row.perturb(attack, Victim(model, x.detach(), y, draws, radii[:, None, None, None]))


def _check(attack: Attack, x: torch.Tensor, y: torch.Tensor, eps: torch.Tensor | None) -> None:
    check_samples(attack.name, x, y, "pixels (N, C, H, W) as floats", x.is_floating_point())
    if eps is not None and (eps.shape != y.shape or not bool((eps >= 0).all())):
        raise FeatmaskError(f"{attack.name}: expected a radius of 0 or more per sample, ({len(x)},); got {eps}")


def check_samples(name: str, x: torch.Tensor, y: torch.Tensor, wanted: str, fits: bool) -> None:
    """Refuse what is no batch of pixels (N, C, H, W) in [0, 1] with whole-numbered labels (N,).

    Messages call the attack ``name`` and its pixels ``wanted``; ``fits`` says whether ``x`` has the type that it takes.
    """
    if x.dim() != 4 or not fits or y.shape != x.shape[:1] or y.is_floating_point():
        raise FeatmaskError(
            f"{name}: expected {wanted} and N integer labels; "
            f"got {x.dtype} {tuple(x.shape)} and {y.dtype} {tuple(y.shape)}"
        )
    check_pixels(x, name)


def budget_text(eps: Fraction, norm: Norm) -> str:
    """A radius as tables name it: ``2/255`` for ``linf``, ``0.5`` for the others."""
    return grey_levels(eps) if norm == "linf" else f"{float(eps):g}"
