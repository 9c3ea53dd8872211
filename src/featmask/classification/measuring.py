"""Everything that can be measured on a classifier: its recipe's suites, other suites, other data, another model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import Dataset

from ..data import TABLES, Images, Splits, load_images
from ..errors import FeatmaskError
from ..evaluation import Evaluation
from ..utils.devices import pick_device
from .recipe import ClassificationRecipe
from .suite_names import expand, is_file
from .suites import SuiteOptions, evaluate_published, evaluate_suites

#: Suites that see every test image, whatever ``attack_samples`` says.
WHOLE = ("clean",)


def measure_suites(
    splits: Splits,
    recipe: ClassificationRecipe,
    model: nn.Module,
    device: str,
    suites: Sequence[str] | None = None,
    *,
    limit: int | None = None,
    folder: Path | None = None,
    ood: str | None = None,
    corrupted: Path | None = None,
    surrogate: nn.Module | None = None,
) -> list[Evaluation]:
    """Measure a classifier on its test part.

    Args:
        splits: its data.
        recipe: radii, steps, sizes.
        model: pixels -> logits.
        device: where to compute.
        suites: names, or YAML files of a user's own; None: the recipe's, or with ``corrupted`` none.
        limit: only so many test images.
        folder: where records belong; None: nowhere.
        ood: another data set, a name or a folder of images, for the suite ``clean``.
        corrupted: a published folder of corrupted images.
        surrogate: what the suite ``transfer`` attacks.

    Raises:
        FeatmaskError: as :func:`featmask.evaluate`; before any time is spent.
    """
    settings, test = recipe.evaluate, splits.test
    black_box = not getattr(model, "differentiable", True)
    named = settings.suites if suites is None and corrupted is None else suites or ()
    asked = [name for entry in named for name in ([entry] if is_file(entry) else expand(entry, black_box))]
    if surrogate is not None and "transfer" not in asked:
        asked.append("transfer")
    if ood is not None and "clean" not in asked:
        asked.insert(0, "clean")
    others = None if ood is None else other_images(ood, splits)
    published = None
    if corrupted is not None:
        from ..data import open_corrupted

        published = open_corrupted(corrupted, splits.classes)
    where = pick_device(device)
    whole, part = ([name for name in asked if (name in WHOLE) == every] for every in (True, False))
    found: dict[str, Evaluation] = {}
    for names, count in ((whole, limit), (part, limit or settings.attack_samples)):
        if names:
            data, selection = chosen(test, count)
            found |= evaluate_suites(
                model, data, names, options=SuiteOptions.of(settings), batch_size=settings.batch_size, device=where,
                folder=folder, surrogate=surrogate, selection=selection, ood=others, ood_name=ood or "",
            )  # fmt: skip
    if published is not None:
        evaluation = evaluate_published(
            model, published, batch_size=settings.batch_size, device=where, limit=limit, folder=folder
        )
        found[evaluation.suite.name] = evaluation
    return list(found.values())


def chosen(test: Images, count: int | None) -> tuple[Images, str]:
    """Some of the test images, and for the record how they were chosen."""
    if count is None or count >= len(test):
        return test, ""
    return test.head(count), f"of {len(test)}, drawn once, the same for every model"


class _Alike(Dataset[tuple[torch.Tensor, int]]):
    """Other images with as many channels as the model's own."""

    def __init__(self, images: Images, channels: int) -> None:
        self.images, self.channels = images, channels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, position: int) -> tuple[torch.Tensor, int]:
        pixels = self.images[position].image
        if len(pixels) != self.channels:
            pixels = pixels.mean(0, keepdim=True).expand(self.channels, -1, -1)
        return pixels, 0


def other_images(name: str, splits: Splits) -> Dataset[tuple[torch.Tensor, int]]:
    """The test part of another data set, at the size and with the channels of the model's own.

    Raises:
        FeatmaskError: neither a data set's name nor a folder.
    """
    channels, height, width = splits.test[0].image.shape
    if height != width:
        raise FeatmaskError(f"other data are read as squares, the model's images are {height} x {width}")
    if name in TABLES:
        images = load_images(name, size=height).test
    elif Path(name).expanduser().is_dir():
        images = load_images("imagefolder", root=name, size=height).test
    else:
        raise FeatmaskError(f"--ood: expected one of {', '.join(TABLES)}, or a folder of images; got {name!r}")
    return _Alike(images, channels)
