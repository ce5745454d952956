"""Depth images and pinhole cameras: places, files, units, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from apiece.calibration import Calibration, Intrinsics, read_depth
from apiece.errors import ApieceError, ConfigError, FormatError, ImageError
from apiece.images import write_image


def test_a_pixel_and_its_depth_are_a_place() -> None:
    camera = Intrinsics((480, 640), 500.0, 400.0, 320.0, 240.0)
    # the centre of pixel (row 240, column 420) lies 100 pixels right of the axis
    found = camera.points(np.array([[420.5, 240.5], [320.5, 340.5]]), np.array([2.0, 1.0]))
    assert found.tolist() == [[0.4, 0.0, 2.0], [0.0, 0.25, 1.0]]


def test_files_of_cameras(tmp_path: Path) -> None:
    own = {"width": 640, "height": 480, "fx": 500, "fy": 400, "cx": 320, "cy": 240}
    open3d = {"width": 640, "height": 480, "intrinsic_matrix": [500, 0, 0, 0, 400, 0, 320, 240, 1]}
    for number, content in enumerate((own, open3d)):
        path = tmp_path / f"{number}.json"
        path.write_text(json.dumps(content))
        assert Intrinsics.load(path) == Intrinsics((480, 640), 500, 400, 320, 240)
    for content, words in (({"fx": 1}, "no number 'height'"), ([1], "no JSON object"), (own | {"fx": 0}, "above 0")):
        path = tmp_path / "bad.json"
        path.write_text(json.dumps(content))
        with pytest.raises(FormatError, match=words):
            Intrinsics.load(path)


@pytest.mark.parametrize("tilt", [20.0, 40.0, -35.0])
def test_a_tilted_board_tells_the_focal_length(tilt: float, tmp_path: Path) -> None:
    focal, a = 700.0, np.radians(tilt)
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    camera = np.array([[focal, 0, 320], [0, focal, 240], [0, 0, 1]])
    to_image = camera @ np.column_stack((turn[:, :2], [10.0, -5.0, 300.0]))
    plane = Calibration((480, 640), "mm", tuple(np.linalg.inv(to_image).ravel()))
    plane.save(tmp_path / "cam.json")
    found = Intrinsics.load(tmp_path / "cam.json")
    assert found.fx == pytest.approx(focal, rel=1e-6)
    assert (found.cx, found.cy) == (319.5, 239.5)


def test_a_board_seen_face_on_does_not() -> None:
    with pytest.raises(ConfigError, match="face on"):
        Intrinsics.from_calibration(Calibration((480, 640), "mm", (0.1, 0, 0, 0, 0.1, 0, 0, 0, 1)))


def test_depth_is_read_in_metres_and_holes_are_nan(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.array([[0, 500], [1500, 800]], np.uint16))
    write_image(tmp_path / "b.tif", np.array([[np.nan, 0.5], [1.5, -1]], np.float32))
    assert np.array_equal(read_depth(tmp_path / "a.png"), [[np.nan, 0.5], [1.5, 0.8]], equal_nan=True)
    assert np.array_equal(read_depth(tmp_path / "b.tif", (2, 2)), [[np.nan, 0.5], [1.5, np.nan]], equal_nan=True)
    assert np.nanmax(read_depth(tmp_path / "a.png", depth_unit="cm")) == 15.0


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((2, 2), np.nan, np.float32), "every pixel is NaN"),
        (np.zeros((2, 2), np.uint16), "every pixel is NaN, infinite, 0"),
        (np.ones((2, 2, 3), np.uint8), "3 channels"),
        (np.ones((4, 2), np.uint16), "4 x 2 pixels .* its photo is 2 x 2"),
        (np.full((2, 2), 640, np.float32), "name the unit of the values with depth_unit='mm'"),
    ],
)
def test_what_is_no_depth_image(pixels: np.ndarray, words: str, tmp_path: Path) -> None:
    write_image(tmp_path / "d.tif", pixels)
    with pytest.raises(ImageError, match=words) as told:
        read_depth(tmp_path / "d.tif", (2, 2))
    assert isinstance(told.value, ApieceError)
