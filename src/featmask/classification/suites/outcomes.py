"""What happens to the samples of one batch: right or wrong, before and after everything that a suite does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from ...attacks import Attack, AutoAttack, Draws, Method, quantised
from ...evaluation.portions import Portions
from ...records.names import corruption_name, rounded_column, worst_name
from .batches import Batch
from .plans import Plan

Columns = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Setting:
    """What computes the outcomes.

    Attributes:
        model: pixels in [0, 1] -> logits, frozen by the caller.
        device: where it lies.
        seed: of everything that is drawn.
        passes: an outcome is the share of so many passes that are right; 1 for models that always answer alike. This
            is what counts as a random model's answer everywhere.
        portions: how many samples are computed at once.
        tell: takes what is done next, for a progress bar.
    """

    model: nn.Module
    device: torch.device
    seed: int
    passes: int
    portions: Portions
    tell: Callable[[str], None] = lambda _: None

    def right(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Right answers: 1 or 0, or their share of several passes, (N,)."""
        with torch.no_grad():
            votes = [self.model(x).argmax(1) == y for _ in range(self.passes)]
        return votes[0].long() if self.passes == 1 else torch.stack(votes).double().mean(0)

    def attacked(
        self, attack: Method, x: torch.Tensor, y: torch.Tensor, rows: Sequence[int], purpose: str
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adversarial pixels within the budget, and right answers to them by fresh passes, (N,).

        What is drawn for a sample depends on its row in the data set and on the purpose.

        Raises:
            FeatmaskError: the attack left its budget.
        """
        adversarial = attack.run(self.model, x, y, Draws.of(self.seed, rows, purpose))
        attack.check(adversarial, x)
        return adversarial, self.right(adversarial, y)


def clean_columns(logits: torch.Tensor, batch: Batch) -> Columns:
    """Prediction, its confidence, and the terms of the scores that are means."""
    y = batch.labels.to(logits.device)
    chances = logits.double().softmax(1)
    confidence, predicted = chances.max(1)
    wrong = chances - functional.one_hot(y, logits.shape[1])
    return {
        "predicted": predicted.cpu().numpy(),
        "confidence": confidence.cpu().numpy(),
        "nll": functional.cross_entropy(logits, y, reduction="none").double().cpu().numpy(),
        "brier": wrong.square().sum(1).cpu().numpy(),
        "correct": (predicted == y).long().cpu().numpy(),
    }


def attacked_columns(setting: Setting, batch: Batch, right: torch.Tensor, attacks: Sequence[Method]) -> Columns:
    """Right before and after each attack, a column each.

    A sample that is wrong already stays wrong and is not attacked. An image within a radius is within every larger
    one: a sample that an attack broke at a smaller radius counts as broken by the same attack at a larger one.
    """
    found: Columns = {"clean": right.cpu().numpy()}
    broken: dict[str, torch.Tensor] = {}
    for attack in sorted(attacks, key=_radius):
        family = _family(attack)
        before = broken.get(family, torch.zeros_like(right, dtype=torch.bool))
        standing = ((right > 0) & ~before).nonzero().flatten()
        after, rounded = torch.zeros_like(right), torch.zeros_like(right)
        if len(standing):
            setting.tell(attack.name)
            parts = setting.portions.each(partial(_after, setting, batch, attack, standing), len(standing))
            after[standing] = torch.cat([part[0] for part in parts])
            rounded[standing] = torch.cat([part[1] for part in parts])
        found[attack.name] = after.cpu().numpy()
        if _rounds(attack):
            found[rounded_column(attack.name)] = rounded.cpu().numpy()
        if family and setting.passes == 1:
            broken[family] = before | ((right > 0) & (after == 0))
    names = ["clean", *(name for attack in attacks for name in (attack.name, rounded_column(attack.name)))]
    return {name: found[name] for name in names if name in found}


def _rounds(attack: Method) -> bool:
    """Whether its images can be stored with 8 bits within its budget: of balls in L1 that is not known."""
    return isinstance(attack, Attack | AutoAttack) and attack.norm != "l1"


def _after(
    setting: Setting, batch: Batch, attack: Method, places: torch.Tensor, part: slice
) -> tuple[torch.Tensor, torch.Tensor]:
    """Right after an attack, and after its images were stored with 8 bits; each by a fresh pass."""
    at = places[part].cpu()
    x, y = batch.pixels[at].to(setting.device), batch.labels[at].to(setting.device)
    adversarial, after = setting.attacked(attack, x, y, batch.rows[at.numpy()].tolist(), attack.name)
    rounded = after.clone()
    fallen = after == 0
    if isinstance(attack, Attack | AutoAttack) and _rounds(attack) and bool(fallen.any()):
        rounded[fallen] = setting.right(quantised(adversarial[fallen], x[fallen], attack), y[fallen])
    return after, rounded


def corrupted_columns(setting: Setting, batch: Batch, plan: Plan) -> Columns:
    """Right after each corruption at each severity; what is drawn for an image depends on its index alone."""
    from ...data import corrupt

    found: Columns = {}
    for kind in plan.corruptions:
        for severity in plan.severities:
            setting.tell(f"{kind} {severity}")
            changed = corrupt(batch.pixels, kind, severity, batch.rows.tolist(), setting.seed)
            right = partial(_right_at, setting, changed, batch.labels)
            found[corruption_name(kind, severity)] = torch.cat(setting.portions.each(right, len(changed))).cpu().numpy()
    return found


def _right_at(setting: Setting, x: torch.Tensor, y: torch.Tensor, part: slice) -> torch.Tensor:
    return setting.right(x[part].to(setting.device), y[part].to(setting.device))


def worst_columns(columns: Columns, attacks: Sequence[Method]) -> Columns:
    """The worst case at each size: right under every attack of that size, and of smaller balls of the same norm."""
    found: Columns = {}
    for size in attacks:
        name = worst_name(size.name)
        if name in found:
            continue
        worst = columns["clean"]
        for attack in attacks:
            alike = worst_name(attack.name) == name
            if alike or (_norm(size) and _norm(attack) == _norm(size) and _radius(attack) < _radius(size)):
                worst = np.minimum(worst, columns[attack.name])
        found[name] = worst
    return found


def _norm(attack: Method) -> str:
    """Of an attack within a ball; empty for those on regions."""
    return str(getattr(attack, "norm", "")) if hasattr(attack, "eps") else ""


def _radius(attack: Method) -> float:
    return float(getattr(attack, "eps", 0))


def _family(attack: Method) -> str:
    """The same for one attack at several radii; empty where a larger budget need not contain a smaller one."""
    if not isinstance(attack, Attack | AutoAttack):
        return ""
    return json.dumps({key: value for key, value in attack.plain().items() if key not in ("name", "eps")})
