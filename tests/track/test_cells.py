"""Cells that move, touch, vanish for a frame, divide and join; and what the challenge says of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from apiece import Instances, Masks, formats
from apiece.cli import main
from apiece.core.image import ImageRef
from apiece.errors import ConfigError
from apiece.metrics import evaluate
from apiece.track import start

SIZE = (80, 120)


def discs(places: list[tuple[float, float, float]]) -> Instances:
    """Return discs x, y, radius."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    dense = np.array([np.hypot(x - a, y - b) < r for a, b, r in places]).reshape(-1, *SIZE)
    return Instances(Masks.from_dense(dense))


def test_a_division_ends_the_mother_and_names_her() -> None:
    tracker = start("cells")
    frames = [discs([(40, 40, 10), (90, 40, 9)]) for _ in range(3)]
    frames += [discs([(33, 40, 7.2), (48, 40, 7.2), (90, 41, 9)]), discs([(30, 40, 7.2), (51, 40, 7.2), (90, 41, 9)])]
    found = [tracker.update(frame) for frame in frames]
    assert [one.ids.tolist() for one in found] == [[1, 2]] * 3 + [[3, 4, 2]] * 2
    assert [one.attributes["parent"].tolist() for one in found[2:]] == [[0, 0], [1, 1, 0], [1, 1, 0]]
    alone = start("cells", {"divide": False})
    assert not any(alone.update(frame).attributes["parent"].any() for frame in frames)


def test_a_mother_is_not_found_again_in_the_frame_of_her_daughters() -> None:
    tracker = start("cells")
    frames = [discs([(40, 40, 10)])] * 3 + [discs([(32, 40, 7.2), (48, 40, 7.2), (40, 50, 4)])]
    found = [tracker.update(frame) for frame in frames]
    assert found[3].ids.tolist() == [2, 3, 4]
    assert found[3].attributes["parent"].tolist() == [1, 1, 0]


@pytest.mark.parametrize("resumed", [False, True])
def test_a_stage_that_drifts(resumed: bool) -> None:
    places = [[(20, 40, 7), (25, 60, 7)], [(33, 37, 7), (38, 57, 7)], [(46, 34, 7), (51, 54, 7)]]
    places += [[(53, 31, 5), (65, 31, 5), (58, 51, 5), (70, 51, 5)]]  # both divide while the stage moves
    tracker, found = start("cells"), []
    for k, place in enumerate(places):
        found.append(tracker.update(discs(place)))
        if resumed and k == 2:
            tracker = start("cells", state=tracker.state())
    assert [one.ids.tolist() for one in found] == [[1, 2]] * 3 + [[3, 4, 5, 6]]
    assert found[3].attributes["parent"].tolist() == [1, 1, 2, 2]
    still = start("cells", {"camera": False})
    assert [still.update(discs(place)).ids.tolist() for place in places[:2]] == [[1, 2], [3, 4]]


def test_one_cell_that_is_elsewhere_is_another() -> None:
    tracker = start("cells")
    assert tracker.update(discs([(20, 40, 7)])).ids.tolist() == [1]
    assert tracker.update(discs([(34, 40, 7)])).ids.tolist() == [2]


def test_a_new_cell_beside_an_old_one_is_no_daughter() -> None:
    tracker = start("cells")
    for _ in range(3):
        tracker.update(discs([(40, 40, 10)]))
    assert tracker.update(discs([(40, 40, 10), (60, 40, 10)])).attributes["parent"].tolist() == [0, 0]


def test_a_cell_that_is_missed_for_a_frame_or_three_keeps_its_id() -> None:
    tracker = start("cells")
    seen = discs([(40, 40, 10)])
    shown = [seen, seen, seen[:0], seen[:0], seen[:0], seen]
    assert [tracker.update(one).ids.tolist() for one in shown] == [[1], [1], [], [], [], [1]]
    assert [tracker.update(one).ids.tolist() for one in (*[seen[:0]] * 4, seen)][-1] == [2]


def test_of_two_that_join_one_goes_on() -> None:
    tracker = start("cells")
    for _ in range(2):
        tracker.update(discs([(40, 40, 10), (58, 40, 7)]))
    joined = discs([(40, 40, 10), (58, 40, 7)])
    one = Instances(Masks.from_dense(joined.masks.to_dense().any(0)[None]))
    assert tracker.update(one).ids.tolist() == [1]


def colony(seed: int, frames: int = 20) -> list[Instances]:
    """Return cells that wander and divide, with true ids and parents."""
    rng = np.random.default_rng(seed)
    places = {k + 1: (np.array([20 + 40 * (k % 3), 22.0 + 36 * (k // 3)]), 8.0, 0) for k in range(6)}
    parents, fresh, out = {}, 7, []
    for _ in range(frames):
        own = discs([(p[0], p[1], r) for p, r, _ in places.values()])
        ids = np.array(list(places))
        own = own.replace(ids=ids, attributes={"parent": np.array([parents.get(i, 0) for i in ids.tolist()])})
        out.append(own[own.masks.area > 20])
        moved = {}
        for k, (p, r, age) in places.items():
            if r > 7.5 and age > 4 and rng.random() < 0.08:
                way = rng.normal(0, 1, 2)
                for sign in (-1, 1):
                    parents[fresh] = k
                    moved[fresh] = (p + sign * 6 * way / np.hypot(*way), r * 0.72, 0)
                    fresh += 1
            else:
                moved[k] = (p + rng.normal(0, 1.2, 2), min(r * 1.03, 8), age + 1)
        places = moved
    return out


def test_a_colony_is_followed() -> None:
    tra, divisions = [], []
    for seed in range(4):
        truth = colony(seed)
        tracker = start("cells")
        found = [tracker.update(one.replace(ids=None, attributes={})) for one in truth]
        made = evaluate(zip(truth, found, strict=True), metrics=["ctc"])
        tra.append(float(made["ctc_tra"]))
        divisions.append(float(made["ctc_division_f1"]))
    assert min(tra) > 0.97
    assert np.mean(divisions) > 0.7


def test_by_the_command_line_with_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    truth = colony(1)

    def refs() -> list[tuple[ImageRef, Instances]]:
        return [(ImageRef(tmp_path / f"01/t{k:03d}.tif", f"01/t{k:03d}.tif", SIZE), one) for k, one in enumerate(truth)]

    bare = [(ref, one.replace(ids=None, attributes={}, scores=np.full(len(one), 0.9))) for ref, one in refs()]
    formats.write(bare, tmp_path / "found.json", format="coco")
    formats.write(refs(), tmp_path / "truth.json", format="coco")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(["track", "--detections", "found.json", "--tracker", "cells", "--save", "coco,ctc", "--fill", "0"])
    capsys.readouterr()
    labels = formats.read("tracks/ctc")
    assert labels.metadata["ctc"]["01"]
    for predictions in ("tracks/ctc", "tracks/tracks.json"):
        with pytest.raises(SystemExit, match="0"):
            main(["evaluate", "--predictions", predictions, "--data", "truth.json", "--metrics", "ctc", "--json"])
        made = json.loads(capsys.readouterr().out)
        assert made["ctc_det"] > 0.98
        assert made["ctc_tra"] > 0.97
        assert made["ctc_lnk"] > 0.9


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="reach above 0"):
        start("cells", {"reach": 0})
