"""What a model finds for chosen queries, as a picture: the ranked list as it is, and after attacks on the query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..drawing.sheet import Cell, Pixels, Row, enlarged, save_sheet
from ..errors import FeatmaskError, listed
from ..evaluation import frozen
from ..records.titles import attack_words
from ..retrieval import Ranking, rank
from .attacks import MetricAttack, MisRanking
from .data.sets import JUNK
from .evaluation import Described
from .evaluation.attacked import adversarial, guides_of
from .evaluation.retrieval import features_of, rank_scores
from .people import Side
from .searches import Searches

#: How strongly a change of pixels is drawn.
MAGNIFIED = 20
#: The longer side of an image in the picture.
TALL = 288
#: Stands where a list has no change to show.
NOTHING = np.full((1, 1, 3), 255, dtype=np.uint8)
KEY = (
    "Green frame and tick: the query's identity. Orange-red frame and cross: another identity. Gallery images of the "
    "query's person by the query's camera, and junk, are left out."
)


def ranked_lists(
    searches: Searches,
    queries: Sequence[str],
    attacks: Sequence[MetricAttack | MisRanking],
    *,
    top: int = 10,
    title: str = "",
) -> tuple[list[Row], list[dict[str, Any]]]:
    """A list for each query, and another after each attack on it; the gallery stays clean.

    Args:
        searches: a model and a data set.
        queries: files of the query part, or their names.
        attacks: on the query.
        top: answers to show.
        title: before each list's own, to tell models apart.

    Returns:
        The lists as ``save_lists`` draws them, and the same as JSON values.

    Raises:
        FeatmaskError: a file that is no query of this data set.
    """
    rows = np.array([find_query(searches.splits.query, name) for name in queries], dtype=np.int64)
    query, gallery = searches.described
    chosen = query.take(rows)
    clean = chosen.pixels(range(len(rows)))
    versions = [("clean", chosen, clean)]
    with frozen(searches.descriptor, searches.where):
        for attack in attacks:
            x, features = clean.to(searches.where), chosen.features.to(searches.where)
            guides = guides_of(attack, chosen, gallery, searches.recipe.evaluate.guides)
            moved = adversarial(searches.descriptor, attack, x, guides, features, torch.Generator().manual_seed(0))
            changed = chosen.moved(np.arange(len(rows)), features_of(searches.descriptor, moved).float().cpu())
            versions.append((f"after {attack_words(attack.name)}", changed, moved.cpu()))
    lists: list[list[Row]] = [[] for _ in rows]
    values: list[list[dict[str, Any]]] = [[] for _ in rows]
    for how, side, pixels in versions:
        ranking = rank(
            side.features, side.pids, side.cams, gallery.features, gallery.pids, gallery.cams, top=top, junk_id=JUNK
        )
        for place, row in enumerate(rows.tolist()):
            name = ", ".join(filter(None, (title, query.side.paths[row].name, how)))
            cells = [Cell(_enlarged(pixels[place]), _whose(side, place))]
            if how != "clean":
                change = _enlarged(0.5 + MAGNIFIED * (pixels[place] - clean[place]))
                cells.append(Cell(change, f"change x {MAGNIFIED}"))
            elif attacks:
                cells.append(Cell(NOTHING))
            lists[place].append(Row([*cells, *_answers(gallery, ranking, place)], title=name))
            values[place].append(_plain(how, side, gallery, ranking, place))
    return list(chain.from_iterable(lists)), list(chain.from_iterable(values))


def save_lists(searches: Searches, lists: Sequence[Row], path: str | Path) -> None:
    """Draw the lists, with what must be said of the pictures below them."""
    answers = [place for row in lists for place, cell in enumerate(row.cells) if cell.right is not None]
    groups = {0: "query"} | ({min(answers): "gallery, nearest first"} if answers else {})
    note = " ".join([KEY, *(f"{text[:1].upper()}{text[1:]}." for text in searches.splits.notes)])
    save_sheet(path, lists, groups, note=note)


def typical_query(searches: Searches) -> str:
    """The query that is found neither well nor badly: its average precision is the median."""
    query, gallery = searches.described
    precision = rank_scores(query, gallery, searches.recipe.evaluate.average_precision).average_precision
    order = np.argsort(precision, kind="stable")  # NaN, queries without a match, come last
    return str(query.paths[order[(np.isfinite(precision).sum() - 1) // 2]])


def find_query(side: Side, name: str) -> int:
    """The row of a query by its path, its file's name or that without the ending.

    Raises:
        FeatmaskError: none or several; the nearest names are given.
    """
    place = Path(name).expanduser().resolve()
    whole = [row for row, path in enumerate(side.paths) if path.resolve() == place]
    rows = whole or [row for row, path in enumerate(side.paths) if name in (path.name, path.stem)]
    if len(rows) == 1:
        return rows[0]
    if rows:
        raise FeatmaskError(
            f"{len(rows)} queries are named {name}; give one's path:{listed([str(side.paths[r]) for r in rows])}"
        )
    some = listed([path.name for path in side.paths[:5]])
    raise FeatmaskError(f"no query {name!r}; expected one of the query part's {len(side)} files, such as{some}")


def _found(ranking: Ranking, place: int) -> list[tuple[int, float, bool]]:
    """Gallery row, distance and rightness of what was found for a query, best first."""
    columns = (values[place].tolist() for values in (ranking.indices, ranking.distances, ranking.right))
    return [one for one in zip(*columns, strict=True) if one[0] >= 0]


def _answers(gallery: Described, ranking: Ranking, place: int) -> Iterator[Cell]:
    """The images that were found for a query, best first."""
    for number, (index, distance, right) in enumerate(_found(ranking, place), 1):
        pixels = gallery.side.photos.uint8(int(gallery.rows[index])).permute(1, 2, 0).numpy()
        yield Cell(enlarged(pixels, TALL), f"{number}: {_whose(gallery, index)}\n{distance:.3f}", right)


def _whose(side: Described, row: int) -> str:
    person = "distractor" if side.pids[row] == 0 else f"id {side.pids[row]}"
    return person if side.cams is None else f"{person}, cam {side.cams[row]}"


def _enlarged(pixels: torch.Tensor) -> Pixels:
    return enlarged(pixels.permute(1, 2, 0).numpy(), TALL)


def _plain(how: str, side: Described, gallery: Described, ranking: Ranking, place: int) -> dict[str, Any]:
    paths = gallery.paths
    found = [
        {"path": str(paths[index]), "pid": int(gallery.pids[index]), "distance": distance, "right": right}
        for index, distance, right in _found(ranking, place)
    ]
    return {"query": str(side.paths[place]), "pid": int(side.pids[place]), "how": how, "found": found}
