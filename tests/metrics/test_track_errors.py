"""Errors of tracking by kind: hand-drawn videos, and what the kinds add up to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.metrics.track_scenes import video

from apiece import Instances, Masks, formats
from apiece.cli import main
from apiece.core.image import ImageRef
from apiece.images import write_image
from apiece.metrics import evaluate
from apiece.metrics.track_errors import KINDS

SIZE = (20, 40)


def frame(objects: dict[int, tuple[int, int]]) -> Instances:
    """Squares of 4 x 4 by id, at x, y."""
    boxes = np.array([[x, y, x + 4, y + 4] for x, y in objects.values()], float).reshape(-1, 4)
    return Instances(Masks.from_boxes(boxes, SIZE), ids=np.array(list(objects), np.int64))


A, B = (2, 2), (20, 2)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ([{1: A, 2: B}] * 6, {}),
        ([{1: A, 2: B}] * 3 + [{2: A, 1: B}] * 3, {"switches": 2, "swaps": 2}),
        ([{1: A, 2: B}] * 3 + [{7: A, 2: B}] * 3, {"switches": 1}),
        ([{1: A, 2: B}] * 2 + [{1: A}] * 2 + [{1: A, 2: B}] * 2, {"gaps": 1, "gaps_frames": 2}),
        ([{1: A}] + [{1: A, 2: B}] * 3 + [{1: A}] * 2, {"cuts": 2, "cuts_frames": 3}),
        ([{1: A}] * 6, {"missed": 1, "missed_frames": 6}),
        ([{1: A, 2: B}] * 4 + [{1: A, 2: B, 5: (30, 14)}] * 2, {"false": 1, "false_frames": 2}),
        ([{1: A, 2: B}] * 5 + [{1: A, 2: (30, 14)}], {"strays": 1, "strays_frames": 1, "cuts": 1, "cuts_frames": 1}),
    ],
)
def test_each_kind_by_hand(found: list[dict[int, tuple[int, int]]], wanted: dict[str, int]) -> None:
    truth = [frame({1: A, 2: B}) for _ in range(6)]
    made = evaluate(zip(truth, map(frame, found), strict=True), metrics=["track_errors", "hota"])
    counted = {key.removeprefix("track_"): made[key] for key in made if key.startswith("track_") and made[key]}
    assert counted == wanted
    costs = {kind: made[f"hota_{kind}"] for kind in KINDS}
    for kind, cost in costs.items():
        assert (cost > 0.01) == (kind in wanted), kind
    if len({key.removesuffix("_frames") for key in wanted} - {"swaps"}) == 1:  # mended, all is right
        assert made["hota"] + max(costs.values()) == pytest.approx(1)
    events = made.extras["track_errors"]["events"]
    assert len(events) == sum(count for key, count in wanted.items() if not key.endswith("_frames") and key != "swaps")


@pytest.mark.parametrize("seed", range(6))
def test_kinds_add_up_to_what_mots_counts(seed: int) -> None:
    pairs, places = video(seed, frames=25)
    made = evaluate(pairs, metrics=["track_errors", "mots"], frames=places)
    assert made["track_switches"] == made["id_switches"]
    assert sum(made[f"track_{kind}_frames"] for kind in ("gaps", "cuts", "missed")) == made["mots_fn"]
    assert sum(made[f"track_{kind}_frames"] for kind in ("false", "strays")) == made["mots_fp"]


def test_an_event_says_where_and_who() -> None:
    truth = [frame({1: A, 2: B}) for _ in range(6)]
    found = [frame({4: A, 5: B})] * 3 + [frame({5: A, 4: B})] * 3
    events = evaluate(zip(truth, found, strict=True), metrics=["track_errors"]).extras["track_errors"]["events"]
    assert [(e.kind, e.image, e.truth, e.before, e.after) for e in events] == [
        ("swaps", 3, 1, 4, 5),
        ("swaps", 3, 2, 5, 4),
    ]


def test_the_page_shows_where_tracks_fail(tmp_path: Path) -> None:
    sides: dict[str, list[tuple[ImageRef, Instances]]] = {"truth": [], "found": []}
    for k in range(6):
        name = f"film/{k}.png"
        write_image(tmp_path / name, np.zeros((*SIZE, 3), np.uint8))
        ref = ImageRef(tmp_path / name, name, SIZE)
        sides["truth"].append((ref, frame({1: A, 2: B})))
        found = frame({1: A, 2: B} if k < 3 else {2: A, 1: B})
        sides["found"].append((ref, found.replace(scores=np.full(2, 0.9))))
    for name, records in sides.items():
        formats.write(records, tmp_path / f"{name}.json", format="coco")
    page = tmp_path / "page.html"
    inputs = [str(tmp_path / "truth.json"), "--predictions", str(tmp_path / "found.json")]
    with pytest.raises(SystemExit, match="0"):
        main(["evaluate", *inputs, "--metrics", "hota", "--html", str(page)])
    part = page.read_text("utf-8").partition('id="tracks"')[2]
    assert "film/2.png, found: 2 at fault of 2" in part
    assert "film/3.png, found: 2 at fault of 2" in part
