"""A picture of what a method hides: real images, one channel of the maps it acts on, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from .errors import FeatmaskError, require
from .experiment import make_model, places_of
from .family import build_layer
from .files import replacing
from .insert import attach
from .layers import LocalFeatureMasking
from .recipe import AnyRecipe
from .tasks import Task

Plane = npt.NDArray[np.float32]


class _Recorder(nn.Module):
    """Stands where a layer will stand and keeps what it would get."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.before = self.after = torch.empty(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.before = x.detach().clone()
        self.layer.train()
        self.after = self.layer(x.detach().clone()).detach()
        return x


def masked_planes(
    recipe: AnyRecipe, task: Task, method: str, count: int, seed: int = 0
) -> tuple[list[Plane], list[Plane], list[Plane]]:
    """Images (H, W) or (H, W, 3), and the plane that a method changes most in each, before and after.

    The method's probability is set to one, so that every sample shows something; untrained weights are the recipe's.
    """
    chosen = recipe.method(method)
    layer = build_layer(chosen.layer, **chosen.options)
    if layer is None:
        raise FeatmaskError(f"method {method!r} masks nothing; choose one that does")
    if isinstance(layer, LocalFeatureMasking):
        layer.p = 1.0
    model = make_model(recipe, task, seed)
    recorder = _Recorder(layer)
    pixels = task.pictures(count)
    attach(
        model.model,
        recorder,
        at=places_of(chosen)[0],
        example=pixels.expand(-1, model.mean.shape[1], -1, -1),
    )
    model.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model(pixels)
    changed = (recorder.before != recorder.after).sum((2, 3))
    planes = changed.argmax(1)
    images = [image[0].numpy() if len(image) == 1 else image.permute(1, 2, 0).numpy() for image in pixels]
    rows = range(count)
    return (
        images,
        [recorder.before[i, planes[i]].numpy() for i in rows],
        [recorder.after[i, planes[i]].numpy() for i in rows],
    )


def save_masks(recipe: AnyRecipe, task: Task, path: str | Path, *, methods: Sequence[str], count: int = 6) -> None:
    """Write the picture as PNG: a column an image; below it, for each method, the plane before and after.

    Nothing is written if no method masks anything.
    """
    if not methods:
        return
    figures = require("matplotlib.figure", "report")
    drawn = [(method, masked_planes(recipe, task, method, count)) for method in methods]
    rows = 1 + 2 * len(drawn)
    figure = figures.Figure(figsize=(1.35 * count + 1.3, 1.35 * rows), dpi=110, facecolor="white")
    axes = figure.subplots(rows, count, squeeze=False)
    labels = ["image"]
    for column, image in enumerate(drawn[0][1][0]):
        axes[0][column].imshow(image, cmap="gray", vmin=0, vmax=1)
    for number, (method, (_, before, after)) in enumerate(drawn):
        labels += [f"{method}\nbefore", "after"]
        for column in range(count):
            low, high = np.quantile(before[column], (0.01, 0.99))
            for offset, plane in ((1, before[column]), (2, after[column])):
                ax = axes[offset + 2 * number][column]
                ax.imshow(plane, cmap="viridis", vmin=low, vmax=max(high, low + 1e-6))
    for row, label in zip(axes, labels, strict=True):
        row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        for ax in row:
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set_visible(False)
    figure.subplots_adjust(
        left=1.15 / (1.35 * count + 1.3), right=0.995, top=0.995, bottom=0.005, wspace=0.04, hspace=0.06
    )
    with replacing(path) as beside:
        figure.savefig(beside, format="png")
