"""Person re-identification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from ..attacks import MetricAttack
from ..data import PeopleSplits, load_people
from ..errors import FeatmaskError
from ..evaluation import Evaluation
from ..models import Embedder, Normalized, build_embedder, pretrained_statistics
from ..modes import evaluating
from ..recipe import AnyRecipe, Place, ReidRecipe
from ..training import Lesson
from .identities import lesson
from .searches import Searches, attacks_of


class Reid:
    """Persons and images of them by several cameras; see :class:`Task`."""

    def __init__(self, recipe: ReidRecipe, parts: tuple[str, ...] = ("train", "query", "gallery")) -> None:
        self.splits = _load(recipe, recipe.data, parts)
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

    def model(self, recipe: AnyRecipe) -> Normalized:
        """A new embedder."""
        assert isinstance(recipe, ReidRecipe)
        pretrained = recipe.model.pretrained
        embedder = _embedder(recipe, self.splits.num_ids, pretrained=pretrained)
        _check_size(embedder, recipe)
        statistics = pretrained_statistics(embedder.backbone) if pretrained else self.splits.train.statistics()
        return Normalized(embedder, *statistics)

    def lesson(self, recipe: AnyRecipe, model: Normalized, seed: int) -> Lesson:
        """The recipe's losses on shuffled images or on batches of persons."""
        assert isinstance(recipe, ReidRecipe)
        return lesson(recipe, self.splits, model, seed)

    def about(self) -> dict[str, Any]:
        """The number of persons that the classifiers tell apart."""
        return {"num_ids": self.splits.num_ids}

    def size(self, recipe: AnyRecipe) -> tuple[int, int]:
        """As the recipe resizes them."""
        assert isinstance(recipe, ReidRecipe)
        return recipe.data.height, recipe.data.width

    def pictures(self, count: int) -> torch.Tensor:
        """Images of held-out persons, or else of queries, evenly spread."""
        side = self.splits.validation[0] if self.splits.validation else self.splits.query
        rows = torch.linspace(0, len(side) - 1, count).int().tolist()
        return torch.stack([side.photos[row].image for row in rows])

    def rankings(self, recipe: AnyRecipe, models: Mapping[str, Normalized], path: Path, device: str) -> str:
        """A typical query before and after the recipe's first attack, a model below the other."""
        # a report's modules load SciPy, which training and scoring can do without
        from ..report.metric import attack_title
        from .ranked import ranked_lists, save_lists, typical_query

        assert isinstance(recipe, ReidRecipe)
        attacked = any(suite.startswith("attack_") for suite in recipe.evaluate.suites)
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
            kind, _, size = attack.name.partition("@")
            caption += f", before and after {attack_title(kind)} at {size} on the query"
        return caption

    def measure(
        self, recipe: AnyRecipe, model: Normalized, device: str, limit: int | None = None, folder: Path | None = None
    ) -> Iterator[Evaluation]:
        """Rankings of query and gallery: as they are, re-ranked, on other data sets, and under attack."""
        assert isinstance(recipe, ReidRecipe)
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
                    yield Searches(recipe, model, self.others[name], device).score(f"cross_{name}")
            else:
                # once for both sides: generators are trained
                attacks = attacks_of(recipe, searches, self.splits, device) if attacks is None else attacks
                yield searches.attack(attacks, suite.removeprefix("attack_"), limit or settings.attack_queries)


def rebuild(recipe: ReidRecipe, about: dict[str, Any]) -> Normalized:
    """The embedder of a checkpoint."""
    return Normalized(_embedder(recipe, about["num_ids"], pretrained=False), about["mean"], about["std"])


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
        place.name,
        root=place.root,
        height=data.height,
        width=data.width,
        world=place.world,
        parts=parts,
        **learned,
    )
