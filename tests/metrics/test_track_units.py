"""From what intervals of tracking numbers are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from apiece import Instances, Masks
from apiece.metrics import VideoFrame, evaluate
from apiece.metrics._kit.track_units import Units

SIZE = (20, 60)


def film(frames: int, stay: int, seed: int) -> list[tuple[Instances, Instances]]:
    """An object that is another one every ``stay`` frames, found more or less well, and under a new id at times."""
    rng = np.random.default_rng(seed)
    pairs, own = [], 0
    for k in range(frames):
        x, shift = 2 + k % 30, int(rng.integers(0, 6))
        own += rng.random() < 0.05
        truth = Instances(Masks.from_boxes([[x, 5, x + 12, 15]], SIZE), ids=[k // stay + 1])
        found = Instances(Masks.from_boxes([[x + shift, 5, x + shift + 12, 15]], SIZE), scores=[0.9], ids=[own + 1])
        pairs.append((truth, found[: rng.random() < 0.9]))
    return pairs


def test_stretches_are_as_long_as_objects_stay_and_videos_are_whole() -> None:
    one = Units.of(np.zeros(4000, np.int64), 50)
    assert one.number == 40
    assert set(np.bincount(one.of_image)) == {100}
    assert "from 40 stretches of one video" in one.note
    three = Units.of(np.repeat([0, 1, 2], [1000, 1000, 2000]), 50)
    assert three.number == 40
    assert three.of_image[[999, 1000, 1999, 2000]].tolist() == [9, 10, 19, 20]
    videos = Units.of(np.arange(900) // 100, 80)
    assert (videos.number, videos.note, videos.whole) == (9, "", True)
    none = Units.of(np.zeros(600, np.int64), 200)
    assert none.number == 0
    assert "6,400 frames are needed, or 8 videos" in none.note


@pytest.mark.parametrize("metric", ["hota", "mots", "identity", "ctc"])
def test_halves_of_all_units_are_the_number_itself(metric: str) -> None:
    pairs = film(640, 10, 3)
    found = evaluate(pairs, metrics=[metric], bootstrap=50)
    assert any("speak of more such frames" in note for note in found.notes)
    halves = found.halves[None]
    assert halves
    for key, half in halves.items():
        assert half.value == pytest.approx(found[key], nan_ok=True), key
        if half.interval is not None:
            assert found[f"{key}_low"] - 0.05 <= found[key] <= found[f"{key}_high"] + 0.05
    assert not {"assa", "id_switches", "idtp"} & set(halves)


def test_videos_are_drawn_whole() -> None:
    pairs = [pair for seed in range(9) for pair in film(20, 10, seed)]
    frames = [VideoFrame(str(k // 20)) for k in range(len(pairs))]
    found = evaluate(pairs, metrics=["hota", "mots"], frames=frames, bootstrap=50)
    assert {"hota", "assa", "id_switches"} <= set(found.halves[None])
    assert found["hota_low"] < found["hota"] < found["hota_high"]


def test_one_short_video_has_no_interval_and_a_note() -> None:
    found = evaluate(film(40, 20, 0), metrics=["hota"], bootstrap=50)
    assert "hota_low" not in found
    assert any("frames are needed" in note for note in found.notes)
