"""Signals, profiles and the tests on them."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from scipy import stats

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, DataError, FormatError
from apiece.monitor import SIGNALS, Profile, Reliability, _drift, detect, observe, profile, to_prometheus, write_page

NAMES = [signal.name for signal in SIGNALS]
SIZE = (64, 64)


def value(values, name: str) -> float:
    return float(values[NAMES.index(name)])


def squares(*boxes: tuple[int, int, int, int], scores=None, size=SIZE) -> Instances:
    masks = Masks.from_boxes(np.array(boxes, float).reshape(-1, 4), size)
    return Instances(masks, scores=np.full(len(boxes), 0.8) if scores is None else scores)


def textured(rng: np.random.Generator) -> np.ndarray:
    """A photo of something: smooth shapes, noise, an exposure of its own."""
    coarse = cv2.resize(rng.random((9, 9)), SIZE, interpolation=cv2.INTER_CUBIC)
    fine = cv2.GaussianBlur(rng.normal(size=SIZE), (0, 0), 0.8)
    return np.clip(rng.uniform(0.9, 1.1) * (110 + 60 * coarse + 14 * fine), 0, 255).astype(np.uint8)


def photos(rng: np.random.Generator, count: int, changed: int = 0, change=lambda p: p):
    for i in range(count):
        pixels = textured(rng)
        objects = int(rng.integers(2, 7))
        left = rng.integers(0, 40, (objects, 2))
        boxes = np.concatenate([left, left + rng.integers(6, 20, (objects, 2))], 1)
        found = squares(*map(tuple, boxes.tolist()), scores=rng.uniform(0.6, 1.0, objects))
        yield f"{i}.png", Image(change(pixels) if i < changed else pixels), found


def test_signals_of_a_drawn_image():
    pixels = np.zeros((4, 8), np.uint8)
    pixels[:, 4:] = 255
    values = observe(Image(pixels), squares((4, 0, 8, 4), size=(4, 8)))
    assert value(values, "pixels") == pytest.approx(np.log10(32))
    assert value(values, "brightness") == pytest.approx(0.5)
    assert value(values, "contrast") == pytest.approx(0.5)
    assert (value(values, "dark"), value(values, "bright")) == (0.0, 1.0)
    assert value(values, "colour") == 0
    assert value(values, "count") == pytest.approx(np.log(2))
    assert value(values, "covered") == pytest.approx(0.5)
    assert value(values, "size") == pytest.approx(np.log10(16))
    assert value(values, "extent") == pytest.approx(1.0)
    assert value(values, "elongation") == 0
    assert value(values, "standing out") == pytest.approx(2.0)  # (1 - 0) / 0.5


def test_an_object_that_nobody_found_leaves_edges_unexplained():
    pixels = np.zeros((64, 64), np.uint8)
    pixels[10:20, 10:20] = pixels[40:50, 40:50] = 200
    both = observe(Image(pixels), squares((10, 10, 20, 20), (40, 40, 50, 50)))
    one = observe(Image(pixels), squares((10, 10, 20, 20)))
    none = observe(Image(pixels), Instances.empty(SIZE, scored=True))
    assert value(both, "unexplained") == 0
    assert value(one, "unexplained") == pytest.approx(0.5)
    assert value(none, "unexplained") == 1


def test_what_cannot_be_told_is_nan():
    values = observe(None, Instances.empty(SIZE, scored=True))
    assert np.isnan(value(values, "brightness"))
    assert np.isnan(value(values, "size"))
    assert value(values, "count") == 0
    assert value(values, "covered") == 0
    flat = observe(Image(np.full((8, 8), 7, np.uint16)), Instances.empty((8, 8), scored=True))
    assert np.isnan(value(flat, "sharpness"))
    assert value(flat, "contrast") == 0
    assert value(flat, "brightness") == pytest.approx(7 / 65535)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 2), (3, 5), (9, 9, 4)])
def test_any_image_can_be_observed(shape):
    pixels = np.random.default_rng(0).random(shape).astype(np.float32)
    observe(Image(pixels), Instances.empty(shape[:2], scored=True))


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_pixel_that_is_no_number_counts_as_black(odd):
    pixels = np.random.default_rng(0).random((32, 32, 3)).astype(np.float32)
    black = pixels.copy()
    pixels[4, 5, 1], black[4, 5, 1] = odd, 0
    found = squares((3, 3, 9, 9), size=(32, 32))
    np.testing.assert_array_equal(observe(Image(pixels), found), observe(Image(black), found))


def test_blur_lowers_sharpness_and_dtype_does_not_matter():
    pixels = textured(np.random.default_rng(1))
    nothing = Instances.empty(SIZE, scored=True)
    sharp, soft = (observe(Image(p), nothing) for p in (pixels, cv2.GaussianBlur(pixels, (0, 0), 2)))
    assert value(soft, "sharpness") < value(sharp, "sharpness") - 0.1
    deep = observe(Image(pixels.astype(np.uint16) * 257), nothing)
    np.testing.assert_allclose(deep, sharp, rtol=1e-4, atol=1e-5)


def test_a_profile_survives_its_file(tmp_path):
    made = profile(photos(np.random.default_rng(0), 9), ("object",), conf=[0.6])
    known = Reliability(np.array([0, 0, 3]), np.array([0.9, 0.5, 0.7]), np.array([True, False, True]))
    made = Profile(made.classes, made.names, made.values, made.counts, made.unsure, known)
    made.write(tmp_path / "good.json")
    back = Profile.read(tmp_path / "good.json")
    assert (back.classes, back.names) == (made.classes, made.names)
    for name in ("values", "counts", "unsure"):
        np.testing.assert_array_equal(getattr(back, name), getattr(made, name))
    np.testing.assert_array_equal(back.reliability.score, known.score)


def test_unsure_counts_scores_just_above_the_threshold():
    found = squares((0, 0, 4, 4), (8, 8, 12, 12), scores=[0.63, 0.65])
    made = profile([("a", None, found)], ("object",), conf=0.6)
    assert made.unsure.tolist() == [1]  # a tenth of the way from 0.6 to 1 is 0.64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"apiece_profile": 9}',
        '{"apiece_profile": 1}',
        '{"apiece_profile": 1, "signals": ["x"]}',
        "[" * 9999,
    ],
)
def test_a_broken_profile_is_refused(tmp_path, text):
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(FormatError, match=r"p\.json"):
        Profile.read(tmp_path / "p.json")


def test_rows_of_another_length_are_refused(tmp_path):
    made = profile(photos(np.random.default_rng(0), 8), ("object",))
    made.write(tmp_path / "p.json")
    told = json.loads((tmp_path / "p.json").read_text())
    told["counts"] = told["counts"][:-1]
    (tmp_path / "p.json").write_text(json.dumps(told))
    with pytest.raises(FormatError, match="no profile"):
        Profile.read(tmp_path / "p.json")


@pytest.mark.parametrize(("key", "value"), [("values", float("inf")), ("counts", -1)])
def test_numbers_that_no_image_has_are_refused(tmp_path, key, value):
    profile(photos(np.random.default_rng(0), 8), ("object",)).write(tmp_path / "p.json")
    told = json.loads((tmp_path / "p.json").read_text())
    told[key][3][0] = value
    (tmp_path / "p.json").write_text(json.dumps(told))
    with pytest.raises(FormatError, match="numbers that no image has"):
        Profile.read(tmp_path / "p.json")


CHANGES = {
    "blur": lambda p: cv2.GaussianBlur(p, (0, 0), 1.5),
    "dark": lambda p: (p * 0.6).astype(np.uint8),
    "closer": lambda p: cv2.resize(p[10:50, 10:50], SIZE, interpolation=cv2.INTER_LINEAR),
    "noise": lambda p: np.clip(p + np.random.default_rng(5).normal(0, 12, SIZE), 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_fifth_of_changed_photos_is_an_alarm_and_they_are_listed_first(change):
    rng = np.random.default_rng(2)
    before = profile(photos(rng, 80), ("object",))
    now = profile(photos(rng, 80, 16, CHANGES[change]), ("object",))
    drift = detect(before, now)
    assert drift.alarm
    assert drift.images == (80, 80)
    oddest = {int(u.name.partition(".")[0]) for u in drift.unlike[:16]}
    assert len(oddest & set(range(16))) >= 13
    assert drift.tests[0].adjusted == min(t.adjusted for t in drift.tests)


def test_no_more_false_alarms_than_alpha():
    rng = np.random.default_rng(3)
    every = profile(photos(rng, 400), ("object",))
    alarms = 0
    for _ in range(40):
        order = rng.permutation(400)[:80]
        alarms += detect(_rows(every, order[:40]), _rows(every, order[40:]), alpha=0.05).alarm
    assert alarms <= 5  # of 40 at 5%: more than this has a chance of 1.4%


def _rows(whole: Profile, rows) -> Profile:
    names = tuple(whole.names[i] for i in rows)
    return Profile(whole.classes, names, whole.values[rows], whole.counts[rows], whole.unsure[rows])


def test_fewer_objects_of_one_class_are_noticed():
    def stream(rng, share):
        for i in range(60):
            found = squares(*[(k, k, k + 6, k + 6) for k in range(0, 48, 8)])
            yield str(i), None, Instances(found.masks, (rng.random(6) < share).astype(int), ("a", "b"), found.scores)

    rng = np.random.default_rng(4)
    before, now, same = (profile(stream(rng, s), ("a", "b")) for s in (0.5, 0.25, 0.5))
    name = "shares of classes"
    assert next(t for t in detect(before, now).tests if t.name == name).alarm
    assert not next(t for t in detect(before, same).tests if t.name == name).alarm


def test_calibration_that_drifts_is_noticed():
    def side(rng, right):
        made = profile(photos(rng, 40), ("object",))
        score = rng.uniform(0.5, 1, 200)
        known = Reliability(np.repeat(np.arange(40), 5), score, rng.random(200) < score * right)
        return Profile(made.classes, made.names, made.values, made.counts, made.unsure, known)

    rng = np.random.default_rng(6)
    before, worse, same = side(rng, 1.0), side(rng, 0.6), side(rng, 1.0)
    name = "right less score"
    assert next(t for t in detect(before, worse).tests if t.name == name).alarm
    assert not next(t for t in detect(before, same).tests if t.name == name).alarm


def test_the_same_seed_gives_the_same_answer():
    rng = np.random.default_rng(7)
    before, now = profile(photos(rng, 30), ("object",)), profile(photos(rng, 30), ("object",))
    assert detect(before, now, seed=3) == detect(before, now, seed=3)


def test_too_few_images_and_other_classes_are_refused():
    rng = np.random.default_rng(8)
    some, few = profile(photos(rng, 10), ("object",)), profile(photos(rng, 5), ("object",))
    with pytest.raises(DataError, match="5 images in use"):
        detect(some, few)
    with pytest.raises(ConfigError, match="alpha"):
        detect(some, some, alpha=1)
    with pytest.raises(DataError, match="a class 'object'"):
        profile(photos(rng, 1), ("bolt",))
    other = Profile(("bolt",), some.names, some.values, some.counts, some.unsure)
    with pytest.raises(DataError, match="classes differ"):
        detect(some, other)


@pytest.mark.parametrize("pairs", [1 << 23, 400])
def test_the_nearest_of_the_baseline_whoever_is(monkeypatch, pairs):
    monkeypatch.setattr(_drift, "_PAIRS", pairs)  # 400: of 90 images only the 4 nearest are known
    rng = np.random.default_rng(0)
    space = _drift._Space(rng.normal(size=(9, 3)), rng.normal(size=(81, 3)))
    member = rng.permuted(np.broadcast_to(space.member, (20, 90)), axis=1)
    found, far = space.nearest(member), space.unlike(member)
    for s in range(20):
        for n in range(90):
            known = member[s, space.index[n]]
            first = int(known.argmax()) if known.any() else -1
            assert found[s, n] == first
            assert far[s, n] == space.distance[n, first]
    assert (found < 0).any() == (pairs == 400)
    assert space.apart().shape == (90, 3)


def test_identical_images_do_not_break_it():
    made = profile(((str(i), Image(np.full(SIZE, 9, np.uint8)), squares((0, 0, 4, 4))) for i in range(12)), ("object",))
    drift = detect(made, made)
    assert not drift.alarm
    assert "12 images are named" in " ".join(drift.notes)


def test_prometheus_text_is_what_its_server_reads():
    rng = np.random.default_rng(9)
    before, now = profile(photos(rng, 20), ("object",)), profile(photos(rng, 20), ("object",))
    text = to_prometheus(detect(before, now), {"model": 'a "b"\\'})
    lines = text.splitlines()
    assert text.endswith("\n")
    assert 'apiece_drift_images{model="a \\"b\\"\\\\",side="now"} 20' in lines
    assert all(line.startswith("#") or line.rpartition(" ")[2] != "nan" for line in lines)


def test_the_page_is_whole_and_escaped(tmp_path):
    rng = np.random.default_rng(10)
    pictures = list(photos(rng, 3))
    before, now = profile(photos(rng, 20), ("object",)), profile(photos(rng, 20), ("object",))
    drift = detect(before, now)
    shown = [(u, image, found) for u, (_, image, found) in zip(drift.unlike, pictures, strict=False)]
    write_page(tmp_path / "m.html", drift, before, now, shown, "<bolts>")
    page = (tmp_path / "m.html").read_text()
    assert "&lt;bolts&gt;" in page
    assert "<bolts>" not in page
    assert page.count("<img ") == 3
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_tails_are_fishers_exact_test():
    before, now = np.arange(100.0), np.append(np.arange(80.0), np.full(20, 1000.0))
    # the upper tenth of all: the 20 that lie far out, all of them new; both ends at four shares are looked at
    wanted = 8 * stats.fisher_exact([[20, 0], [80, 100]], alternative="greater").pvalue
    assert _drift._tails(before, now) == pytest.approx(wanted)
    assert _drift._tails(-before, -now) == pytest.approx(wanted)
    assert _drift._tails(now, before) > 0.05  # fewer than before is for the other test to see
    assert _drift._tails(np.zeros(9), np.zeros(9)) == 1


def test_tails_keep_their_chance_of_a_false_alarm():
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(2000, 60)).round(1)  # with ties
    p = np.array([_drift._tails(row[:30], row[30:]) for row in drawn])
    for alpha in (0.2, 0.05, 0.01):
        assert (p <= alpha).mean() <= alpha + 3 * np.sqrt(alpha / 2000)


def test_transparent_ground_has_no_brightness():
    rng = np.random.default_rng(0)
    pixels = rng.integers(80, 120, (40, 60, 4), np.uint8)
    pixels[..., 3] = 255
    plain = observe(Image(pixels[:, 20:, :3]), Instances.empty((40, 40)))
    pixels[:, :20] = 255, 0, 255, 0
    seen = observe(Image(pixels, alpha="unassociated"), Instances.empty((40, 60)))
    names = [signal.name for signal in SIGNALS]
    for name in ("brightness", "dark", "bright", "contrast", "colour", "tint"):
        assert seen[names.index(name)] == pytest.approx(plain[names.index(name)], abs=1e-6)
    pixels[..., 3] = 0
    nothing = observe(Image(pixels, alpha="unassociated"), Instances.empty((40, 60)))
    assert np.isnan(nothing[names.index("brightness")])
