"""Who is examined: a model, some samples, and what attacks did to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction

import torch
from torch import nn

from ..attacks import Attack, Draws, Norm
from ..attacks.objectives import objective
from ..classification.suites.plans import Method
from ..errors import FeatmaskError
from ..evaluation.portions import Portions
from ..models.outputs import logits_of

#: Passes that a gradient and an answer of a random model are averaged over.
EOT = 5
#: Samples of a random model that are attacked: each costs EOT passes.
FEW = 32


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
        return Subject(
            self.model, self.x[:count], self.y[:count], self.rows[:count], self.logits[:count], self.eps, self.norm,
            self.seed, self.passes, self.portions,
        )  # fmt: skip

    def after(self, attack: Method | None, among: torch.Tensor | None = None, again: int = 0) -> torch.Tensor:
        """Right after an attack, (N,), by a fresh pass; None: before any. Samples that are wrong already stay wrong.

        Args:
            attack: made once for the same samples.
            among: attack these alone (N,); the others count as they were before.
            again: another number, other random starts.

        Raises:
            FeatmaskError: the attack left its budget.
        """
        key = f"{attack}/{again}" if among is None else f"{attack}/{again}/{among.tolist()}"
        if key not in self.outcomes:
            self.outcomes[key] = self._after(attack, among, again)
        return self.outcomes[key]

    def _after(self, attack: Method | None, among: torch.Tensor | None, again: int) -> torch.Tensor:
        if attack is None:
            return torch.cat(self.portions.each(lambda part: self._answers(self.x[part], self.y[part]), len(self.y)))
        result = self.right.clone()
        places = (result if among is None else result & among).nonzero().flatten()

        def work(part: slice) -> torch.Tensor:
            at = places[part]
            x, y = self.x[at], self.y[at]
            draws = Draws.of(self.seed, [self.rows[i] for i in at.tolist()], f"doctor/{attack.name}/{again}")
            adversarial = attack.run(self.model, x, y, draws)
            attack.check(adversarial, x)
            return self._answers(adversarial, y)

        if len(places):
            result[places] = torch.cat(self.portions.each(work, len(places)))
        return result

    def _answers(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            chances = [self.model(x).double().softmax(1) for _ in range(self.passes)]
        return torch.stack(chances).mean(0).argmax(1) == y

    def attack(self, **settings: object) -> Attack:
        """An attack at the claim's radius, averaged over as many passes as the model needs."""
        keys = {"eps": self.eps, "norm": self.norm, "eot": self.passes, **settings}
        return Attack(**keys)  # type: ignore[arg-type]


def gradients(
    model: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, y: torch.Tensor, plain: bool = False
) -> torch.Tensor | None:
    """Input gradients as they come, NaN included; None where autograd connects no pixel with the logits.

    Args:
        model: pixels -> logits.
        x: (N, C, H, W).
        y: (N,) labels.
        plain: of cross-entropy as other tools compute it, in the logits' precision; else of the log-odds.
    """
    leaf = x.detach().clone().requires_grad_()
    with torch.enable_grad():
        logits = model(leaf)
        value = nn.functional.cross_entropy(logits, y, reduction="none") if plain else objective("ce", logits, y)
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
