"""From a data set or a loader to batches, and what is wrong with them found out before any time is spent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ...attacks.ball import check_pixels
from ...errors import FeatmaskError

Data = Dataset[Any] | Iterable[Any]


class Batch(NamedTuple):
    """Pixels (N, C, H, W) in [0, 1], labels (N,), and each sample's place in its data set."""

    pixels: torch.Tensor
    labels: torch.Tensor
    rows: npt.NDArray[np.int64]

    def part(self, chosen: slice) -> Batch:
        """Some of the samples."""
        return Batch(self.pixels[chosen], self.labels[chosen], self.rows[chosen])

    @property
    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """What is recorded of every sample in every suite."""
        return {"index": self.rows, "label": self.labels.numpy()}


def batches(data: Data, batch_size: int, limit: int | None) -> Iterator[Batch]:
    """Batches of up to ``limit`` samples; for ``data`` and ``batch_size`` see ``evaluate_suites``.

    Raises:
        FeatmaskError: items that are no images with labels.
    """
    loader = DataLoader(data, batch_size=batch_size) if isinstance(data, Dataset) else data
    seen = 0
    for items in loader:
        pixels, labels = _pair(items)
        take = len(labels) if limit is None else min(len(labels), limit - seen)
        if take <= 0:
            return
        index = np.asarray(items[3]) if len(items) > 3 else np.arange(seen, seen + len(labels))
        yield Batch(pixels[:take], labels[:take].cpu(), index[:take].astype(np.int64))
        seen += take


def _pair(items: Any) -> tuple[torch.Tensor, torch.Tensor]:
    if not isinstance(items, list | tuple) or len(items) < 2 or not all(torch.is_tensor(item) for item in items[:2]):
        raise FeatmaskError("expected batches (images, labels, ...) as tensors; pass a dataset or a loader of such")
    pixels, labels = items[0], items[1]
    if pixels.dim() != 4 or not pixels.is_floating_point():
        raise FeatmaskError(
            f"expected pixels (N, C, H, W) as floats in [0, 1], got {pixels.dtype} {tuple(pixels.shape)}"
            + ("; divide 8-bit pixels by 255" if pixels.dtype == torch.uint8 else "")
        )
    if labels.shape != pixels.shape[:1] or labels.is_floating_point():
        raise FeatmaskError(
            f"expected one whole-numbered label for each of {len(pixels)} images, got {labels.dtype} "
            f"{tuple(labels.shape)}"
        )
    return pixels.to(torch.float32), labels.long()


def count(data: Any, limit: int | None) -> int:
    """Samples that will come; 0 where their number is not known."""
    try:
        sized: Any = data.dataset if isinstance(data, DataLoader) else data
        length = len(sized)
    except TypeError:
        return limit or 0
    return length if limit is None else min(limit, length)


def check_model(model: nn.Module) -> torch.device:
    """Where a model's tensors lie: the CPU where it has none.

    Raises:
        FeatmaskError: on several devices or on none yet, or in half precision: attacks need float32.
    """
    found = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    if len(found) > 1:
        raise FeatmaskError(
            f"the model lies on several devices ({', '.join(sorted(map(str, found)))}); move it: model.to('cpu')"
        )
    device = next(iter(found), torch.device("cpu"))
    if device.type == "meta":
        raise FeatmaskError("the model's weights are not loaded: its tensors lie on the meta device")
    halves = sorted({str(p.dtype) for p in model.parameters() if p.dtype in (torch.float16, torch.bfloat16)})
    if halves:
        raise FeatmaskError(f"the model's weights are {', '.join(halves)}: attacks need float32; call model.float()")
    return device


def checked_logits(model: nn.Module, batch: Batch, device: torch.device) -> torch.Tensor:
    """Logits (N, classes) of a batch, in float32.

    Raises:
        FeatmaskError: pixels outside [0, 1], labels out of range, or logits of a wrong shape or not finite.
    """
    check_pixels(batch.pixels)
    with torch.no_grad():
        logits: torch.Tensor = model(batch.pixels.to(device))
    if not torch.is_tensor(logits) or logits.dim() != 2 or len(logits) != len(batch.labels):
        got = tuple(logits.shape) if torch.is_tensor(logits) else type(logits).__name__
        raise FeatmaskError(f"expected logits of shape (N, classes) with N = {len(batch.labels)}, got {got}")
    if logits.shape[1] < 2:
        raise FeatmaskError(
            "expected two classes or more, got logits of one: see featmask.wrap(..., single_logit=True)"
        )
    if not bool(logits.isfinite().all()):
        raise FeatmaskError("the model's logits are not finite (NaN or infinity)")
    low, high = int(batch.labels.min()), int(batch.labels.max())
    if low < 0 or high >= logits.shape[1]:
        raise FeatmaskError(f"labels {low} to {high}, but the model has {logits.shape[1]} classes")
    return logits.float()
