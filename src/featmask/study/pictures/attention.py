"""Where models look: Grad-CAM of two methods on the same test images, which a rule chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from ...drawing.sheet import Cell, Pixels, Row, enlarged, save_sheet
from ...errors import FeatmaskError, require
from ...evaluation import frozen
from ...insert.probe import probe, unwrap
from ...models import Normalized
from ...records.run import Run
from ...utils.devices import pick_device
from ..task import CLEAN, Indices, Score, Tested

#: Images that are evenly spread, and those of each kind on which exactly one of the two methods is right.
SPREAD, DIFFERENT = 4, 2
#: How much of an image the strongest heat covers.
COVER = 0.75


def last_maps(model: nn.Module, example: torch.Tensor) -> str:
    """The module whose output Grad-CAM explains: the last one that gives maps N x C x h x w with h x w > 1.

    Raises:
        FeatmaskError: none gives such maps.
    """
    inner = unwrap(model)
    trace = probe(inner, example)
    height, width = trace.input[2:]
    found = ""
    for name, call in trace.calls.items():
        shape = call.shape
        if not name or shape is None or len(shape) != 4 or shape[0] != trace.input[0] or shape[2] * shape[3] == 1:
            continue
        # stripes of a person, and channels last, are not in an image's proportions, up to a rounded side
        alike = abs(shape[2] * width - shape[3] * height) <= max(height, width)
        # a head may pool a single value to many: the maps are those before it
        if alike and not isinstance(inner.get_submodule(name), nn.AdaptiveAvgPool2d):
            found = name
    if not found:
        raise FeatmaskError("Grad-CAM needs a CNN with feature maps; no module of this model gives N x C x h x w")
    return found


def grad_cam(model: nn.Module, pixels: torch.Tensor, score: Score) -> torch.Tensor:
    """Grad-CAM (Selvaraju et al. 2017, equations 1 and 2) by captum, at the last maps.

    Args:
        model: takes ``pixels``; the caller has it in eval mode.
        pixels: (N, C, H, W).
        score: pixels -> what is explained of each image (N,), computed with the model.

    Returns:
        (N, h, w), 0 or more: maps weighted by their mean gradient, what speaks against the score cut off.

    Raises:
        FeatmaskError: the model gives no maps.
        MissingExtraError: captum is not installed.
    """
    captum = require("captum.attr", "report")
    layer = unwrap(model).get_submodule(last_maps(model, pixels[:1]))
    own = pixels.detach().clone().requires_grad_()
    with torch.enable_grad():
        explained = captum.LayerGradCam(score, layer).attribute(own, relu_attributions=True)
    found: torch.Tensor = explained[:, 0].detach()
    return found


def choose(index: Indices, baseline: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> tuple[Indices, ...]:
    """Which samples are shown: spread evenly over all, over those that the baseline alone gets right, and the reverse.

    Args:
        index: (N,) of the samples.
        baseline, other: (N,) whether each of the two methods is right.

    Returns:
        Positions in ``index``, none of them twice: up to ``SPREAD``, ``DIFFERENT`` and ``DIFFERENT``.
    """
    order = np.argsort(index, kind="stable")
    alone = [order[(mine & ~theirs)[order]] for mine, theirs in ((baseline, other), (other, baseline))]
    first, second = (evenly(places, DIFFERENT) for places in alone)
    rest = order[~np.isin(order, np.concatenate([first, second]))]
    return evenly(rest, SPREAD), first, second


def evenly(places: Indices, count: int) -> Indices:
    """``count`` of them (all, if there are fewer) from the middles of equal parts."""
    count = min(count, len(places))
    found: Indices = places[((np.arange(count) + 0.5) * len(places) / max(count, 1)).astype(int)]
    return found


def save_attention(
    tested: Tested, runs: Sequence[Run], models: Mapping[str, Normalized], path: str | Path, device: str = "auto"
) -> str:
    """Draw Grad-CAM of two runs on the same test images, and give the caption.

    Args:
        tested, path, device: the test images, the PNG, and where to compute.
        runs: the baseline's and the other method's, both with the suite ``clean``.
        models: method -> the run's model.

    Raises:
        FeatmaskError: the suite is missing, or was measured on other samples.
        MissingExtraError: captum is not installed.
    """
    index, hits = _outcomes(tested, runs)
    parts = choose(index, *hits)
    places = np.concatenate(parts)
    pixels, names = torch.stack(tested.images(index[places])), tested.names(index[places])
    shown = [image.permute(1, 2, 0).numpy() for image in pixels]
    rows = [Row([Cell(enlarged(image), name) for image, name in zip(shown, names, strict=True)], "image")]
    where, grids = torch.device(pick_device(device)), list[str]()
    for run, right in zip(runs, hits, strict=True):
        model = models[run.method]
        with frozen(model, where):
            heat = grad_cam(model, pixels.to(where), tested.score(model, index[places], where)).float().cpu()
        grids.append(" x ".join(map(str, heat.shape[1:])))
        cells = [
            Cell(heated(image, own), tested.answer(run, int(place)), bool(right[place]))
            for image, own, place in zip(shown, heat, places, strict=True)
        ]
        rows.append(Row(cells, f"{run.method}\nseed {run.seed}"))
    titles = ("evenly spread", *(f"only {run.method} is right" for run in runs))
    starts = np.cumsum([0, *map(len, parts)]).tolist()
    groups = {start: title for start, title, part in zip(starts, titles, parts, strict=False) if len(part)}
    save_sheet(path, rows, groups)
    return _caption(tested, runs, parts, grids)


def _outcomes(tested: Tested, runs: Sequence[Run]) -> tuple[Indices, list[npt.NDArray[np.bool_]]]:
    for run in runs:
        if CLEAN not in run.samples:
            raise FeatmaskError(f"{run.method}, seed {run.seed}: the suite {CLEAN} is needed and was not measured")
    index = [run.samples[CLEAN]["index"] for run in runs]
    if any(not np.array_equal(index[0], own) for own in index):
        raise FeatmaskError(f"{', '.join(run.method for run in runs)}: measured on different samples")
    return index[0], [run.samples[CLEAN][tested.hit] > 0.5 for run in runs]


def heated(image: npt.NDArray[np.float32], heat: torch.Tensor) -> Pixels:
    """An image (H, W, C) in grey, below heat (h, w) that is scaled to its own largest value and enlarged bilinearly."""
    grey = enlarged(image.mean(axis=2)).astype(np.float64)
    scaled = heat / heat.max().clamp_min(torch.finfo(heat.dtype).tiny)
    large = functional.interpolate(scaled[None, None], grey.shape[:2], mode="bilinear", align_corners=False)[0, 0]
    warm = large.double().clamp(0, 1).numpy()
    colours = require("matplotlib", "report").colormaps["inferno"](0.25 + 0.75 * warm)[..., :3] * 255
    cover = (COVER * np.sqrt(warm))[..., None]
    drawn: Pixels = np.round(grey * (1 - cover) + colours * cover).astype(np.uint8)
    return drawn


def _caption(tested: Tested, runs: Sequence[Run], parts: Sequence[Indices], grids: Sequence[str]) -> str:
    baseline, other = (run.method for run in runs)
    few = "" if all(len(part) == DIFFERENT for part in parts[1:]) else " (fewer where there are no more)"
    return (
        f"Where {baseline} and {other} look, on the same {tested.samples}: Grad-CAM of {tested.explained} at the last "
        f"feature maps ({' and '.join(dict.fromkeys(grids))} values), enlarged. Brighter speaks more for it; each map "
        "is scaled to its own largest value, and stays blank where nothing speaks for it. Chosen by rule, not by eye: "
        f"{SPREAD} evenly spread over the index of the {tested.samples}, then {DIFFERENT} that only {baseline} gets "
        f"right and {DIFFERENT} that only {other} does, evenly spread among those{few}. A tick and a green frame are "
        "right answers, a cross and an orange-red frame wrong ones."
    )
