"""Depth and volume inside masks, against scenes worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from apiece import ImageRef, Instances, Masks, cli, formats
from apiece.calibration import Intrinsics
from apiece.errors import InvalidInstancesError
from apiece.images import write_image
from apiece.measurements import measure_depth

SIZE = (60, 80)
CAMERA = Intrinsics(SIZE, 100.0, 100.0, 39.5, 29.5)
BOXES = Instances(Masks.from_boxes([[10, 10, 20, 30], [50, 20, 70, 40]], SIZE), [0, 0], ("box",))


def scene(noise: float = 0.0) -> np.ndarray:
    depth = np.full(SIZE, 1.0)
    depth[10:30, 10:20], depth[20:40, 50:70] = 0.9, 0.8
    return depth + np.random.default_rng(0).normal(0, 1, SIZE) * noise


def test_depth_in_millimetres() -> None:
    depth = scene()
    depth[10, 10], depth[11, 10] = np.nan, 0.85
    table = measure_depth(BOXES, depth)
    assert table["depth_mean"].tolist() == pytest.approx([(198 * 900 + 850) / 199, 800])
    assert table["depth_min"].tolist() == pytest.approx([850, 800])
    assert table["depth_max"].tolist() == pytest.approx([900, 800])
    assert table["depth_known"].tolist() == [199 / 200, 1]
    assert table["depth_std"][1] == pytest.approx(0, abs=1e-9)
    assert "volume" not in table.columns
    assert table.units["depth_mean"] == "mm"


def test_a_volume_is_a_pyramid_cut_off() -> None:
    table = measure_depth(BOXES, scene(), CAMERA)
    # each pixel's pyramid between two depths: (b ** 3 - a ** 3) / (3 fx fy)
    expected = [200 * (1 - 0.9**3) / 3e4 * 1e9, 400 * (1 - 0.8**3) / 3e4 * 1e9]
    assert table["volume"].tolist() == pytest.approx(expected)
    noisy = measure_depth(BOXES, scene(0.002), CAMERA)
    assert noisy["volume"].tolist() == pytest.approx(expected, rel=0.01)


def test_a_tilted_ground_and_a_wall_beside_it() -> None:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    ground = 1 / (1 + 0.002 * (x - 39.5) - 0.001 * (y - 29.5))  # a plane: its inverse depth is linear
    depth = ground.copy()
    depth[10:30, 10:20] -= 0.1
    depth[50:] = 0.4  # a wall of the bin
    table = measure_depth(BOXES, depth, CAMERA)
    part = ground[10:30, 10:20]
    assert table["volume"][0] == pytest.approx(((part**3 - (part - 0.1) ** 3).sum()) / 3e4 * 1e9, rel=1e-6)
    assert table["volume"][1] == pytest.approx(0, abs=1)


def test_without_ground_or_depth_there_is_no_volume() -> None:
    whole = Instances(Masks.from_boxes([[0, 0, 80, 60], [0, 0, 2, 2]], SIZE), [0, 0], ("box",))
    assert np.isnan(measure_depth(whole, scene(), CAMERA)["volume"]).all()
    depth = scene()
    depth[10:30, 10:20] = np.nan
    table = measure_depth(BOXES, depth, CAMERA)
    assert np.isnan(table["volume"]).tolist() == [True, False]
    assert table["depth_known"].tolist() == [0, 1]
    assert len(measure_depth(BOXES[:0], depth, CAMERA)) == 0
    with pytest.raises(InvalidInstancesError, match="every pixel is NaN"):
        measure_depth(BOXES, np.full(SIZE, np.nan))
    with pytest.raises(InvalidInstancesError, match="60 x 80"):
        measure_depth(BOXES, np.ones((5, 5)))


def test_the_command_adds_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image(tmp_path / "a.png", np.full((*SIZE, 3), 90, np.uint8))
    write_image(tmp_path / "d.png", (scene() * 1000).astype(np.uint16))
    (tmp_path / "c.json").write_text(
        json.dumps({"width": 80, "height": 60, "fx": 100, "fy": 100, "cx": 39.5, "cy": 29.5})
    )
    formats.write([(ImageRef(tmp_path / "a.png", "a.png", SIZE), BOXES)], tmp_path / "l.json", format="coco")
    words = (
        "measure",
        tmp_path / "l.json",
        "--depth",
        tmp_path / "d.png",
        "--intrinsics",
        tmp_path / "c.json",
        "--json",
    )
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, words)])
    assert not end.value.code
    said = json.loads(capsys.readouterr().out)
    assert [row["depth_mean"] for row in said["rows"]] == pytest.approx([900, 800])
    assert said["rows"][0]["volume"] == pytest.approx(200 * (1 - 0.9**3) / 3e4 * 1e9)
    assert said["units"]["volume"] == "mm3"
