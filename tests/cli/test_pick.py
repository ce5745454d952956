"""`apiece pick` from end to end: files, limits, depth, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from apiece import ImageRef, Instances, Masks, cli, formats
from apiece.images import read_image, write_image


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, words)])
    said = capsys.readouterr()
    return int(end.value.code or 0), said.out, said.err


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    boxes = np.array([[10, 10, 50, 22], [10, 40, 50, 60]])
    depth = np.full((80, 80), 600, np.uint16)
    depth[10:22, 10:50], depth[40:60, 10:50] = 500, 550
    write_image(tmp_path / "a.png", np.full((80, 80, 3), 90, np.uint8))
    write_image(tmp_path / "a-depth.png", depth)
    camera = {"width": 80, "height": 80, "fx": 100, "fy": 100, "cx": 39.5, "cy": 39.5}
    (tmp_path / "camera.json").write_text(json.dumps(camera))
    found = Instances(Masks.from_boxes(boxes, (80, 80)), [0, 0], ("bar",), ids=[7, 8])
    formats.write([(ImageRef(tmp_path / "a.png", "a.png", (80, 80)), found)], tmp_path / "labels.json", format="coco")
    return tmp_path / "labels.json"


def test_picks_are_files_and_json(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = labels.parent
    words = ("pick", labels, "--depth", folder / "a-depth.png", "--intrinsics", folder / "camera.json")
    code, said, _ = run(capsys, *words, "--save", "json,overlay", "--out", folder / "out", "--json")
    (picture,) = json.loads(said)["pictures"]
    assert code == 0
    assert json.loads((folder / "out" / "picks.json").read_text())["pictures"] == [picture]
    assert read_image(folder / "out" / "a.png").size == (80, 80)
    first, second = picture["picks"]
    assert (first["id"], second["id"]) == (7, 8)  # both are free; the nearer one comes first
    assert first["grasp"]["place"] == pytest.approx([30, 16], abs=0.6)
    assert first["grasp"]["angle"] == pytest.approx(90, abs=1)
    assert first["grasp"]["camera"]["place"] == pytest.approx([-0.05, -0.12, 0.5], abs=4e-3)
    assert second["grasp"]["camera"]["opening"] == pytest.approx(0.2 * 0.55, abs=6e-3)


def test_a_table_says_why_not(labels: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run(capsys, "pick", labels, "--opening", "15 px", "--cup", "30 px")
    assert code == 0
    assert "the gripper 15.0 px" in " ".join(said.split())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--intrinsics", "camera.json"), "--depth"),
        (("--save", "jsn"), "did you mean 'json'"),
        (("--opening", "20 mm"), "--calibration"),
        (("--opening", "wide"), "--opening wide"),
        (("--reach", "5"), "--reach 5"),
        (("--depth", "none.tif"), "none.tif"),
        (("--depth", "small.tif"), "its photo is 80 x 80"),
        (("--depth", "nan.tif"), "every pixel is NaN"),
        (("--depth", "."), "has no depth image for a.png"),
    ],
)
def test_what_is_refused(
    labels: Path, words: tuple[str, str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(labels.parent)
    Path("a.png").rename("b.png")
    write_image("small.tif", np.ones((8, 8), np.uint16))
    write_image("nan.tif", np.full((80, 80), np.nan, np.float32))
    code, _, said = run(capsys, "pick", labels, *words)
    assert code == 1
    assert told.lower() in said.lower()
    assert "Traceback" not in said


@pytest.mark.parametrize("command", ["pick", "inspect", "measure", "scene"])
def test_a_photo_without_labels_needs_a_model(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos" / "a.png", np.full((8, 8, 3), 90, np.uint8))
    (tmp_path / "r.yaml").write_text("rules:\n  - count: bolt\n    equals: 1\n")
    more = ("--rules", tmp_path / "r.yaml") if command == "inspect" else ()
    code, _, said = run(capsys, command, tmp_path / "photos", *more)
    assert code > 0
    assert "holds photos without labels" in said
    assert "--model default" in said
