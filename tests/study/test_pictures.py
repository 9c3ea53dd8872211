"""Pictures beside a report: what is chosen and counted against naive code, Grad-CAM against a formula and captum."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from scipy.stats import binomtest
from torch import nn

from featmask.drawing.sheet import Cell, Row, enlarged, save_sheet
from featmask.errors import FeatmaskError, MissingExtraError
from featmask.family import build_layer
from featmask.models import Normalized, build_model
from featmask.recipe import override
from featmask.records import pictures as gallery
from featmask.records.run import RecordedRecipe, Run, RunInfo, read_run
from featmask.records.suite import Suite
from featmask.reid.models import build_embedder
from featmask.study.fields import open_task, parse_recipe
from featmask.study.pictures import attention, draw_all, missing, save_masks
from featmask.study.pictures.album import pair_of
from featmask.study.pictures.attention import DIFFERENT, SPREAD, choose, grad_cam, heated, last_maps
from featmask.study.pictures.gained_lost import column_of, extremes, outcomes, save_saved
from featmask.study.pictures.masks import MARK, hidden_by, marked, typical
from featmask.study.run import CHECKPOINT, load_model, measure_run, train_run

pytest.importorskip("captum")

RAW = {
    "name": "tiny",
    "data": {"name": "digits", "train_share": 0.1},
    "model": {"name": "resnet8"},
    "train": {"epochs": 1, "batch_size": 64, "lr": 0.1, "tensorboard": False},
    "methods": {"none": None, "lfm": None, "dropout": None},
    "seeds": 2,
    "evaluate": {
        "suites": ["clean", "linf", "corruptions"], "eps": ["2/255", "8/255"], "attacks": ["fgsm"],
        "refine": 0, "corruptions": ["gaussian_noise"], "severities": [4], "attack_samples": 20,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def recipe():
    return parse_recipe(RAW, "here")


@pytest.fixture(scope="module")
def task(recipe):
    return open_task(recipe)


@pytest.fixture(scope="module")
def runs(recipe, task, tmp_path_factory):
    """Of none and lfm, seeds 0 and 1, and of dropout, seed 0."""
    root, found = tmp_path_factory.mktemp("study"), []
    for method, seed in (("none", 0), ("none", 1), ("lfm", 0), ("lfm", 1), ("dropout", 0)):
        folder = root / method / f"seed-{seed}"
        train_run(recipe, method, seed, folder, task, "cpu")
        measure_run(recipe, folder, task, "cpu")
        found.append(read_run(folder))
    return found


def made_up(method: str, seed: int, columns: dict[str, dict[str, np.ndarray]]) -> Run:
    """A run of outcomes alone."""
    suites = {name: Suite(name, "test", len(own["index"]), {}) for name, own in columns.items()}
    return Run(Path(), RunInfo(method=method, seed=seed), RecordedRecipe(), {}, [], suites, columns)


# Which samples


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_the_shown_test_images_follow_the_rule(share):
    rng = np.random.default_rng(int(100 * share))
    for n in (3, 9, 200):
        index = rng.permutation(1000)[:n]
        baseline, other = rng.random(n) < 0.6, rng.random(n) < 0.6
        other[rng.random(n) >= share] = baseline[0]
        found = [index[places].tolist() for places in choose(index, baseline, other)]

        def middles(values, count):
            values = sorted(values)
            count = min(count, len(values))
            return [values[int((k + 0.5) * len(values) / count)] for k in range(count)]

        of = dict(zip(index.tolist(), zip(baseline.tolist(), other.tolist(), strict=True), strict=True))
        first = middles([i for i, (a, b) in of.items() if a and not b], DIFFERENT)
        second = middles([i for i, (a, b) in of.items() if b and not a], DIFFERENT)
        spread = middles([i for i in of if i not in first + second], SPREAD)
        assert found == [spread, first, second]
        assert len({*spread, *first, *second}) == len(spread) + len(first) + len(second)


def test_samples_that_differ_most_come_first_and_ties_by_index():
    rng = np.random.default_rng(0)
    for count in (1, 3, 8, 100):
        index = rng.permutation(500)[:60]
        gain = rng.integers(-3, 4, 60).astype(float)
        pairs = list(zip(gain.tolist(), index.tolist(), strict=True))
        saved = [i for g, i in sorted(pairs, key=lambda pair: (-pair[0], pair[1])) if g > 0][:count]
        lost = [i for g, i in sorted(pairs) if g < 0][:count]
        assert [index[places].tolist() for places in extremes(gain, index, count)] == [saved, lost]


def test_saved_and_lost_are_counted_a_seed_and_told(task, tmp_path):
    rng = np.random.default_rng(1)
    index = task.splits.test.rows[:40]
    right = rng.random((2, 3, 40)) < 0.7
    sides = [
        [
            made_up(name, seed, {"clean": {"index": index, "correct": right[side, seed].astype(int)}})
            for seed in range(3)
        ]
        for side, name in enumerate(("none", "lfm"))
    ]
    found = outcomes(task.tested(), "clean", *sides)
    saved, lost = [0, 0, 0], [0, 0, 0]
    for seed in range(3):
        for sample in range(40):
            baseline, other = bool(right[0, seed, sample]), bool(right[1, seed, sample])
            saved[seed] += other and not baseline
            lost[seed] += baseline and not other
    assert (found.saved, found.lost) == (saved, lost)
    caption = save_saved(task.tested(), found, tmp_path / "saved.png")
    assert "lfm alone is right on {}, {}, {} of 40 test images".format(*saved) in caption
    assert "none alone on {}, {}, {} (seeds 0, 1, 2)".format(*lost) in caption
    assert "McNemar" not in caption  # it is for one pair of models

    one = outcomes(task.tested(), "clean", sides[0][:1], sides[1][:1])
    p = binomtest(saved[0], saved[0] + lost[0]).pvalue
    assert f"p = {p:.3g}." in save_saved(task.tested(), one, tmp_path / "saved.png")


def test_queries_are_counted_by_rank_1_and_shown_by_average_precision(tmp_path):
    class Persons:
        samples, hit, score_column = "queries", "rank1", "ap"

        def images(self, indices):
            return [torch.full((3, 8, 4), index / 10) for index in indices.tolist()]

        def names(self, indices):
            return [f"id {index}" for index in indices.tolist()]

    columns = "worst.rank1@5/255", "worst.ap@5/255"
    none = [1, 1, 0, 0, 1, 0], [0.9, 0.8, 0.1, 0.2, 0.8, 0.3]
    lfm = [1, 0, 0, 1, 0, 0], [0.95, 0.4, 0.1, 0.9, 0.7, 0.37]
    values = {"none": map(np.array, none), "lfm": map(np.array, lfm)}
    sides = [
        [made_up(name, 0, {"attack_query": {"index": np.arange(6)} | dict(zip(columns, values[name], strict=True))})]
        for name in ("none", "lfm")
    ]
    found = outcomes(Persons(), "attack", *sides)
    assert (found.saved, found.lost) == ([1], [2])
    assert [places.tolist() for places in extremes(found.gain, found.index, 8)] == [[3, 5, 0], [1, 4]]
    caption = save_saved(Persons(), found, tmp_path / "saved.png")
    assert "in the worst case of attacks on the query at 5/255" in caption
    assert "lfm alone is right at Rank-1 on 1 of 6 queries, none alone on 2 (seed 0)" in caption
    assert f"p = {binomtest(1, 3).pvalue:.3g}." in caption


def test_nothing_saved_and_nothing_lost_is_a_picture_too(task, tmp_path):
    columns = {"clean": {"index": task.splits.test.rows[:5], "correct": np.ones(5, int)}}
    found = outcomes(task.tested(), "clean", [made_up("none", 0, columns)], [made_up("lfm", 0, columns)])
    assert "lfm alone is right on 0 of 5" in save_saved(task.tested(), found, tmp_path / "saved.png")
    assert imread(tmp_path / "saved.png").shape[0] > 0


@pytest.mark.parametrize(
    ("suite", "columns", "score", "expected"),
    [
        ("clean", ["index", "correct"], "correct", "correct"),
        ("clean", ["index", "rank1", "ap"], "ap", "ap"),
        ("linf", ["worst@16/255", "pgd@8/255", "worst@2/255", "worst@0.5/255"], "correct", "worst@2/255"),
        ("linf", ["worst@2/255", "worst@10/255"], "correct", "worst@10/255"),
        ("l2", ["worst-l2@0.25", "worst-l2@1", "worst-l2@0.5"], "correct", "worst-l2@0.5"),
        ("occlusion", ["patch@10%", "worst@30%", "worst@10%", "worst@20%"], "correct", "worst@20%"),
        ("corruptions", ["index", "fog:1", "fog:5", "fog:3", "snow:2"], "correct", "fog:3"),
        ("attack_query", ["worst.rank1@5/255", "worst.ap@5/255", "worst.ap@1/255"], "ap", "worst.ap@5/255"),
        ("linf", ["index", "pgd@8/255"], "correct", None),
    ],
)
def test_the_size_that_is_shown_is_the_middle_one(suite, columns, score, expected):
    assert column_of(suite, dict.fromkeys(columns, np.zeros(1)), score) == expected


def test_other_samples_and_missing_suites_are_refused(task):
    def run(index, name="clean"):
        return made_up("a", 0, {name: {"index": np.array(index), "correct": np.zeros(len(index), int)}})

    with pytest.raises(FeatmaskError, match="different samples"):
        outcomes(task.tested(), "clean", [run([1, 2])], [run([1, 3])])
    with pytest.raises(FeatmaskError, match="no outcomes"):
        outcomes(task.tested(), "attack", [run([1, 2])], [run([1, 2])])
    with pytest.raises(FeatmaskError, match="needed"):
        attention.save_attention(task.tested(), [run([1], "linf")] * 2, {}, "x.png", "cpu")


# Grad-CAM


class LinearInMaps(nn.Module):
    """Logits are weighted sums of all values of the maps: Grad-CAM is the weights times the maps."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(1, 5, 3, padding=1)
        self.weights = nn.Parameter(torch.randn(4, 5))

    def forward(self, x):
        return self.maps(x).sum((2, 3)) @ self.weights.T


def test_grad_cam_is_the_weights_times_the_maps():
    model = LinearInMaps().eval()
    pixels, labels = torch.rand(6, 1, 9, 7), torch.tensor([0, 3, 1, 2, 3, 0])
    found = grad_cam(model, pixels, lambda x: model(x).gather(1, labels[:, None])[:, 0])
    with torch.no_grad():
        expected = torch.einsum("nk,nkhw->nhw", model.weights[labels], model.maps(pixels)).relu()
    assert (expected == 0).any()
    assert (expected > 0).any()
    torch.testing.assert_close(found, expected)


def test_a_classifiers_overlay_shows_captums_map_of_the_true_class(task):
    from captum.attr import LayerGradCam

    model = Normalized(build_model("resnet8", num_classes=10, in_chans=1), [0.3], [0.3]).eval()
    index = task.splits.test.rows[[5, 77, 300]]
    pixels = torch.stack(task.tested().images(index))
    labels = [task.splits.test.table.labels[row] for row in index]
    assert [int(name) for name in task.tested().names(index)] == labels
    score = task.tested().score(model, index, torch.device("cpu"))
    found = grad_cam(model, pixels, score)
    cam = LayerGradCam(model, model.model.layer3)
    expected = cam.attribute(pixels, target=torch.tensor(labels), relu_attributions=True)[:, 0].detach()
    torch.testing.assert_close(found, expected)
    assert found.amax() > 0


@pytest.mark.parametrize(
    ("name", "size", "expected"),
    [
        ("resnet14", 28, "layer3"),
        ("tf_efficientnet_lite0", 64, "bn2"),
        ("torchvision:resnet18", 64, "layer4"),
        ("torchvision:squeezenet1_1", 64, "classifier.2"),
        ("torchvision:mobilenet_v3_small", 64, "features"),
        # of 32 pixels the last stages leave maps of one value: those before them are explained
        ("tf_efficientnet_lite0", 32, "blocks.5.0.bn1"),
    ],
)
def test_the_last_maps_of_libraries_models(name, size, expected):
    model = build_model(name, num_classes=3).eval()
    pixels = torch.rand(2, 3, size, size)
    assert last_maps(model, pixels[:1]) == expected
    found = grad_cam(model, pixels, lambda x: model(x)[:, 1])
    kept = {}
    handle = model.get_submodule(expected).register_forward_hook(lambda module, given, out: kept.update(maps=out))
    logit = model(pixels)[:, 1].sum()
    handle.remove()
    (slope,) = torch.autograd.grad(logit, kept["maps"])
    naive = (slope.mean((2, 3), keepdim=True) * kept["maps"]).sum(1).relu().detach()
    torch.testing.assert_close(found, naive)
    assert found.shape[1] * found.shape[2] > 1


class Turned(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


@pytest.mark.parametrize(
    "behind",
    [
        [nn.AdaptiveAvgPool2d((4, 2)), nn.Flatten(), nn.Linear(32, 3)],  # a head's, as in VGG: values of another grid
        [nn.AvgPool2d((4, 12)), nn.Flatten(), nn.Linear(24, 3)],  # stripes of a person
        [Turned(), nn.Flatten(), nn.Linear(1152, 3)],  # channels last
    ],
)
def test_what_a_head_makes_of_maps_is_not_explained(behind):
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *behind)
    assert last_maps(model, torch.rand(2, 3, 24, 12)) == "0"


def test_every_image_has_its_own_map_and_answer(task, runs, tmp_path, monkeypatch):
    from captum.attr import LayerGradCam

    seen, rows = [], []
    monkeypatch.setattr(attention, "save_sheet", lambda path, drawn, groups: rows.extend(drawn))
    monkeypatch.setattr(attention, "heated", lambda image, heat: seen.append((image, heat)) or heated(image, heat))
    pair = [runs[0], runs[2]]
    models = {run.method: load_model(run.folder / CHECKPOINT)[0] for run in pair}
    tested = task.tested()
    attention.save_attention(tested, pair, models, tmp_path / "attention.png", "cpu")
    index = runs[0].samples["clean"]["index"]
    places = np.concatenate(choose(index, *(run.samples["clean"]["correct"] == 1 for run in pair)))
    assert len(seen) == 2 * len(places) > SPREAD
    for (image, heat), (run, place) in zip(seen, [(run, place) for run in pair for place in places], strict=True):
        pixels, model = torch.from_numpy(image).permute(2, 0, 1)[None], models[run.method].eval()
        assert torch.equal(pixels, tested.images(index[[place]])[0][None])
        with torch.no_grad():
            answer = int(model(pixels).argmax())
        true = int(run.samples["clean"]["label"][place])
        cell = rows[1 + pair.index(run)].cells[places.tolist().index(place)]
        assert (cell.caption, cell.right) == (str(answer), answer == true)
        expected = LayerGradCam(model, model.model.layer3).attribute(pixels, target=true, relu_attributions=True)
        torch.testing.assert_close(heat, expected[0, 0].detach())


def test_parts_of_a_person_are_no_last_maps():
    embedder = build_embedder("resnet8", num_ids=3, head="pcb", parts=4).eval()
    name = last_maps(embedder, torch.rand(1, 3, 64, 32))
    assert name.startswith("backbone")


def test_a_model_without_maps_is_refused():
    with pytest.raises(FeatmaskError, match="Grad-CAM needs a CNN"):
        last_maps(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.rand(1, 3, 2, 2))


def test_heat_is_drawn_where_it_is_and_nowhere_else():
    image = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    grey = enlarged(image.mean(axis=2))
    assert np.array_equal(heated(image, torch.zeros(4, 4)), grey)  # nothing speaks for the class: no heat, no NaN
    heat = torch.zeros(4, 4)
    heat[0, 3] = 1e-6  # each map is scaled to its own largest value
    drawn, side = heated(image, heat), len(grey)
    changed = (drawn != grey).any(2)
    assert changed[: side // 8, -side // 8 :].all()
    assert not changed[side // 2 :].any()
    assert not changed[:, : side // 2].any()
    assert np.array_equal(drawn, heated(image, heat * 1e5))


# Masks


def test_a_typical_channel_is_the_median_of_those_that_lose_something():
    rng = np.random.default_rng(0)
    for _ in range(50):
        shares = rng.random(12) * (rng.random(12) < 0.5)
        touched = sorted((share, place) for place, share in enumerate(shares) if share > 0)
        expected = touched[(len(touched) - 1) // 2][1] if touched else 0
        assert typical(shares) == expected


def test_the_marked_region_is_what_the_layer_itself_says(recipe, task):
    found = hidden_by(recipe, task, "lfm", 5, seed=3)
    layer = build_layer("lfm")
    layer.p = 1.0
    maps = torch.randn(5, 16, 8, 8)
    torch.manual_seed(3)
    layer.train()(maps)
    shares = layer.last_mask.flatten(2).double().mean(2)
    assert found.certain
    for number in range(5):
        plane = typical(shares[number].numpy())
        assert np.array_equal(found.dropped[number], layer.last_mask[number, plane].numpy())
        assert 0 < found.dropped[number].mean() < 1


def test_what_a_layer_scales_is_not_marked(recipe, task):
    # dropout at p = 0.1 changes every value and drops a tenth: 6 planes of 64, alarmed wrongly once in a million
    found = hidden_by(recipe, task, "dropout", 6, seed=0)
    assert not found.certain
    dropped = int(sum(mask.sum() for mask in found.dropped))
    assert binomtest(dropped, 6 * 64, 0.1).pvalue > 1e-6


def test_a_mark_covers_the_region_and_nothing_beside_it():
    plane = np.random.default_rng(0).random((12, 12)).astype(np.float32)
    dropped = np.zeros((12, 12), dtype=bool)
    dropped[2:7, 3:9] = True
    drawn = marked(plane, dropped, 144)
    inside = np.repeat(np.repeat(dropped, 12, 0), 12, 1)
    coloured = drawn[..., 0].astype(int) != drawn[..., 2]
    assert np.array_equal(coloured, inside)
    solid = (drawn == MARK).all(2)
    for y, x in np.argwhere(inside):
        near = [(y + a, x + b) for step in (-2, -1, 1, 2) for a, b in ((step, 0), (0, step))]
        assert solid[y, x] or all(inside[place] for place in near)
    assert (inside & ~solid).any()
    assert np.array_equal(marked(plane, np.zeros_like(dropped), 144)[~inside], drawn[~inside])


def test_masks_name_each_method_and_its_share_and_repeat(recipe, task, tmp_path):
    shares = {"lfm": 0.015, "dropout": 0.1}
    caption = save_masks(recipe, task, tmp_path / "a.png", methods=["lfm", "dropout"], count=2, shares=shares)
    save_masks(recipe, task, tmp_path / "b.png", methods=["lfm", "dropout"], count=2, shares=shares)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert "p = 1, so that every image shows a mask: lfm;" in caption
    save_masks(recipe, task, tmp_path / "b.png", methods=["lfm", "dropout"], count=2, shares={**shares, "lfm": 0.02})
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
    assert save_masks(recipe, task, tmp_path / "none.png", methods=[]) == ""
    assert not (tmp_path / "none.png").exists()
    with pytest.raises(FeatmaskError, match="masks nothing"):
        save_masks(recipe, task, tmp_path / "none.png", methods=["none"])


# Sheets


def test_a_sheet_shows_every_image_pixel_by_pixel(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (24, width, 3), dtype=np.uint8) for width in (24, 12)]
    rows = [Row([Cell(images[0], "$x^$ a name", True)], "label"), Row([Cell(one) for one in images], title="$y_")]
    save_sheet(tmp_path / "sheet.png", rows, {0: "spread", 1: "only one method is right"})
    drawn = np.round(imread(tmp_path / "sheet.png")[..., :3] * 255).astype(np.uint8)
    for image in images:
        windows = np.lib.stride_tricks.sliding_window_view(drawn, image.shape)
        corner = (windows[:, :, 0, 0, 0] == image[0, 0]).all(2)
        assert any(np.array_equal(windows[y, x, 0], image) for y, x in np.argwhere(corner))
    with pytest.raises(FeatmaskError, match="at least one row"):
        save_sheet(tmp_path / "sheet.png", [])
    with pytest.raises(FeatmaskError, match="more than 30000 a side; draw fewer"):
        save_sheet(tmp_path / "large.png", rows * 400)
    assert not (tmp_path / "large.png").exists()


def test_right_and_wrong_images_have_their_colours(tmp_path):
    """Each image has a grey of its own; the frame is what touches that grey on its left."""
    greys = {90: (True, (0x00, 0x9E, 0x73)), 170: (False, (0xD5, 0x5E, 0x00)), 40: (None, (0xFF, 0xFF, 0xFF))}
    row = Row([Cell(np.full((32, 16, 3), grey, np.uint8), right=right) for grey, (right, _) in greys.items()])
    save_sheet(tmp_path / "sheet.png", [row])
    pixels = np.round(imread(tmp_path / "sheet.png")[..., :3] * 255).astype(int)
    for grey, (_, colour) in greys.items():
        y, x = np.argwhere((pixels == grey).all(2)).min(0)
        assert np.abs(pixels[y + 16, x - 2] - colour).max() <= 8


def test_a_note_stands_below_the_rows_and_changes_nothing_above(tmp_path):
    rows = [Row([Cell(np.full((144, 72, 3), 90, np.uint8), "one")] * 3)]
    save_sheet(tmp_path / "plain.png", rows)
    save_sheet(tmp_path / "noted.png", rows, note="What the signs mean. " * 6)
    plain, noted = imread(tmp_path / "plain.png"), imread(tmp_path / "noted.png")
    extra = len(noted) - len(plain)
    assert extra > 0
    assert extra % 20 == 0  # whole lines
    assert np.array_equal(plain[:-20], noted[: len(plain) - 20])
    assert (noted[len(plain) - 20 :] < 0.9).any(axis=(1, 2)).sum() > extra / 4
    assert (noted[-10:] == 1).all()


@pytest.mark.parametrize(("side", "shown"), [(8, 144), (28, 140), (48, 144), (32, 144), (96, 144), (300, 144)])
def test_images_of_any_size_are_shown_alike(side, shown):
    image = np.random.default_rng(0).random((side, side))
    found = enlarged(image)
    assert found.shape == (shown, shown, 3)
    if side in (8, 28, 48):  # whole multiples: each pixel is a square
        levels = np.round(image * 255).astype(np.uint8)
        assert np.array_equal(found[..., 1], np.kron(levels, np.ones((shown // side,) * 2, dtype=np.uint8)))


# All of them


def names(folder: Path) -> list[str]:
    return [picture.path.stem for picture in gallery.read(folder)]


def times(folder: Path) -> dict[str, int]:
    return {picture.path.stem: picture.path.stat().st_mtime_ns for picture in gallery.read(folder)}


def test_lfm_stands_beside_the_baseline_or_else_the_last_method():
    assert pair_of(["none", "lfm", "dropout"]) == ("none", "lfm")
    assert pair_of(["none", "dropout", "cutout"]) == ("none", "cutout")
    assert pair_of(["lfm", "dropout"]) == ("lfm", "dropout")
    assert pair_of(["none"]) == ("none",)


ALL = ["attention", "saved-attack", "saved-clean", "saved-corruptions", "masks"]


def test_a_study_gets_its_pictures_once(recipe, task, runs, tmp_path):
    two = runs[:4]
    assert missing(recipe, tmp_path, two)
    assert draw_all(recipe, task, two, tmp_path, "cpu") == []
    assert names(tmp_path) == ALL
    captions = {picture.path.stem: picture.caption for picture in gallery.read(tmp_path)}
    assert "worst case of attacks in the L-infinity norm at 8/255" in captions["saved-attack"]
    assert "gaussian noise of severity 4" in captions["saved-corruptions"]
    assert "(2 x 2 values)" in captions["attention"]
    assert gallery.shown(tmp_path, "attention")["seeds"] == [0]
    assert not missing(recipe, tmp_path, two)

    before = times(tmp_path)
    assert draw_all(recipe, task, two, tmp_path, "cpu") == []
    assert times(tmp_path) == before

    draw_all(recipe, task, two, tmp_path / "again", "cpu")
    for name in ALL:
        for ending in ("png", "json"):
            file = f"{gallery.FOLDER}/{name}.{ending}"
            assert (tmp_path / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_a_picture_that_shows_other_runs_is_drawn_again(recipe, task, runs, tmp_path):
    none, lfm, dropout = runs[:2], runs[2:4], runs[4:]
    draw_all(recipe, task, [none[0], lfm[0]], tmp_path, "cpu")
    first = times(tmp_path)
    # another seed: what is counted over seeds is out of date, what shows the first seed is not
    assert not missing(recipe, tmp_path, [none[0], lfm[0]])
    assert missing(recipe, tmp_path, [*none, *lfm])
    draw_all(recipe, task, [*none, *lfm], tmp_path, "cpu")
    second = times(tmp_path)
    assert {name for name in ALL if second[name] != first[name]} == {name for name in ALL if name.startswith("saved")}
    # another method, which does not stand beside the baseline: only the masks show it
    assert missing(recipe, tmp_path, [*none, *dropout, *lfm])
    draw_all(recipe, task, [*none, *dropout, *lfm], tmp_path, "cpu")
    third = times(tmp_path)
    assert {name for name in ALL if third[name] != second[name]} == {"masks"}
    assert gallery.shown(tmp_path, "masks")["methods"] == ["dropout", "lfm"]
    # without LFM the last method stands beside the baseline; alone the baseline has no pair and hides nothing
    draw_all(recipe, task, [*none, *dropout], tmp_path, "cpu")
    assert gallery.shown(tmp_path, "saved-clean")["methods"] == ["none", "dropout"]
    assert draw_all(recipe, task, none, tmp_path, "cpu") == []
    assert names(tmp_path) == []
    assert list((tmp_path / gallery.FOLDER).iterdir()) == []


def test_a_picture_that_fails_takes_no_other_along(recipe, task, runs, tmp_path, monkeypatch):
    def lacking(module, extra):
        raise MissingExtraError(f"no {module} from {extra}")

    draw_all(recipe, task, runs[:4], tmp_path, "cpu")
    gallery.discard(tmp_path, "attention")
    assert missing(recipe, tmp_path, runs[:4])
    monkeypatch.setattr(attention, "require", lacking)
    (message,) = draw_all(recipe, task, runs[:4], tmp_path, "cpu")
    assert "attention" in message
    assert "no captum.attr from report" in message
    assert names(tmp_path) == ALL[1:]
    # what was drawn of older runs goes, too
    bare = [replace(run, info=run.info.model_copy(update={"epochs": 9}), samples={}) for run in runs[:4]]
    assert len(draw_all(recipe, task, bare, tmp_path, "cpu")) == 4
    assert names(tmp_path) == ["masks"]
    with pytest.raises(FeatmaskError, match="got none"):
        draw_all(recipe, task, [], tmp_path, "cpu")


def test_a_description_that_is_none_is_named(tmp_path):
    gallery.save(tmp_path, "one", "masks", lambda path: path.write_bytes(b"x") and "a caption", {"methods": ["lfm"]})
    assert gallery.shown(tmp_path, "one") == {"methods": ["lfm"]}
    assert gallery.shown(tmp_path, "two") is None
    (tmp_path / gallery.FOLDER / "one.json").write_text(json.dumps({"kind": "masks"}))
    for read in (lambda: gallery.read(tmp_path), lambda: gallery.shown(tmp_path, "one")):
        with pytest.raises(FeatmaskError, match=r"one\.json"):
            read()


# Persons

SHAPE = {"height": 48, "width": 24}
PERSONS = {
    "name": "persons",
    "task": "reid",
    "data": {
        "name": "synthetic", **SHAPE, "validation": 0.34,
        "world": {"train_ids": 6, "test_ids": 4, "cameras": 2, "shots": 2, "distractors": 1, "junk": 0, **SHAPE},
    },
    "model": {"name": "resnet8", "head": "bnneck"},
    "train": {"epochs": 1, "batch_size": 8, "images_per_person": 2, "lr": 0.02, "tensorboard": False},
    "methods": {"none": None, "lfm": None},
    "evaluate": {"suites": ["clean"]},
}  # fmt: skip


def test_persons_have_the_same_pictures(cache, tmp_path):
    pytest.importorskip("pytorch_metric_learning")
    recipe = parse_recipe(override(PERSONS, []), "here")
    task = open_task(recipe)
    found = []
    for method in ("none", "lfm"):
        train_run(recipe, method, 0, tmp_path / method, task, "cpu")
        measure_run(recipe, tmp_path / method, task, "cpu")
        found.append(read_run(tmp_path / method))
    assert draw_all(recipe, task, found, tmp_path, "cpu") == []
    assert names(tmp_path) == ["attention", "saved-clean", "rankings", "masks"]
    caption = next(picture.caption for picture in gallery.read(tmp_path) if picture.path.stem == "saved-clean")
    hits = [run.samples["clean"]["rank1"] for run in found]
    saved, lost = (sum(int(b > a) for a, b in zip(*pair, strict=True)) for pair in (hits, hits[::-1]))
    n = len(hits[0])
    assert f"lfm alone is right at Rank-1 on {saved} of {n} queries, none alone on {lost} (seed 0)" in caption


def test_a_person_is_compared_with_another_shot_that_scoring_counts(cache):
    task = open_task(parse_recipe(override(PERSONS, []), "here"))
    tested, splits = task.tested(), task.splits
    for index in range(len(splits.query)):
        match = tested._match(index)
        assert splits.gallery.pids[match] == splits.query.pids[index]
        assert splits.gallery.cams[match] != splits.query.cams[index]
    model = Normalized(build_embedder("resnet8", num_ids=3), [0.5] * 3, [0.2] * 3).eval()
    index = np.arange(3)
    pixels = torch.stack(tested.images(index))
    matches = torch.stack([splits.gallery.photos[tested._match(row)].image for row in range(3)])
    with torch.no_grad():
        found = tested.score(model, index, torch.device("cpu"))(pixels)
        expected = torch.cosine_similarity(model(pixels), model(matches))
    torch.testing.assert_close(found, expected)
