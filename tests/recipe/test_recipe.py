"""Recipes: every mistake is named with its place, and every shipped recipe is valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from featmask.errors import FeatmaskError
from featmask.family import build_layer
from featmask.recipe import Train
from featmask.study.fields import read_recipe
from featmask.training.optimiser import rate_at

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_their_methods_exist(path):
    recipe = read_recipe(path)
    assert recipe.name == path.stem
    for name in recipe.methods:
        method = recipe.method(name)
        build_layer(method.layer, **method.options)


def test_overrides_and_defaults(recipe_file):
    recipe = read_recipe(recipe_file, ["train.epochs=7", "methods.lfm.options.p=0.5", "evaluate.eps=[1/255, 2/255]"])
    assert recipe.train.epochs == 7
    assert recipe.method("lfm").options == {"p": 0.5}
    assert recipe.method("dropout2d").layer == "dropout2d"
    assert recipe.method("lfm").at == "stem"
    assert recipe.evaluate.eps == ("1/255", "2/255")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.epoch=5", r"train\.epoch: .*known here: epochs, batch_size"),
        ("train.epochs=0", r"train\.epochs: .*greater than or equal to 1, got 0"),
        ("methods.lfm.p=0.1", r"methods\.lfm\.p: .*known here: layer, at, options"),
        ("methods.lfn={}", r"methods\.lfn: unknown method 'lfn'; expected one of: none, dropout"),
        ("methods.lfm.layer=lfn", r"methods\.lfm\.layer: unknown method 'lfn'"),
        (
            "methods.lfm.options.q=1",
            r"methods\.lfm\.options\.q: no such option; lfm has p \(a number from 0 to 1\); ch",
        ),
        ("methods.lfm.options.p=2", r"methods\.lfm\.options\.p: expected a number from 0 to 1; got 2"),
        (
            "methods.lfm.options.area=[0.4, 0.1]",
            r"options\.area: expected two numbers .*, the smaller first; got \[0\.4",
        ),
        ("methods.lfm.space.q=[0, 1]", r"methods\.lfm\.space\.q: no such option"),
        ("methods.lfm.space.p=[0.1, 2]", r"methods\.lfm\.space\.p: expected a number from 0 to 1; got 2"),
        ("methods.lfm.space.area={low: 0.1, high: 0.4, from: 0.2}", r"space\.area: .*got \[0\.2, 0\.1\]"),
        ("methods.lfm.space.channels={choices: [1, 0]}", r"methods\.lfm\.space\.channels: .*got 0"),
        ("methods.lfm.space.p={choices: 3}", r"methods\.lfm\.space\.p: expected \[low, high\]"),
        ("methods.cutout={space: {at: {choices: [stem]}}}", r"methods\.cutout\.space\.at: no such option"),
        ("evaluate.eps=[3]", "eps"),
        ("evaluate.eps=[a/255]", "such as 2/255"),
        ("evaluate.attacks=[pgd, cw]", "evaluate.attacks.1: unknown attack 'cw'; expected some of: "),
        ("evaluate.suites=[everything]", "evaluate.suites.0: expected some of clean, linf, "),
        ("evaluate.suites=[transfer]", "featmask evaluate --surrogate"),
        ("evaluate.corruptions=[rain]", "evaluate.corruptions.0: expected some of gaussian_noise, "),
        ("evaluate.eot=3", "evaluate.eot: no such key; known here: eps, "),
        ("name=../up", "name"),
        ("train.epochs", "key=value"),
        ("data.name.x=1", "holds a value"),
        ("train.lr=[", "not YAML"),
    ],
)
def test_mistakes_are_named_with_their_place(recipe_file, change, message):
    with pytest.raises(FeatmaskError, match=message):
        read_recipe(recipe_file, [change])


def test_all_methods_are_checked_at_once(recipe_file):
    with pytest.raises(FeatmaskError) as caught:
        read_recipe(recipe_file, ["methods.lfm.options={p: 2, q: 1}", "methods.mine={layer: dropblock, space: {b: 1}}"])
    places = [line.split(": ")[0].strip() for line in str(caught.value).splitlines()[1:]]
    assert places == ["methods.lfm.options.p", "methods.lfm.options.q", "methods.mine.space.b"]


def test_files_that_are_no_recipes(tmp_path):
    with pytest.raises(FeatmaskError, match="cannot read the recipe"):
        read_recipe(tmp_path / "none.yaml")
    (tmp_path / "a.yaml").write_text("a: [")
    with pytest.raises(FeatmaskError, match="not YAML"):
        read_recipe(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("- 1")
    with pytest.raises(FeatmaskError, match="expected keys"):
        read_recipe(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("a: !!python/object/apply:os.system [true]")
    with pytest.raises(FeatmaskError, match="not YAML"):
        read_recipe(tmp_path / "a.yaml")


def test_the_key_changes_with_training_and_not_with_measuring(recipe_file):
    plain = read_recipe(recipe_file).key()
    assert read_recipe(recipe_file, ["evaluate.steps=4", "seeds=9", "note=x"]).key() == plain
    for change in ("train.lr=0.2", "methods.lfm.options.p=0.2", "data.validation=0.2", "at=layer1"):
        assert read_recipe(recipe_file, [change]).key() != plain


def test_learning_rates_at_their_corners():
    cosine = Train(epochs=10, lr=1.0, warmup_epochs=2)
    assert rate_at(cosine, 0.0, 0, 10) == pytest.approx(1 / 21)
    assert rate_at(cosine, 1.9, 19, 10) == pytest.approx(20 / 21)
    assert rate_at(cosine, 2.0, 20, 10) == pytest.approx(1.0)
    assert rate_at(cosine, 6.0, 60, 10) == pytest.approx(0.5)
    assert rate_at(cosine, 10.0, 100, 10) == pytest.approx(0.0)
    steps = Train(epochs=10, lr=1.0, schedule="steps", milestones=(4, 8), gamma=0.1)
    assert [rate_at(steps, e, 0, 10) for e in (3.9, 4.0, 8.0)] == pytest.approx([1.0, 0.1, 0.01])
    assert rate_at(Train(lr=0.3, schedule="constant"), 5, 50, 10) == 0.3
