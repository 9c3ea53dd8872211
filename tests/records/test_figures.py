"""Names of figures: what is written is what is read, every name has a title, and no other module takes names apart."""

from __future__ import annotations

import ast
import csv
import io
import json
import zipfile
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from featmask.attacks import Attack, AutoAttack, Norm, Region, Transfer
from featmask.attacks.registry import ATTACKS, presets
from featmask.classification.suite_names import SUITES as CLASSIFIER_SUITES
from featmask.classification.suites import SuiteOptions
from featmask.classification.suites.named import preset
from featmask.data.corruptions import CORRUPTIONS
from featmask.records import names, titles
from featmask.records.figures import Figure, measure_place
from featmask.records.names import Kind, Name
from featmask.reid.attacks import MetricAttack, MisRanking
from featmask.reid.kinds import AttackKind, Defence, MetricKind
from featmask.study.pictures.gained_lost import SUITES as SHOWN

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "featmask"

words = st.from_regex(r"[a-z][a-z0-9_]{0,11}", fullmatch=True).filter(lambda word: word not in ("l2", "l1"))
kinds = st.builds(
    Kind,
    words.filter(lambda word: word != "transfer"),
    st.lists(words | st.sampled_from(["0.3", "t", "dlr"]), max_size=3).map(tuple),
    st.sampled_from(list(titles.NORMS)),
    st.booleans(),
)
sizes = st.builds("{}/255".format, st.integers(1, 255)) | st.sampled_from(["0.5", "1", "0.5/255", "20%", "12.5%"])
measures = st.sampled_from(["", "rank1", "rank20", "mAP", "mINP", "ap", "inp"])
#: Each with what a name of its sort holds.
written = (
    st.builds(lambda kind, size, measure: Name(str(kind), measure, size), kinds, sizes, measures)
    | st.builds(lambda kind, measure: Name(str(kind), measure), kinds, measures)
    | st.builds(lambda kind, severity: Name(kind, severity=str(severity)), words, st.integers(1, 5))
    | st.builds(lambda measure: Name(measure=measure), measures.filter(bool))
)


@given(kinds)
def test_a_kind_is_read_as_it_was_written(kind):
    assert Kind.parse(str(kind)) == kind


@given(written)
def test_a_name_is_read_as_it_was_written(name):
    assert Name.parse(str(name)) == name


@given(
    st.text(st.sampled_from("ab1-_%/ "), max_size=12) | st.sampled_from(["mAP", "rank1", "rank12345", "x:", "x:1@2"])
)
def test_what_is_no_name_of_ours_stays_as_it_is(text):
    assert str(Name.parse(text)) == text
    assert str(Kind.parse(text)) == text


@given(kinds, sizes, measures.filter(bool))
def test_columns_and_figures_of_rankings(kind, size, measure):
    figure = names.figure_of(names.ranking_name(kind.at(size), measure))
    expected = {"ap": "mAP", "inp": "mINP"}.get(measure, measure)
    assert figure == f"{kind}.{expected}@{size}"
    assert names.column_of(figure) == f"{kind}.{ {'mAP': 'ap', 'mINP': 'inp'}.get(measure, measure) }@{size}"
    assert Figure("attack_query", figure).measure == expected


def published() -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """(suite, figure) and (suite, column) of the published records."""
    figures, columns = set(), set()
    with zipfile.ZipFile(ROOT / "docs" / "study" / "records.zip") as archive:
        for member in archive.namelist():
            folder, _, file = member.rpartition("/")
            if folder.endswith("/eval") and file.endswith(".json"):
                record = json.loads(archive.read(member))
                figures |= {(record["name"], name) for name in record["metrics"]}
            elif folder.endswith("/eval"):
                with archive.open(member) as handle:
                    head = next(csv.reader(io.TextIOWrapper(handle, encoding="utf-8")))
                columns |= {(file.removesuffix(".samples.csv"), name) for name in head}
    return figures, columns


def test_published_names_are_written_as_they_are_read():
    figures, columns = published()
    assert len(figures) > 140
    assert len(columns) > 100
    for suite, name in sorted(figures | columns):
        figure = Figure(suite, name)
        assert str(figure.parts) == name
        assert str(figure.attack) == figure.kind
        # by another road: cut at the last mark
        if "@" in name:
            assert name.endswith(f"@{figure.budget}")
            assert (figure.eps is None) == ("%" in name)
            assert figure.norm == ("" if "%" in name else "l2" if "-l2@" in name else "linf")
        elif ":" in name:
            assert name == f"{figure.kind}:{figure.severity}"
            assert figure.kind in CORRUPTIONS
        assert figure.worst == name.startswith("worst")
    # a figure is its column's mean: of every per-sample figure the column is there, under the name that is read
    for suite, name in figures:
        figure = Figure(suite, name)
        if "@" in name or ":" in name or name in ("accuracy", "rank1", "mAP", "mINP", "clean.mAP"):
            assert (suite, names.column_of(name)) in columns, figure
            assert names.figure_of(names.column_of(name)) == name


def test_suites_are_read_as_they_were_written():
    assert (
        names.other_domain(names.cross_suite("duke-2")) == "duke-2" == Figure(names.cross_suite("duke-2"), "mAP").domain
    )
    assert [names.attacked_side(names.attack_suite(side)) for side in ("query", "gallery")] == ["query", "gallery"]
    assert [names.other_domain(suite) or names.attacked_side(suite) for suite in names.SUITES] == [""] * 9
    assert names.rounded_attack(names.rounded_column("pgd@2/255")) == "pgd@2/255"
    assert names.rounded_attack("pgd@2/255") == ""


def test_names_on_disk_have_not_changed():
    half, few = Fraction(1, 2), Fraction(2, 255)
    attacks = {
        "pgd@2/255": Attack("pgd", few),
        "pgd@0.5/255": Attack("pgd", Fraction(1, 510)),
        "apgd-dlr-t@2/255": Attack("apgd", few, loss="dlr", targets=3),
        "pgd-margin-l2@0.5": Attack("pgd", half, "l2", loss="margin"),
        "square-l1@12": Attack("square", Fraction(12), "l1"),
        "autoattack@2/255": AutoAttack(few),
        "autoattack-rand-l2@0.5": AutoAttack(half, "l2", "rand"),
        "occlusion@20%": Region("occlusion", Fraction(1, 5)),
        "occlusion-mean@12.5%": Region("occlusion", Fraction(1, 8), fill="mean"),
        "erasing-0.3@20%": Region("erasing", Fraction(1, 5), fill=0.3),
        "patch@20%": Region("patch", Fraction(1, 5), fill=0.3),
        "transfer-pgd@2/255": Transfer(Attack("pgd", few), lambda x: x),
        "fna@2/255": MetricAttack("fna", few),
        "fna-l2@0.5": MetricAttack("fna", half, norm="l2"),
        "misranking@2/255": MisRanking(few),
    }
    assert [attack.name for attack in attacks.values()] == list(attacks)
    worst = ["worst@2/255", "worst-l2@0.5", "worst-l1@12", "worst-l2@0.5", "worst@20%", "worst@12.5%", "worst@2/255"]
    shown = ["pgd@2/255", "pgd-margin-l2@0.5", "square-l1@12", "autoattack-rand-l2@0.5", "occlusion@20%",
             "occlusion-mean@12.5%", "transfer-pgd@2/255"]  # fmt: skip
    assert [names.worst_name(name) for name in shown] == worst
    assert names.worst_name("fna-l2@0.5", "ap") == "worst.ap@0.5"
    assert names.ranking_name("fna-l2@0.5", "rank1") == "fna-l2.rank1@0.5"
    assert names.ranking_name("clean", "ap") == "clean.ap"
    assert names.corruption_name("fog", 3) == "fog:3"
    assert names.rounded_column("pgd@2/255") == "8-bit pgd@2/255"
    assert (names.cross_suite("b"), names.attack_suite("query")) == ("cross_b", "attack_query")


def test_every_attack_has_a_title_and_every_title_an_owner():
    own = {kind for kind, row in ATTACKS.items() if not row.surrogate}  # transfer is said of another attack
    owners = own | set(get_args(AttackKind))
    assert set(titles.ATTACKS) == owners | {names.CLEAN, names.WORST}
    order = list(titles.ATTACKS)
    assert (order[0], order[-1]) == (names.CLEAN, names.WORST)
    norms = get_args(Norm)
    made = [preset(name, Fraction(1, 2), norm, SuiteOptions(), 10) for name in presets() for norm in norms]
    found = [Kind.parse(attack.title) for attack in made]
    found += [Kind.parse(Name.parse(AutoAttack(Fraction(1, 2), version="rand").name).kind)]
    found += [Kind.parse(Name.parse(Region("occlusion", Fraction(1, 2), fill="mean").name).kind)]
    assert {variant for kind in found for variant in kind.variants} == set(titles.VARIANTS)
    assert {kind.norm for kind in found} == set(titles.NORMS) == set(get_args(Norm))
    for kind in found:
        assert titles.attack_title(str(kind)) != str(kind)
    for listed in (names.NOISE, names.FIRST_ORDER, names.STRONG, names.STEPLESS, names.GUIDED):
        assert set(listed) <= owners
    guided = [kind for kind in get_args(MetricKind) if MetricAttack(kind, Fraction(1, 255)).needs_guides]
    assert guided == list(names.GUIDED)
    assert set(get_args(Defence)) - {"goat"} <= set(get_args(MetricKind))


def test_every_suite_and_corruption_has_a_title_and_every_title_an_owner():
    assert set(titles.SUITES) == {*names.SUITES, *names.RANKINGS}
    assert set(names.SUITES) == set(CLASSIFIER_SUITES) - {"full"}
    assert set(titles.WORST_OF) <= set(titles.ATTACKING) <= set(titles.SUITES)
    assert {suite for shown in SHOWN.values() for suite in shown} <= set(titles.SUITES)
    assert tuple(kind for group in names.CORRUPTIONS.values() for kind in group) == CORRUPTIONS
    for kind in CORRUPTIONS:
        assert Figure("corruptions", kind).short == titles.corruption_title(kind) != kind


@pytest.mark.parametrize(
    ("suite", "name", "title", "words"),
    [
        ("clean", "accuracy", "Accuracy", "clean accuracy"),
        ("linf", "clean", "Attacked subset, clean", "clean"),
        ("linf", "worst@2/255", "Worst case 2/255", "worst-case accuracy at 2/255"),
        ("l2", "worst-l2@0.5", "Worst case (L2) 0.5", "worst-case accuracy (L2) at 0.5"),
        ("blackbox", "worst@2/255", "Black-box worst case 2/255", "worst-case accuracy at 2/255"),
        ("transfer", "transfer-pgd@2/255", "PGD from another model 2/255", "PGD from another model accuracy at 2/255"),
        ("corruptions", "fog:3", "Fog, severity 3", "fog:3"),
        ("attack_query", "fna.mAP@5/255", "FNA mAP 5/255", "FNA mAP at 5/255"),
        ("attack_gallery", "worst.rank1@5/255", "Worst-case Rank-1 (gallery) 5/255",
         "worst-case Rank-1 at 5/255 (gallery attacked)"),
        ("attack_query", "clean.mINP", "Attacked subset, clean mINP", "clean mINP of the attacked subset"),
        ("cross_b", "mAP", "Cross-domain mAP (b)", "cross-domain mAP on b"),
        ("reranked", "rank5", "Re-ranked Rank-5", "re-ranked Rank-5"),
    ],
)  # fmt: skip
def test_words_for_people(suite, name, title, words):
    figure = Figure(suite, name)
    assert (figure.title, figure.words) == (title, words)


def test_order_of_attacks_and_of_figures_of_rankings():
    shown = ["clean", "gaussian", "fgsm", "pgd", "pgd-margin-l2", "apgd", "own", "transfer-pgd", "worst-l2"]
    assert sorted(Random(0).sample(shown, len(shown)), key=titles.attack_place) == shown
    ranked = ["rank1", "rank5", "rank10", "mAP", "mINP"]
    assert sorted(Random(0).sample(ranked, len(ranked)), key=measure_place) == ranked


#: Marks of names, which no call such as partition may look for and no f-string may put between two parts.
MARKS = ("@", "transfer-", "cross_", "attack_", "attack", "rank", "worst", "autoattack", "8-bit ")
#: Marks of names in these places, of other texts elsewhere.
SIGNS = (":", "-", ".")
PLACES = ("report", "study", "classification", "attacks", "records", "reid/evaluation", "reid/attacks", "cli/terminal")
CALLS = ("partition", "rpartition", "split", "rsplit", "removeprefix", "removesuffix", "startswith", "endswith")
#: In how many lines such a call or text is about something else.
ALLOWED = {
    "records/suite.py": 1,  # a file's name without its endings
    "records/figures.py": 1,  # the place of Rank-k among figures
    "report/across/page.py": 1,  # a title up to its colon
    "report/values.py": 1,  # a recipe as an outline
    "report/study/rows.py": 1,  # a cell of the CSV: seed and value
    "classification/suites/user_suites.py": 1,  # a message: a file, and what is wrong in it
}


def surgery(path: Path) -> list[int]:
    """Lines that take a name apart or put one together."""
    place = path.relative_to(SOURCE).as_posix()
    marks = MARKS + (SIGNS if place.startswith(PLACES) else ())
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
            texts = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Constant)]
            found += [node.lineno] if set(texts) & set(marks) else []
        elif isinstance(node, ast.JoinedStr):
            texts = [str(inner.value) for inner in node.values if isinstance(inner, ast.Constant)]
            mark = ":" in texts and place.startswith(PLACES)
            found += [node.lineno] if mark or any(text.endswith((*MARKS[:4], *MARKS[8:])) for text in texts) else []
    return found


def test_no_other_module_takes_names_apart():
    found = {path.relative_to(SOURCE).as_posix(): surgery(path) for path in SOURCE.rglob("*.py")}
    assert found.pop("records/names.py")
    assert {place: len(lines) for place, lines in found.items() if lines} == ALLOWED, found
