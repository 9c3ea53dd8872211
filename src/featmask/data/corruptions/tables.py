"""The fifteen corruptions, and how strong each is at each severity: published constants, nothing else.

Source: Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations" (ICLR
2019) and the authors' generators, github.com/hendrycks/robustness, ImageNet-C/create_c: ``make_imagenet_c.py`` (commit
e0377d4) and ``make_cifar_c.py`` (commit ca36008). Lengths are in pixels whatever
the size of the image, but for elastic_transform, whose lengths the authors write as shares of the side.
"""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple

from ...records import names

#: In the published order; what is drawn for an image depends on a name's place in it, so it never changes.
CORRUPTIONS: tuple[str, ...] = tuple(chain.from_iterable(names.CORRUPTIONS.values()))
SEVERITIES: tuple[int, ...] = (1, 2, 3, 4, 5)
#: For records: frost is rendered here. The published one pastes photographs.
FROST = "rendered"
#: Images whose shorter side is at least this take the ImageNet table.
LARGE = 64

#: Added before a level is cut down to a whole one, so that float32 does not lose a level where the result is whole.
NUDGE = 1e-4

Strength = tuple[float, ...]


class Strengths(NamedTuple):
    """What a corruption takes at severities 1 to 5, by table."""

    imagenet: tuple[Strength, ...]
    cifar: tuple[Strength, ...]


def _single(*values: float) -> tuple[Strength, ...]:
    return tuple((value,) for value in values)


STRENGTHS: dict[str, Strengths] = {
    # standard deviation
    "gaussian_noise": Strengths(_single(0.08, 0.12, 0.18, 0.26, 0.38), _single(0.04, 0.06, 0.08, 0.09, 0.10)),
    # photons per unit of brightness
    "shot_noise": Strengths(_single(60, 25, 12, 5, 3), _single(500, 250, 100, 75, 50)),
    # share of values that are replaced
    "impulse_noise": Strengths(_single(0.03, 0.06, 0.09, 0.17, 0.27), _single(0.01, 0.02, 0.03, 0.05, 0.07)),
    # radius of the disk, sigma that smooths its edge
    "defocus_blur": Strengths(
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    ),
    # sigma, farthest shift, rounds of shuffling
    "glass_blur": Strengths(
        ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    ),
    # radius, sigma
    "motion_blur": Strengths(
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    ),
    # where np.arange(1, end, step) ends, and its step
    "zoom_blur": Strengths(
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    ),
    # mean and deviation of the flakes, zoom, threshold, radius and sigma of their motion, weight of the image
    "snow": Strengths(
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    ),
    # weights of the image and of the frost
    "frost": Strengths(
        ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    ),
    # weight of the fog, decay of its roughness from one scale to the next
    "fog": Strengths(
        ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    ),
    # added to the value of HSV
    "brightness": Strengths(_single(0.1, 0.2, 0.3, 0.4, 0.5), _single(0.05, 0.1, 0.15, 0.2, 0.3)),
    # factor of the distance to the mean
    "contrast": Strengths(_single(0.4, 0.3, 0.2, 0.1, 0.05), _single(0.75, 0.5, 0.4, 0.3, 0.15)),
    # size of the displacement, its sigma, farthest shift of three points, and the side of the images that they are for
    # (the authors wrote 244 for 224)
    "elastic_transform": Strengths(
        (
            (244 * 2, 244 * 0.7, 244 * 0.1, 224),
            (244 * 2, 244 * 0.08, 244 * 0.2, 224),
            (244 * 0.05, 244 * 0.01, 244 * 0.02, 224),
            (244 * 0.07, 244 * 0.01, 244 * 0.02, 224),
            (244 * 0.12, 244 * 0.01, 244 * 0.02, 224),
        ),
        (
            (0, 0, 32 * 0.08, 32),
            (32 * 0.05, 32 * 0.2, 32 * 0.07, 32),
            (32 * 0.08, 32 * 0.06, 32 * 0.06, 32),
            (32 * 0.1, 32 * 0.04, 32 * 0.05, 32),
            (32 * 0.1, 32 * 0.03, 32 * 0.03, 32),
        ),
    ),
    # factor of the side
    "pixelate": Strengths(_single(0.6, 0.5, 0.4, 0.3, 0.25), _single(0.95, 0.9, 0.85, 0.75, 0.65)),
    # quality
    "jpeg_compression": Strengths(_single(25, 18, 15, 10, 7), _single(80, 65, 58, 50, 40)),
}


def severity_table(height: int, width: int) -> str:
    """Which published constants images of this size take: ``imagenet`` from a shorter side of 64 on, else ``cifar``."""
    return "imagenet" if min(height, width) >= LARGE else "cifar"
