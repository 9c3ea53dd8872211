"""Adversarial training of classifiers: the model is trained on what an attack makes of each batch.

PGD: Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks". TRADES: Zhang et al. 2019,
"Theoretically principled trade-off between robustness and accuracy". Free: Shafahi et al. 2019, "Adversarial training
for free!". Fast: Wong et al. 2020, "Fast is better than free: revisiting adversarial training".

Each is an objective around another: called with (model, pixels, labels, weights), it gives a loss and the number of
right answers. Pixels are in [0, 1] and the normalisation is inside the model. In distributed training the model is the
bare one. Random numbers are drawn on the CPU, from torch's global generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn
from torch.nn import functional

from ..attacks import Norm, Stream
from ..attacks.ball import lengths, project, random_start, steepest
from ..training.sampling import Replays, Shuffle
from ..utils.eval_mode import evaluating
from .recipe import Adversarial

__all__ = ["Climb", "Free", "OnAdversarial", "Trades", "under_attack"]

#: Standard deviation of the noise that TRADES starts from: at the image itself the divergence has no slope.
TRADES_START = 0.001
_TINY = 1e-30


@dataclass(frozen=True)
class Climb:
    """Steepest ascent within a ball around pixels, for a fixed number of steps.

    Unlike an attack that measures, it spares no sample that is misclassified already: training wants the worst loss.

    Attributes:
        eps: radius in pixels: of each pixel's change for ``linf``, of the whole image's for ``l2``.
        step_size: of one step, likewise.
        steps: how many.
        norm: ``linf`` or ``l2``.
    """

    eps: float
    step_size: float
    steps: int
    norm: Norm = "linf"

    def __call__(
        self, losses: Callable[[torch.Tensor], torch.Tensor], start: torch.Tensor, origin: torch.Tensor
    ) -> torch.Tensor:
        """Return the pixels at the top, (N, C, H, W); parameters get no gradient, and none is computed.

        ``losses`` gives one loss per sample (N,), each of its own sample alone; ``start`` is within the ball around
        ``origin``.
        """
        now = start.detach()
        for _ in range(self.steps):
            leaf = now.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(losses(leaf).sum(), leaf)
            now = self.held(now + self.change(gradient, now), origin)
        return now

    def change(self, gradient: torch.Tensor, now: torch.Tensor) -> torch.Tensor:
        """What a step adds to the pixels ``now``."""
        return steepest(gradient, now, now.new_full((len(now), 1, 1, 1), self.step_size), self.norm, 1)

    def held(self, moved: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """Pixels brought back into the ball and into [0, 1]."""
        return project(moved, origin, self.eps, self.norm)


class OnAdversarial(nn.Module):
    """An objective on adversarial images: PGD's (Madry et al. 2018, equation 2.1), or with one step the fast one's.

    The ascent starts at random and maximises cross-entropy with the bare label, in eval mode: no mask is on, no
    BatchNorm statistic moves. Smoothed labels would not do there: of a sample that is classified with more confidence
    than they ask for, the worst image is one that is classified with still more.

    Args:
        objective: what is minimised on the images found.
        climb: how they are found.
        clean_share: of a batch that stays as it is, rounded, never all of it; the first ones, since batches are
            shuffled.
    """

    def __init__(self, objective: nn.Module, climb: Climb, clean_share: float = 0.0) -> None:
        super().__init__()
        self.objective, self.climb, self.clean_share = objective, climb, clean_share

    def forward(
        self, model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and number of right answers, both on the images that the model is trained on."""
        clean = _clean_count(self.clean_share, len(pixels))
        origin, targets = pixels[clean:], labels[clean:]
        with evaluating(model), torch.autocast(pixels.device.type, enabled=False):
            start = random_start(origin, self.climb.eps, self.climb.norm, Stream(len(origin)))
            found = self.climb(
                lambda moved: functional.cross_entropy(model(moved).float(), targets, reduction="none"), start, origin
            )
        learned = torch.cat([pixels[:clean], found]) if clean else found
        loss, right = self.objective(model, learned, labels, weights)
        return loss, right


class Trades(nn.Module):
    """TRADES (Zhang et al. 2019, equation 5): an objective on clean images + beta * KL(clean || adversarial).

    The ascent starts at a little noise and maximises the same divergence, in eval mode, from fixed probabilities of the
    clean images. Gradients of the model flow through both sides.

    ``objective`` is on the clean images, ``climb`` finds the adversarial ones, ``beta`` is 1 / lambda in the paper.
    """

    def __init__(self, objective: nn.Module, climb: Climb, beta: float = 6.0) -> None:
        super().__init__()
        self.objective, self.climb, self.beta = objective, climb, beta

    def forward(
        self, model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and number of right answers on the clean images."""
        found = self._furthest(model, pixels)
        clean = model(pixels)
        # the objective asks a model: this one has answered already
        loss, right = self.objective(lambda _: clean, pixels, labels, weights)
        apart = _divergence(clean, model(found))
        weighted = weights.to(apart)
        return loss + self.beta * (apart * weighted).sum() / weighted.sum().clamp_min(1e-12), right

    def _furthest(self, model: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        noise = TRADES_START * Stream(len(pixels)).normal(*pixels.shape[1:])
        with evaluating(model), torch.autocast(pixels.device.type, enabled=False):
            with torch.no_grad():
                clean = model(pixels)
            start = self.climb.held(pixels + noise.to(pixels), pixels)
            return self.climb(lambda moved: _divergence(clean, model(moved)), start, pixels)


class Free(nn.Module):
    """Free adversarial training (Shafahi et al. 2019, algorithm 1): the training pass itself attacks.

    Every batch is learned ``order.replays`` times in a row. The backward pass that trains the model gives the gradient
    of the pixels too, and the perturbation takes its step from that at the next call; it is carried over from batch to
    batch. So masks are on in the attack as well, and the losses that it climbs are the objective's own.

    An epoch begins with no perturbation (in the paper only the first does): a run that was killed goes on at the start
    of an epoch and has to end where an uninterrupted one does.

    Args:
        objective: what is minimised on the perturbed images.
        climb: the ball and the step; its number of steps plays no part.
        order: of the samples; tells how often a batch comes, and when an epoch begins.
        clean_share: as of ``OnAdversarial``.
    """

    def __init__(self, objective: nn.Module, climb: Climb, order: Replays, clean_share: float = 0.0) -> None:
        super().__init__()
        self.objective, self.climb, self.order, self.clean_share = objective, climb, order, clean_share
        self.epoch = -1

    def forward(
        self, model: nn.Module, pixels: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and number of right answers on the perturbed images; the caller goes backward before the next call."""
        if self.epoch != self.order.epoch:
            self.epoch, self.turn = self.order.epoch, 0
            self.perturbation, self.leaf = torch.zeros_like(pixels), pixels
        if self.turn % self.order.replays == 0:
            # a replay arrives augmented anew, and the perturbation is for the images as they came first
            self.batch = pixels, labels, weights
        self.turn += 1
        pixels, labels, weights = self.batch
        self.perturbation = self._stepped()
        if self.perturbation.shape != pixels.shape:
            self.perturbation = torch.zeros_like(pixels)
        self.leaf = self.climb.held(pixels + self.perturbation, pixels).detach().requires_grad_()
        loss, right = self.objective(model, self.leaf, labels, weights)
        return loss, right

    def _stepped(self) -> torch.Tensor:
        """The perturbation after what the last backward pass has left."""
        if self.leaf.grad is None:
            return self.perturbation
        moved = self.perturbation + self.climb.change(self.leaf.grad, self.leaf.detach())
        moved[: _clean_count(self.clean_share, len(moved))] = 0
        # within the ball alone: what this image's box holds back, the next one's may have room for
        if self.climb.norm == "linf":
            return moved.clamp_(-self.climb.eps, self.climb.eps)
        return moved * (self.climb.eps / lengths(moved).clamp_min(_TINY)).clamp_max(1)


def under_attack(
    objective: nn.Module, order: Shuffle, settings: Adversarial, batch_size: int
) -> tuple[nn.Module, Shuffle]:
    """An objective and an order of samples, made adversarial as a recipe's ``train.adversarial`` says.

    Raises:
        FeatmaskError: ``free`` with fewer samples than a batch has.
    """
    eps, norm, steps = Fraction(settings.eps), settings.norm, settings.steps if settings.kind != "fast" else 1
    usual = {"fast": Fraction(5, 4) * eps, "free": eps}.get(settings.kind, Fraction(5, 2) * eps / steps)
    size = usual if settings.step_size is None else Fraction(settings.step_size)
    climb = Climb(float(eps), float(size), steps, norm)
    if settings.kind == "trades":
        return Trades(objective, climb, settings.beta), order
    if settings.kind == "free":
        replays = Replays(order.length, order.seed, batch_size, settings.replays)
        return Free(objective, climb, replays, settings.clean_share), replays
    return OnAdversarial(objective, climb, settings.clean_share), order


def _clean_count(share: float, count: int) -> int:
    return max(0, min(round(share * count), count - 1))


def _divergence(clean: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
    """KL(clean || moved) of the probabilities, (N,), from logits (N, classes)."""
    before, after = clean.float().log_softmax(1), moved.float().log_softmax(1)
    return (before.exp() * (before - after)).sum(1)
