"""Image classification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from ..adversarial import under_attack
from ..data import Images, Splits, load_images
from ..devices import pick_device
from ..errors import FeatmaskError
from ..evaluation import Evaluation, Options, evaluate, expand
from ..models import Normalized, build_model, pretrained_statistics
from ..modes import evaluating
from ..recipe import AnyRecipe, ClassificationRecipe
from ..sampling import Shuffle
from ..training import Lesson


class Classification:
    """Images and their classes; see :class:`Task`."""

    def __init__(self, recipe: ClassificationRecipe, splits: Splits | None = None) -> None:
        settings = recipe.data.model_dump()
        self.splits = load_images(settings.pop("name"), **settings) if splits is None else splits

    def model(self, recipe: AnyRecipe) -> Normalized:
        """A new classifier."""
        assert isinstance(recipe, ClassificationRecipe)
        splits, pretrained = self.splits, recipe.model.pretrained
        model = build_model(
            recipe.model.name,
            num_classes=len(splits.classes),
            in_chans=3 if pretrained else splits.channels,
            pretrained=pretrained,
        )
        mean, std = pretrained_statistics(model) if pretrained else splits.train.statistics()
        return Normalized(model, mean, std)

    def lesson(self, recipe: AnyRecipe, model: Normalized, seed: int) -> Lesson:
        """Cross-entropy on shuffled images, attacked first if the recipe says so."""
        assert isinstance(recipe, ClassificationRecipe)
        settings = recipe.train
        held_out, size = self.splits.validation, max(64, settings.batch_size)
        order = Shuffle(len(self.splits.train), seed)
        objective: nn.Module = _CrossEntropy(settings.label_smoothing)
        if settings.adversarial is not None:
            objective, order = under_attack(objective, order, settings.adversarial, settings.batch_size)
        return Lesson(
            data=self.splits.train,
            order=order,
            objective=objective,
            validate=lambda model, device: _validate(model, held_out, size, device),
            best_by="val_accuracy",
        )

    def about(self) -> dict[str, Any]:
        """The classes' names."""
        return {"classes": list(self.splits.classes)}

    def size(self, recipe: AnyRecipe) -> tuple[int, int]:
        """As the data are."""
        height, width = self.splits.train[0].image.shape[1:]
        return height, width

    def pictures(self, count: int) -> torch.Tensor:
        """Validation images, evenly spread."""
        rows = np.linspace(0, len(self.splits.validation) - 1, count).astype(int)
        return torch.stack([self.splits.validation[int(row)].image for row in rows])

    def rankings(self, recipe: AnyRecipe, models: Mapping[str, Normalized], path: Path, device: str) -> str:
        """Nothing is searched."""
        return ""

    def measure(
        self, recipe: AnyRecipe, model: Normalized, device: str, limit: int | None = None, folder: Path | None = None
    ) -> Iterator[Evaluation]:
        """Clean, attacked, corrupted accuracy on the test part."""
        assert isinstance(recipe, ClassificationRecipe)
        settings = recipe.evaluate
        for suite in expand(settings.suites):
            count = limit or (None if suite == "clean" else settings.attack_samples)
            data, selection = chosen(self.splits.test, count)
            yield evaluate(
                model,
                data,
                suite,
                options=Options.of(settings),
                selection=selection,
                batch_size=settings.batch_size,
                device=pick_device(device),
                folder=folder,
            )

    def check(self, about: dict[str, Any], source: str) -> None:
        """Refuse a checkpoint of other classes.

        Raises:
            FeatmaskError: it is.
        """
        if list(self.splits.classes) != about["classes"]:
            raise FeatmaskError(
                f"{source} was trained for {about['classes']}, the data have {list(self.splits.classes)}"
            )


def chosen(test: Images, count: int | None) -> tuple[Images, str]:
    """Some of the test images, and for the record how they were chosen."""
    if count is None or count >= len(test):
        return test, ""
    return test.head(count), f"of {len(test)}, drawn once, the same for every model"


def rebuild(recipe: ClassificationRecipe, about: dict[str, Any]) -> Normalized:
    """The classifier of a checkpoint."""
    model = build_model(recipe.model.name, num_classes=len(about["classes"]), in_chans=len(about["mean"]))
    return Normalized(model, about["mean"], about["std"])


class _CrossEntropy(nn.Module):
    """Weighted mean over the samples, in float32."""

    def __init__(self, smoothing: float) -> None:
        super().__init__()
        self.smoothing = smoothing

    def forward(
        self, model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and number of right answers."""
        logits = model(pixels).float()
        losses = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)
        weighted = weights.to(losses)
        loss = (losses * weighted).sum() / weighted.sum().clamp_min(1e-12)
        return loss, (logits.argmax(1) == labels).sum()


def _validate(model: nn.Module, data: Images, batch_size: int, device: torch.device) -> dict[str, float]:
    """Loss and accuracy on the validation part; the main process computes them alone."""
    loss, right = 0.0, 0
    with evaluating(model), torch.no_grad():
        for pixels, labels, _, _ in DataLoader(data, batch_size=batch_size):
            logits = model(pixels.to(device)).float()
            loss += float(functional.cross_entropy(logits, labels.to(device), reduction="sum"))
            right += int((logits.argmax(1).cpu() == labels).sum())
    return {"val_loss": loss / len(data), "val_accuracy": right / len(data)}
