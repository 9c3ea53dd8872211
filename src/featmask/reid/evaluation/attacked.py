"""Retrieval under attack: queries or gallery perturbed, each query's outcome after each attack and at worst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...attacks import check_budget, quantised
from ...attacks.ball import ROUNDING
from ...evaluation import Evaluation, frozen
from ...evaluation.frozen import device_of
from ...records.names import CLEAN, attack_suite, figure_of, ranking_name, worst_name
from ...records.suite import Suite
from ...utils.progress import progress
from ..attacks import Guides, MetricAttack, MisRanking, choose_guides, guides_rule, perturb
from ..data.sets import JUNK
from .adversarial_images import file_names, save_pictures
from .attacked_side import Attack, AttackedSide, check_call, check_same_model, choose_side
from .retrieval import Described, features_of, outcomes, rank_scores, recorded, who

UPPER_BOUND = "first-order attacks alone: an upper bound on what survives"
ONE_ATTACK = "SMA and ODFA have one objective on features of length 1: they are one attack from two papers"


def attack_retrieval(
    model: nn.Module,
    query: Described,
    gallery: Described,
    attacks: Sequence[Attack],
    *,
    on: str = "query",
    limit: int | None = None,
    guides: int = 4,
    average_precision: str = "standard",
    batch_size: int = 64,
    device: torch.device | str | None = None,
    seed: int = 0,
    split: str = "test",
    notes: Sequence[str] = (),
    settings: dict[str, Any] | None = None,
    pictures: str | Path | None = None,
) -> Evaluation:
    """Attack one side of a search and score it again, the other side clean; the suite ``attack_query`` or
    ``attack_gallery``.

    Adversarial images are rounded to 8 bits inside the budget before they are described: the figures are those of
    images that a PNG file holds. After every attack the budget is recomputed from the pixels.

    Args:
        model: pixels in [0, 1] -> features, exactly what retrieval compares; differentiable.
        query: the images that are searched for, with their clean features by this model; ``gallery`` likewise.
        gallery: the images that are searched.
        attacks: of any kinds and sizes, each name once.
        on: ``query``: each scored query is attacked. ``gallery``: the gallery images of the scored queries' persons
            are, as if these persons did not want to be found; all others stay clean.
        limit: score only so many queries, drawn once and the same for every model; None: all that have a match.
        guides: images that an image is pushed from at most, see :func:`featmask.reid.attacks.choose_guides`. They are
            taken from the other side of the search.
        average_precision: with ``split``, ``notes`` and ``settings`` as for :func:`evaluate_retrieval`.
        batch_size: images per step.
        device: where to compute; default: where the model is.
        seed: of the attacks' random starts.
        pictures: a folder that gets the adversarial images as PNG, ``<attack>/<file>.png``; where files
            have one name, with the image's row in front.

    Raises:
        FeatmaskError: no attacks or one twice, an unknown side, a limit below 1, features of another model, an attack
            that left its budget, or features without a gradient.
    """
    check_call(attacks, on, limit)
    where = torch.device(device) if device is not None else device_of(model)
    side, clean = choose_side(query, gallery, on, limit, average_precision)
    columns = {ranking_name(CLEAN, name): values for name, values in outcomes(clean, side.queries).items()}
    worst: dict[str, npt.NDArray[Any]] = {}
    total = len(side.rows) * len(attacks)
    with frozen(model, where), progress(f"attacking the {on}", total) as bar:
        check_same_model(model, side, where)
        for attack in attacks:
            folder = None if pictures is None else Path(pictures) / attack.name.replace("/", "_")
            moved = []
            for start, features in _attacked(model, side, attack, guides, batch_size, where, seed, folder):
                moved.append(features)
                bar.advance(len(features), note=f"{attack.name} {start + len(features)}/{len(side.rows)}")
            target = side.target.moved(side.rows, torch.cat(moved))
            sides = (target, gallery) if on == "query" else (query, target)
            scores = rank_scores(*sides, average_precision)
            for name, values in outcomes(scores, side.queries).items():
                columns[ranking_name(attack.name, name)] = values
                key, before = worst_name(attack.name, name), columns[ranking_name(CLEAN, name)]
                worst[key] = np.minimum(worst.get(key, before), values)
    columns |= worst
    record = {
        **recorded(clean),
        "scored_queries": len(side.queries),
        "attacked_images": len(side.rows),
        "limit": limit,
        "seed": seed,
        "batch_size": batch_size,
        "pixels": "rounded to 8 bits inside the budget",
        "attacks": [_settings(attack) for attack in attacks],
        **dict(settings or {}),
        "notes": list(notes),
    }
    if any(isinstance(attack, MetricAttack) and attack.needs_guides for attack in attacks):
        record["guides"] = guides_rule(guides)
    kinds = {attack.kind for attack in attacks if isinstance(attack, MetricAttack)}
    warned = (UPPER_BOUND, ONE_ATTACK) if {"sma", "odfa"} <= kinds else (UPPER_BOUND,)
    metrics = {figure_of(name): float(values.mean()) for name, values in columns.items()}
    suite = Suite(attack_suite(on), split, len(side.queries), metrics, record, warned)
    return Evaluation(suite, {**who(query, side.queries), **columns})


def _attacked(
    model: nn.Module,
    side: AttackedSide,
    attack: Attack,
    count: int,
    batch_size: int,
    device: torch.device,
    seed: int,
    folder: Path | None,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Features after the attack, batch by batch, and where each batch starts among the attacked rows."""
    generator = torch.Generator().manual_seed(seed)
    chosen = side.target.take(side.rows)
    guides = guides_of(attack, chosen, side.pool, count)
    files = file_names(chosen.paths, chosen.rows.tolist())
    for start in range(0, len(side.rows), batch_size):
        rows = slice(start, start + batch_size)
        x = chosen.pixels(range(*rows.indices(len(side.rows)))).to(device)
        own = None if guides is None else guides[rows]
        moved = adversarial(model, attack, x, own, chosen.features[rows].to(device), generator)
        if folder is not None:
            save_pictures(moved, folder, files[rows])
        features = features_of(model, moved).float().cpu()
        # a feature's last bits depend on the batch, and a rank may on them
        still = ((moved - x).abs().flatten(1).amax(1) < ROUNDING).cpu()
        features[still] = chosen.features[rows][still]
        yield start, features


def adversarial(
    model: nn.Module,
    attack: Attack,
    x: torch.Tensor,
    guides: Guides | None,
    clean: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Adversarial 8-bit pixels of one batch, their budget recomputed before and after the rounding.

    The caller has frozen the model; ``guides`` are those of ``guides_of`` for the images ``x``, (N, C, H, W) in [0, 1],
    and ``clean`` (N, D) their clean features. The generator is that of random starts.
    """
    if isinstance(attack, MisRanking):
        with torch.no_grad():
            moved = attack.to(x.device)(x)
    else:
        moved = perturb(attack, model, x, guides=guides, generator=generator, clean=clean)
    check_budget(moved, x, attack)
    moved = quantised(moved, x, attack)
    check_budget(moved, x, attack)
    return moved


def guides_of(attack: Attack, chosen: Described, pool: Described, count: int) -> Guides | None:
    """From the other side of the search; a file that is on both sides is never its own guide."""
    if isinstance(attack, MisRanking) or not attack.needs_guides:
        return None
    numbers: dict[Path, int] = {}
    own, others = (np.array([numbers.setdefault(path, len(numbers)) for path in d.paths]) for d in (chosen, pool))
    # person 0 of a gallery is many people, unless a query shows that person
    distractors = [] if (chosen.pids == 0).any() else [0]
    return choose_guides(
        chosen.pids,
        chosen.cams,
        own,
        chosen.features,
        pool.features,
        pool.pids,
        pool.cams,
        pool_rows=others,
        count=count,
        junk_id=JUNK,
        exclude=distractors,
    )


def _settings(attack: Attack) -> dict[str, Any]:
    common: dict[str, Any] = {"name": attack.name, "eps": str(attack.eps), "norm": attack.norm}
    if isinstance(attack, MisRanking):
        return {**common, "kind": "misranking", "trained_steps": len(attack.losses)}
    return {
        **common,
        "kind": attack.kind,
        "steps": 1 if attack.kind == "fgsm" else attack.steps,
        "step_size": attack.stride(),
        "momentum": attack.momentum if attack.kind in ("mifgsm", "lta") else 0.0,
        "eot": attack.eot,
    }
