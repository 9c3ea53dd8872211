"""Image classification."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader

from ..data import Images, Splits, load_images
from ..errors import FeatmaskError
from ..evaluation import Evaluation
from ..evaluation.frozen import full_float32
from ..models import Normalized, build_model, pretrained_statistics
from ..records.checkpoint import Header
from ..training import TrainingTask
from ..training.sampling import Shuffle
from ..utils.eval_mode import evaluating
from .adversarial import under_attack
from .measuring import measure_suites
from .recipe import ClassificationRecipe
from .suite_names import expand
from .suites import SuiteOptions, plan_of
from .tested import TestedImages

#: What multiplies to the passes of an attack, and what counts where an attack does not have it: AutoAttack's hundreds.
_PASSES = {"steps": 500, "restarts": 1, "targets": 1}


class Classification:
    """Images and their classes; see :class:`featmask.study.task.Task`."""

    def __init__(self, recipe: ClassificationRecipe, splits: Splits | None = None) -> None:
        settings = recipe.data.model_dump()
        self.splits = load_images(settings.pop("name"), **settings) if splits is None else splits

    def model(self, recipe: ClassificationRecipe) -> Normalized:
        """A new classifier."""
        splits, pretrained = self.splits, recipe.model.pretrained
        model = build_model(
            recipe.model.name,
            num_classes=len(splits.classes),
            in_chans=3 if pretrained else splits.channels,
            pretrained=pretrained,
        )
        mean, std = pretrained_statistics(model) if pretrained else splits.train.statistics()
        return Normalized(model, mean, std)

    def training_task(self, recipe: ClassificationRecipe, model: Normalized, seed: int) -> TrainingTask:
        """Cross-entropy on shuffled images, attacked first if the recipe says so."""
        settings = recipe.train
        held_out, size = self.splits.validation, max(64, settings.batch_size)
        order = Shuffle(len(self.splits.train), seed)
        objective: nn.Module = _CrossEntropy(settings.label_smoothing)
        if settings.adversarial is not None:
            objective, order = under_attack(objective, order, settings.adversarial, settings.batch_size)
        return TrainingTask(
            data=self.splits.train,
            order=order,
            objective=objective,
            validate=lambda model, device: _validate(model, held_out, size, device),
            best_by="val_accuracy",
        )

    def about(self) -> dict[str, Any]:
        """The classes' names."""
        return {"classes": list(self.splits.classes)}

    def size(self, recipe: ClassificationRecipe) -> tuple[int, int]:
        """As the data are."""
        height, width = self.splits.train[0].image.shape[1:]
        return height, width

    def pictures(self, count: int) -> torch.Tensor:
        """Validation images, evenly spread."""
        rows = np.linspace(0, len(self.splits.validation) - 1, count).astype(int)
        return torch.stack([self.splits.validation[int(row)].image for row in rows])

    def rankings(self, recipe: ClassificationRecipe, models: Mapping[str, Normalized], path: Path, device: str) -> str:
        """Nothing is searched."""
        return ""

    def tested(self) -> TestedImages:
        """The test part, as pictures show it."""
        return TestedImages(self.splits.test, self.splits.classes)

    def passes(self, recipe: ClassificationRecipe) -> tuple[float, float]:
        """Of each suite's attacks by their steps; AutoAttack's are hundreds."""
        forward, gradient, options = 0.0, 0.0, SuiteOptions.of(recipe.evaluate)
        test, classes = len(self.splits.test), len(self.splits.classes)
        for suite in expand(recipe.evaluate.suites):
            plan = plan_of(suite, options, classes)
            count = test if suite == "clean" else min(test, recipe.evaluate.attack_samples or test)
            forward += count * (1 + len(plan.corruptions) * len(plan.severities))
            for attack in plan.attacks:
                parts = [getattr(attack, key, default) for key, default in _PASSES.items()]
                steps = count * math.prod(max(1, part) for part in parts)
                forward, gradient = (forward, gradient + steps) if attack.gradients else (forward + steps, gradient)
        return forward, gradient

    def measure(
        self,
        recipe: ClassificationRecipe,
        model: nn.Module,
        device: str,
        limit: int | None = None,
        folder: Path | None = None,
        **asked: Any,
    ) -> Iterator[Evaluation]:
        """Clean, attacked, corrupted accuracy on the test part; ``asked``: see :func:`.measuring.measure_suites`."""
        yield from measure_suites(self.splits, recipe, model, device, limit=limit, folder=folder, **asked)

    def check(self, header: Header, source: str) -> None:
        """Refuse a checkpoint of other classes.

        Raises:
            FeatmaskError: it is.
        """
        if list(self.splits.classes) != header.classes:
            raise FeatmaskError(f"{source} was trained for {header.classes}, the data have {list(self.splits.classes)}")


def asked(suites: Sequence[str] | None, **options: Any) -> tuple[list[str], dict[str, Any]]:
    """Options of the verb ``evaluate``, as changes of the recipe (none) and keywords of ``measure``."""
    return [], {"suites": suites, **options}


def open_task(recipe: ClassificationRecipe, measured: bool) -> Classification:
    """A recipe's data; suites need no others."""
    return Classification(recipe)


def rebuild(recipe: ClassificationRecipe, header: Header) -> Normalized:
    """The classifier of a checkpoint."""
    model = build_model(recipe.model.name, num_classes=len(header.classes), in_chans=len(header.mean))
    return Normalized(model, header.mean, header.std)


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
    with evaluating(model), full_float32(), torch.no_grad():
        for pixels, labels, _, _ in DataLoader(data, batch_size=batch_size):
            logits = model(pixels.to(device)).float()
            loss += float(functional.cross_entropy(logits, labels.to(device), reduction="sum"))
            right += int((logits.argmax(1).cpu() == labels).sum())
    return {"val_loss": loss / len(data), "val_accuracy": right / len(data)}
