"""What is examined: a model, some samples, and what attacks did to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction

import torch
from torch import nn

from ..attacks import Attack, Method, Norm
from ..attacks.objectives import objective
from ..classification.suites.outcomes import Setting
from ..errors import FeatmaskError
from ..evaluation.portions import Portions
from ..models.outputs import logits_of

#: Passes that a gradient and an answer of a random model are averaged over.
EOT = 5
#: Samples of a random model that are attacked: each costs EOT passes.
FEW = 32
#: A sample counts as right above this share of right passes.
MOST = 0.5


@dataclass
class Subject:
    """A model in eval mode, frozen by the caller, and the samples that it is examined on.

    Attributes:
        model: pixels -> logits.
        x: (N, C, H, W), on the model's device.
        y: (N,) labels.
        rows: of the data set; what is drawn for a sample depends on its row.
        logits: of one pass in eval mode, (N, classes), float32.
        eps: radius of the claim.
        norm: of its ball.
        seed: of everything that is drawn.
        passes: 1, or EOT for models that are random in eval mode.
        portions: how many samples are computed at once.
        outcomes: right after each attack that was made, by its settings.
    """

    model: nn.Module
    x: torch.Tensor
    y: torch.Tensor
    rows: list[int]
    logits: torch.Tensor
    eps: Fraction
    norm: Norm
    seed: int = 0
    passes: int = 1
    portions: Portions = field(default_factory=Portions)
    outcomes: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def right(self) -> torch.Tensor:
        """Right before any attack, (N,)."""
        return self.after(None)

    def head(self, count: int) -> Subject:
        """The first samples alone; nothing was done to them yet."""
        x, y, rows, logits = self.x[:count], self.y[:count], self.rows[:count], self.logits[:count]
        return replace(self, x=x, y=y, rows=rows, logits=logits, outcomes={})

    def after(self, attack: Method | None, among: torch.Tensor | None = None, again: int = 0) -> torch.Tensor:
        """Right after an attack, (N,), by fresh passes; None: before any. Samples that are wrong already stay wrong.

        A sample of a random model is right where most of its passes are.

        Args:
            attack: made once for the same samples.
            among: attack these alone (N,); the others count as they were before.
            again: another number, other random starts.

        Raises:
            FeatmaskError: the attack left its budget.
        """
        key = f"{attack}/{again}/{'' if among is None else among.tolist()}"
        if key not in self.outcomes:
            self.outcomes[key] = self._after(attack, among, again)
        return self.outcomes[key]

    def _after(self, attack: Method | None, among: torch.Tensor | None, again: int) -> torch.Tensor:
        setting = Setting(self.model, self.x.device, self.seed, self.passes, self.portions)
        if attack is None:
            shares = self.portions.each(lambda part: setting.right(self.x[part], self.y[part]), len(self.y))
            return torch.cat(shares) > MOST
        result = self.right.clone()
        places = (result if among is None else result & among).nonzero().flatten()

        def work(part: slice) -> torch.Tensor:
            at = places[part]
            rows = [self.rows[i] for i in at.tolist()]
            return setting.attacked(attack, self.x[at], self.y[at], rows, f"doctor/{attack.name}/{again}")[1]

        if len(places):
            result[places] = torch.cat(self.portions.each(work, len(places))) > MOST
        return result

    def attack(self, **settings: object) -> Attack:
        """An attack at the claim's radius, averaged over as many passes as the model needs."""
        keys = {"eps": self.eps, "norm": self.norm, "eot": self.passes, **settings}
        return Attack(**keys)  # type: ignore[arg-type]


def gradients(model: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor | None:
    """Input gradients of the log-odds, NaN included; None where autograd connects no pixel with the logits."""
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        value = objective("ce", model(leaf), y)
        if not value.requires_grad:
            return None
        (found,) = torch.autograd.grad(value.sum(), leaf, allow_unused=True)
    return found


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Passes in whatever mode the model is: batch statistics come back afterwards."""
    kept = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        with torch.no_grad():
            yield
    finally:
        with torch.no_grad():
            for buffer, before in kept:
                buffer.copy_(before)


def logits_in_portions(model: nn.Module, x: torch.Tensor, portions: Portions) -> torch.Tensor:
    """Logits (N, classes), float32.

    Raises:
        FeatmaskError: other outputs, or fewer than two classes.
    """

    def work(part: slice) -> torch.Tensor:
        with torch.no_grad():
            return logits_of(model(x[part])).float()

    logits = torch.cat(portions.each(work, len(x)))
    if logits.dim() != 2 or len(logits) != len(x) or logits.shape[1] < 2:
        raise FeatmaskError(
            f"expected logits (N, classes) of two classes or more for {len(x)} samples, got {tuple(logits.shape)}"
        )
    return logits
