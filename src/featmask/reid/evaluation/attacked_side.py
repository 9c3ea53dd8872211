"""Who is attacked and who is scored for it, and calls that would measure something else refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...errors import FeatmaskError
from ...retrieval import RetrievalScores
from ..attacks import MetricAttack, MisRanking
from ..data.sets import JUNK
from .retrieval import Described, features_of, rank_scores

Attack = MetricAttack | MisRanking

#: The queries that are attacked, where only some are: drawn once, the same for every model.
_CHOICE_SEED = 0
#: Images that are described again to see whether the clean features are this model's, and by how much (as a share of
#: their length) rounding may move them: half precision products included.
_PROBED, _SAME = 8, 0.01


@dataclass(frozen=True)
class AttackedSide:
    """Which images are attacked, and which queries are scored for it.

    Attributes:
        queries: rows of the scored queries, ascending.
        rows: rows of the attacked images in ``target``, ascending.
        target: the attacked side.
        pool: the other side, where guides come from.
    """

    queries: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    target: Described
    pool: Described


def check_call(attacks: Sequence[Attack], on: str, limit: int | None) -> None:
    """Refuse what would give no figures, or figures of one name.

    Raises:
        FeatmaskError: no attacks or one twice, an unknown side, or a limit below 1.
    """
    if on not in ("query", "gallery"):
        raise FeatmaskError(f"on: expected query or gallery, got {on!r}")
    if limit is not None and limit < 1:
        raise FeatmaskError(f"limit: expected 1 or more queries, or None for all; got {limit}")
    if not attacks:
        raise FeatmaskError("expected at least one attack")
    for name, count in Counter(attack.name for attack in attacks).items():
        if count > 1:
            raise FeatmaskError(f"{name} twice: figures are told apart by an attack's kind and size; run one at a time")


def check_same_model(model: nn.Module, side: AttackedSide, device: torch.device) -> None:
    """Refuse clean features that are not what the model, frozen by the caller, says of a few of the images.

    Raises:
        FeatmaskError: they are not.
    """
    some = side.target.take(side.rows[:_PROBED])
    again = features_of(model, some.pixels(range(len(some.rows))).to(device)).float().cpu()
    limit = _SAME * float(some.features.norm(dim=1).max())
    if again.shape != some.features.shape or not float((again - some.features).norm(dim=1).max()) <= limit:
        raise FeatmaskError("the clean features are another model's: describe both sides by the attacked model first")


def choose_side(
    query: Described, gallery: Described, on: str, limit: int | None, form: str
) -> tuple[AttackedSide, RetrievalScores]:
    """Choose, by the rules of ``attack_retrieval``; also the clean scores of all queries."""
    clean = rank_scores(query, gallery, form)
    queries = np.flatnonzero(clean.first_hit >= 0)
    if limit is not None and limit < len(queries):
        queries = np.sort(np.random.default_rng(_CHOICE_SEED).permutation(queries)[:limit])
    if on == "query":
        return AttackedSide(queries, queries, query, gallery), clean
    wanted = np.isin(gallery.pids, query.pids[queries]) & (gallery.pids != JUNK)
    return AttackedSide(queries, np.flatnonzero(wanted), gallery, query), clean
