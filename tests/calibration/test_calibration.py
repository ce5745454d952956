"""Calibration: rendered boards under perspective and a lens, known lengths, files, and what goes wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from apiece import Image, Instances, Masks
from apiece.calibration import Calibration, from_aruco, from_charuco, from_checkerboard, from_scale_bar, length
from apiece.cli import main
from apiece.errors import ConfigError, FormatError, InvalidInstancesError, UnknownNameError
from apiece.images import write_image
from apiece.measurements import measure

SIZE = (480, 640)


def seen(k1: float, tilt: float) -> Callable[[np.ndarray], np.ndarray]:
    """From pixels to millimetres on a plane that is tilted, through a lens."""
    camera = Calibration(SIZE, "mm", (1, 0, 0, 0, 1, 0, 0, 0, 1), lens=(k1, 0))
    turn, middle, focal = math.radians(tilt), np.array(SIZE[::-1]) / 2, 1.1 * max(SIZE)
    rotation = np.array([[1, 0, 0], [0, math.cos(turn), -math.sin(turn)], [0, math.sin(turn), math.cos(turn)]])

    def plane(points: np.ndarray) -> np.ndarray:
        ray = np.concatenate(((camera.straight(points) - middle) / focal, np.ones((len(points), 1))), 1)
        away = np.array([0, 0, 75.0])
        far = rotation[:, 2] @ away / (ray @ rotation[:, 2])
        return ((ray * far[:, None] - away) @ rotation)[:, :2]

    return plane


def photo(picture: Callable[[np.ndarray], np.ndarray], plane: Callable[[np.ndarray], np.ndarray]) -> Image:
    """Draw a picture on the plane, four samples a pixel side, with noise."""
    y, x = (np.mgrid[: SIZE[0] * 4, : SIZE[1] * 4] + 0.5) / 4
    grey = picture(plane(np.stack([x.ravel(), y.ravel()], 1))).reshape(SIZE[0], 4, SIZE[1], 4).mean((1, 3))
    return Image((grey + np.random.default_rng(0).normal(0, 1, SIZE)).clip(0, 255).astype(np.uint8))


def checkers(places: np.ndarray) -> np.ndarray:
    square = np.floor((places + np.array([25, 17.5])) / 5)
    inside = (square >= 0).all(1) & (square[:, 0] < 10) & (square[:, 1] < 7)
    return np.where(inside & (square.sum(1) % 2 == 0), 30.0, 220.0)


@pytest.mark.parametrize(("k1", "tilt"), [(0, 0), (-0.2, 30), (0.1, 20)])
def test_lengths_on_the_plane(k1: float, tilt: float) -> None:
    plane = seen(k1, tilt)
    found = from_checkerboard(photo(checkers, plane), (9, 6), "5 mm")
    assert found.error < 0.3
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    places = plane(np.stack([x.ravel(), y.ravel()], 1)).reshape(*SIZE, 2)
    centres = [(u, v) for u in (-15, 0, 15) for v in (-9, 0, 9)]
    discs = np.array([np.hypot(*(places - c).transpose(2, 0, 1)) < 5 for c in centres])
    table = measure(Instances(Masks.from_dense(discs)), calibration=found, properties=["area", "equivalent_diameter"])
    assert table.units == {"area": "mm2", "equivalent_diameter": "mm"}
    assert abs(table["equivalent_diameter"] / 10 - 1).max() < 0.005
    assert abs(table["area"].mean() / (25 * np.pi) - 1) < 0.003


def test_charuco_and_aruco() -> None:
    board = cv2.aruco.CharucoBoard((8, 6), 6, 4, cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50))
    drawn = np.pad(board.generateImage((480, 360)), 40, constant_values=255)
    found = from_charuco(Image(drawn), (8, 6), "6 mm", "4 mm", "4x4_50")
    assert found.stretch(np.array([[200.0, 150]]))[0] == pytest.approx(np.eye(2) / 10, abs=2e-4)
    with pytest.raises(ConfigError, match="0 corners"):
        from_charuco(Image(np.full((200, 200), 200, np.uint8)), (8, 6), "6 mm", "4 mm", "4x4_50")
    with pytest.raises(UnknownNameError, match="4x4_50"):
        from_charuco(Image(drawn), (8, 6), "6 mm", "4 mm", "4x4_51")
    with pytest.raises(ConfigError, match="smaller than the square"):
        from_charuco(Image(drawn), (8, 6), "6 mm", "4 cm", "4x4_50")
    single = cv2.aruco.generateImageMarker(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50), 3, 200)
    one = from_aruco(Image(np.pad(single, 60, constant_values=255)), "20 mm")
    assert one.plane(np.array([[60.0, 60], [260, 60]])) == pytest.approx(np.array([[0, 0], [20, 0]]), abs=0.15)
    with pytest.raises(ConfigError, match="0 are there"):
        from_aruco(Image(np.full((200, 200), 200, np.uint8)), "20 mm")


def test_a_photo_without_a_board_and_wrong_units() -> None:
    with pytest.raises(ConfigError, match="no checkerboard of 9 x 6"):
        from_checkerboard(Image(np.full((200, 200), 200, np.uint8)), (9, 6), "5 mm")
    for text in ("5 kg", "5", "mm", "-5 mm", "nan mm", ""):
        with pytest.raises(ConfigError, match="no length"):
            length(text)
    with pytest.raises(ConfigError, match="apart"):
        from_scale_bar(SIZE, (10, 10), (10, 10), "5 mm")
    with pytest.raises(ConfigError, match="within the image"):
        from_scale_bar(SIZE, (10, 10), (1000, 10), "5 mm")


def test_points_on_one_line_are_refused() -> None:
    from apiece.calibration.boards import _fitted

    line = np.stack([np.arange(8.0), np.zeros(8)], 1)
    with pytest.raises(ConfigError, match="one line"):
        _fitted(SIZE, line * 10, line, "mm", "charuco")


def test_files_are_strict(tmp_path: Path) -> None:
    found = from_scale_bar(SIZE, (10, 10), (110, 10), "5 mm")
    found.save(tmp_path / "cam.json")
    assert Calibration.load(tmp_path / "cam.json") == found
    content = json.loads((tmp_path / "cam.json").read_text())
    for broken in (
        "[]", "", '{"version": 2}', json.dumps(content | {"unit": "kg"}), json.dumps(content | {"homography": [1, 2]}),
        json.dumps(content | {"homography": [0] * 9}), json.dumps(content | {"more": 1}),
    ):  # fmt: skip
        (tmp_path / "cam.json").write_text(broken)
        with pytest.raises(FormatError, match=r"cam\.json"):
            Calibration.load(tmp_path / "cam.json")
    with pytest.raises(FormatError, match="cannot be read"):
        Calibration.load(tmp_path / "none.json")


def test_a_scale_equals_a_pixel_size_and_the_image_must_fit() -> None:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    u, v = (x - 480) * 0.8 + (y - 120) * 0.6, (y - 120) * 0.8 - (x - 480) * 0.6
    shapes = (
        abs(np.hypot(x - 200, y - 150) - 25) < 15,
        (abs(x - 400) < 30) & (abs(y - 300) < 20),
        (abs(u) < 30) & (abs(v) < 11),
        np.hypot(x - 100.3, y - 350.2) < 21,
        np.hypot((x - 220) / 40, (y - 350) / 18) < 1,
        (np.hypot(x - 330, y - 420) < 20) & (x + y < 760),
        x < 0,
    )
    found = Instances(Masks.from_dense(np.array(shapes)))
    camera = from_scale_bar(SIZE, (10, 10), (110, 10), "5 mm")
    by_size, by_camera = measure(found, pixel_size="0.05 mm"), measure(found, calibration=camera)
    assert by_size.units == by_camera.units
    for name, values in by_size.columns.items():
        if values.dtype.kind == "f" and name != "rect_angle":
            assert by_camera[name] == pytest.approx(values, nan_ok=True), name
    with pytest.raises(InvalidInstancesError, match="480 x 640"):
        measure(found[:0].replace(masks=Masks.empty((5, 5))), calibration=camera)
    with pytest.raises(ConfigError, match="leave out pixel_size"):
        measure(found, calibration=camera, pixel_size="1 mm")


def test_discs_are_measured_as_such_on_a_tilted_plane() -> None:
    plane = seen(0.0, 30.0)
    camera = from_checkerboard(photo(checkers, plane), (9, 6), "5 mm")
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    where = plane(np.stack((x.ravel(), y.ravel()), 1))
    middles = np.random.default_rng(2).uniform((-15, -9), (15, 9), (12, 2))
    discs = np.stack([(np.hypot(*(where - middle).T) < 3).reshape(SIZE) for middle in middles])
    table = measure(Instances(Masks.from_dense(discs)), calibration=camera)
    for name in ("feret_max", "feret_min", "rect_length", "rect_width"):
        assert np.abs(table[name] - 6).mean() < 0.006, name  # those of hulls are 0.03 off


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    return int(end.value.code or 0)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "board.png", photo(checkers, seen(0, 0)))
    board, out = str(tmp_path / "board.png"), str(tmp_path / "cam.json")
    assert run("calibrate", board, "--checkerboard", "9x6", "--square", "5 mm", "--out", out, "--json") == 0
    assert json.loads(capsys.readouterr().out)["unit"] == "mm"
    assert Calibration.load(out).method == "checkerboard"
    assert run("calibrate", board, "--scale-bar", "10,10 110,10", "--length", "5 mm", "--out", out) == 0
    for words in (
        ["--checkerboard", "9x6"], ["--checkerboard", "9", "--square", "5 mm"], [], ["--scale-bar", "1,2"],
        ["--checkerboard", "9x6", "--square", "5 mm", "--marker", "3 mm"], ["--pixel-size", "1 mm", "--square", "5 mm"],
        ["--scale-bar", "10,10 110,10", "--length", "5 mm", "--model", "default"], ["--length", "5 mm"],
        ["--checkerboard", "9x6", "--square", "0 mm"],
        ["--checkerboard", "9x6", "--square", "5 kg"], ["--aruco", "5 mm", "--pixel-size", "1 mm"],
    ):  # fmt: skip
        capsys.readouterr()
        assert run("calibrate", board, "--out", out, *words) == 1
        error = capsys.readouterr().err
        assert "Traceback" not in error
        assert error.strip()
