"""Local Feature Masking as pure functions of a tensor.

Gong, Zhang, Hou, Chen, Jiang: "Beyond Dropout: Robust Convolutional Neural Networks Based on Local Feature Masking",
IJCNN 2024, arXiv 2407.13646.
"""

from __future__ import annotations

import torch

from .errors import FeatmaskError
from .masking.guided import guide
from .masking.options import Fill, Options, Per, Place, Range, check_input
from .masking.overwrite import inside_transform, overwrite
from .masking.plan import Plan, draw
from .masking.traced import mask_traced

__all__ = ["local_feature_masking", "published_feature_masking"]


def local_feature_masking(
    x: torch.Tensor,
    *,
    p: float = 0.15,
    channels: float = 0.5,
    area: Range = (0.02, 0.4),
    aspect: Range = (0.3, 1 / 0.3),
    fill: Fill = "uniform",
    per: Per = "sample",
    place: Place = "random",
    training: bool = True,
    generator: torch.Generator | None = None,
    inplace: bool = False,
) -> torch.Tensor:
    """Overwrite a random rectangle in random channels of random samples (the algorithm as the paper describes it).

    The gradient is exactly zero inside the rectangles and untouched outside them. Nothing is rescaled.

    Args:
        x: feature maps (N, C, H, W), float32, float64, float16 or bfloat16; dtype and memory format are kept.
        p: probability that a sample is masked (``per="batch"``: that the whole batch is).
        channels: share of the channels that are masked in a masked sample: ``max(1, round(channels * C))`` distinct
            ones, each with a rectangle of its own.
        area: range of the rectangle's area, as a share of H * W; uniform.
        aspect: range of height / width; uniform. Sizes are rounded, and redrawn until the rectangle is smaller than
            the map in both directions; a channel is left alone if ten tries fail (on thin maps such as 1 x 32).
        fill: what is written: ``"uniform"``, one number in [0, 1) per rectangle, ``"zero"``, the plane's ``"mean"``,
            ``"noise"`` Gaussian with the plane's mean and standard deviation, or a number. Means and deviations are of
            finite values and constants to the gradient.
        per: ``"sample"``, or ``"batch"`` for one decision and one set of channels for the whole batch.
        place: ``"random"``, or ``"strongest"``: each rectangle, its size drawn as ever, lies where the sum of
            magnitudes over it is largest in its own plane (values that are not finite count as 0; of equal sums the
            first in row-major order). The choice is a constant to the gradient. Not in the paper.
        training: False returns ``x`` itself.
        generator: a generator of random numbers. Default: torch's default CPU generator in eager mode (so that
            ``torch.manual_seed`` repeats the masks on any device), the device's one inside ``torch.compile``.
            With a private generator activation checkpointing recomputes *another* mask: use the default there.
        inplace: write into ``x``. Right after a convolution or a normalisation; autograd raises where the operation
            that made ``x`` needs it unchanged (ReLU).

    Returns:
        The masked maps; ``x`` itself where nothing was drawn.

    Raises:
        FeatmaskError: an option out of range, or ``x`` not of the form above.
    """
    options = Options(p=p, channels=channels, area=area, aspect=aspect, fill=fill, per=per, place=place)
    return masked(x, options, training=training, generator=generator, inplace=inplace)[0]


def published_feature_masking(
    x: torch.Tensor,
    *,
    p: float = 0.15,
    channels: float = 0.5,
    area: Range = (0.02, 0.4),
    aspect: Range = (0.3, 1 / 0.3),
    first: int | None = None,
    training: bool = True,
    generator: torch.Generator | None = None,
    inplace: bool = False,
) -> torch.Tensor:
    """Mask as the authors' published code does, in distribution; it differs from the paper's description.

    One coin for the whole batch; ``round(channels * C)`` channels drawn once per batch *with replacement* and shared by
    its samples; and, because the code slices rows twice, strips of full-width rows instead of rectangles, a third of
    them empty. Given that the batch is chosen, 5.9 % of the values of 64 x 128 x 64 maps are overwritten, against
    10.2 % by :func:`local_feature_masking`.

    Args:
        x: feature maps (N, C, H, W).
        p: probability that the batch is masked.
        channels: number of draws as a share of C.
        area, aspect, training, generator, inplace: as in :func:`local_feature_masking`, like the result and the errors.
        first: mask only so many leading samples of the batch (the authors' file: 8); None: all.
    """
    options = Options(p=p, channels=channels, area=area, aspect=aspect, per="batch", published=True, first=first)
    return masked(x, options, training=training, generator=generator, inplace=inplace)[0]


def masked(
    x: torch.Tensor,
    options: Options,
    *,
    training: bool = True,
    generator: torch.Generator | None = None,
    inplace: bool = False,
) -> tuple[torch.Tensor, Plan | None]:
    """Mask ``x`` and tell what was masked: the plan, or None where it was made inside a graph or a transform."""
    if not training:
        return x, None
    check_input(x)
    if _in_graph(x, generator):
        return (mask_traced(x, options, generator) if options.p > 0 and x.numel() > 0 else x), None
    if generator is not None and generator.device.type != "cpu":
        raise FeatmaskError(f"a generator on {generator.device} cannot mask a tensor on {x.device}; use one on the CPU")
    n, c, height, width = x.shape
    plan = draw((n, c, height, width), options, generator)
    if not len(plan):
        return x, plan
    if options.place == "strongest":
        plan = guide(x, plan)
    out = overwrite(x, plan, options.fill, inplace)
    # places that were chosen from a transform's tensors mean nothing outside of it
    return out, None if plan.corners is not None and inside_transform() else plan


def _in_graph(x: torch.Tensor, generator: torch.Generator | None) -> bool:
    """Whether the random numbers must be drawn where the tensor lives: a plan made on the host would be frozen."""
    if torch.compiler.is_compiling():
        if generator is not None:
            raise FeatmaskError("generator= is not supported inside torch.compile; seed with torch.manual_seed")
        return True
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return True
    if x.device.type != "cuda":
        return False
    return torch.cuda.is_current_stream_capturing() or (generator is not None and generator.device.type == "cuda")
