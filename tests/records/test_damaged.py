"""Every file that a verb reads, damaged: the verb ends with one sentence that says what to do, or mends the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from featmask.evaluation.journal import Journal
from featmask.records.doctor import DOCTOR, Check, DoctorRecord
from featmask.records.suite import read_suite

TINY = """
name: tiny
data: {name: digits, train_share: 0.2, validation: 0.1}
model: {name: resnet8}
train: {epochs: 2, batch_size: 64, lr: 0.1, warmup_epochs: 0, tensorboard: false}
methods: {none: , dropout: }
seeds: 1
tune: {epochs: 1}
evaluate: {suites: [clean, linf], eps: [8/255], attacks: [fgsm], steps: 1, refine: 0, attack_samples: 20}
"""


class Place:
    """A finished study whose options were searched for, and the records of one of its models."""

    def __init__(self, root: Path) -> None:
        from featmask import compare

        self.asked, self.runs, self.saved = root / "tiny.yaml", root / "runs", root / "saved"
        self.asked.write_text(TINY)
        self.study = compare(self.asked, tune_trials=1, out=self.runs, device="cpu").folder
        self.tuned = self.study / "recipe.tuned.yaml"
        self.run = self.study / "dropout" / "seed-0"
        self.model = self.run / "model.safetensors"
        self.best = next(self.runs.rglob("best.json"))

    def verb(self, name: str) -> tuple[object, ...]:
        """The command line of a verb that reads these files."""
        small = ("--limit", 20, "--device", "cpu")
        return {
            "compare": ("compare", self.tuned, "--out", self.runs, "--device", "cpu"),
            "tune": ("compare", self.asked, "--tune", 1, "--out", self.runs, "--device", "cpu"),
            "plan": ("compare", self.tuned, "--dry-run", "--out", self.runs, "--device", "cpu"),
            "train": ("train", self.tuned, "--method", "dropout", "--out", self.runs, "--device", "cpu"),
            "report": ("report", self.study),
            "page": ("report", self.saved),
            "evaluate": ("evaluate", self.model, "--suite", "linf", *small),
            "save": ("evaluate", self.model, "--suite", "linf", *small, "--save", self.saved),
            "doctor": ("doctor", self.model, "--samples", 8, "--device", "cpu", "--save", self.saved),
        }[name]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    torch.set_num_threads(1)
    return Place(tmp_path_factory.mktemp("damaged"))


@pytest.fixture
def saved(place, call):
    """What ``evaluate --save`` leaves, made once, and a doctor's record."""
    if not place.saved.is_dir():
        code, _, stderr = call(*place.verb("save"))
        assert code == 0, stderr
        check = Check("chance", "set-up", "Better than chance", "ok", "86 %", "", {"x": [1, 2], "y": [0.5, 0.25]})
        DOCTOR.write(place.saved, DoctorRecord(verdict="ok", trusted=True, checks=[check]))
    return place.saved


@contextmanager
def kept(path: Path):
    """The file as it was, whatever the block does."""
    before = path.read_bytes()
    try:
        yield before
    finally:
        path.write_bytes(before)


def keys(**changes: object) -> Callable[[bytes], bytes]:
    """A JSON object, or each of a file's lines, with other values under some keys; None: without that key."""

    def change(before: bytes) -> bytes:
        values = json.loads(before) | changes
        return json.dumps({key: value for key, value in values.items() if value is not None}).encode()

    return change


#: What may happen to any text file; half of it is half a JSON object.
ALWAYS = {
    "empty": lambda before: b"",
    "half": lambda before: before[: len(before) // 2],
    "null": lambda before: b"null",
    "not UTF-8": lambda before: b"\xff\xfe" + before,
}
GONE = {"gone": None}

RUN, SAVED, STUDY = "dropout/seed-0", "saved", ""
#: Folder and file -> what to do, verbs that read it, and what else may be wrong with it, by a word that is told.
TABLE = {
    (RUN, "run.json"): (
        "delete it to have the run measured again",
        ("compare", "plan", "report", "train"),
        {
            "seed": keys(seed=None), "epochs": keys(epochs="two"), "method": keys(method=3),
            "evaluate": keys(evaluate=[]),
        },
    ),
    (RUN, "recipe.json"): ("train it anew", ("compare", "report", "train"), {"methods": keys(methods=5)} | GONE),
    (RUN, "env.json"): ("train it anew", ("compare", "report", "train"), {"torch": keys(torch=2)} | GONE),
    (RUN, "train.jsonl"): (
        "train it anew",
        ("compare", "report", "train"),
        {
            "line 1": lambda before: before.replace(b'"epoch": 1', b'"epoch": "1"'),
            "epoch in every": lambda before: before.replace(b'"epoch"', b'"era"'),
            "line 2": lambda before: b"\n".join([before.splitlines()[0], b"{", before.splitlines()[1]]),
            "2 lines": lambda before: before.splitlines(keepends=True)[0],
        }
        | GONE,
    ),
    (RUN, "eval/linf.json"): (
        "to have this suite measured again",
        ("compare", "report", "train"),
        {
            "n: ": keys(n=None), "metrics": keys(metrics=[0.5]), "schema 1": keys(schema=9), "length 19": keys(n=19),
            "name": keys(name="clean"), "warnings": keys(warnings="one"),
        },
    ),
    (RUN, "eval/linf.samples.csv"): (
        "to have this suite measured again",
        ("compare", "report", "train"),
        {
            "length 20": lambda before: before.splitlines(keepends=True)[0],
            "same length": lambda before: before + b"1,2\r\n",
            "numbers in the column": lambda before: before.replace(b",1\r\n", b",right\r\n"),
            "{'index': 19": lambda before: b"".join(before.splitlines(keepends=True)[:-1]),
        },
    ),
    (STUDY, "comparison.json"): (
        "run the comparison again",
        ("report",),
        {"schema 1": keys(schema=None), "methods": keys(methods="none"), "failed": keys(failed=[])},
    ),
    (STUDY, "tuning.json"): (
        "--tune again",
        ("report", "compare"),
        {
            "schema 1": keys(schema=2), "trials": keys(trials=None), "methods": keys(methods=[]),
            "seed": keys(seed="0"),
            "best": keys(methods={"none": {}}),
            "low and high": keys(methods={"x": {"space": {"p": {"low": 1}}, "best": None, "value": 0, "trials": []}}),
        },
    ),
    (STUDY, "pictures/masks.json"): (
        "to have the picture drawn again",
        ("report", "compare"),
        {"kind": keys(kind=None), "caption": keys(caption=1), "of: ": keys(of=[])},
    ),
    (SAVED, "subject.json"): (
        "evaluate again",
        ("page", "save", "doctor"),
        {"classes": keys(classes="ab"), "seed": keys(seed="0"), "schema 1": keys(schema=2)},
    ),
    (SAVED, "doctor.json"): (
        "run featmask doctor again",
        ("page",),
        {"trusted": keys(trusted="yes"), "checks": keys(checks=None), "checks.0": keys(checks=[{"name": "chance"}])},
    ),
    (SAVED, "eval/linf.json"): ("measured again", ("page", "save"), {"n: ": keys(n="20"), "split": keys(split=None)}),
    (SAVED, "eval/linf.samples.csv"): ("measured again", ("page", "save"), {}),
}  # fmt: skip


@pytest.mark.parametrize(("folder", "name"), TABLE)
def test_a_damaged_record_is_told_in_a_sentence(place, saved, fails, folder, name):
    remedy, verbs, more = TABLE[folder, name]
    path = (saved if folder == SAVED else place.study / folder) / name
    for said, damage in (ALWAYS | more).items():
        if name.endswith(".jsonl") and said == "half":
            continue  # what a kill cuts short is another matter, see below
        for verb in verbs:
            with kept(path) as before:
                path.unlink() if damage is None else path.write_bytes(damage(before))
                fails(*place.verb(verb), says=path.name)
                fails(*place.verb(verb), says=remedy)
                if said not in ALWAYS and damage is not None:
                    fails(*place.verb(verb), says=said)


def test_a_damaged_search_is_told(place, fails):
    for damage in (*ALWAYS.values(), keys(budget="1"), keys(best=None), keys(value=None)):
        with kept(place.best) as before:
            place.best.write_bytes(damage(before))
            fails(*place.verb("tune"), says="best.json")
            fails(*place.verb("tune"), says="finished anew from its trials")


def with_header(before: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A safetensors file whose header says something else of us."""
    length = int.from_bytes(before[:8], "little")
    header = json.loads(before[8 : 8 + length])
    header["__metadata__"]["meta"] = change(header["__metadata__"]["meta"].encode()).decode()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + before[8 + length :]


@pytest.mark.parametrize("verb", ["evaluate", "doctor"])
def test_a_damaged_checkpoint_is_told(place, fails, verb):
    inner = [ALWAYS["empty"], ALWAYS["half"], ALWAYS["null"]]
    inner += [keys(run=None), keys(mean="0"), keys(classes=None), keys(classes=[1]), keys(recipe=[])]
    with kept(place.model) as before:
        for change in inner:
            place.model.write_bytes(with_header(before, change))
            fails(*place.verb(verb), says="delete the checkpoint to have it trained anew")
        for damage in ALWAYS.values():
            place.model.write_bytes(damage(before))
            fails(*place.verb(verb), says="not a readable safetensors file")
        place.model.unlink()
        fails(*place.verb(verb), says="no checkpoint")


def test_what_is_gone_of_a_finished_run_is_measured_again(place, call):
    """By the verbs that may measure: the same figures, and nothing that is there is measured twice."""
    suite, columns = read_suite(place.run / "eval" / "linf.json")
    clean = (place.run / "eval" / "clean.json").stat().st_mtime_ns
    for verb, name in (
        ("train", "run.json"), ("compare", "eval/linf.json"), ("train", "eval/linf.samples.csv")
    ):  # fmt: skip
        (place.run / name).unlink()
        code, stdout, stderr = call(*place.verb("plan"), "--json")
        assert code == 0, stderr
        assert [run["state"] for run in json.loads(stdout)["runs"]] == ["finished", "to go on"]
        code, _, stderr = call(*place.verb(verb))
        assert code == 0, stderr
        again, samples = read_suite(place.run / "eval" / "linf.json")
        assert again == suite
        assert all(np.array_equal(samples[key], columns[key]) for key in columns)
        assert (place.run / "eval" / "clean.json").stat().st_mtime_ns == clean


@pytest.mark.parametrize(("verb", "folder"), [("report", RUN), ("page", SAVED)])
def test_a_page_needs_the_samples_of_every_suite(place, saved, fails, verb, folder):
    path = (saved if folder == SAVED else place.study / folder) / "eval" / "linf.samples.csv"
    with kept(path):
        path.unlink()
        fails(*place.verb(verb), says="linf.samples.csv is missing; delete linf.json")


def test_a_comparison_writes_its_own_record_anew(place, call):
    path = place.study / "comparison.json"
    whole = json.loads(path.read_text())
    path.write_bytes(ALWAYS["half"](path.read_bytes()))
    code, _, stderr = call(*place.verb("compare"))
    assert code == 0, stderr
    assert json.loads(path.read_text()) | {"command": whole["command"]} == whole


def test_the_doctor_writes_its_own_record_anew(place, saved, call):
    path = saved / "doctor.json"
    with kept(path):
        path.write_bytes(b"[")
        code, _, stderr = call(*place.verb("doctor"))
        assert code in (0, 1), stderr
        assert len(DOCTOR.read(saved).checks) > 5


def test_a_journal_goes_on_after_half_a_line_and_is_refused_where_no_kill_explains_it(
    place, saved, call, fails, monkeypatch
):
    path = saved / "eval" / "linf.json"
    suite, columns = read_suite(path)
    journal = path.with_suffix(".partial.jsonl")
    with monkeypatch.context() as patch, kept(path):
        patch.setattr(Journal, "close", lambda self: None)
        path.unlink()
        assert call(*place.verb("save"), "--set", "evaluate.batch_size=8")[0] == 0
    head, *batches = journal.read_bytes().splitlines(keepends=True)
    assert len(batches) == 3
    whole = json.loads(batches[1])
    fewer = json.dumps({key: whole[key] for key in ("index", "label")}).encode() + b"\n"
    shorter = json.dumps(whole | {"label": whole["label"][:-1]}).encode() + b"\n"
    text = json.dumps(whole | {"index": "0"}).encode() + b"\n"
    with kept(path):
        path.unlink()
        for lines in ([b"\xff"], [b"null\n"], *([head, batches[0], bad] for bad in (b"{\n", fewer, shorter, text))):
            journal.write_bytes(b"".join(lines))
            fails(*place.verb("save"), says=f"delete {journal}")
            assert not path.is_file()
        for lines in ([b"{}\n"], [head], [head, *batches[:2]], [head, *batches[:2], batches[2][:40]]):
            path.unlink(missing_ok=True)
            journal.write_bytes(b"".join(lines))
            code, _, stderr = call(*place.verb("save"))
            assert code == 0, stderr
            again, samples = read_suite(path)
            assert again == suite
            assert all(np.array_equal(samples[key], columns[key]) for key in columns)


@pytest.mark.parametrize("state", [b"", b"no state", [], {"epoch": 1}, {"model": 3, "epoch": 1}])
def test_a_damaged_state_of_training_is_told(place, fails, tmp_path, state):
    out = place.runs.with_name("begun")
    path = out / place.study.relative_to(place.runs) / "dropout" / "seed-0" / "state" / "last.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(state) if isinstance(state, bytes) else torch.save(state, path)
    fails(*place.verb("train")[:4], "--out", out, "--device", "cpu", says="delete its folder to start this run anew")


def test_a_log_that_a_kill_cut_short_is_no_mistake_of_a_run_that_goes_on(place, call):
    out = place.runs.with_name("short")
    folder = out / place.study.relative_to(place.runs) / "dropout" / "seed-0"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text('{"epoch": 1}\n{"epo')
    code, stdout, stderr = call(*place.verb("plan")[:3], "--out", out, "--json")
    assert code == 0, stderr
    assert [run["state"] for run in json.loads(stdout)["runs"]] == ["new", "to go on"]
