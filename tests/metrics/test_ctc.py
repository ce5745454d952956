"""The Cell Tracking Challenge's numbers: by hand, and beside py-ctcmetrics, its own code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from apiece import Instances
from apiece.errors import DataError
from apiece.metrics import evaluate

KEYS = ("ctc_seg", "ctc_det", "ctc_tra", "ctc_lnk", "ctc_division_f1")
Video = list[Instances]


def frame(cells: dict[int, tuple[int, int]], parents: dict[int, int], size: tuple[int, int] = (12, 40)) -> Instances:
    """Return cells of 4 x 4 pixels by id, at these corners (x, y)."""
    painted = np.zeros(size, np.int64)
    for own, (x, y) in cells.items():
        painted[y : y + 4, x : x + 4] = own
    found = Instances.from_label_map(painted)
    assert found.ids is not None
    return found.replace(attributes={"parent": np.array([parents.get(i, 0) for i in found.ids.tolist()], np.int64)})


def numbers(truth: Video, found: Video) -> list[float]:
    made = evaluate(zip(truth, found, strict=True), metrics=["ctc"])
    return [float(made[key]) for key in KEYS]


PARENTS = {2: 1, 3: 1}
DIVIDING = [
    frame({1: (10, 4)}, PARENTS),
    frame({1: (10, 4)}, PARENTS),
    frame({2: (6, 4), 3: (14, 4)}, PARENTS),
    frame({2: (6, 4), 3: (14, 4)}, PARENTS),
]  # six vertices, five edges, two of them of mother and daughter


def test_what_is_right_is_1() -> None:
    assert numbers(DIVIDING, DIVIDING) == [1, 1, 1, 1, 1]
    other = [one.replace(ids=one.ids + 6, attributes={"parent": one.attributes["parent"]}) for one in DIVIDING]
    assert numbers(DIVIDING, other)[:3] == pytest.approx([1, 1, 1 - 2 * 1.5 / (60 + 7.5)])  # the mother is unknown


def test_each_mistake_costs_what_the_challenge_says() -> None:
    missed = [*DIVIDING[:3], frame({2: (6, 4)}, PARENTS)]
    assert numbers(DIVIDING, missed)[1:4] == pytest.approx([1 - 10 / 60, 1 - 11.5 / 67.5, 1 - 1.5 / 7.5])
    false = [*DIVIDING[:3], frame({2: (6, 4), 3: (14, 4), 9: (30, 4)}, PARENTS)]
    assert numbers(DIVIDING, false)[1:4] == pytest.approx([1 - 1 / 60, 1 - 1 / 67.5, 1])
    split = np.zeros((12, 40), np.int64)
    split[4:8, 6:18] = 2
    merged = [*DIVIDING[:3], Instances.from_label_map(split).replace(attributes={"parent": np.array([1])})]
    assert numbers(DIVIDING, merged)[1:4] == pytest.approx([1 - 5 / 60, 1 - 8 / 67.5, 1 - 3 / 7.5])
    swapped = [*DIVIDING[:3], frame({3: (6, 4), 2: (14, 4)}, PARENTS)]
    assert numbers(DIVIDING, swapped)[1:4] == pytest.approx([1, 1 - 5 / 67.5, 1 - 5 / 7.5])
    followed = [
        *DIVIDING[:2],
        frame({1: (6, 4), 3: (14, 4)}, {3: 1}),  # one daughter goes on as the mother
        frame({1: (6, 4), 3: (14, 4)}, {3: 1}),
    ]
    made = numbers(DIVIDING, followed)
    assert made[1] == 1
    assert made[4] == 0
    assert made[3] == pytest.approx(1 - (1.5 + 1) / 7.5)  # an edge absent, one of another kind


def test_ids_are_needed_and_nothing_is_nan() -> None:
    with pytest.raises(DataError, match="have no ids"):
        numbers(DIVIDING, [one.replace(ids=None) for one in DIVIDING])
    empty = [Instances.empty((12, 40)).replace(ids=np.zeros(0, np.int64))]
    assert np.isnan(numbers(empty, empty)).all()


def colony(rng: np.random.Generator, frames: int = 8) -> tuple[list[np.ndarray], list[list[int]]]:
    """Return label maps of cells that wander and divide, and the table of tracks ``L B E P``."""
    places = {k + 1: rng.uniform(8, 56, 2) for k in range(5)}
    table = {k: [k, 0, 0, 0] for k in places}
    fresh, maps = 6, []
    y, x = np.mgrid[:64, :64]
    for t in range(frames):
        painted = np.zeros((64, 64), np.uint16)
        for own, place in places.items():
            painted[np.hypot(x - place[0], y - place[1]) < 4.5] = own
        seen = set(np.unique(painted).tolist()) - {0}
        places = {k: p for k, p in places.items() if k in seen}
        for own in seen:
            table[own][2] = t
        maps.append(painted)
        moved = {}
        for own, place in places.items():
            if rng.random() < 0.15:
                for sign in (-1, 1):
                    moved[fresh] = place + np.array([sign * 5, 0])
                    table[fresh] = [fresh, t + 1, t + 1, own]
                    fresh += 1
            else:
                moved[own] = place + rng.normal(0, 1.5, 2)
        places = moved
    there = {own for painted in maps for own in np.unique(painted).tolist()}
    rows = [row if row[3] in there else [*row[:3], 0] for own, row in table.items() if own in there]
    return maps, rows


def spoiled(rng: np.random.Generator, maps: list[np.ndarray], rows: list[list[int]]) -> tuple[list[np.ndarray], list]:
    """Return results with cells that are lost, joined, new and of swapped ids; tracks anew for each change."""
    swap = {row[0]: row[0] for row in rows}
    fresh, out = max(swap) + 1, []
    for painted in maps:
        made = np.zeros_like(painted)
        ids = [own for own in np.unique(painted).tolist() if own]
        for own in ids:
            chance = rng.random()
            if chance < 0.08:
                continue
            if chance < 0.16:
                swap[own], fresh = fresh, fresh + 1
            made[painted == own] = swap[own]
        if len(ids) > 1 and rng.random() < 0.2:
            made[made == swap[ids[0]]] = swap[ids[1]]
        if rng.random() < 0.3:
            made[:3, :3], fresh = fresh, fresh + 1
        out.append(np.roll(made, rng.integers(-1, 2), 1))
    return tracked(out, {swap[row[0]]: swap.get(row[3], 0) for row in rows})


def tracked(maps: list[np.ndarray], parents: dict[int, int]) -> tuple[list[np.ndarray], list[list[int]]]:
    """Return tracks without gaps: what comes back after a gap gets an id of its own."""
    fresh = 1 + max(int(painted.max()) for painted in maps)
    table: dict[int, list[int]] = {}
    now: dict[int, int] = {}
    out = []
    for t, painted in enumerate(maps):
        made = np.zeros_like(painted)
        for own in np.unique(painted).tolist():
            if not own:
                continue
            name = now.get(own, own)
            if name in table and table[name][2] < t - 1:
                name, fresh = fresh, fresh + 1
            now[own] = name
            table.setdefault(name, [name, t, t, parents.get(name, 0)])[2] = t
            made[painted == own] = name
        out.append(made)
    for row in table.values():
        if row[3] not in table or table[row[3]][2] >= row[1]:
            row[3] = 0
    return out, list(table.values())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_numbers_are_those_of_py_ctcmetrics(seed: int, tmp_path: Path) -> None:
    theirs = pytest.importorskip("ctc_metrics.utils.representations")
    technical = pytest.importorskip("ctc_metrics.metrics")
    rng = np.random.default_rng(seed)
    maps, rows = colony(rng)
    found, own = spoiled(rng, maps, rows)
    matched = []
    for t, (a, b) in enumerate(zip(maps, found, strict=True)):
        tifffile.imwrite(tmp_path / f"r{t}.tif", a.astype(np.int32))
        tifffile.imwrite(tmp_path / f"c{t}.tif", b.astype(np.int32))
        matched.append(theirs.match(str(tmp_path / f"r{t}.tif"), str(tmp_path / f"c{t}.tif")))
    ref, comp, mapped_ref, mapped_comp, iou = (list(each) for each in zip(*matched, strict=True))
    counts = theirs.count_acyclic_graph_correction_operations(
        np.array(rows), np.array(own), ref, comp, mapped_ref, mapped_comp
    )
    wanted = [
        technical.seg(ref, iou), technical.det(**counts), technical.tra(**counts)[0], technical.lnk(**counts)
    ]  # fmt: skip

    def video(maps: list[np.ndarray], rows: list[list[int]]) -> Video:
        parents = {row[0]: row[3] for row in rows}
        made = [Instances.from_label_map(painted.astype(np.int64)) for painted in maps]
        return [
            one.replace(attributes={"parent": np.array([parents.get(i, 0) for i in one.ids.tolist()], np.int64)})
            for one in made
        ]

    assert numbers(video(maps, rows), video(found, own))[:4] == pytest.approx(wanted, abs=1e-9)
