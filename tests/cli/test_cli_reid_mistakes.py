"""Mistakes of re-identification's verbs: code 2, one message that helps, before any work, and nothing left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli_help import TINY, draw, draw_market, featmask, files
from featmask.study.fields import open_task, read_recipe
from featmask.study.run import train_run

image = pytest.importorskip("PIL.Image")
pytest.importorskip("pytorch_metric_learning")

QUERY = "0001_c1s1_000000_01"
DIGITS = """
name: digits
data: {name: digits}
model: {name: resnet8}
train: {epochs: 1, batch_size: 256, tensorboard: false}
methods: {none: }
evaluate: {suites: [clean]}
"""


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def place(cache, tmp_path_factory) -> Path:
    """Recipes, a checkpoint of each task, and data sets that are right or wrong in a way that their names tell."""
    folder = tmp_path_factory.mktemp("place")
    for name, text in (("reid", TINY), ("digits", DIGITS)):
        (folder / f"{name}.yaml").write_text(text)
        recipe = read_recipe(folder / f"{name}.yaml", ["train.epochs=1"])
        train_run(recipe, "none", 0, folder / name, open_task(recipe), "cpu")
        (folder / name / "model.safetensors").rename(folder / f"{name}.safetensors")
    draw_market(folder / "hand")
    for name in ("broken", "empty", "noquery", "oddname"):
        shutil.copytree(folder / "hand", folder / name)
    (folder / "broken" / "query" / f"{QUERY}.jpg").write_bytes(b"no picture")
    (folder / "empty" / "bounding_box_test" / "0003_c1s1_000001_01.jpg").write_bytes(b"")
    shutil.rmtree(folder / "noquery" / "query")
    shutil.copy(folder / "hand" / "query" / f"{QUERY}.jpg", folder / "oddname" / "query" / "holiday.jpg")
    shutil.copytree(folder / "hand", folder / "few")
    for path in files(folder / "few", "bounding_box_train"):
        if not path.name.startswith(("0002", "0004")):
            path.unlink()
    (folder / "two").mkdir()
    for name in ("a", "b"):
        shutil.copytree(folder / "hand", folder / "two" / name)
    (folder / "file").write_text("no picture, no recipe, no checkpoint")
    return folder


@pytest.fixture
def here(place, monkeypatch):
    """Go there, and see that a mistake leaves nothing."""
    monkeypatch.chdir(place)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    yield place
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before


def test_attacks(here, fails):
    attack = ("attack", "reid.safetensors", "--data", "hand")
    fails(*attack, "--attack", "fna,magic", says="evaluate.attacks.1: expected 'fgsm', 'ifgsm', 'mifgsm'")
    fails(*attack, "--attack", "", says="evaluate.attacks: expected one or more, got none")
    for eps in ("5", "abc", "-1/255", "1/0", "nan", "5/255,6"):
        fails(*attack, f"--eps={eps}", says=f"such as 2/255, got '{eps.split(',')[-1]}'")
    fails(*attack, "--on", "both", says="--on: expected query or gallery, got 'both'")
    fails(*attack, "--limit", 0, says="--limit")
    fails(*attack, "--steps", 0, says="--steps")
    fails(*attack, "--pictures", "file", says="--pictures: expected a folder")
    fails(*attack, "--save", "file/below", says="--save: expected a folder")
    fails(*attack, "--device", "quantum", says="auto, cpu, cuda or mps")
    fails(*attack, "--set", "evaluate.stepz=1", says="evaluate.stepz: no such key; known here: suites")
    fails(*attack, "--set", "model.head=linear", says="data and evaluate can be changed, got a change of model")
    fails(*attack, "--set", "task=classification", says="data and evaluate can be changed, got a change of task")
    fails("attack", "none.safetensors", says="no checkpoint none.safetensors")
    fails("attack", "hand", says="no checkpoint hand")
    fails("attack", "file", says="file is not a readable safetensors file")
    fails("attack", "digits.safetensors", says="digits.safetensors is of classification")


def test_rankings(here, fails):
    ranking = ("ranking", "reid.safetensors", "--data", "hand")
    fails(*ranking, says="--query")
    fails(*ranking, "--query", "0003", says="no query '0003'; expected one of the query part's 5 files")
    fails(*ranking, "--query", "hand/bounding_box_test/0001_c1s1_000001_01.jpg", says="no query 'hand/bounding_box")
    fails(*ranking, "--query", QUERY, "--attack", "magic", says="evaluate.attacks.0: expected")
    fails(*ranking, "--query", QUERY, "--attack", "fna", "--eps", "9", says="pixels in [0, 1]")
    fails(*ranking, "--query", QUERY, "--top", 0, says="--top")
    fails(*ranking, "--query", QUERY, "--out", "hand", says="got the folder hand")
    fails(*ranking, "--query", QUERY, "--out", "file/x.png", says="--out: expected a folder")
    fails(*ranking, "--query", QUERY, "--out", "x.jpg", says="expected a name that ends with .png, got x.jpg")
    fails("ranking", "digits.safetensors", "--query", QUERY, says="digits.safetensors is of classification")


def test_a_query_whose_name_is_not_its_own(place, fails, call, tmp_path):
    rows = ["path,pid,camid,split"]
    for number, part in enumerate(("train", "query", "gallery")):
        for pid in (2, 4) if part == "train" else (1, 3):
            for camera in (1, 2):
                draw(tmp_path / part / str(pid), pid, camera, number)
                (path,) = (tmp_path / part / str(pid)).glob(f"*_c{camera}*")
                path.rename(path.with_name(f"{camera}.jpg"))
                rows.append(f"{part}/{pid}/{camera}.jpg,{pid},{camera},{part}")
    (tmp_path / "set.csv").write_text("\n".join(rows))
    ranking = ("ranking", place / "reid.safetensors", "--data", tmp_path / "set.csv", "--out", tmp_path / "x.png")
    fails(*ranking, "--query", "1", says="2 queries are named 1; give one's path")
    assert not (tmp_path / "x.png").exists()
    assert call(*ranking, "--query", tmp_path / "query" / "3" / "1.jpg")[0] == 0
    assert (tmp_path / "x.png").exists()


def test_evaluations(here, fails):
    evaluate = ("evaluate", "reid.safetensors")
    fails(*evaluate, "--suite", "linf", says="evaluate.suites.0: expected 'clean', 'reranked', 'cross'")
    fails(*evaluate, "--suite", "cross", says="name the other data sets in cross")
    fails(
        *evaluate, "--ap", "[mean", says="evaluate.average_precision: expected 'standard' or 'trapezoid', got '[mean'"
    )
    fails(*evaluate, "--set", "evaluate.suites=[]", says="evaluate.suites: expected one or more")
    fails(*evaluate, "--cross", "none", says="evaluate.cross.none: no folder none")
    fails(*evaluate, "--cross", "hand", "--cross", "file", says="evaluate.cross.file: no data set of a layout")
    fails(*evaluate, "--save", "file", says="--save: expected a folder")
    fails("evaluate", "digits.safetensors", "--suite", "reranked", says="unknown suite 'reranked'")
    for option in (["--rerank"], ["--ap", "standard"], ["--cross", "hand"]):
        fails(
            "evaluate",
            "digits.safetensors",
            *option,
            says="of re-identification; digits.safetensors is of classification",
        )
    fails("evaluate", "digits.safetensors", "--data", "hand", says="takes no data.root, got hand")


BAD_DATA = {
    "none": "no folder none",
    "file": "no data set of a layout that is known in file",
    "broken": f"broken/query/{QUERY}.jpg: cannot identify",
    "empty": "0003_c1s1_000001_01.jpg: 0 bytes",
    "noquery": "bounding_box_train, bounding_box_test is there, but not query",
    "oddname": "holiday.jpg: expected PERSON_cCAMERA first",
    "two": "two holds 2 data sets",
}


@pytest.mark.parametrize(("name", "says"), BAD_DATA.items())
def test_data_are_refused_before_anything_is_trained_or_measured(here, fails, name, says):
    fails("train", "reid.yaml", "--data", name, says=says)
    fails("compare", "reid.yaml", "--data", name, says=says)
    fails("evaluate", "reid.safetensors", "--data", name, "--json", says=says)
    cross = ("--set", "evaluate.suites=[clean,cross]", "--set", f"evaluate.cross={{b: {{root: {name}}}}}")
    fails("train", "reid.yaml", *cross, says=says)
    if name != "broken":  # no pixel is decoded for a query that is not there
        fails("ranking", "reid.safetensors", "--data", name, "--query", "x", says=says)


def test_training(here, fails):
    train = ("train", "reid.yaml", "--device", "cpu")
    fails(*train, "--data", "few", says="expected at least 4 identities, as many as a batch shows, got 2")
    fails(*train, "--set", "data.height=16", "--set", "model.head=pcb", says="expected maps with at least 6 rows")
    fails(*train, "--set", "model.name=resnet50", "--set", "at=layer9", "--method", "lfm", says="'layer9'")
    fails(*train, "--set", "train.losses={triplet: {margn: 1}}", says="train.losses: loss 'triplet' has no option")
    fails(*train, "--set", "data.validation=0.01", says="validation: this share is 0 person(s)")
    fails(*train, "--out", "file", says="--out: expected a folder, got file")
    fails("compare", "reid.yaml", "--out", "file/below", says="--out: expected a folder, got file/below")
    fails("compare", "reid.yaml", "--methods", " , ", says="at least one method")
    fails("train", "file", says="expected keys such as name")
    fails("masks", "reid.yaml", "--out", "hand", says="got the folder hand")
    fails("train", "digits.yaml", "--data", "hand", says="takes no data.root, got hand")


def test_rendering(here, fails):
    fails("data", "render", "hand", says="hand is there and is no rendered world")
    fails("data", "render", "file/below", says="OUT: expected a folder")
    fails("data", "render", "new", "--set", "size=1", says="unknown parameters ['size']; expected some of: domain")
    fails("data", "render", "new", "--set", "domain=c", says="expected 'a' or 'b', got 'c'")
    fails("data", "render", "new", "--set", "train_ids=many", says="train_ids: expected a whole number")
    fails("data", "render", "new", "--sheet", "sheet.txt", says="--sheet: pictures are PNG files")
    fails("data", "check", says="ROOT")


def test_libraries_say_nothing_of_odd_files_that_can_be_read(tmp_path):
    """In a process of its own: pytest catches warnings."""
    draw_market(tmp_path)
    path = tmp_path / "query" / f"{QUERY}.jpg"
    cut_off = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x0f\x01\x02\0\xff\xff\0\0\0\0\0\0"
    image.open(path).save(path, exif=cut_off)
    with pytest.warns(UserWarning, match="Corrupt EXIF|Tag data"), image.open(path) as handle:
        handle.load()
    done = featmask("data", "check", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
