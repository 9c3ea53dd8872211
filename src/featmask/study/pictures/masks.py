"""A picture of what a method hides: real images, and one channel of the maps it acts on with what it drops marked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ...drawing.sheet import TALL, Cell, Pixels, Row, enlarged, nearest, save_sheet
from ...errors import FeatmaskError
from ...family import RandomErasing, build_layer, dropped_by
from ...insert import attach
from ...layers import LocalFeatureMasking
from ...models import Normalized
from ...recipe import Recipe
from ..places import places_of
from ..run import make_model, put_method
from ..task import AnyTask

#: Okabe and Ito's orange, on grey: told from it by colour-blind readers, and in print by its stripes.
MARK = np.array((230, 159, 0), dtype=np.float64)
#: Of the stripes, in pixels; and how much of a map shows between them.
PERIOD, THICK, VISIBLE = 10, 3, 0.55

CAPTION = (
    "What each method hides: one channel of the feature maps of real images, what is dropped in orange stripes. The "
    "channel is one with a typical mask: its dropped share is the median of those that lose anything."
)
#: What the picture does otherwise than training.
CERTAIN = "Drawn with p = 1, so that every image shows a mask: {}; the share beside a name is that of training."


@dataclass(frozen=True)
class Hidden:
    """What a method hides of some images.

    Attributes:
        images: N of them, (H, W, C) in [0, 1].
        planes: N channels (h, w) before the method.
        dropped: N boolean masks (h, w): no gradient passes there.
        certain: whether the method was drawn with p = 1.
    """

    images: list[npt.NDArray[np.float32]]
    planes: list[npt.NDArray[np.float32]]
    dropped: list[npt.NDArray[np.bool_]]
    certain: bool


class _Recorder(nn.Module):
    """Stands where a layer will stand and keeps what it would get, and what of that it would drop."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.before, self.dropped = torch.empty(0), torch.empty(0, dtype=torch.bool)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.before = x.detach().clone()
        self.layer.train()
        self.dropped = dropped_by(self.layer, self.before)
        return x


def hidden_by(
    recipe: Recipe, task: AnyTask, method: str, count: int, *, model: Normalized | None = None, seed: int = 0
) -> Hidden:
    """Draw a method's mask for ``count`` images of the task, at the first place where the recipe puts it.

    What is dropped: see :func:`featmask.family.dropped_by`. The maps are those of ``model``, which comes back on the
    CPU and in eval mode; None: of the recipe's, untrained. Its weights and the mask are drawn from ``seed``.

    Raises:
        FeatmaskError: a method that masks nothing.
    """
    chosen = recipe.method(method)
    layer = build_layer(chosen.layer, **chosen.options)
    if layer is None:
        raise FeatmaskError(f"method {method!r} masks nothing; choose one that does")
    certain = False
    if isinstance(layer, LocalFeatureMasking | RandomErasing):  # they spare whole samples, but none here
        layer.p, certain = 1.0, True
    model = (model or make_model(recipe.under(method), task, seed)).cpu().eval()
    recorder = _Recorder(layer)
    pixels = task.pictures(count)
    example = pixels.expand(-1, model.mean.shape[1], -1, -1)
    attached = attach(model.model, recorder, at=places_of(chosen)[0], example=example)
    with attached, torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model(pixels)
    rows = range(count)
    planes = [typical(recorder.dropped[i].flatten(1).double().mean(1).numpy()) for i in rows]
    return Hidden(
        [image.permute(1, 2, 0).numpy() for image in pixels],
        [recorder.before[i, planes[i]].numpy() for i in rows],
        [recorder.dropped[i, planes[i]].numpy() for i in rows],
        certain,
    )


def typical(shares: npt.NDArray[np.float64]) -> int:
    """The channel whose dropped share is the (lower) median of those above zero; the first where nothing is dropped."""
    touched = np.flatnonzero(shares > 0)
    if not len(touched):
        return 0
    order = touched[np.argsort(shares[touched], kind="stable")]
    return int(order[(len(order) - 1) // 2])


def marked(plane: npt.NDArray[np.float32], dropped: npt.NDArray[np.bool_], tall: int = TALL) -> Pixels:
    """A channel in grey, enlarged, its dropped part (h, w) with an outline and diagonal stripes."""
    low, high = np.quantile(plane, (0.01, 0.99))
    shown = enlarged((plane - low) / max(high - low, 1e-6), tall).astype(np.float64)
    height, width = shown.shape[:2]
    # the mask keeps its edges where a large map is smoothed
    inside = dropped[nearest(len(dropped), height)][:, nearest(dropped.shape[1], width)]
    stripes = np.add.outer(np.arange(height), np.arange(width)) % PERIOD < THICK
    tint = VISIBLE * shown + (1 - VISIBLE) * MARK
    shown = np.where(inside[..., None], tint, shown)
    drawn: Pixels = np.where((inside & (stripes | _edge(inside)))[..., None], MARK, shown).round().astype(np.uint8)
    return drawn


def _edge(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels of a region that touch its outside, two deep; the picture's own border is none."""
    core = np.pad(inside, 2, constant_values=True)
    for axis in (0, 1):
        core = np.minimum.reduce([np.roll(core, step, axis) for step in (-2, -1, 0, 1, 2)])
    return inside & ~core[2:-2, 2:-2]


def save_masks(
    recipe: Recipe,
    task: AnyTask,
    path: str | Path,
    *,
    methods: Sequence[str],
    count: int = 6,
    trained: Callable[[str], Normalized] | None = None,
    shares: Mapping[str, float] | None = None,
) -> str:
    """Write the picture as PNG, and give its caption: a column per image, below it a row per method.

    Args:
        recipe, task: of the methods, and of the images.
        path: nothing is written where there are no methods.
        methods: from the top down; each must mask something.
        count: how many images.
        trained: method -> the model whose maps are shown; None: the recipe's, untrained.
        shares: method -> the share of all values that it drops in training; None: it is measured.

    Raises:
        FeatmaskError: a method that masks nothing.
    """
    if not methods:
        return ""
    rows, certain = list[Row](), list[str]()
    for method in methods:
        found = hidden_by(recipe, task, method, count, model=trained and trained(method))
        share = _share(recipe, task, method) if shares is None else shares[method]
        if not rows:
            rows.append(Row([Cell(enlarged(image)) for image in found.images], "image"))
        cells = [Cell(marked(plane, mask)) for plane, mask in zip(found.planes, found.dropped, strict=True)]
        where = places_of(recipe.method(method))[0]
        label = f"{method}\n{share:.1%} dropped\nat {where}"
        rows.append(Row(cells, label + "\nhere with p = 1" if found.certain else label))
        certain += [method] if found.certain else []
    save_sheet(path, rows)
    whose = f"The maps are those of {'untrained' if trained is None else 'the trained'} models."
    return " ".join([CAPTION, whose, CERTAIN.format(", ".join(certain)) if certain else ""]).strip()


def _share(recipe: Recipe, task: AnyTask, method: str) -> float:
    own = recipe.under(method)
    return float(put_method(own, method, make_model(own, task, 0), task)["dropped_fraction"])
