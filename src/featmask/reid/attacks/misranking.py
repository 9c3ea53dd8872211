"""Deep mis-ranking: a network that is trained once, and then perturbs any image in one pass.

Wang et al. 2020, "Transferable, controllable, and inconspicuous adversarial attacks on person re-identification with
deep mis-ranking". Kept: a generator of the perturbation, the mis-ranking loss, an L-infinity budget (16/255 there).
Left out: the discriminator and the SSIM loss that make the change inconspicuous, the mask that picks which pixels
change, and the misclassification loss. Figures are therefore not the paper's. The bound is
hard: no pixel changes by more than eps, whatever was learned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice

import torch
from torch import nn
from torch.nn import functional

from ...attacks import Norm
from ...attacks.ball import check_pixels, grey_levels, project
from ...errors import FeatmaskError
from ...records.names import Kind
from ...utils.progress import progress
from .embedding import Embed, tracked_features

#: Pixels (N, C, H, W) in [0, 1] and ids (N,): P identities by K images.
Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]

_SMALLEST = 8


class MisRanking(nn.Module):
    """The generator: pixels (N, C, H, W) in [0, 1] -> adversarial pixels of the same shape, within ``eps``.

    An encoder of three convolutions, residual blocks at a quarter of the size, a decoder of three; instance
    normalisation, so that an image's result does not depend on its batch.

    Args:
        eps: largest change of a pixel; above 0.
        channels: of the images.
        width: channels of the first layer; four times as many in the middle.
        blocks: residual blocks.
    """

    #: Of one pixel.
    norm: Norm = "linf"

    def __init__(
        self, eps: Fraction | float = Fraction(16, 255), *, channels: int = 3, width: int = 32, blocks: int = 3
    ) -> None:
        super().__init__()
        if not 0 < eps <= 1:
            raise FeatmaskError(f"eps: expected pixels above 0 and up to 1, for example 16/255; got {eps}")
        if min(channels, width) < 1 or blocks < 0:
            raise FeatmaskError(f"expected channels, width >= 1, blocks >= 0; got {channels}, {width}, {blocks}")
        self.eps = Fraction(eps).limit_denominator(100_000)
        self.losses: tuple[float, ...] = ()
        self.first = _layer(channels, width, 7)
        self.down = nn.ModuleList([_layer(width, 2 * width, 3, 2), _layer(2 * width, 4 * width, 3, 2)])
        self.middle = nn.Sequential(*(_Residual(4 * width) for _ in range(blocks)))
        self.up = nn.ModuleList([_layer(4 * width, 2 * width, 3), _layer(2 * width, width, 3)])
        self.last = nn.Conv2d(width, channels, 7, padding=3)

    @property
    def name(self) -> str:
        """For tables: ``misranking@16/255``."""
        return Kind("misranking").at(grey_levels(self.eps))

    def extra_repr(self) -> str:
        """Shown in the module's repr."""
        return f"eps={grey_levels(self.eps)}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return adversarial pixels.

        Raises:
            FeatmaskError: another number of channels, or sides under 8 pixels.
        """
        if x.dim() != 4 or x.shape[1] != self.last.out_channels or min(x.shape[2:]) < _SMALLEST:
            raise FeatmaskError(
                f"{self.name}: expected (N, {self.last.out_channels}, H, W) with sides of {_SMALLEST} or more; "
                f"got {tuple(x.shape)}"
            )
        maps, sizes = self.first(2 * x - 1), []
        for layer in self.down:
            sizes.append(maps.shape[2:])
            maps = layer(maps)
        maps = self.middle(maps)
        for layer in self.up:
            maps = layer(functional.interpolate(maps, size=sizes.pop(), mode="nearest"))
        eps = float(self.eps)
        return project(x + eps * self.last(maps).tanh(), x, eps, self.norm)


def mis_ranking_loss(adversarial: torch.Tensor, clean: torch.Tensor, ids: torch.Tensor, margin: float) -> torch.Tensor:
    """The triplet loss with its sign reversed: mean of max(0, margin + furthest other - nearest same).

    Each attacked image stands against the clean images of its batch, as an attacked query stands against a clean
    gallery (in the paper all are attacked). Distances are squared Euclidean ones. The image itself counts as one of
    the same identity only where there is no other.

    Args:
        adversarial: (N, D) features of the attacked images.
        clean: (N, D) features of the clean images, in the same order.
        ids: (N,) identities, of which there are two or more.
        margin: by which other identities are to be nearer than the image's.

    Returns:
        A scalar; the paper's mis-ranking loss (section 3.2) on this pairing.

    Raises:
        FeatmaskError: one identity only.
    """
    same = ids[:, None] == ids[None, :]
    if bool(same.all()):
        raise FeatmaskError("mis-ranking: a batch holds one identity; expected P >= 2 identities by K images")
    itself = torch.eye(len(ids), dtype=torch.bool, device=ids.device)
    lone = same.sum(1, keepdim=True) == 1
    distance = (adversarial[:, None] - clean[None]).square().sum(2)
    nearest_same = distance.masked_fill(~same | (itself & ~lone), torch.inf).amin(1)
    furthest_other = distance.masked_fill(same, -torch.inf).amax(1)
    return (margin + furthest_other - nearest_same).clamp_min(0).mean()


def train_misranking(
    embed: Embed,
    batches: Batches,
    *,
    eps: Fraction | float = Fraction(16, 255),
    steps: int = 2000,
    lr: float = 2e-4,
    seed: int = 0,
    width: int = 32,
) -> MisRanking:
    """Train a generator against a frozen embedding; its parameters are neither changed nor given gradients.

    Args:
        embed: pixels -> features; in eval mode.
        batches: of a training set, on the device of ``embed``; gone through again and again. Not the images that are
            attacked later.
        eps: largest change of a pixel.
        steps: batches in all.
        lr: learning rate of Adam.
        seed: of the generator's first weights; the rest is as deterministic as ``embed`` and ``batches``.
        width: see ``MisRanking``.

    Returns:
        The generator in eval mode, frozen, with ``losses``: the loss at each step.

    Raises:
        FeatmaskError: no batch (or an iterator that is used up), a batch of one identity, pixels outside [0, 1], or
            features without a finite gradient.
    """
    if steps < 1 or not lr > 0:
        raise FeatmaskError(f"mis-ranking: expected steps of 1 or more and lr above 0; got {steps} and {lr}")
    losses: list[float] = []
    with torch.inference_mode(False), torch.enable_grad(), progress("mis-ranking", steps) as bar:
        for pixels, ids in map(_checked, islice(_endless(batches), steps)):
            if not losses:
                network = _seeded(eps, pixels, width, seed)
                weights = list(network.parameters())
                optimizer = torch.optim.Adam(weights, lr=lr, betas=(0.5, 0.999))
            with torch.no_grad():
                clean = embed(pixels)
            loss = mis_ranking_loss(tracked_features(embed, network(pixels)), clean.detach(), ids, 0.3)
            # not backward(): the embedding's own parameters would collect gradients
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight.grad = gradient
            optimizer.step()
            losses.append(float(loss.detach()))
            if losses[-1] != losses[-1]:
                raise FeatmaskError(f"mis-ranking: the loss is not a number at step {len(losses)}; check embed")
            bar.advance(note=f"loss {losses[-1]:.3f}")
    network.losses = tuple(losses)
    return network.eval().requires_grad_(False)


def _seeded(eps: Fraction | float, pixels: torch.Tensor, width: int, seed: int) -> MisRanking:
    """First weights from the seed alone, drawn on the CPU; the caller's random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MisRanking(eps, channels=pixels.shape[1], width=width).to(pixels.device)


def _endless(batches: Batches) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    while True:
        met = False
        for pixels, ids in batches:
            met = True
            yield pixels, ids
        if not met:
            raise FeatmaskError("mis-ranking: no batch left; pass a list or a loader that can be gone through again")


def _checked(batch: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    pixels, ids = batch
    if pixels.dim() != 4 or len(pixels) != len(ids) or not len(pixels):
        raise FeatmaskError(f"mis-ranking: expected (N, C, H, W) and N ids, got {tuple(pixels.shape)} and {len(ids)}")
    check_pixels(pixels, "mis-ranking", "the normalisation belongs into embed")
    return pixels.detach().clone(), ids.to(pixels.device)


def _layer(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, kernel, stride, kernel // 2), nn.InstanceNorm2d(after, affine=True), nn.ReLU()
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _layer(width, width, 3), nn.Conv2d(width, width, 3, padding=1), nn.InstanceNorm2d(width, affine=True)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        changed: torch.Tensor = self.inner(x)
        return x + changed
