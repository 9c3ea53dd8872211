"""Recipes of re-identification: every mistake named with its place, and what a method may change for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from featmask.errors import FeatmaskError
from featmask.reid.recipe import ReidRecipe
from featmask.study.fields import read_recipe

TEXT = """
name: people
task: reid
data: {name: synthetic, world: {train_ids: 12, domain: b}}
model: {name: resnet8}
train: {batch_size: 16, images_per_person: 4, losses: {cross_entropy: , triplet: {margin: 0.2, weight: 2}}}
methods:
  none:
  lfm: {options: {p: 0.2}}
  erasing: {layer: none, set: {augment.erasing: 0.5, train.losses.triplet.margin: 0.4}}
evaluate: {suites: [clean, cross], cross: {b: {root: FOLDER}}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "people.yaml").write_text(TEXT)
    return tmp_path / "people.yaml"


def test_what_is_not_said_is_the_fields_usual_way(path):
    recipe = read_recipe(path)
    assert isinstance(recipe, ReidRecipe)
    assert (recipe.data.height, recipe.data.width) == (256, 128)
    assert recipe.train.persons == 4
    assert recipe.train.terms == [("cross_entropy", 1.0, {}), ("triplet", 2, {"margin": 0.2})]
    assert recipe.evaluate.average_precision == "standard"
    assert (recipe.evaluate.eps, recipe.evaluate.steps) == (("5/255",), 15)
    assert (recipe.evaluate.rerank.k1, recipe.evaluate.rerank.k2, recipe.evaluate.rerank.lambda_) == (20, 6, 0.3)
    assert read_recipe(path, ["train.images_per_person=0"]).train.persons == 0
    assert read_recipe(path, ["evaluate.eps=[0.02, 5/255, 0, 1]"]).evaluate.eps == ("0.02", "5/255", "0", "1")
    assert read_recipe(path, ["evaluate.norm=l2", "evaluate.eps=[3]"]).evaluate.eps == ("3",)


MISTAKES = {
    "foo=1": "foo: no such key; known here: task, name, note",
    "task=reidentification": "task: expected one of classification, reid, got 'reidentification'",
    "task=[reid]": "task: expected one of classification, reid, got ['reid']",
    "note=[a]": "note: expected a valid string",
    "data.widht=64": "data.widht: no such key; known here: name, root, validation, world, height, width",
    "data.height=8": "data.height: expected greater than or equal to 16, got 8",
    "data.validation=1": "data.validation: expected less than 1",
    "data.name=market1501": "data: world: only the data set 'synthetic' is rendered, this one is 'market1501'",
    "data.world=b": "data.world: expected keys",
    "data.world.persons=3": "data.world: world: unknown parameters ['persons']; expected some of: domain, train_ids",
    "data.world.domain=c": "data.world: domain: expected 'a' or 'b', got 'c'",
    "data.world.train_ids=0": "data.world: train_ids: expected a whole number from 1",
    "augment.flop=1": "augment.flop: no such key; known here: flip, pad, jitter, erasing, grey_patch",
    "augment.erasing=2": "augment.erasing: expected less than or equal to 1, got 2",
    "augment=null": "augment: expected keys, such as key: value, got None",
    "model.head=pbc": "model.head: expected 'linear', 'classblock', 'bnneck' or 'pcb', got 'pbc'",
    "model.last_stride=3": "model.last_stride: expected 1 or 2, got 3",
    "train.epoch=3": "train.epoch: no such key; known here: epochs",
    "train.images_per_person=3": "train: images_per_person: a batch of 16 is no multiple of 3 images",
    "train.images_per_person=1": "expected batches of 2 or more images of each of 2 or more persons, got 1 of 16",
    "train.images_per_person=16": "expected batches of 2 or more images of each of 2 or more persons, got 16 of 1",
    "train.losses={}": "train.losses: Dictionary should have at least 1 item",
    "train.losses.triplet=0.3": "train.losses.triplet: expected keys, such as key: value, got 0.3",
    "train.losses.magic={}": "train.losses: unknown loss 'magic'; expected one of: cross_entropy, triplet",
    "train.losses.triplet.margn=1": "train.losses: loss 'triplet' has no option 'margn'; expected: margin",
    "train.losses.triplet.margin=-1": "train.losses: loss 'triplet', option 'margin': expected a number 0 or more",
    "train.losses.triplet.weight=0": "train.losses: loss 'triplet': expected a weight above 0, got 0",
    "train.adversarial.kind=fgsm": "train.adversarial.kind: expected 'goat', 'fna'",
    "train.adversarial.epz=1": "train.adversarial.epz: no such key; known here: kind, eps, steps, share",
    "train.adversarial={eps: 5}": "train.adversarial.eps: expected pixels in [0, 1] such as 2/255, got 5",
    "train.select=best": "is not a valid recipe:\n  train.select best needs data.validation above 0",
    "evaluate.foo=1": "evaluate.foo: no such key; known here: suites",
    "evaluate.suites=[linf]": "evaluate.suites.0: expected 'clean', 'reranked', 'cross'",
    "evaluate.suites=clean": "evaluate.suites: expected a list, such as [a, b], got 'clean'",
    "evaluate.suites=[]": "evaluate.suites: expected one or more, got none",
    "evaluate.suites=[clean, clean]": "evaluate.suites: expected each once, got 'clean' again",
    "evaluate.attacks=[fna, pgd]": "evaluate.attacks.1: expected 'fgsm'",
    "evaluate.attacks=[fna, sma, fna]": "evaluate.attacks: expected each once, got 'fna' again",
    "evaluate.eps=[2/255, 5]": "eps: expected pixels in [0, 1] such as 2/255, got '5'; norm: l2 takes more",
    "evaluate.eps=[-1/255]": "evaluate.eps.0: expected a size of 0 or more such as 2/255, got '-1/255'",
    "evaluate.norm=l1": "evaluate.norm: expected 'linf' or 'l2', got 'l1'",
    "evaluate={norm: l2, attacks: [misranking]}": "norm: misranking is bounded by linf alone",
    "evaluate={eps: [0], attacks: [misranking]}": "eps: misranking trains a generator and needs a size above 0",
    "evaluate.eps=[true]": "evaluate.eps.0: expected a size of 0 or more",
    "evaluate.eps=[5/255, 1/51]": "evaluate.eps: expected each once, got '1/51' again",
    "evaluate.rerank.lambda=0.3": "evaluate.rerank.lambda: no such key; known here: k1, k2, lambda_",
    "evaluate.cross={}": "evaluate: suites has cross: name the other data sets in cross",
    "evaluate.cross.b.layout=csv": "evaluate.cross.b.layout: no such key; known here: name, root, world",
    "evaluate.cross.c={}": "evaluate.cross: c: expected a root",
    "evaluate.cross.B={root: x}": "evaluate.cross: expected names that differ in more than capitals, got b, B",
    "evaluate.cross={b/c: {root: x}}": "evaluate.cross: the name of a data set stands in a file's name",
    "evaluate.cross.b={name: synthetic, world: {seed: -1}}": "evaluate.cross.b.world: seed: expected a whole number",
}


@pytest.mark.parametrize(("change", "says"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_is_named_with_its_place(path, change, says):
    with pytest.raises(FeatmaskError) as error:
        read_recipe(path, [change])
    assert says in str(error.value)
    assert len(str(error.value).splitlines()) == 2  # the file, and one mistake
    assert "Value error" not in str(error.value)


SET_MISTAKES = {
    "data.height: 64": "a method may change model.KEY, train.KEY, augment.KEY, got 'data.height'",
    "evaluate.flip: true": "a method may change model.KEY, train.KEY, augment.KEY, got 'evaluate.flip'",
    "seeds: 3": "got 'seeds'",
    "at: layer1": "got 'at'",
    "train: {epochs: 3}": "got 'train'",  # it would forget all that the recipe says of training
    "train.: 3": "got 'train.'",
    "train.epochz: 3": "train.epochz: no such key; known here: epochs",
    "train.epochs: 0": "train.epochs: expected greater than or equal to 1, got 0",
    "train.epochs.x: 3": "'epochs' holds a value, not keys",
    "train.losses.magic: {}": "train.losses: unknown loss 'magic'",
    "train.images_per_person: 5": "train: images_per_person: a batch of 16 is no multiple of 5 images",
    "train.adversarial: {kind: goat, epz: 1}": "train.adversarial.epz: no such key; known here: kind, eps",
    "train.select: best": "train.select best needs data.validation above 0",
    "model.head: pbc": "model.head: expected 'linear'",
    "augment.flop: 1": "augment.flop: no such key; known here: flip",
}


@pytest.mark.parametrize(("change", "says"), SET_MISTAKES.items(), ids=SET_MISTAKES)
def test_a_mistake_of_a_methods_own_settings_is_named_with_the_method(path, change, says):
    with pytest.raises(FeatmaskError) as error:
        read_recipe(path, [f"methods.none.set={{{change}}}"])
    (_, line) = str(error.value).splitlines()
    assert line.startswith("  methods.none.set: ")
    assert says in line


def test_what_a_method_sets_holds_for_itself_alone(path):
    recipe = read_recipe(path)
    own = recipe.under("erasing")
    assert own.augment.erasing == 0.5
    assert own.train.losses == {"cross_entropy": {}, "triplet": {"margin": 0.4, "weight": 2}}
    assert own.method("erasing").layer == "none"
    for name in ("none", "lfm", "dropout"):  # the last is of the family, and not in the recipe
        assert recipe.under(name) is recipe
    assert recipe.augment.erasing == 0
    assert recipe.train.losses["triplet"]["margin"] == 0.2
    # all else is as it was
    plain, theirs = recipe.plain(), own.plain()
    plain["augment"]["erasing"], plain["train"]["losses"]["triplet"]["margin"] = 0.5, 0.4
    plain["methods"]["erasing"]["set"] = {}
    assert theirs == plain


def test_a_method_may_add_what_the_recipe_leaves_out(path):
    recipe = read_recipe(path, ["methods.goat={layer: none, set: {train.adversarial: {steps: 2}, model.pool: gem}}"])
    own = recipe.under("goat")
    assert (own.train.adversarial.kind, own.train.adversarial.steps, own.model.pool) == ("goat", 2, "gem")
    assert (recipe.train.adversarial, recipe.model.pool) == (None, "gap")
    deeper = read_recipe(path, ["methods.goat={layer: none, set: {train.adversarial.steps: 2}}"]).under("goat")
    assert deeper.train.adversarial == own.train.adversarial


def test_the_key_is_of_what_training_depends_on(path):
    plain = read_recipe(path).key()
    same = ["evaluate.flip=false", "evaluate.suites=[clean]", "evaluate.cross={}", "seeds=7", "note=x", "name=other"]
    for change in same:
        changes = [change] if change != "evaluate.cross={}" else [change, "evaluate.suites=[clean]"]
        assert read_recipe(path, changes).key() == plain
    others = [
        "augment.erasing=0.5", "augment.pad=10", "data.world.seed=1", "data.height=128", "data.validation=0.1",
        "model.head=linear", "train.lr=0.2", "train.losses.triplet.margin=0.3", "train.adversarial={}", "at=layer1",
        "methods.lfm.options.p=0.3", "methods.none.set={augment.pad: 10}",
    ]  # fmt: skip
    keys = [read_recipe(path, [change]).key() for change in others]
    assert len({plain, *keys}) == 1 + len(others)


@pytest.mark.parametrize(
    ("change", "says"),
    {
        "augment={flip: 0.5}": "augment: no such key",
        "data.height=64": "data.height: no such key; known here: name, root, validation, size",
        "data.world={}": "data.world: no such key",
        "model.head=bnneck": "model.head: no such key; known here: name, pretrained",
        "train.losses={triplet: {}}": "train.losses: no such key",
        "train.images_per_person=4": "train.images_per_person: no such key",
        "train.adversarial={kind: goat}": "train.adversarial.kind: expected 'pgd'",
        "evaluate.cross={}": "evaluate.cross: no such key; known here: eps",
        "evaluate.suites=[reranked]": "evaluate.suites.0: expected some of clean, linf",
        "evaluate.eps=[1/255, 1/255]": "evaluate.eps: expected each once",
        "methods.none.set={augment.flip: 1}": "methods.none.set: a method may change model.KEY, train.KEY, got",
        "methods.none.set={train.losses: {triplet: {}}}": "methods.none.set: train.losses: no such key",
    }.items(),
)
def test_a_classification_refuses_what_is_of_re_identification(recipe_file, change, says):
    with pytest.raises(FeatmaskError) as error:
        read_recipe(recipe_file, [change])
    assert says in str(error.value)
