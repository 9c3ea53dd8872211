"""Training defences against metric attacks: a part of each batch is attacked before the model is trained on it.

Adversarial metric training: Bai et al. 2019, "Adversarial metric attack and defense for person re-identification"
(MI-FGSM). GOAT: Bouniot et al. 2020, "Vulnerability of person re-identification models to metric adversarial attacks"
(guides from the batch itself). Training on ODFA's images: Zheng et al. 2018, "Open set adversarial examples".
"""

from __future__ import annotations

from fractions import Fraction
from typing import get_args

import numpy as np
import torch

from ..errors import FeatmaskError
from .attacks import Embed, Guides, MetricAttack, choose_guides, perturb
from .attacks.embedding import mean_features
from .kinds import Defence

__all__ = ["adversarial_batch"]


def adversarial_batch(
    embed: Embed,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    *,
    kind: Defence,
    eps: Fraction,
    steps: int = 7,
    share: float = 1.0,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """Return the batch with some of its images replaced by adversarial ones.

    Guides come from the clean batch, all of it: an image is pushed from every other image of its identity, and, by
    ``fna`` and ``goat``, pulled to the mean feature of the other identity that is furthest. Images whose features are
    equal count as one image, since no gradient leads away from one's own feature. An image without another one of its
    identity is pushed from its own clean feature.

    Nothing is added to the gradients of the model's parameters. The modes of the model are the caller's: the attack
    wants eval mode (``utils.eval_mode.evaluating``; BatchNorm would mix the images of a batch, and its statistics would
    take in those along the way), and the training step after it wants training mode again. In distributed training,
    pass the bare model's embedding and not the wrapper's.

    Args:
        embed: pixels in [0, 1] -> features (N, D) as retrieval compares them, differentiable, in eval mode.
        pixels: (N, C, H, W) in [0, 1]; they stay as they are.
        labels: (N,) identities, 0 or more.
        kind: the attack's objective; ``goat`` is FNA's.
        eps: of each pixel's change.
        steps: gradient steps; Bouniot et al. train with 7.
        share: of the batch that is replaced, above 0 to 1, rounded, at least one image; which ones is drawn.
        generator: on the CPU, of the choice and of random starts.

    Raises:
        FeatmaskError: an unknown kind, a share or a budget out of range, labels that do not fit, a batch of one
            identity (for the kinds with guides), or what ``perturb`` refuses.
    """
    if kind not in get_args(Defence):
        raise FeatmaskError(f"unknown defence {kind!r}; expected one of: {', '.join(get_args(Defence))}")
    if not 0 < share <= 1:
        raise FeatmaskError(f"defence {kind!r}: expected a share of the batch above 0 to 1, got {share!r}")
    if labels.shape != pixels.shape[:1]:
        raise FeatmaskError(
            f"defence {kind!r}: expected a label for each of {len(pixels)} images, got {tuple(labels.shape)}"
        )
    attack = MetricAttack("fna" if kind == "goat" else kind, eps, steps=steps)
    if not len(pixels):
        return pixels.clone()
    count = max(1, round(share * len(pixels)))
    chosen = torch.randperm(len(pixels), generator=generator)[:count].sort().values.to(pixels.device)
    guides, clean = None, None
    if attack.needs_guides:
        features = mean_features(embed, pixels, 1).float()
        guides, clean = _batch_guides(kind, features, labels, chosen), features[chosen]
    attacked = pixels.detach().clone()
    attacked[chosen] = perturb(attack, embed, pixels[chosen], guides, generator=generator, clean=clean)
    return attacked


def _batch_guides(kind: str, features: torch.Tensor, labels: torch.Tensor, chosen: torch.Tensor) -> Guides:
    """Guides of the chosen images: every other image of the identity, and the furthest other identity."""
    names = labels.detach().cpu().numpy()
    people, sizes = np.unique(names, return_counts=True)
    if len(people) < 2 or people[0] < 0:
        raise FeatmaskError(
            f"defence {kind!r}: expected a batch of two or more identities, numbered from 0; got labels "
            f"{people.tolist()}: train with batches of persons"
        )
    rows = np.unique(features.cpu().numpy(), axis=0, return_inverse=True)[1].reshape(-1)
    at = chosen.cpu().numpy()
    return choose_guides(
        names[at],
        None,
        rows[at],
        features[chosen],
        features,
        names,
        None,
        pool_rows=rows,
        count=max(1, int(sizes.max()) - 1),
    )
