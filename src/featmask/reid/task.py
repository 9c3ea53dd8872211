"""Person re-identification."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch

from ..errors import FeatmaskError
from ..evaluation import Evaluation
from ..models import Normalized, pretrained_statistics
from ..records.checkpoint import Header
from ..records.names import attacked_side, cross_suite
from ..records.titles import attack_words
from ..training import TrainingTask
from ..utils.eval_mode import evaluating
from .attacks import MetricAttack
from .models import Embedder, build_embedder
from .people import PeopleSplits, load_people
from .recipe import Place, ReidRecipe
from .searches import Searches, attacks_of
from .tested import TestedQueries
from .training import training_task


class Reid:
    """Persons and images of them by several cameras; see :class:`featmask.study.task.Task`."""

    def __init__(self, recipe: ReidRecipe) -> None:
        self.splits = _load(recipe, recipe.data, ("train", "query", "gallery"))
        self.others: dict[str, PeopleSplits] = {}

    def prepare(self, recipe: ReidRecipe) -> None:
        """Read the images that the recipe's suites need, those of other data sets too.

        Raises:
            FeatmaskError: a data set that is not there, or images that cannot be read.
        """
        for name, place in recipe.evaluate.cross.items() if "cross" in recipe.evaluate.suites else ():
            if name not in self.others:
                try:
                    self.others[name] = _load(recipe, place, ("query", "gallery"))
                except FeatmaskError as error:
                    raise FeatmaskError(f"evaluate.cross.{name}: {error}") from error
        for splits in (self.splits, *self.others.values()):
            for side in (splits.query, splits.gallery):
                side.photos.load()

    def model(self, recipe: ReidRecipe) -> Normalized:
        """A new embedder."""
        pretrained = recipe.model.pretrained
        embedder = _embedder(recipe, self.splits.num_ids, pretrained=pretrained)
        _check_size(embedder, recipe)
        statistics = pretrained_statistics(embedder.backbone) if pretrained else self.splits.train.statistics()
        return Normalized(embedder, *statistics)

    def training_task(self, recipe: ReidRecipe, model: Normalized, seed: int) -> TrainingTask:
        """The recipe's losses on shuffled images or on batches of persons."""
        return training_task(recipe, self.splits, model, seed)

    def about(self) -> dict[str, Any]:
        """The number of persons that the classifiers tell apart."""
        return {"num_ids": self.splits.num_ids}

    def size(self, recipe: ReidRecipe) -> tuple[int, int]:
        """As the recipe resizes them."""
        return recipe.data.height, recipe.data.width

    def pictures(self, count: int) -> torch.Tensor:
        """Images of held-out persons, or else of queries, evenly spread."""
        side = self.splits.validation[0] if self.splits.validation else self.splits.query
        rows = torch.linspace(0, len(side) - 1, count).int().tolist()
        return torch.stack([side.photos[row].image for row in rows])

    def rankings(self, recipe: ReidRecipe, models: Mapping[str, Normalized], path: Path, device: str) -> str:
        """A typical query before and after the recipe's first attack, a model below the other."""
        from .ranked_lists import ranked_lists, save_lists, typical_query

        attacked = any(map(attacked_side, recipe.evaluate.suites))
        kinds = [kind for kind in recipe.evaluate.attacks if kind != "misranking"]  # it would have to be trained
        eps, norm = Fraction(recipe.evaluate.eps[-1]), recipe.evaluate.norm
        attacks = [MetricAttack(kinds[0], eps, norm=norm)] if attacked and kinds else []
        lists, query = [], ""
        for title, model in models.items():
            searches = Searches(recipe, model, self.splits, device)
            query = query or typical_query(searches)
            lists += ranked_lists(searches, [query], attacks, title=title)[0]
        save_lists(searches, lists, path)
        caption = f"A typical query (of median average precision for {next(iter(models))}) and what each model finds"
        for attack in attacks:
            caption += f", before and after {attack_words(attack.name)} on the query"
        return caption

    def tested(self) -> TestedQueries:
        """The query part, as pictures show it."""
        return TestedQueries(self.splits)

    def passes(self, recipe: ReidRecipe) -> tuple[float, float]:
        """Of the attacks by their steps; describing and scoring is little beside them."""
        settings = recipe.evaluate
        sides = sum(bool(attacked_side(suite)) for suite in settings.suites)
        steps = len(settings.attacks) * len(settings.eps) * settings.steps
        return 0.0, float(sides * (settings.attack_queries or 0) * steps)

    def check(self, header: Header, source: str) -> None:
        """An embedder can be scored on any persons."""

    def measure(
        self,
        recipe: ReidRecipe,
        model: Normalized,
        device: str,
        limit: int | None = None,
        folder: Path | None = None,
        **asked: Any,
    ) -> Iterator[Evaluation]:
        """Rankings of query and gallery: as they are, re-ranked, on other data sets, and under attack."""
        self.prepare(recipe)
        for evaluation in self._suites(recipe, model, device, limit):
            if folder is not None:
                evaluation.save(folder)
            yield evaluation

    def _suites(self, recipe: ReidRecipe, model: Normalized, device: str, limit: int | None) -> Iterator[Evaluation]:
        settings = recipe.evaluate
        searches, attacks = Searches(recipe, model, self.splits, device), None
        for suite in settings.suites:
            if suite in ("clean", "reranked"):
                yield searches.score(suite)
            elif suite == "cross":
                for name in settings.cross:
                    yield Searches(recipe, model, self.others[name], device).score(cross_suite(name))
            else:
                # once for both sides: generators are trained
                attacks = attacks_of(recipe, searches, self.splits, device) if attacks is None else attacks
                yield searches.attack(attacks, attacked_side(suite), limit or settings.attack_queries)


def asked(
    suites: Sequence[str] | None, *, rerank: bool = False, ap: str | None = None, cross: Sequence[Path] | None = None
) -> tuple[list[str], dict[str, Any]]:
    """What the verb ``evaluate`` asks for, as changes of the recipe and the options of ``measure`` (none)."""
    more = (["reranked"] if rerank else []) + (["cross"] if cross else [])
    changes = [f"evaluate.average_precision={json.dumps(ap)}"] if ap is not None else []
    if cross:
        changes.append(f"evaluate.cross={json.dumps(_places(cross))}")
    if suites or more:
        chosen = list(dict.fromkeys([*(suites or ["clean"]), *more]))
        changes.append(f"evaluate.suites={json.dumps(chosen)}")
    return changes, {}


def _places(roots: Sequence[Path]) -> dict[str, dict[str, str]]:
    """Other data sets by a name that may stand in a file's name."""
    places: dict[str, dict[str, str]] = {}
    for root in roots:
        stem = "".join(c if c.isalnum() or c in "-_" else "-" for c in root.expanduser().resolve().name) or "data"
        taken = {name.lower() for name in places}
        names = chain([stem], (f"{stem}-{number}" for number in count(2)))
        places[next(name for name in names if name.lower() not in taken)] = {"root": str(root)}
    return places


def open_task(recipe: ReidRecipe, measured: bool) -> Reid:
    """A recipe's data, and where it is to be measured the images that its suites need."""
    task = Reid(recipe)
    if measured:
        task.prepare(recipe)
    return task


def rebuild(recipe: ReidRecipe, header: Header) -> Normalized:
    """The embedder of a checkpoint."""
    return Normalized(_embedder(recipe, header.num_ids, pretrained=False), header.mean, header.std)


def _embedder(recipe: ReidRecipe, num_ids: int, pretrained: bool) -> Embedder:
    options = recipe.model.model_dump() | {"pretrained": pretrained}
    return build_embedder(options.pop("name"), num_ids=num_ids, **options)


def _check_size(embedder: Embedder, recipe: ReidRecipe) -> None:
    """Refuse images that the model cannot take before anything is trained."""
    height, width = recipe.data.height, recipe.data.width
    try:
        with evaluating(embedder), torch.no_grad():
            embedder(torch.zeros(1, 3, height, width))
    except (RuntimeError, AssertionError) as error:  # whatever a network says to an image that it does not take
        raise FeatmaskError(f"{recipe.model.name} cannot take images of {height} x {width} pixels: {error}") from error


def _load(recipe: ReidRecipe, place: Place, parts: tuple[str, ...]) -> PeopleSplits:
    data = recipe.data
    learned = {"validation": data.validation, "train_share": data.train_share} if place is data else {}
    return load_people(
        place.name, root=place.root, height=data.height, width=data.width, world=place.world, parts=parts, **learned
    )
