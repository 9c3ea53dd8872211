"""Transfer: the attack is made on a surrogate, a model that gradients flow through, and shown to the model in question.

Masked gradients do not hide from it. A run that stopped at the surrogate's boundary, as attacks here do, would carry
over badly (Papernot et al. 2016 and after: high confidence transfers), and would leave alone what the surrogate gets
wrong itself. So the surrogate is made to answer every image with its label: its attack goes on to the last step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from ..errors import FeatmaskError
from ..records import names
from .attack import Attack, Method, Model
from .draws import Noise
from .passes import predict
from .registry import register


@dataclass(frozen=True)
class Transfer(Method):
    """An attack made on another model.

    Attributes:
        attack: what is run on the surrogate. Each of its restarts is shown to the model: one query per restart.
        surrogate: pixels -> logits over the same classes, on the same device; in eval mode.
        label: says in the record where the surrogate comes from.
    """

    attack: Attack
    surrogate: Model
    label: str = ""
    kind = "transfer"

    @property
    def name(self) -> str:
        """For tables: ``transfer-pgd@8/255``."""
        return names.transferred(self.attack.name)

    @property
    def needs_classes(self) -> int:
        """Fewest classes that the attack's loss is defined for."""
        return self.attack.needs_classes

    def plain(self) -> dict[str, Any]:
        """JSON values for a record."""
        return {**self.attack.plain(), "name": self.name, "kind": self.kind, "attack": self.attack.kind,
                "surrogate": self.label}  # fmt: skip

    def check(self, adversarial: torch.Tensor, x: torch.Tensor) -> None:
        """See ``check_budget``."""
        self.attack.check(adversarial, x)

    def run(self, model: Model, x: torch.Tensor, y: torch.Tensor, draws: Noise) -> torch.Tensor:
        """Per sample an image that ``model`` gets wrong, if a restart gave one; else the last restart's.

        Samples that ``model`` gets wrong already are returned as they are.

        Raises:
            FeatmaskError: another number of classes than the model's, or whatever the attack refuses.
        """
        if not len(x):
            return x.clone()
        once = replace(self.attack, restarts=1)
        with torch.inference_mode(False):
            found = x.clone()
            logits, right = predict(model, x, y, self.attack.eot)
            left = right.nonzero().flatten()
            for _ in range(self.attack.restarts):
                if not len(left):
                    break
                held = Held(self.surrogate, y[left], logits.shape[1])
                found[left] = once.run(held, x[left], y[left], draws.take(left))
                left = left[predict(model, found[left], y[left], self.attack.eot)[1]]
            return found


register("transfer", Transfer, surrogate=True)(Transfer.run)


class Held:
    """The surrogate, with the label's logit raised until it is the answer: no sample ever counts as broken.

    With m = max_other z - z_y, the raised margin is m below -1 and -(1 + 1 / (2 + m)) / 2 above: it rises with m and
    stays below 0. The raise is a constant to autograd, so the margin's gradient is the surrogate's own. So is the
    direction of the cross-entropy's: the weights of the other classes keep their proportions.
    """

    def __init__(self, surrogate: Model, y: torch.Tensor, classes: int) -> None:
        self.surrogate, self.y, self.classes = surrogate, y, classes

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (N, classes), of which the label's is the largest."""
        logits = self.surrogate(x)
        if logits.shape != (len(self.y), self.classes):
            # also guards what the labels rest on: the batch stays whole, for nothing leaves it
            raise FeatmaskError(
                f"transfer: expected logits ({len(self.y)}, {self.classes}) of the surrogate, as of the model; "
                f"got {tuple(logits.shape)}"
            )
        own = torch.zeros_like(logits, dtype=torch.bool).scatter(1, self.y[:, None], True)
        plain = logits.detach()
        highest = plain.masked_fill(own, -torch.inf).amax(1, keepdim=True)
        over = highest - plain.gather(1, self.y[:, None])
        held = torch.where(over < -1, over, -(1 + 1 / (2 + over.clamp_min(-1))) / 2)
        # the highest other logit becomes 0: next to large logits the raised margin would be rounded away
        return torch.where(own, (logits - plain) - held, logits - highest)
