"""Tracks on disk: every output, read back; and what is refused."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from apiece import Image, Instances, Masks, formats
from apiece.cli import main
from apiece.core.image import ImageRef
from apiece.errors import DataError, UnknownNameError
from apiece.images import write_image
from apiece.predict.tracks import track_to
from apiece.track import start

SIZE = (60, 90)


def frames(folder: Path, videos: tuple[str, ...] = ("a", "b")) -> Iterator[tuple[ImageRef, Image | None, Instances]]:
    for v, video in enumerate(videos):
        for k in range(6):
            name = f"{video}/{k:03d}.png"
            write_image(folder / name, np.zeros((*SIZE, 3), np.uint8))
            masks = Masks.from_boxes([[5 + 4 * k, 10, 20 + 4 * k, 25], [50, 30, 70, 50]], SIZE)
            seen = Instances(masks, [0, 1], ("car", "pedestrian"), scores=[0.9, 0.8])
            ref = ImageRef(folder / name, name, SIZE, id=v * 6 + k + 1)
            yield ref, None, seen[:1] if k == 3 else seen


def test_every_output(tmp_path: Path) -> None:
    classes = ("car", "pedestrian")
    summary = track_to(
        frames(tmp_path / "f"), tmp_path / "out", start, ("coco", "csv", "mots", "overlay"), classes=classes
    )
    assert (summary.videos, summary.frames, summary.filled) == (2, 12, 2)
    assert dict(summary.tracks) == {"car": 2, "pedestrian": 2}
    for name in ("tracks.json", "mots"):
        labels = formats.read(tmp_path / "out" / name, images=tmp_path / "f")
        assert len(labels) == 12
        for _, found in labels:
            assert found.ids.tolist() == [1, 2]
    with (tmp_path / "out" / "tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 24
    assert [row["id"] for row in rows if row["filled"] == "1"] == ["2", "2"]
    assert len(list((tmp_path / "out" / "overlays").rglob("*.png"))) == 12
    with pytest.raises(DataError, match="holds results already"):
        track_to(frames(tmp_path / "f"), tmp_path / "out", start, ("csv",), classes=classes)


def test_nothing_is_written_where_something_is_wrong(tmp_path: Path) -> None:
    out, classes = tmp_path / "out", ("car", "pedestrian")
    with pytest.raises(UnknownNameError, match="cvs"):
        track_to([], out, start, ("cvs",), classes=classes)
    with pytest.raises(DataError, match="no frames"):
        track_to([], out, start, classes=classes)
    with pytest.raises(DataError, match="video a are not together"):
        track_to(frames(tmp_path / "f", ("a", "b", "a")), out, start, classes=classes)
    assert not out.exists()


@pytest.mark.parametrize("name", ["../../outside.png", "/outside.png"])
def test_a_frame_name_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    ref, _, found = next(frames(tmp_path / "f"))
    image = Image(np.zeros((*SIZE, 3), np.uint8))
    own = [(ImageRef(ref.path, name, SIZE, id=1), image, found)]
    with pytest.raises(DataError, match="leads out of the folder"):
        track_to(own, tmp_path / "out", start, ("overlay",), classes=("car", "pedestrian"))
    assert not list(tmp_path.rglob("outside.png"))
    assert not (tmp_path / "out").exists()


def test_by_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    records = [(ref, seen) for ref, _, seen in frames(tmp_path / "f")]
    formats.write(records, tmp_path / "detections.json", format="coco")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(["track", "--detections", "detections.json", "--save", "csv", "--tracker", "iou", "--json"])
    assert '"videos": 2' in capsys.readouterr().out
    with pytest.raises(SystemExit, match="1"):
        main(["track", "--detections", "detections.json", "--model", "x"])
    assert "no --model beside it" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="1"):
        main(["track", "--detections", "detections.json", "--fill", "-1", "--out", "again"])
    assert "--fill is 0 or more" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_the_default_model_tracks_what_it_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    y, x = np.mgrid[:96, :128]
    for k in range(4):
        ring = np.hypot(y - 48, x - 50 - 4 * k) < 20
        pixels = np.where(ring, 210, 40).astype(np.uint8)
        write_image(tmp_path / "v" / f"{k}.png", np.repeat(pixels[:, :, None], 3, 2))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(["track", "v", "--save", "coco,mots"])
    labels = formats.read("tracks/tracks.json", images="v")
    assert [found.ids.tolist() for _, found in labels] == [[1]] * 4
