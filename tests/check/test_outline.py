"""Outlines beside the edge in the image."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.check.drawn_labels import asked, disc, of, photo

from apiece import Image, ImageRef, Instances, Masks
from apiece.check import Labelled, Settings, load, outline
from apiece.check._kit.edges import OFFSETS, edges, outlines

SIZE = (100, 120)
TRUE = disc(SIZE, 60, 50, 20)
SHOWN = photo(TRUE)


def others(count: int = 12) -> list[tuple[Image, Instances]]:
    """Outlines as they should be."""
    return [(SHOWN, of(TRUE))] * count


def test_outlines_on_the_edge_are_right() -> None:
    assert asked("outline", *others()) == []
    near = [(SHOWN, of(disc(SIZE, 60, 50, r))) for r in (19, 21)]
    assert asked("outline", *others(), *near) == []


@pytest.mark.parametrize(("radius", "kind"), [(23, "wide"), (17, "narrow")])
def test_too_wide_and_too_narrow(radius: float, kind: str) -> None:
    (found,) = asked("outline", *others(), (SHOWN, of(disc(SIZE, 60, 50, radius))))
    assert (found.kind, found.place.index) == (kind, 12)
    assert f"3 pixels {'inside' if kind == 'wide' else 'outside'} the outline" in found.message
    assert found.sure > 0.5


@pytest.mark.parametrize(("dx", "dy"), [(3, 0), (0, -3), (-2, 2)])
def test_a_shift_and_which_way_back(dx: int, dy: int) -> None:
    (found,) = asked("outline", *others(), (SHOWN, of(disc(SIZE, 60 + dx, 50 + dy, 20))))
    assert found.kind == "shifted"
    assert f"moved by {-dx:+d}, {-dy:+d} pixels" in found.message.replace("-0,", "+0,").replace(", -0 ", ", +0 ")


def test_a_polygon_of_five_corners_on_a_disc_and_a_true_pentagon() -> None:
    turn = np.arange(5) * 2 * np.pi / 5
    corners = np.stack([60 + 20 * np.cos(turn), 50 + 20 * np.sin(turn)], 1)
    coarse = Instances(Masks.from_polygons([[corners]], SIZE), classes=("nut",))
    (found,) = asked("outline", *others(), (SHOWN, coarse))
    assert (found.kind, found.place.index) == ("coarse", 12)
    assert "outline of 5 straight sides" in found.message
    pentagon = photo(coarse.masks.to_dense()[0])
    assert asked("outline", *others(), (pentagon, coarse)) == []


def test_what_all_of_a_class_have_in_common_is_how_it_was_agreed_to_be() -> None:
    wide = of(disc(SIZE, 60, 50, 22))
    assert asked("outline", *[(SHOWN, wide)] * 12) == []
    (found,) = asked("outline", *[(SHOWN, wide)] * 12, (SHOWN, of(disc(SIZE, 60, 50, 18))))
    assert found.kind == "narrow"


def test_no_image_no_edge_and_small_masks_are_no_ground_to_speak() -> None:
    wide = of(disc(SIZE, 60, 50, 23))
    assert asked("outline", *others(), wide) == []
    blank = Image(np.full((*SIZE, 3), 80, np.uint8))
    assert asked("outline", *others(), (blank, wide)) == []
    assert asked("outline", *others(), (SHOWN, of(disc(SIZE, 60, 50, 4)))) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_kind_of_pixels(dtype: type) -> None:
    scale = {np.uint8: 1, np.uint16: 200, np.float32: 1 / 255}[dtype]
    image = Image((SHOWN.pixels.astype(np.float64) * scale).astype(dtype))
    found = asked("outline", *[(image, of(TRUE))] * 12, (image, of(disc(SIZE, 63, 50, 20))))
    assert [f.kind for f in found] == ["shifted"]


def test_a_colour_edge_without_a_difference_in_brightness() -> None:
    red, blue = photo(TRUE), photo(~TRUE)
    image = Image(np.concatenate([red.pixels, blue.pixels], 2))
    found = asked("outline", *[(image, of(TRUE))] * 12, (image, of(disc(SIZE, 60, 50, 23))))
    assert [f.kind for f in found] == ["wide"]


def test_points_lie_on_the_edge_and_normals_point_outwards() -> None:
    found = outlines(Masks.from_dense(TRUE[None]))
    away = found.point - np.array([60, 50])
    assert np.abs(np.hypot(*away.T) - 20).max() < 0.8
    assert ((away / np.hypot(*away.T)[:, None] * found.normal).sum(1) > 0.95).all()
    strength = edges(photo(TRUE, noise=0.0).pixels, found)
    assert OFFSETS[strength.mean(0).argmax()] == 0


@pytest.mark.parametrize("turned", [False, True])
def test_images_wider_than_opencv_maps(turned: bool) -> None:
    small = photo(TRUE, noise=0.0).pixels
    wide = np.full((100, 40_000, small.shape[2]), small[0, 0], np.uint8)
    masks, places = [], (0, 16_384 - 60, 39_880)  # one across the line between two pieces
    for x in places:
        wide[:, x : x + 120] = small
        masks.append(Masks.from_dense(TRUE[None]).shift(x, 0, (100, 40_000)))
    every = Masks.concatenate(masks)
    found = outlines(every.transpose() if turned else every)
    strength = edges(wide.transpose(1, 0, 2) if turned else wide, found)
    alone = outlines(Masks.from_dense((TRUE.T if turned else TRUE)[None]))
    once = edges(small.transpose(1, 0, 2) if turned else small, alone)
    np.testing.assert_allclose(strength, np.tile(once, (3, 1)), atol=0.02)


def test_many_masks_are_compared_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    masks = Masks.concatenate([of(TRUE).masks, of(disc(SIZE, 60, 50, 23)).masks, of(disc(SIZE, 62, 50, 20)).masks])
    labelled = Labelled("train", 0, ImageRef(Path("a.png"), "a.png"), Instances(masks), SHOWN)
    whole = load("outline").remember(labelled, Settings())
    monkeypatch.setattr(outline, "_CHUNK", 1)
    pieces = load("outline").remember(labelled, Settings())
    for name in ("grown", "grown_error", "moved", "moved_error", "bulged", "bulged_error"):
        np.testing.assert_allclose(pieces.columns[name], whole.columns[name], rtol=1e-5)
        assert len(whole.columns[name]) == 3


def test_points_at_the_border_of_the_image_are_left_out() -> None:
    cut = disc(SIZE, 60, 0, 20)
    found = outlines(Masks.from_dense(cut[None]))
    assert (found.point[:, 1] > 3).all()
    assert cv2.countNonZero(cut.astype(np.uint8)) > 0
