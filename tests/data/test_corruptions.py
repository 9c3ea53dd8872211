"""Corruptions: values by naive forms and by a peer's output, chance by closed forms, and nothing that leaks in."""

from __future__ import annotations

import colorsys
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from featmask.data import CORRUPTIONS, corrupt
from featmask.data.corruptions import SEVERITIES, severity_table
from featmask.data.corruptions.blur import shuffled
from featmask.data.corruptions.filters import correlate
from featmask.data.corruptions.tables import STRENGTHS
from featmask.data.corruptions.weather import plasma
from featmask.errors import FeatmaskError

pillow = pytest.importorskip("PIL.Image")
ndimage = pytest.importorskip("scipy.ndimage")
stats = pytest.importorskip("scipy.stats")

GOLDEN = json.loads((Path(__file__).parents[1] / "oracles" / "corruptions_golden.json").read_text())
#: Every statistical bound here fails by chance, over seeds, once in a million; seeds are fixed.
RARE = 1e-6
NOISE = CORRUPTIONS[:3]
SIDES = {"imagenet": (72, 64), "cifar": (32, 28)}


def golden_image() -> np.ndarray:
    y, x = np.indices((72, 64))
    blue = np.where((x // 8 + y // 8) % 2, 230, (2 * y + 40) % 256)
    return np.stack([(3 * x + y * y // 16) % 256, (x * y // 12) % 256, blue], -1).astype(np.uint8)


def picture(table: str, channels: int = 3) -> np.ndarray:
    """8-bit (H, W, C), not square: clouds, with detail of every scale."""
    height, width = SIDES[table]
    rng = np.random.default_rng(3)
    clouds = [
        sum(ndimage.gaussian_filter(rng.standard_normal((height, width)), sigma) * sigma for sigma in (0.7, 1, 2, 4))
        for _ in range(channels)
    ]
    return np.stack([128 + 45 * one / one.std() for one in clouds], -1).clip(0, 255).astype(np.uint8)


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]


def levels(pixels: torch.Tensor) -> np.ndarray:
    """(N, H, W, C), each a whole number."""
    out = pixels.double().numpy() * 255
    assert np.abs(out - out.round()).max() < 1e-4
    return out.round().transpose(0, 2, 3, 1)


def ours(image: np.ndarray, name: str, severity: int, draws: int = 1, seed: int = 0) -> np.ndarray:
    return levels(corrupt(tensor(image).expand(draws, -1, -1, -1), name, severity, range(draws), seed))


def generator(name: str, severity: int, row: int = 0, seed: int = 0) -> np.random.Generator:
    """The promise about what is drawn, written out: it depends on these four alone."""
    entropy = (seed, row, CORRUPTIONS.index(name), severity)
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence(entropy)))


def strength(name: str, table: str, severity: int) -> tuple[float, ...]:
    return getattr(STRENGTHS[name], table)[severity - 1]


def close(got: np.ndarray, expected: np.ndarray, share: float = 0.002) -> None:
    """The naive form in float64 [0, 1], cut to 8 bits: a level apart at most, in a small share of the values.

    Ours is float32, to which a ten-thousandth of a level is added before it is cut.
    """
    apart = np.abs(got - np.floor(np.clip(expected, 0, 1) * 255 + 1e-4))
    assert apart.max() <= 1
    assert (apart > 0).mean() <= share


# --- tables ---


def test_the_fifteen_in_four_groups_with_five_severities_in_two_tables():
    assert len(CORRUPTIONS) == 15
    # in the order of the authors' list, which the random streams depend on
    assert CORRUPTIONS == tuple(STRENGTHS) == (
        "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
        "snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
    )  # fmt: skip
    for strengths in STRENGTHS.values():
        assert [len(table) for table in strengths] == [5, 5]
        assert len({len(values) for table in strengths for values in table}) == 1


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_strengths_are_those_of_the_authors_code(name, table):
    """Read from their files by a program. Ours adds the side of their images to elastic_transform."""
    values = [list(values) for values in getattr(STRENGTHS[name], table)]
    if name == "elastic_transform":
        assert {value.pop() for value in values} == {{"imagenet": 224, "cifar": 32}[table]}
    assert values == GOLDEN["constants"][table][name]


@pytest.mark.parametrize(("size", "table"), [((64, 64), "imagenet"), ((63, 200), "cifar"), ((200, 63), "cifar")])
def test_the_table_goes_by_the_shorter_side(size, table):
    assert severity_table(*size) == table
    grey = torch.full((1, 1, *size), 0.5)
    change = (corrupt(grey, "brightness", 1, [0]) - grey).mean().item()
    assert change == pytest.approx({"imagenet": 0.1, "cifar": 0.05}[table], abs=1 / 255)


# --- the peer's output ---


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("name", sorted(GOLDEN["pixels"]))
def test_deterministic_corruptions_equal_the_peer_s(name, severity):
    """A level apart at most: the peer works in float64 and cuts to 8 bits. JPEG decoders may round a little further."""
    golden = GOLDEN["pixels"][name][str(severity)]
    out = ours(golden_image(), name, severity)[0]
    apart = np.abs(out[4::12, 3::9].ravel() - golden["grid"])
    if name == "jpeg_compression":
        assert apart.max() <= 6
        assert apart.mean() <= 1
    else:
        assert apart.max() <= 1
    assert out.mean() == pytest.approx(golden["mean"], abs=0.3)
    assert out.std() == pytest.approx(golden["std"], abs=0.3)


@pytest.mark.parametrize("severity", [1, 3, 5])
@pytest.mark.parametrize("name", sorted(set(GOLDEN["moments"]) - {"frost"}))
def test_random_corruptions_have_the_peer_s_moments(name, severity):
    """Mean, deviation and distance to the clean image: two means of draws, 200 of the peer's and 100 of ours."""
    golden, image = GOLDEN["moments"][name][str(severity)], golden_image()
    out = ours(image, name, severity, draws=100)
    values = np.stack([out.mean((1, 2, 3)), out.std((1, 2, 3)), np.abs(out - image).mean((1, 2, 3))], axis=1)
    error = np.sqrt(values.var(0, ddof=1) / 100 + np.square(golden["deviation"]) / 200)
    # 48 levels for what 8 bits round between the steps would be a lot: a twentieth of one is allowed
    bound = stats.norm.isf(RARE / 2 / 63) * error + 0.05
    assert (np.abs(values.mean(0) - golden["mean"]) <= bound).all()


@pytest.mark.parametrize("severity", [1, 3, 5])
def test_rendered_frost_is_as_bright_and_as_far_from_clean_as_the_photographs(severity):
    """Its plates have the photographs' moments. The peer takes one of six evenly, the authors one of the first five."""
    golden, image = GOLDEN["moments"]["frost"][str(severity)], golden_image()
    out = ours(image, "frost", severity, draws=100)
    assert abs(out.mean() - golden["mean"][0]) < 20
    assert abs(np.abs(out - image).mean() - golden["mean"][2]) < 20
    assert out.std((1, 2, 3)).mean() == pytest.approx(golden["mean"][1], rel=0.15)


# --- naive forms ---


def naive_disk(radius: float, sigma: float) -> np.ndarray:
    half, reach = (8, 1) if radius <= 8 else (int(radius), 2)
    disk = np.array(
        [[float(x * x + y * y <= radius**2) for x in range(-half, half + 1)] for y in range(-half, half + 1)]
    )
    edge = np.array([math.exp(-x * x / (2 * sigma**2)) for x in range(-reach, reach + 1)])
    return ndimage.correlate(disk / disk.sum(), np.outer(edge, edge) / edge.sum() ** 2, mode="mirror")


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_defocus_is_a_correlation_with_a_disk(table, severity):
    image = picture(table)
    kernel = naive_disk(*strength("defocus_blur", table, severity))
    expected = ndimage.correlate(image / 255, kernel[..., None], mode="mirror")
    # the average of five pixels, a fifth of the time a whole level up to the kernel's faint edge
    close(ours(image, "defocus_blur", severity)[0], expected, share=0.02)


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_zoom_blur_averages_scipy_s_zooms(table, severity):
    image = picture(table) / 255
    factors = np.arange(1, *strength("zoom_blur", table, severity))
    total = image.copy()
    for factor in factors:
        kept = [math.ceil(side / factor) for side in image.shape[:2]]
        top, left = ((side - part) // 2 for side, part in zip(image.shape, kept, strict=False))
        large = ndimage.zoom(image[top : top + kept[0], left : left + kept[1]], (factor, factor, 1), order=1)
        top, left = ((large.shape[axis] - image.shape[axis]) // 2 for axis in (0, 1))
        total += large[top : top + image.shape[0], left : left + image.shape[1]]
    close(ours(picture(table), "zoom_blur", severity)[0], total / (len(factors) + 1))


@pytest.mark.parametrize("table", SIDES)
def test_brightness_raises_the_value_of_hsv(table):
    image = picture(table)
    image = np.concatenate([image, np.zeros_like(image[:1])])  # black has neither hue nor saturation
    for severity in (1, 5):
        (c,) = strength("brightness", table, severity)
        expected = np.empty(image.shape)
        for place in np.ndindex(image.shape[:2]):
            hue, saturation, value = colorsys.rgb_to_hsv(*(image[place] / 255))
            expected[place] = colorsys.hsv_to_rgb(hue, saturation, min(1.0, value + c))
        close(ours(image, "brightness", severity)[0], expected, share=0.01)


@pytest.mark.parametrize("table", SIDES)
def test_contrast_shrinks_the_distance_to_the_mean(table):
    image = picture(table) / 255
    for severity in SEVERITIES:
        mean = image.mean((0, 1))
        expected = mean + (image - mean) * strength("contrast", table, severity)[0]
        # a half or a quarter of a whole level, plus one constant a channel: many may fall on one boundary
        close(ours(picture(table), "contrast", severity)[0], expected, share=0.02)


@pytest.mark.parametrize("severity", [1, 5])
def test_pixelate_of_small_images_averages_boxes(severity):
    """By area overlap in float64; Pillow rounds to 8 bits after each direction, hence a level and a half."""
    image = picture("cifar")
    (c,) = strength("pixelate", "cifar", severity)

    def boxes(size: int, parts: int) -> np.ndarray:
        edge = np.arange(parts + 1) * size / parts
        # Pillow counts a pixel in when its centre lies in the box
        centre = np.arange(size) + 0.5
        inside = (centre >= edge[:-1, None]) & (centre < edge[1:, None])
        return inside / inside.sum(1, keepdims=True)

    small = [boxes(side, int(side * c)) for side in image.shape[:2]]
    large = [(np.arange(side) + 0.5) * int(side * c) // side for side in image.shape[:2]]
    shrunk = np.einsum("ay,yxc,bx->abc", small[0], image, small[1])
    expected = shrunk[np.ix_(large[0].astype(int), large[1].astype(int))]
    assert np.abs(ours(image, "pixelate", severity)[0] - expected).max() <= 1.5


@pytest.mark.parametrize("severity", [1, 5])
def test_jpeg_of_grey_images_is_the_luma_of_their_colour_files(severity):
    """The authors write three equal channels; a grey file has the same luma, so the same pixels up to rounding."""
    grey = picture("cifar", 1)
    file = io.BytesIO()
    pillow.fromarray(np.repeat(grey, 3, 2)).save(
        file, "JPEG", quality=strength("jpeg_compression", "cifar", severity)[0]
    )
    expected = np.asarray(pillow.open(file).convert("L"), dtype=float)
    assert np.abs(ours(grey, "jpeg_compression", severity)[0, ..., 0] - expected).max() <= 2


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_glass_blur_is_the_published_loop(table, severity):
    image = picture(table) / 255
    sigma, farthest, rounds = strength("glass_blur", table, severity)
    rng, (height, width) = generator("glass_blur", severity), image.shape[:2]
    x = np.floor(ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest") * 255 + 1e-4) / 255
    for _ in range(rounds):
        shifts = rng.integers(-farthest, farthest, size=(2, height, width))
        for h in range(height - farthest, farthest, -1):
            for w in range(width - farthest, farthest, -1):
                x[h, w] = x[h + shifts[0, h, w], w + shifts[1, h, w]]
    close(
        ours(picture(table), "glass_blur", severity)[0],
        ndimage.gaussian_filter(x, (sigma, sigma, 0), mode="nearest"),
        share=0.01,
    )


def test_a_colour_pixel_of_the_published_loop_is_copied_not_swapped():
    """The reading of the published line on which the shuffle rests, in NumPy itself."""
    x = np.arange(12).reshape(2, 2, 3)
    x[0, 0], x[1, 1] = x[1, 1], x[0, 0]
    assert x[0, 0].tolist() == x[1, 1].tolist() == [9, 10, 11]


def test_a_shuffle_follows_chains_of_any_length():
    """Each pixel takes its right neighbour, which took its own: a row ends up as its last pixel."""
    shifts = np.zeros((2, 9, 300), dtype=np.int64)
    shifts[1] = 1
    source = shuffled(shifts, 2).reshape(9, 300)
    assert (source[3:8, 3:299] == np.arange(3, 8)[:, None] * 300 + 299).all()
    assert (source[:3] == np.arange(900).reshape(3, 300)).all()


def naive_motion(image: np.ndarray, radius: int, sigma: float, degrees: float) -> np.ndarray:
    height, width = image.shape[:2]
    angle, total, weights = math.radians(degrees), np.zeros_like(image), 0.0
    for step in range(2 * radius + 1):
        rows = np.clip(np.arange(height) + math.ceil(step * math.sin(angle) - 0.5), 0, height - 1)
        columns = np.clip(np.arange(width) + math.ceil(step * math.cos(angle) - 0.5), 0, width - 1)
        weight = math.exp(-(step**2) / (2 * sigma**2))
        total, weights = total + weight * image[rows][:, columns], weights + weight
    return total / weights


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("severity", [1, 5])
def test_motion_blur_is_half_a_gaussian_along_a_line(table, severity):
    angle = generator("motion_blur", severity).uniform(-45, 45)
    expected = naive_motion(picture(table) / 255, *strength("motion_blur", table, severity), angle)
    close(ours(picture(table), "motion_blur", severity)[0], expected)


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_snow_is_zoomed_noise_in_motion(table, severity):
    image = picture(table) / 255
    height, width = image.shape[:2]
    mean, deviation, factor, threshold, radius, sigma, kept = strength("snow", table, severity)
    rng = generator("snow", severity)
    flakes = rng.standard_normal((1, height, width), dtype=np.float32)[0].astype(float) * deviation + mean
    parts = [math.ceil(side / factor) for side in (height, width)]
    top, left = (height - parts[0]) // 2, (width - parts[1]) // 2
    flakes = ndimage.zoom(flakes[top : top + parts[0], left : left + parts[1]], factor, order=1)
    top, left = (flakes.shape[0] - height) // 2, (flakes.shape[1] - width) // 2
    flakes = flakes[top : top + height, left : left + width]
    flakes = np.floor(np.clip(np.where(flakes < threshold, 0, flakes), 0, 1) * 255) / 255
    flakes = np.round(naive_motion(flakes, radius, sigma, rng.uniform(-135, -45)) * 255)[..., None] / 255
    grey = (image @ [0.299, 0.587, 0.114])[..., None]
    expected = kept * image + (1 - kept) * np.maximum(image, grey * 1.5 + 0.5) + flakes + np.rot90(flakes, k=2)
    # a flake that rounding moves by a level is smeared over some pixels
    close(ours(picture(table), "snow", severity)[0], expected, share=0.02)


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_fog_keeps_the_brightest_pixel_in_range(table, severity):
    image = picture(table) // 2
    weight, decay = strength("fog", table, severity)
    cloud = plasma({"imagenet": 128, "cifar": 32}[table], decay, generator("fog", severity))
    foggy = image / 255 + weight * cloud[: image.shape[0], : image.shape[1], None]
    most = image.max() / 255
    close(ours(image, "fog", severity)[0], foggy * most / (most + weight))


@pytest.mark.parametrize(("size", "sides"), [(3, (9, 12)), (7, (16, 8))])
def test_a_kernel_of_no_symmetry_is_correlated_not_convolved(size, sides):
    image, kernel = torch.rand(2, *sides), torch.rand(size, size)
    for got, plane in zip(correlate(image, kernel), image, strict=True):
        assert np.allclose(got, ndimage.correlate(plane.numpy(), kernel.numpy(), mode="mirror"), atol=1e-5)


@pytest.mark.parametrize("size", [2, 8, 32])
def test_plasma_is_the_diamond_square_algorithm(size):
    grid, rng, step, amplitude = {(0, 0): 0.0}, np.random.default_rng(5), size, 100.0
    draws = iter(rng.uniform(-1, 1, size * size - 1))
    while step >= 2:
        half, places = step // 2, [(y, x) for y in range(0, size, step) for x in range(0, size, step)]

        def mean(*corners: tuple[int, int], grid=grid) -> float:
            return sum(grid[y % size, x % size] for y, x in corners) / 4

        for y, x in places:
            middle = mean((y, x), (y + step, x), (y, x + step), (y + step, x + step))
            grid[y + half, x + half] = middle + amplitude**2 * next(draws)
        new = {}
        for y, x in places:
            new[y, x + half] = mean((y, x), (y, x + step), (y - half, x + half), (y + half, x + half))
            new[y, x + half] += amplitude**2 * next(draws)
        for y, x in places:
            new[y + half, x] = mean((y, x), (y + step, x), (y + half, x - half), (y + half, x + half))
            new[y + half, x] += amplitude**2 * next(draws)
        grid |= new
        step, amplitude = half, amplitude / 1.7
    expected = np.array([[grid[y, x] for x in range(size)] for y in range(size)])
    expected = (expected - expected.min()) / np.ptp(expected)
    assert np.allclose(plasma(size, 1.7, np.random.default_rng(5)), expected, atol=1e-12)


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_elastic_transform_is_scipy_s_affine_map_and_displacement(table, severity):
    image = picture(table) / 255
    height, width = image.shape[:2]
    ratio = min(height, width) / {"imagenet": 224, "cifar": 32}[table]
    alpha, sigma, corner = (
        value * scale
        for value, scale in zip(strength("elastic_transform", table, severity), (ratio**2, ratio, ratio), strict=False)
    )
    rng = generator("elastic_transform", severity)
    x, y, third = width // 2, height // 2, min(height, width) // 3
    points = np.array([(x + third, y + third), (x + third, y - third), (x - third, y - third)])
    moved = points + rng.uniform(-corner, corner, (3, 2))
    back = np.linalg.solve(np.c_[moved, np.ones(3)], points)  # (x, y, 1) of the output to (x, y) of the input
    swap = np.array([[0, 1], [1, 0]])
    matrix, offset = (swap @ back[:2] @ swap).T, back[2][::-1]
    planes = [ndimage.affine_transform(image[..., c], matrix, offset, order=1, mode="mirror") for c in range(3)]
    if alpha:
        noise = 2 * rng.random((2, height, width), dtype=np.float32).astype(float) - 1
        shifts = [alpha * ndimage.gaussian_filter(one, sigma, mode="reflect", truncate=3) for one in noise]
        places = np.indices((height, width)) + np.stack(shifts[::-1])
        planes = [ndimage.map_coordinates(plane, places, order=1, mode="reflect") for plane in planes]
    close(ours(picture(table), "elastic_transform", severity)[0], np.stack(planes, -1), share=0.01)


# --- chance in closed form ---


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_has_its_deviation(table, severity):
    """On values so far from 0 and 1, or so small, that clipping is computed exactly: the censored normal."""
    (sigma,) = strength("gaussian_noise", table, severity)
    image = np.full((*SIDES[table], 3), 102, dtype=np.uint8)
    out = ours(image, "gaussian_noise", severity, draws=8)
    edges = np.arange(1, 256) / 255
    below = np.concatenate([[0], stats.norm.cdf(edges, 0.4, sigma), [1]])
    expected = np.diff(below) * out.size  # levels are cut down, so level k is [k, k + 1) / 255, and 255 all beyond
    counts = np.bincount(out.astype(int).ravel(), minlength=256)
    assert stats.chisquare(*grouped(counts, expected)).pvalue > RARE


def grouped(counts: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join neighbouring cells until each expects 20 or more, as the chi-square bound needs."""
    ends, total = [], 0.0
    for cell, value in enumerate(expected):
        total += value
        if total >= 20:
            ends.append(cell + 1)
            total = 0.0
    ends[-1] = len(expected)
    starts = [0, *ends[:-1]]
    expected = np.add.reduceat(expected, starts)
    return np.add.reduceat(counts, starts), expected * counts.sum() / expected.sum()


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_shot_noise_is_poisson_at_every_level(table, severity):
    (photons,) = strength("shot_noise", table, severity)
    for level in (0, 1, 60, 255):
        image = np.full((*SIDES[table], 3), level, dtype=np.uint8)
        out = ours(image, "shot_noise", severity, draws=8)
        law, most = stats.poisson(level / 255 * photons), int(3 * photons + 50)
        shown = np.floor(np.clip(np.arange(most) / photons, 0, 1) * 255 + 1e-4).astype(int)
        expected = np.bincount(shown, law.pmf(np.arange(most)), 256) * out.size
        counts = np.bincount(out.astype(int).ravel(), minlength=256)
        if level == 0:
            assert counts[0] == out.size
        else:
            seen, wanted = grouped(counts, expected)
            assert len(seen) == 1 or stats.chisquare(seen, wanted).pvalue > RARE


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulse_noise_replaces_its_share_by_0_or_1(table, severity):
    (share,) = strength("impulse_noise", table, severity)
    image = np.full((*SIDES[table], 3), 100, dtype=np.uint8)
    out = ours(image, "impulse_noise", severity, draws=8)
    black, white = int((out == 0).sum()), int((out == 255).sum())
    assert black + white + (out == 100).sum() == out.size
    assert stats.binomtest(black + white, out.size, share).pvalue > RARE
    assert stats.binomtest(black, black + white).pvalue > RARE


# --- stronger with severity ---


#: Left out of the steps: these have constants that move both ways (a weaker frost on a darker image, the same weight of
#: a rougher fog, fewer rounds, fewer flakes); elastic_transform first moves the image, from 3 on its details.
BOTH_WAYS = {"snow", "frost", "fog", "glass_blur", "motion_blur", "elastic_transform"}


@pytest.mark.parametrize("table", SIDES)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_distance_to_the_clean_image_grows_with_severity(name, table):
    """Over 24 draws."""
    image = picture(table)
    distance = [np.abs(ours(image, name, severity, draws=24) - image).mean() for severity in SEVERITIES]
    assert min(distance) > 0.5
    if name not in BOTH_WAYS:
        assert distance == sorted(distance)
    if name != "elastic_transform":
        assert distance[4] > 1.2 * distance[0]


# --- what it depends on ---


@pytest.mark.parametrize("side", [8, 28, 70])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_an_image_depends_on_its_row_and_the_seed_alone(name, side):
    images = torch.rand(5, 3, side, side + 3)
    np.random.seed(3)  # noqa: NPY002 - the global state must neither change nor matter
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    whole = corrupt(images, name, 4, [7, 0, 3, 900, 12], seed=2)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    order = [3, 1, 4, 0, 2]
    mixed = corrupt(images[order], name, 4, np.array([7, 0, 3, 900, 12])[order], seed=2)
    assert torch.equal(mixed, whole[order])
    alone = corrupt(images[3:4].flip(-1).flip(-1), name, 4, torch.tensor([900]), seed=2)
    assert torch.equal(alone[0], whole[3])
    assert whole.dtype == torch.float32
    assert 0 <= whole.min() <= whole.max() <= 1


DRAWN = sorted(set(CORRUPTIONS) - set(GOLDEN["pixels"]))


@pytest.mark.parametrize("name", DRAWN)
def test_rows_seeds_and_severities_draw_anew(name):
    image = tensor(picture("imagenet"))
    two = corrupt(image.expand(2, -1, -1, -1), name, 3, [0, 1])
    assert not torch.equal(two[0], two[1])
    assert not torch.equal(corrupt(image, name, 3, [0], seed=1)[0], two[0])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_grey_stays_grey_and_wide_images_keep_their_shape(name):
    for shape in ((2, 1, 28, 28), (1, 1, 64, 97), (1, 3, 8, 40)):
        out = corrupt(torch.rand(shape), name, 5, range(shape[0]))
        assert out.shape == shape
        assert torch.isfinite(out).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_black_white_and_no_images_pass(name):
    flat = torch.stack([torch.zeros(3, 16, 16), torch.ones(3, 16, 16)])
    assert torch.isfinite(corrupt(flat, name, 5, [0, 1])).all()
    assert corrupt(flat[:0], name, 5, []).shape == (0, 3, 16, 16)


def test_the_images_given_are_left_alone_and_half_floats_are_taken():
    images = (torch.rand(2, 3, 16, 16) * 255).round() / 255
    kept = images.clone()
    whole = corrupt(images, "contrast", 3, [0, 1])
    assert torch.equal(images, kept)
    assert torch.equal(corrupt(images.double().requires_grad_(), "contrast", 3, [0, 1]), whole)
    assert (corrupt(images.half(), "contrast", 3, [0, 1]) - whole).abs().max() <= 1 / 255 + 1e-6


# --- mistakes ---


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": "gausian_noise"}, "gaussian_noise, shot_noise"),
        ({"severity": 0}, "severity: expected one of (1, 2, 3, 4, 5), got 0"),
        ({"severity": 6}, "got 6"),
        ({"severity": True}, "got True"),
        ({"severity": 2.5}, "got 2.5"),
        ({"seed": -1}, "seed: expected a whole number"),
        ({"rows": [0]}, "one row for each of 2 images, got 1"),
        ({"rows": [0, -1]}, "rows: expected numbers of 0 or more, got -1"),
        ({"pixels": torch.rand(2, 2, 16, 16)}, "got (2, 2, 16, 16)"),
        ({"pixels": torch.rand(2, 3, 7, 16)}, "got (2, 3, 7, 16)"),
        ({"pixels": torch.rand(3, 16, 16)}, "got (3, 16, 16)"),
        ({"pixels": torch.zeros(2, 3, 16, 16, dtype=torch.uint8)}, "divide 8-bit pixels by 255"),
        ({"pixels": torch.full((2, 3, 16, 16), 1.01)}, "got 1.01 to 1.01"),
        ({"pixels": torch.full((2, 3, 16, 16), -0.5)}, "before they are normalised"),
        ({"pixels": torch.full((2, 3, 16, 16), math.nan)}, "expected pixels in [0, 1]"),
    ],
)
def test_mistakes_say_what_was_expected(change, says):
    arguments = {"pixels": torch.rand(2, 3, 16, 16), "name": "fog", "severity": 3, "rows": [0, 1], "seed": 0}
    with pytest.raises(FeatmaskError) as caught:
        corrupt(**(arguments | change))
    assert says in str(caught.value)
