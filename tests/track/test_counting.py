"""Lines and zones: who crosses, which way, once; who stays, how long."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece import Instances, Masks
from apiece.errors import ConfigError, DataError
from apiece.track import Counter, Event, Line, Recall, Zone

SIZE = (40, 60)
ACROSS = Line("exit", (0, 20), (60, 20))


def at(*places: tuple[float, float], ids: list[int] | None = None) -> Instances:
    """Return squares of 6 pixels around these centres."""
    centre = np.array(places, float).reshape(-1, 2)
    return Instances(
        Masks.from_boxes(np.concatenate([centre - 3, centre + 3], 1), SIZE),
        ids=np.arange(1, len(centre) + 1) if ids is None else ids,
    )


def run(counter: Counter, frames: list[Instances]) -> list[Event]:
    return [event for k, frame in enumerate(frames) for event in counter.update(frame, k / 10)]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_the_share_beyond_a_line_is_counted_by_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.random((4, 20, 30)) < 0.4
    dense[:, 0, 0] = True
    x0, y0, x1, y1 = rng.uniform(-5, 35, 4)
    if seed % 3 == 0:
        x1 = x0
    if seed % 3 == 1:
        y1 = y0
    y, x = np.mgrid[:20, :30] + 0.5
    right = (x1 - x0) * (y - y0) - (y1 - y0) * (x - x0) > 0
    wanted = (dense & right).sum((1, 2)) / dense.sum((1, 2))
    assert Line("a", (x0, y0), (x1, y1)).right(Masks.from_dense(dense)) == pytest.approx(wanted)


def test_a_crossing_counts_once_however_it_trembles() -> None:
    way = [10, 14, 18, 21, 19, 22, 18, 20, 21, 19, 24, 30]
    counter = Counter([ACROSS])
    events = run(counter, [at((30, y)) for y in way])
    assert [(event.what, event.seconds) for event in events] == [("right", 1.0)]
    back = run(counter, [at((30, y)) for y in reversed(way)])
    assert [event.what for event in back] == ["left"]
    assert counter.summary()["lines"]["exit"]["right"] == 1


def test_touching_is_not_crossing_and_hiding_is_no_excuse() -> None:
    assert run(Counter([ACROSS]), [at((30, y)) for y in (10, 17, 20, 21, 19, 14)]) == []
    hidden = [at((30, 12)), at((30, 15)), at(), at(), at(), at((30, 28))]
    assert [event.what for event in run(Counter([ACROSS]), hidden)] == ["right"]


def test_a_line_has_ends() -> None:
    short = Line("gate", (20, 20), (40, 20))
    assert run(Counter([short]), [at((10, y)) for y in (10, 20, 30)]) == []
    assert len(run(Counter([short]), [at((30, y)) for y in (10, 20, 30)])) == 1
    around = [(30, 10), (50, 12), (50, 28), (30, 30), (30, 10)]  # round its end, and back through it
    assert [event.what for event in run(Counter([short]), [at(p) for p in around])] == ["left"]


def test_what_is_born_beyond_a_line_did_not_cross_it() -> None:
    assert run(Counter([ACROSS]), [at((30, 19)), at((30, 24)), at((30, 30))]) == []


def test_a_zone_knows_who_enters_who_leaves_and_how_long_it_took() -> None:
    zone = Zone("shelf", ((20, 10, 40, 10, 40, 30, 20, 30),))
    counter = Counter(zones=[zone])
    events = run(counter, [at((x, 20)) for x in (10, 18, 20, 21, 30, 39, 40, 42, 50)])
    assert [(event.what, event.seconds, event.dwell) for event in events] == [
        ("enter", 0.3, None), ("leave", 0.7, pytest.approx(0.4))
    ]  # fmt: skip
    table = counter.summary()["zones"]["shelf"]
    assert (table["enter"], table["leave"], table["inside"]) == (1, 1, 0)
    assert table["dwell"] == {"mean": pytest.approx(0.4), "longest": pytest.approx(0.4), "visits": 1}


def test_who_vanishes_in_a_zone_has_left_it_when_it_was_seen_last_and_is_forgotten() -> None:
    zone = Zone("all", ((0, 0, 60, 0, 60, 40, 0, 40),))
    counter = Counter([ACROSS], [zone])
    events = run(counter, [at((30, 10), ids=[7])] * 5 + [at((10, 10), ids=[k + 100]) for k in range(1500)])
    gone = [event for event in events if event.what == "leave" and event.id == 7]
    assert [(event.seconds, event.dwell) for event in gone] == [(0.4, pytest.approx(0.4))]
    assert len(counter._ids) < 700


def test_holes_of_a_zone_are_outside() -> None:
    ring = Zone("ring", ((10, 5, 50, 5, 50, 35, 10, 35), (20, 10, 40, 10, 40, 30, 20, 30)))
    assert ring.mask(SIZE).area.tolist() == [40 * 30 - 20 * 20]
    assert run(Counter(zones=[ring]), [at((30, 20)), at((15, 20))])[0].seconds == 0.1


def test_minutes_and_classes() -> None:
    counter = Counter([ACROSS])
    for minute, way in ((0, (10, 30)), (2, (30, 10))):
        for y in way:
            found = at((30, y)).replace(labels=[1], classes=("a", "b"))
            counter.update(found, 60 * minute + 1)
    table = counter.summary()["lines"]["exit"]
    assert table["classes"] == {"b": {"right": 1, "left": 1}}
    assert table["minutes"] == [
        {"minute": 0, "right": 1, "left": 0},
        {"minute": 1, "right": 0, "left": 0},
        {"minute": 2, "right": 0, "left": 1},
    ]


def test_what_is_wrong_is_named() -> None:
    for text in ("exit 1,2", "a: 1,2 3", "a: 1,2 x,4", "1.2.3,4 5,6"):
        with pytest.raises(ConfigError, match="is no line"):
            Line.parse(text)
    assert Line.parse("1,2 3,4", "line 1").name == "line 1"
    with pytest.raises(ConfigError, match="begins where it ends"):
        Line.parse("a: 1,2 1,2")
    with pytest.raises(ConfigError, match="two lines or zones are called 'exit'"):
        Counter([ACROSS, ACROSS])
    for content in ({}, {"type": "Point", "coordinates": [1, 2]}, {"type": "FeatureCollection", "features": []}, 3):
        with pytest.raises(DataError, match="zone"):
            Zone.from_geojson(content)
    with pytest.raises(DataError, match="track them first"):
        Counter([ACROSS]).update(Instances(Masks.empty(SIZE)), 0)


@pytest.mark.parametrize("number", [3, 40, 400])
@pytest.mark.parametrize("recall", [0.7, 0.95])
@pytest.mark.parametrize("judged", [60, None])
def test_intervals_of_counts_hold_the_true_number(number: int, recall: float, judged: int | None) -> None:
    rng = np.random.default_rng([number, int(100 * recall)])
    held = 0
    for _ in range(200):
        known = Recall(recall, np.inf) if judged is None else Recall(max(rng.binomial(judged, recall), 1), judged)
        low, high = known.interval(int(rng.binomial(number, recall)))
        held += low <= number <= high
    assert held >= 182  # 91%: 95% less two and a half errors of 200 draws


def test_a_recall_is_a_share_or_a_count_of_a_count() -> None:
    assert Recall.parse("1").interval(5) == (5, 5)
    assert Recall.parse(" 47 of 50 ") == Recall(47, 50)
    for text in ("0", "1.2", "51/50", "0/7", "many", "-1"):
        with pytest.raises(ConfigError, match="is no recall; write counted/there"):
            Recall.parse(text)
    counter = Counter([Line("door", (10, 0), (10, 20))], recall=Recall(9, 10))
    assert counter.summary()["lines"]["door"]["interval"]["left"][0] == 0
