"""Classifiers: from a model and data to one record a suite, with an outcome for every sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...errors import FeatmaskError
from ...evaluation import Evaluation, frozen
from ...evaluation.frozen import is_random
from ...evaluation.portions import Portions
from ...models import is_differentiable
from .batches import Data, batches, check_model, checked_logits
from .measuring import Measuring
from .named import plan_of
from .options import Options, expand
from .outcomes import Setting
from .plans import Plan, disclosed


@overload
def evaluate(
    model: nn.Module, data: Data, suite: Literal["full"] | list[str] | tuple[str, ...], **more: Any
) -> dict[str, Evaluation]: ...


@overload
def evaluate(model: nn.Module, data: Data, suite: str | Path | Plan = "clean", **more: Any) -> Evaluation: ...


# mypy wants every keyword again in each overload
def evaluate(  # type: ignore[misc]
    model: nn.Module,
    data: Data,
    suite: str | Path | Plan | Sequence[str] = "clean",
    *,
    options: Options | None = None,
    split: str = "test",
    batch_size: int = 64,
    device: torch.device | str | None = None,
    seed: int = 0,
    limit: int | None = None,
    selection: str = "",
    folder: str | Path | None = None,
    allow_stochastic: bool = False,
    surrogate: nn.Module | None = None,
    ood: Data | None = None,
    ood_name: str = "other data",
) -> Evaluation | dict[str, Evaluation]:
    """Measure a classifier that takes pixels in [0, 1].

    Args:
        model: pixels (N, C, H, W) in [0, 1] -> logits (N, classes); normalisation inside (see ``Normalized`` and
            ``wrap``). It is switched to eval mode, every submodule, and put back afterwards.
        data: a dataset or a loader of (image, label, ...); a fourth entry is taken as the sample's index.
        suite: ``clean``, ``linf``, ``l2``, ``l1``, ``autoattack``, ``blackbox``, ``transfer``, ``corruptions``,
            ``occlusion``; a YAML file of your own; or ``full`` or several names: then a dictionary comes back.
        options: radii, steps, severities, ...
        split: what the data are, for the record.
        batch_size: if ``data`` is a dataset; where memory runs out, fewer samples are computed at once.
        device: where to compute; default: where the model is.
        seed: of everything that is drawn. What is drawn for a sample depends on the seed and its index alone.
        limit: use only so many leading samples; they are stated in the record.
        selection: how ``data`` were chosen, for the record.
        folder: write each record to ``folder/eval``, and what is done after each batch: the same call goes on there
            after a kill. The data must come in the same order.
        allow_stochastic: take a model whose passes differ: gradients are averaged over ``options.eot`` passes, an
            outcome is the share of ``options.passes`` passes that are right, AutoAttack is the ``rand`` version.
        surrogate: another model of the same task: the suite ``transfer`` attacks it in place of ``model``.
        ood: other data, for the ``clean`` suite: how well confidence tells them from ``data`` (AUROC).
        ood_name: their name, for the record.

    Raises:
        FeatmaskError: an unknown suite, no data, pixels outside [0, 1], labels out of range, logits that are not
            finite, a model whose two passes over the same images differ (unless that is allowed), gradient attacks on a
            model without gradients; all but what a later batch does wrong before any time is spent.
    """
    options = options or Options()
    where = torch.device(device) if device is not None else check_model(model)
    many = not isinstance(suite, str | Path | Plan) or suite == "full"
    found: dict[str, Evaluation] = {}
    with frozen(model, where), frozen(surrogate or nn.Identity(), where):
        first = next(batches(data, batch_size, limit), None)
        if first is None:
            raise FeatmaskError("there is nothing to evaluate: the data are empty")
        logits = checked_logits(model, first, where)
        random = is_random(model, first.pixels.to(where), logits, allow_stochastic)
        classes = int(logits.shape[1])
        black_box = not _differentiable(model, first.pixels[:1].to(where))
        plans = [
            name
            if isinstance(name, Plan)
            else plan_of(name, options, classes, random=random, black_box=black_box, surrogate=surrogate)
            for name in _named(suite, black_box)
        ]
        height, width = first.pixels.shape[2:]
        plans = [disclosed(plan, classes, (height, width)) for plan in plans]
        for plan in plans:
            _check(plan, classes, black_box)
        others = _confidences(model, ood, batch_size, where) if ood is not None else None
        for plan in plans:
            setting = Setting(model, where, seed, options.passes if random else 1, Portions())
            run = Measuring(plan, setting, data, batch_size, limit, folder, selection)
            found[plan.name] = run.record(split, classes, options.eot if random else 1, others, ood_name)
    return found if many else next(iter(found.values()))


def is_file(suite: str | Path) -> bool:
    """Whether a suite is a file of a user's own."""
    return str(suite).endswith((".yaml", ".yml"))


def _differentiable(model: nn.Module, example: torch.Tensor) -> bool:
    """Whether gradients flow through, as a wrapper says or else as one pass shows."""
    known: bool | None = getattr(model, "differentiable", None)
    return is_differentiable(model, example) if known is None else known


def _named(suite: str | Path | Plan | Sequence[str], black_box: bool) -> list[str | Plan]:
    if isinstance(suite, Plan):
        return [suite]
    asked = [suite] if isinstance(suite, str | Path) else list(suite)
    found: list[str | Plan] = []
    for name in asked:
        if is_file(name):
            from .user_suites import read_plan

            found.append(read_plan(name))
        else:
            found += expand(str(name), black_box)
    if not found:
        raise FeatmaskError("expected one suite or more, got none")
    return list(dict.fromkeys(found))


def _check(plan: Plan, classes: int, black_box: bool) -> None:
    """Refuse what the model can't be measured by."""
    names = [attack.name for attack in plan.attacks]
    for attack in plan.attacks:
        if black_box and attack.gradients:
            raise FeatmaskError(
                f"{attack.name} follows gradients, and this model has none; suites for it: clean, blackbox, "
                "corruptions, occlusion, transfer"
            )
        if classes < attack.needs_classes:
            raise FeatmaskError(
                f"{attack.name} needs {attack.needs_classes} classes, the model has {classes}; use the margin (loss: "
                "margin) instead"
            )
        if names.count(attack.name) > 1:
            raise FeatmaskError(f"{attack.name} twice in the suite {plan.name}: columns are told apart by their name")


def _confidences(model: nn.Module, data: Data, batch_size: int, device: torch.device) -> npt.NDArray[np.float64]:
    """Largest probabilities of samples of other data; their labels mean nothing here."""
    found = []
    with torch.no_grad():
        for batch in batches(data, batch_size, None):
            blank = batch._replace(labels=torch.zeros_like(batch.labels))
            found.append(checked_logits(model, blank, device).double().softmax(1).amax(1).cpu().numpy())
    if not found:
        raise FeatmaskError("the other data are empty")
    return np.concatenate(found)
