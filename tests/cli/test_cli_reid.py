"""The verbs of re-identification, as a user calls them: figures against naive ones, pictures, and no half results."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from cli_help import HEIGHT, TINY, WIDTH, draw_market, featmask, files, who
from featmask.records.suite import read_samples
from featmask.study.run import load_model
from oracles.retrieval_naive import score

image = pytest.importorskip("PIL.Image")
pytest.importorskip("pytorch_metric_learning")

QUERY = "0003_c1s1_000000_01"


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def trained(cache, tmp_path_factory):
    """A run by the command line, and what it printed."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "tiny.yaml").write_text(TINY)
    done = featmask("train", "tiny.yaml", "--method", "lfm", "--device", "cpu", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


@pytest.fixture(scope="module")
def checkpoint(trained) -> Path:
    (path,) = trained[0].rglob("model.safetensors")
    return path


@pytest.fixture(scope="module")
def hand(tmp_path_factory) -> Path:
    return draw_market(tmp_path_factory.mktemp("people") / "hand")


def pixels(path: Path) -> torch.Tensor:
    with image.open(path) as handle:
        array = np.array(handle.convert("RGB").resize((WIDTH, HEIGHT), image.Resampling.BICUBIC))
    return torch.from_numpy(array).permute(2, 0, 1)


def naive(checkpoint: Path, root: Path) -> tuple[dict[str, float], list[list[float]]]:
    """Figures item by item from the files on disk, and all distances."""
    model, sides = load_model(checkpoint)[0].eval(), (files(root, "query"), files(root, "bounding_box_test"))
    with torch.no_grad():
        stacks = (torch.stack([pixels(path) for path in side]) / 255 for side in sides)
        query, gallery = (functional.normalize(model(x), dim=1).double() for x in stacks)
    distances = ((query[:, None] - gallery[None]) ** 2).sum(2).tolist()
    found = score(distances, *([who(path) for path in side] for side in sides), junk=-1)
    rows = [row for row in found if row is not None]
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("standard", "trapezoid", "inp")}
    return {**means, "rank1": float(np.mean([row["first"] == 0 for row in rows]))}, distances


def suites(done: tuple[object, str, str]) -> dict[str, dict]:
    """Everything on standard output is one JSON value, or this fails."""
    code, stdout, stderr = done
    assert code == 0, stderr
    return {suite["name"]: suite for suite in json.loads(stdout)}


def test_training_prints_json_alone_and_a_second_call_trains_nothing(trained, checkpoint, call, monkeypatch):
    folder, done = trained
    told = json.loads(done.stdout)
    assert "Warning" not in done.stderr
    for suite in ("clean", "reranked"):
        stored = json.loads((checkpoint.parent / "eval" / f"{suite}.json").read_text())["metrics"]
        assert {name: told["metrics"][f"{suite}.{name}"] for name in stored} == stored
    before = checkpoint.stat().st_mtime_ns
    monkeypatch.chdir(folder)
    code, stdout, _ = call("train", "tiny.yaml", "--method", "lfm", "--device", "cpu")
    assert (code, checkpoint.stat().st_mtime_ns) == (0, before)
    assert "Rank-1" in stdout
    assert str(checkpoint.relative_to(folder)) in stdout
    assert "Rendered pictures, not photographs" in stdout


def test_figures_are_those_of_the_run_and_of_the_files(checkpoint, cache, call, tmp_path):
    found = suites(call("evaluate", checkpoint, "--json", "--save", tmp_path))
    assert list(found) == ["clean", "reranked"]
    for name, suite in found.items():
        stored = json.loads((checkpoint.parent / "eval" / f"{name}.json").read_text())
        assert suite["metrics"] == pytest.approx(stored["metrics"], abs=1e-9)
        assert suite["settings"] == stored["settings"]
    (world,) = cache.iterdir()
    expected, _ = naive(checkpoint, world)
    assert found["clean"]["metrics"]["mAP"] == pytest.approx(expected["standard"], abs=1e-9)
    assert found["clean"]["metrics"]["mINP"] == pytest.approx(expected["inp"], abs=1e-9)
    assert found["clean"]["metrics"]["rank1"] == pytest.approx(expected["rank1"])
    assert found["clean"]["settings"]["notes"] == ["rendered pictures, not photographs"]
    # another form of precision, on the same ranking
    other = suites(call("evaluate", checkpoint, "--ap", "trapezoid", "--suite", "clean", "--json", "--save", tmp_path))
    metrics = other["clean"]["metrics"]
    assert metrics["mAP"] == pytest.approx(expected["trapezoid"], abs=1e-9)
    assert metrics["mAP"] < expected["standard"]
    assert metrics["rank1"] == found["clean"]["metrics"]["rank1"]
    samples = read_samples(tmp_path / "eval" / "clean.samples.csv")
    assert float(samples["ap"].mean()) == pytest.approx(metrics["mAP"])


def test_rerank_adds_to_what_is_asked_for(checkpoint, call):
    stored = json.loads((checkpoint.parent / "eval" / "reranked.json").read_text())["metrics"]
    for asked in ((), ("--suite", "clean")):
        found = suites(call("evaluate", checkpoint, *asked, "--rerank", "--json"))
        assert list(found) == ["clean", "reranked"]
        assert found["reranked"]["metrics"] == pytest.approx(stored, abs=1e-9)


def test_other_data_are_scored_by_their_own_files(checkpoint, hand, call):
    expected, _ = naive(checkpoint, hand)
    found = suites(call("evaluate", checkpoint, "--cross", hand, "--cross", hand, "--json"))
    assert list(found) == ["clean", "cross_hand", "cross_hand-2"]
    own = suites(call("evaluate", checkpoint, "--data", hand, "--suite", "clean", "--json"))["clean"]
    for suite in (found["cross_hand"], found["cross_hand-2"], own):
        assert suite["metrics"]["mAP"] == pytest.approx(expected["standard"], abs=1e-9)
        assert suite["metrics"]["rank1"] == pytest.approx(expected["rank1"])
        assert (suite["n"], suite["settings"]["data"], suite["settings"]["notes"]) == (5, "market", [])
        assert (suite["settings"]["gallery"], suite["settings"]["junk_removed"]) == (16, 1)


def test_an_attack_of_no_size_changes_nothing_and_a_large_one_costs(checkpoint, call):
    arguments = (
        "attack",
        checkpoint,
        "--attack",
        "fna,sma",
        "--eps",
        "0/255,8/255",
        "--set",
        "evaluate.suites=[clean]",
    )
    metrics = suites(call(*arguments, "--json"))["attack_query"]["metrics"]
    clean = json.loads((checkpoint.parent / "eval" / "clean.json").read_text())["metrics"]
    for figure in ("rank1", "mAP", "mINP"):
        assert metrics[f"clean.{figure}"] == pytest.approx(clean[figure], abs=1e-9)
        for kind in ("fna", "sma", "worst"):
            assert metrics[f"{kind}.{figure}@0/255"] == metrics[f"clean.{figure}"]
    for kind in ("fna", "sma"):
        assert metrics["worst.mAP@8/255"] <= metrics[f"{kind}.mAP@8/255"] < metrics["clean.mAP"]
    code, stdout, _ = call(*arguments, "--limit", 3, "--steps", 1)
    assert code == 0
    assert "Not attacked" in stdout
    assert "3 test queries with a match, of 15" in stdout
    assert "an upper bound on what survives" in stdout


@pytest.mark.parametrize(("on", "part", "count"), [("query", "query", 2), ("gallery", "bounding_box_test", 6)])
def test_pictures_of_an_attack_stay_in_its_budget(checkpoint, hand, call, tmp_path, on, part, count):
    asked = ("--attack", "fna", "--eps", "5/255", "--on", on, "--limit", 2, "--pictures", tmp_path / "pictures")
    found = suites(call("attack", checkpoint, "--data", hand, *asked, "--json"))[f"attack_{on}"]
    assert (found["n"], found["settings"]["attacked_images"]) == (2, count)
    written = files(tmp_path / "pictures", "fna@5_255")
    assert len(written) == count
    assert len({who(path)[0] for path in written}) == 2
    largest = []
    for path in written:
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        change = pixels(path).int() - pixels(hand / part / f"{path.stem}.jpg").int()
        largest.append(int(change.abs().max()))
    assert max(largest) == 5
    assert min(largest) > 0


def test_a_ranking_is_that_of_the_files_and_shows_an_attack_before_and_after(checkpoint, hand, call, tmp_path):
    arguments = ("ranking", checkpoint, "--data", hand, "--query", QUERY, "--json")
    code, stdout, stderr = call(*arguments, "--out", tmp_path / "clean.png", "--top", 4)
    assert code == 0, stderr
    (clean,) = json.loads(stdout)["lists"]
    _, distances = naive(checkpoint, hand)
    query, gallery = files(hand, "query"), files(hand, "bounding_box_test")
    row = [path.stem for path in query].index(QUERY)
    order = [i for i in np.argsort(distances[row]) if who(gallery[i]) != who(query[row]) and who(gallery[i])[0] != -1]
    assert clean["query"] == str(query[row])
    assert [one["path"] for one in clean["found"]] == [str(gallery[i]) for i in order[:4]]
    assert [one["right"] for one in clean["found"]] == [who(gallery[i])[0] == 3 for i in order[:4]]
    attacked = ("--attack", "fna", "--eps", "8/255", "--top", 50)
    code, stdout, stderr = call(*arguments, *attacked, "--query", query[0], "--out", tmp_path / "both.png")
    assert code == 0, stderr
    told = json.loads(stdout)
    assert told["picture"] == str(tmp_path / "both.png")
    assert [(Path(one["query"]).stem, one["how"]) for one in told["lists"]] == [
        (stem, how) for stem in (QUERY, query[0].stem) for how in ("clean", "after FNA at 8/255")
    ]
    mean = []
    for one in told["lists"]:
        assert sorted(found["path"] for found in one["found"]) == sorted(
            str(path) for path in gallery if who(path) != who(Path(one["query"])) and who(path)[0] != -1
        )
        for found in one["found"]:
            assert found["right"] == (who(Path(found["path"]))[0] == who(Path(one["query"]))[0])
        mean.append(np.mean([found["distance"] for found in one["found"] if found["right"]]))
    assert mean[0] < mean[1]  # FNA pushes the query away from its own person
    assert mean[2] < mean[3]
    with image.open(tmp_path / "clean.png") as small, image.open(tmp_path / "both.png") as large:
        assert (small.format, large.format) == ("PNG", "PNG")
        assert large.height > 3 * small.height


def test_a_check_counts_and_names_faults(hand, call, tmp_path):
    code, stdout, _ = call("data", "check", hand, "--json")
    found = json.loads(stdout)
    assert (code, found["ok"], found["problems"], found["layout"]) == (0, True, [], "market")
    assert found["counts"]["train"] == {"images": 16, "ids": 4, "cameras": 2, "junk": 0, "distractors": 0}
    assert found["counts"]["gallery"] == {"images": 17, "ids": 5, "cameras": 3, "junk": 1, "distractors": 1}
    broken = tmp_path / "broken"
    shutil.copytree(hand, broken)
    (broken / "query" / f"{QUERY}.jpg").write_bytes(b"no picture")
    code, stdout, _ = call("data", "check", broken)
    assert (code, "images that cannot be decoded: 1" in stdout, QUERY in stdout) == (1, True, True)
    assert call("data", "check", broken, "--quick")[0] == 0
    (broken / "query" / "holiday.jpg").write_bytes(b"x")
    code, stdout, _ = call("data", "check", broken, "--json")
    assert code == 1
    assert sorted(problem["kind"] for problem in json.loads(stdout)["problems"]) == ["name", "unreadable"]
    code, stdout, _ = call("data", "check", tmp_path / "none")
    assert (code, "no folder" in stdout) == (1, True)


def test_what_is_rendered_is_accepted_and_used_again(call, tmp_path):
    world = [f"--set={key}=1" for key in ("shots", "distractors", "junk", "test_ids")]
    world += ["--set=train_ids=3", "--set=height=32", "--set=width=16"]
    code, stdout, _ = call("data", "render", tmp_path / "world", *world)
    assert (code, stdout.strip()) == (0, str(tmp_path / "world"))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "world").rglob("*")}
    code, stdout, _ = call("data", "check", tmp_path / "world", "--json")
    counts = json.loads(stdout)["counts"]
    assert code == 0
    assert (counts["train"]["ids"], counts["query"]["ids"], counts["gallery"]["junk"]) == (3, 1, 1)
    code, _, _ = call("data", "render", tmp_path / "world", *world, "--sheet", tmp_path / "sheet.png")
    assert (code, (tmp_path / "sheet.png").read_bytes()[:4]) == (0, b"\x89PNG")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "world").rglob("*")} == before
