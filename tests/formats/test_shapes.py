"""Shapes that label files state by numbers: whatever the numbers, a mask or a reason."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiece import formats
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError
from apiece.formats._kit.shapes import ellipse_shape

SIZE = (9, 12)
ordinary = st.floats(-20, 20)
any_number = ordinary | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e-320, 1e-160, 1e160])


@given(any_number, any_number, any_number, any_number, any_number)
def test_any_ellipse_is_drawn_or_refused(cx: float, cy: float, rx: float, ry: float, degrees: float) -> None:
    with np.errstate(invalid="raise", divide="raise"):
        try:
            found = ellipse_shape(cx, cy, rx, ry, degrees, SIZE).masks
        except BadEntryError:
            assert min(rx, ry) <= 0 or max(map(abs, (cx, cy, rx, ry))) >= 1e100
            return
    assert found.size == SIZE
    assert len(found) == 1


@given(st.floats(0, 12), st.floats(0, 9), st.floats(0.1, 9), st.floats(0.1, 9), st.floats(0, 360))
def test_an_ellipse_is_the_pixels_whose_centres_it_holds(
    cx: float, cy: float, rx: float, ry: float, degrees: float
) -> None:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    turn = math.radians(degrees)
    along = (x - cx) * math.cos(turn) + (y - cy) * math.sin(turn)
    across = (y - cy) * math.cos(turn) - (x - cx) * math.sin(turn)
    level = (along / rx) ** 2 + (across / ry) ** 2
    sure = abs(level - 1) > 1e-6
    assert (ellipse_shape(cx, cy, rx, ry, degrees, SIZE).masks.to_dense()[0] == (level <= 1))[sure].all()


def test_limits_of_an_ellipse() -> None:
    # centred on the centre of a pixel: that pixel, however small; all of the image, however large
    assert ellipse_shape(4.5, 3.5, 1e-300, 1e-300, 30, SIZE).masks.area.tolist() == [1]
    assert ellipse_shape(4, 3, 1e-300, 1e-300, 30, SIZE).masks.area.tolist() == [0]
    assert ellipse_shape(4.5, 3.5, 1e90, 1e90, 30, SIZE).masks.area.tolist() == [9 * 12]
    assert ellipse_shape(1e90, 3.5, 4, 4, 30, SIZE).masks.area.tolist() == [0]


def datumaro(points: list[float]) -> dict[str, Any]:
    """One ellipse."""
    note = {"id": 1, "type": "ellipse", "label_id": 0, "points": points, "attributes": {}, "group": 0, "z_order": 0}
    item = {"id": "a", "annotations": [note], "image": {"path": "a.png", "size": [9, 12]}}
    return {"categories": {"label": {"labels": [{"name": "nut"}]}}, "items": [item]}


def test_readers_of_ellipses(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(datumaro([1, 1, 1 + 1e-15, 5])))
    assert formats.read(path, "datumaro")[0][1].masks.area.tolist() == [0]
    path.write_text(json.dumps(datumaro([0, 0, 1e-200, 5])))
    assert formats.read(path, "datumaro")[0][1].masks.area.tolist() == [0]
    path.write_text(json.dumps(datumaro([-1.7e308, 0, 1.7e308, 5])))
    with pytest.raises(FormatError, match=r"ellipse has radii inf and 2\.5 about"):
        formats.read(path, "datumaro")[0]
    shape = {"name": "ellipse", "cx": 7, "cy": 3, "rx": 3, "ry": 1.5, "theta": 1e308}
    regions = [{"shape_attributes": shape, "region_attributes": {"class": "nut"}}]
    said = {"image_height": "9", "image_width": "12"}
    entry = {"filename": "a.png", "size": 1, "regions": regions, "file_attributes": said}
    path.write_text(json.dumps({"_via_img_metadata": {"a.png1": entry}}))
    assert len(formats.read(path, "via")[0][1]) == 1
