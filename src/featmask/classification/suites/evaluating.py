"""Classifiers: from a model and data to one record per suite, with an outcome for every sample."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...errors import FeatmaskError
from ...evaluation import Evaluation, frozen
from ...evaluation.frozen import is_random
from ...evaluation.portions import Portions
from ...models import is_differentiable
from ..suite_names import expand, is_file
from .batches import Data, batches, check_model, checked_logits
from .named import plan_of
from .options import SuiteOptions
from .outcomes import Setting
from .plans import Plan, disclosed
from .suite_run import SuiteRun


def evaluate(model: nn.Module, data: Data, suite: str | Path | Plan = "clean", **settings: Any) -> Evaluation:
    """Measure a classifier that takes pixels in [0, 1] by one suite: ``evaluate(model, data, "linf", steps=50)``.

    Args:
        model: see ``evaluate_suites``, as ``data``.
        suite: ``clean``, ``linf``, ``l2``, ``l1``, ``autoattack``, ``blackbox``, ``transfer``, ``corruptions``,
            ``occlusion``; or a YAML file of your own. For ``full``, or several, see ``evaluate_suites``.
        **settings: every other argument of ``evaluate_suites``, and single settings of the suites.

    Raises:
        FeatmaskError: as ``evaluate_suites``; or a suite that stands for several.
    """
    if suite == "full" or not isinstance(suite, str | Path | Plan):
        raise FeatmaskError(
            f"evaluate measures one suite, {suite!r} stands for several: call featmask.evaluate_suites, which gives a "
            "dictionary of suites"
        )
    return next(iter(evaluate_suites(model, data, [suite], **settings).values()))


def evaluate_suites(
    model: nn.Module,
    data: Data,
    suites: str | Path | Plan | Sequence[str | Path | Plan] = "full",
    *,
    options: SuiteOptions | None = None,
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
    **settings: Any,
) -> dict[str, Evaluation]:
    """Measure a classifier that takes pixels in [0, 1] by several suites: by name, what ``evaluate`` gives for each.

    Args:
        model: pixels (N, C, H, W) in [0, 1] -> logits (N, classes); normalisation inside (see ``Normalized`` and
            ``wrap``). It is switched to eval mode, every submodule, and put back afterwards.
        data: a dataset or a loader of (image, label, ...); a fourth entry is taken as the sample's index. Gone through
            once per suite.
        suites: one or more names or files; ``full`` stands for ``clean``, ``linf``, ``l2``, ``autoattack``,
            ``corruptions`` and ``occlusion``, or for what a model without gradients can be measured by.
        options: settings of the suites, all at once.
        split: what the data are, for the record.
        batch_size: if ``data`` is a dataset; where memory runs out, fewer samples are computed at once.
        device: where to compute; default: where the model is.
        seed: of everything that is drawn. What is drawn for a sample depends on the seed and its index alone.
        limit: use only so many leading samples; they are stated in the record.
        selection: how ``data`` were chosen, for the record.
        folder: write each record to ``folder/eval``, and what is done after each batch: the same call goes on there
            after a kill. The data must come in the same order.
        allow_stochastic: take a model whose passes differ: gradients are averaged over ``eot`` passes, an outcome is
            the share of ``passes`` passes that are right, AutoAttack is the ``rand`` version.
        surrogate: another model of the same task: the suite ``transfer`` attacks it in place of ``model``.
        ood: other data, for the ``clean`` suite: how well confidence tells them from ``data`` (AUROC).
        ood_name: their name, for the record.
        **settings: single settings of the suites, by the names of ``SuiteOptions`` (``eps``, ``attacks``, ``steps``,
            ...); they win over ``options``.

    Raises:
        FeatmaskError: an unknown suite or setting, no data, pixels outside [0, 1], labels out of range, logits that are
            not finite, a model whose two passes over the same images differ (unless that is allowed), gradient attacks
            on a model without gradients; all but what a later batch does wrong before the first suite is measured.
    """
    chosen = (options or SuiteOptions()).but(**settings)
    where = torch.device(device) if device is not None else check_model(model)
    found: dict[str, Evaluation] = {}
    with frozen(model, where), frozen(surrogate or nn.Identity(), where):
        first = next(batches(data, batch_size, limit), None)
        if first is None:
            raise FeatmaskError("there is nothing to evaluate: the data are empty")
        logits = checked_logits(model, first, where)
        random = is_random(model, first.pixels.to(where), logits, allow_stochastic)
        classes = int(logits.shape[1])
        flows = getattr(model, "differentiable", None)
        if flows is None:  # no wrapper says whether gradients flow through: one pass shows it
            flows = is_differentiable(model, first.pixels[:1].to(where))
        black_box = not flows
        plans = [
            name
            if isinstance(name, Plan)
            else plan_of(name, chosen, classes, random=random, black_box=black_box, surrogate=surrogate)
            for name in _named(suites, black_box)
        ]
        height, width = first.pixels.shape[2:]
        plans = [disclosed(plan, classes, (height, width)) for plan in plans]
        for plan in plans:
            _check(plan, classes, black_box)
        others = _confidences(model, ood, batch_size, where) if ood is not None else None
        for plan in plans:
            setting = Setting(model, where, seed, chosen.passes if random else 1, Portions())
            run = SuiteRun(plan, setting, data, batch_size, limit, folder, selection)
            found[plan.name] = run.record(split, classes, chosen.eot if random else 1, others, ood_name)
    return found


def _named(suites: str | Path | Plan | Sequence[str | Path | Plan], black_box: bool) -> list[str | Plan]:
    found: list[str | Plan] = []
    for name in [suites] if isinstance(suites, str | Path | Plan) else suites:
        if isinstance(name, Plan):
            found.append(name)
        elif is_file(name):
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
