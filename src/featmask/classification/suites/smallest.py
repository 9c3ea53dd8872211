"""The smallest radius that flips a sample: bracketed by a suite's attacks, then halved."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import torch

from ...attacks import Attack, Draws, check_budget, run
from .batches import Batch
from .outcomes import Columns, Setting
from .plans import Plan

Floats = npt.NDArray[np.float64]


def flip_column(setting: Setting, batch: Batch, columns: Columns, plan: Plan) -> Columns:
    """``flip_eps``: for each sample the smallest radius at which an attack was found that flips it.

    0 where the sample is wrong before any attack, infinity where the largest radius does not flip it. It is an upper
    bound on the true distance to the decision boundary, as every attack's is. Each round halves the bracket between
    the largest radius that a sample survived and the smallest that broke it.
    """
    low, high = _bracket(columns, plan)
    attack = plan.smallest
    if attack is not None:
        places = np.flatnonzero(np.isfinite(high) & (high > 0))
        for number in range(plan.rounds if len(places) else 0):
            middle = (low[places] + high[places]) / 2
            setting.tell(f"smallest radius, round {number + 1} of {plan.rounds}")
            work = partial(_flips, setting, batch, attack, places, middle, f"smallest {number}")
            flipped = np.concatenate(setting.portions.each(work, len(places)))
            high[places] = np.where(flipped, middle, high[places])
            low[places] = np.where(flipped, low[places], middle)
    return {"flip_eps": high}


def _bracket(columns: Columns, plan: Plan) -> tuple[Floats, Floats]:
    """Largest radius survived, smallest radius broken at."""
    right = columns["clean"] > 0
    low = np.zeros(len(right))
    high = np.where(right, np.inf, 0.0)
    own = [attack for attack in plan.attacks if isinstance(attack, Attack) and attack.norm == plan.norm]
    for eps in sorted({attack.eps for attack in own}):
        outcomes = [columns[attack.name] for attack in own if attack.eps == eps]
        broken = right & (np.min(outcomes, axis=0) == 0)
        high = np.where(broken & np.isinf(high), float(eps), high)
        low = np.where(np.isinf(high), float(eps), low)
    return low, high


def _flips(
    setting: Setting,
    batch: Batch,
    attack: Attack,
    every: npt.NDArray[np.int64],
    radii: Floats,
    purpose: str,
    part: slice,
) -> npt.NDArray[np.bool_]:
    """Whether samples, some of ``every``, are flipped within a radius of their own."""
    places, eps = every[part], radii[part]
    at = torch.from_numpy(places)
    x, y = batch.pixels[at].to(setting.device), batch.labels[at].to(setting.device)
    draws = Draws.of(setting.seed, batch.rows[places].tolist(), purpose)
    adversarial = run(attack, setting.model, x, y, draws, eps=torch.from_numpy(eps).to(x))
    check_budget(adversarial, x, attack, eps=torch.from_numpy(eps))
    return (setting.right(adversarial, y) == 0).cpu().numpy()
