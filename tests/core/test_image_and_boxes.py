from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apiece.core import boxes
from apiece.core.image import Image, PixelSize
from apiece.errors import ConfigError, InvalidInstancesError


@pytest.mark.parametrize(
    ("text", "x", "y", "unit"),
    [
        ("0.5 um", 0.5, 0.5, "um"),
        ("0.5µm/px", 0.5, 0.5, "um"),
        ("1e-3 mm", 0.001, 0.001, "mm"),
        ("0.5 x 0.25 nm", 0.5, 0.25, "nm"),
        ("2 inch", 2, 2, "in"),
    ],
)
def test_pixel_size_as_people_write_it(text: str, x: float, y: float, unit: str) -> None:
    assert PixelSize.parse(text) == PixelSize(x, y, unit)


@pytest.mark.parametrize("text", ["", "0.5", "um", "0 um", "-1 um", "1 parsec", "nan um", "inf um", "1..2 um"])
def test_pixel_size_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError):
        PixelSize.parse(text)


def test_pixel_size_in_another_unit() -> None:
    assert PixelSize(500, 250, "nm").to("um") == PixelSize(0.5, 0.25, "um")
    assert str(PixelSize.parse("0.5 um")) == "0.5 um"


def test_image_keeps_what_it_is_given() -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    image = Image(pixels)
    assert image.size == (3, 4)
    assert image.channels == 1
    assert image.pixels.dtype == np.uint16
    assert np.asarray(image).base is not None
    assert np.shares_memory(image.pixels, pixels)
    with pytest.raises(InvalidInstancesError, match=r"shape \(2,\)"):
        Image(np.zeros(2))
    with pytest.raises(InvalidInstancesError, match="dtype complex"):
        Image(np.zeros((2, 2), complex))


def test_boxes_are_half_open_xyxy() -> None:
    box = boxes.from_xywh([[1, 2, 3, 4]])
    assert box.tolist() == [[1, 2, 4, 6]]
    assert box.dtype == np.float32
    assert boxes.to_xywh(box).tolist() == [[1, 2, 3, 4]]
    assert boxes.area([[1, 2, 4, 6], [4, 2, 1, 6]]).tolist() == [12, 0]
    assert boxes.clip([[-5, -5, 50, 50]], (10, 20)).tolist() == [[0, 0, 20, 10]]
    assert boxes.scale(box, 2, 0.5).tolist() == [[2, 1, 8, 3]]
    assert boxes.shift(box, 1, -2).tolist() == [[2, 0, 5, 4]]
    assert boxes.area([]).shape == (0,)
    with pytest.raises(InvalidInstancesError, match=r"\(2,\)"):
        boxes.area([1, 2])


def test_an_image_is_shown_without_its_pixels() -> None:
    assert repr(Image(np.zeros((300, 400), np.uint16))) == "Image(300 x 400, 1 x uint16)"
    known = Image(np.zeros((3, 4, 3), np.uint8), PixelSize.parse("0.5 um"), Path("a.png"))
    assert repr(known) == "Image(3 x 4, 3 x uint8, 0.5 um, a.png)"
