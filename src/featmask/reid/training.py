"""How an embedder learns persons: losses on batches of them, attacked first if the recipe says so."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import cast

import torch
from torch import nn

from ..data import Augment
from ..models import Normalized
from ..training import TrainingTask
from ..training.sampling import Shuffle
from ..utils.eval_mode import evaluating
from .adversarial import adversarial_batch
from .evaluation import describe, evaluate_retrieval
from .losses import RetrievalLoss, build_loss
from .models import Descriptor, Embedder
from .people import PeopleSplits
from .recipe import Adversarial, ReidRecipe, ReidTrain
from .sampling import PersonBatches


def training_task(recipe: ReidRecipe, splits: PeopleSplits, model: Normalized, seed: int) -> TrainingTask:
    """The recipe's losses on shuffled images or on batches of persons.

    Raises:
        FeatmaskError: training images that cannot be read, too few persons for a batch, or losses that do not fit.
    """
    train, settings = splits.train.load(), recipe.train
    embedder = cast(Embedder, model.model)
    loss = build_loss(settings.terms, num_ids=splits.num_ids, features=cast(int, embedder.head.length))
    order: Shuffle | PersonBatches = Shuffle(len(train), seed)
    if settings.persons:
        order = PersonBatches(train.labels, settings.persons, settings.images_per_person, seed)
    return TrainingTask(
        data=train.with_augment(Augment(**recipe.augment.model_dump()), model.mean.flatten().tolist()),
        order=order,
        objective=Objective(loss, settings.adversarial),
        validate=partial(_validate, splits, recipe.evaluate.batch_size),
        best_by="val_mAP",
        scale=rate_scale(settings),
    )


def rate_scale(settings: ReidTrain) -> Callable[[str], float]:
    """Share of the learning rate by a parameter's name: the backbone's may learn more slowly than the head."""
    return lambda name: settings.backbone_rate if name.startswith("model.backbone.") else 1.0


class Objective(nn.Module):
    """The losses, on the batch as it is or on what an attack makes of it."""

    def __init__(self, loss: RetrievalLoss, adversarial: Adversarial | None) -> None:
        super().__init__()
        self.loss, self.adversarial = loss, adversarial

    def forward(
        self, model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and number of images whose person the first classifier names."""
        if self.adversarial is not None:
            pixels = self._attacked(model, pixels, labels)
        logits, features = model(pixels)
        return self.loss(logits, features, labels), (logits[0].argmax(1) == labels).sum()

    def _attacked(self, model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert self.adversarial is not None
        options = self.adversarial.model_dump() | {"eps": Fraction(self.adversarial.eps)}
        descriptor = Descriptor(model)
        # the attack in full precision: half of it rounds gradients of pixels to zero
        with evaluating(model), torch.autocast(pixels.device.type, enabled=False):
            return adversarial_batch(descriptor, pixels, labels, **options)


def _validate(splits: PeopleSplits, batch_size: int, model: nn.Module, device: torch.device) -> dict[str, float]:
    """mAP and Rank-1 on held-out persons, if there are any; the main process computes them alone."""
    if splits.validation is None:
        return {}
    query, gallery = (
        describe(
            Descriptor(model),
            side,
            cameras=splits.has_cameras,
            batch_size=batch_size,
            device=device,
            title="validating",
        )
        for side in splits.validation
    )
    metrics = evaluate_retrieval(query, gallery).suite.metrics
    return {"val_mAP": metrics["mAP"], "val_rank1": metrics["rank1"]}
