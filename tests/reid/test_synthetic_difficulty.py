"""How hard the rendered set is: neither solved by colour nor beyond it, and another domain is another domain.

Bounds stand outside what the seeds from 0 to 4 gave, so that another version of NumPy or Pillow does not cross them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from featmask.reid.synthetic import World, layout
from featmask.reid.synthetic.shots import distractor, junk, person_of, shot_of
from featmask.reid.synthetic.world import PERSON, seen_by

pytest.importorskip("PIL.Image")

PEOPLE = 60


def histogram(picture: np.ndarray) -> np.ndarray:
    """8 x 8 x 8 colours in six horizontal stripes."""
    code = picture.astype(np.int64) // 32 @ (64, 8, 1)
    stripes = np.array_split(code, 6)
    return np.concatenate([np.bincount(stripe.ravel(), minlength=512) / stripe.size for stripe in stripes])


def gallery_and_query(world: World) -> Iterator[tuple[str, int, int, np.ndarray]]:
    for file in layout.plan(world):
        if file.folder != layout.TRAIN:
            pid, camera = file.name.split("_")[:2]
            yield file.folder, int(pid), int(camera[1:].split("s")[0]), file.render()


@pytest.fixture(scope="module")
def shown():
    """Half the default gallery of each domain: (folder, pid, camera, picture)."""
    world = {"train_ids": 1, "test_ids": PEOPLE, "distractors": 60, "junk": 0, "shots": 2}
    return {domain: list(gallery_and_query(World(domain=domain, **world))) for domain in "ab"}


@pytest.fixture(scope="module")
def described(shown):
    return {
        domain: [(folder, pid, camera, histogram(picture)) for folder, pid, camera, picture in rows]
        for domain, rows in shown.items()
    }


def rank1(rows) -> tuple[float, float]:
    """Share of queries whose nearest allowed picture is right, and what chance would give: a plain loop."""
    gallery = [row[1:] for row in rows if row[0] == layout.GALLERY]
    hits, chances = [], []
    for _, pid, camera, query in (row for row in rows if row[0] == layout.QUERY):
        allowed = [item for item in gallery if item[0] != pid or item[1] != camera]
        distances = [np.abs(item[2] - query).sum() for item in allowed]
        hits.append(allowed[int(np.argmin(distances))][0] == pid)
        chances.append(np.mean([item[0] == pid for item in allowed]))
    return float(np.mean(hits)), float(np.mean(chances))


def test_colour_alone_finds_some_people_and_not_most(described):
    score, chance = rank1(described["a"])
    assert chance < 0.02
    assert 0.05 < score < 0.45


def test_the_same_person_by_another_camera_is_nearer_than_someone_else_there(described):
    """Per pair of cameras, so that the cameras' own looks cancel: the mean gap against its standard error."""
    rows = [row for row in described["a"] if row[0] == layout.QUERY]
    gaps = []
    for _, pid, camera, one in rows:
        for other in {row[2] for row in rows} - {camera}:
            there = [(row[1] == pid, np.abs(row[3] - one).sum()) for row in rows if row[2] == other]
            same = [distance for right, distance in there if right]
            if same:
                gaps.append(np.mean([distance for right, distance in there if not right]) - same[0])
    # gaps of one person hang together, at most 4 * 3 of them: count each twelfth as one (false alarm below 1e-6 at 5)
    error = np.std(gaps) / np.sqrt(len(gaps) / 12)
    assert np.mean(gaps) > 5 * error


def test_most_people_share_their_main_colours_with_others():
    """The median person has someone else within the spread of a person's own shades in both garments."""
    world = World()
    colours = np.array([[*p.top, *p.bottom] for p in (person_of(world, PERSON, 2 * i + 1) for i in range(80))])
    apart = np.abs(colours[:, None] - colours[None]).max(-1) + 9 * np.eye(80)
    assert np.median(apart.min(1)) < 0.2


def test_domain_b_is_darker_and_bluer(shown):
    mean = {domain: np.mean([picture.mean((0, 1)) for *_, picture in rows], axis=0) for domain, rows in shown.items()}
    assert mean["a"].mean() - mean["b"].mean() > 15
    blueness = {domain: value[2] / value[0] for domain, value in mean.items()}
    assert blueness["b"] - blueness["a"] > 0.04


def test_cameras_differ_more_than_shots_of_one_camera():
    """Mean colours of a camera's pictures: the spread between cameras against its standard error within them."""
    world = World(train_ids=40)
    means: dict[int, list[float]] = {}
    for pid in range(2, 82, 2):
        for camera in seen_by(world, pid):
            means.setdefault(camera, []).append(float(shot_of(world, pid, camera, 0).mean()))
    errors = [np.std(values) / np.sqrt(len(values)) for values in means.values()]
    centres = [np.mean(values) for values in means.values()]
    assert max(centres) - min(centres) > 4 * max(errors)


def test_junk_is_no_good_box():
    """A third of the junk shows no person: its middle columns vary less from top to bottom than people do."""
    world = World()

    def contrast(picture: np.ndarray) -> float:
        stripes = np.array_split(picture[:, 24:40].astype(float), 8)
        return float(np.std([stripe.mean((0, 1)) for stripe in stripes], axis=0).mean())

    empty = [contrast(junk(world, 3 * number, number % 4 + 1)) for number in range(30)]
    people = [contrast(distractor(world, number, number % 4 + 1)) for number in range(30)]
    assert np.median(people) > 1.3 * np.median(empty)
