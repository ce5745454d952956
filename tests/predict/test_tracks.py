"""Tracks on disk: every output, read back; and what is refused."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from apiece import Image, Instances, Masks, formats
from apiece.cli import main
from apiece.core.image import ImageRef
from apiece.errors import ConfigError, DataError, ImageError, UnknownNameError
from apiece.images import VideoWriter, open_video, read_image, write_image
from apiece.predict import Model
from apiece.predict.footage import footage
from apiece.predict.track_state import KeptTracker
from apiece.predict.tracks import track_to
from apiece.track import linker, start

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
        frames(tmp_path / "f"),
        tmp_path / "out",
        start,
        ("coco", "csv", "jsonl", "mots", "overlay", "video"),
        classes=classes,
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
    lines = [json.loads(line) for line in (tmp_path / "out" / "tracks.jsonl").read_text().splitlines()]
    assert [(line["video"], line["frame"]) for line in lines] == [(v, k) for v in (1, 2) for k in range(6)]
    masks = Masks.from_coco([one["segmentation"] for one in lines[0]["objects"]], SIZE)
    assert masks.area.tolist() == [225, 400]
    assert sorted(p.name for p in (tmp_path / "out" / "videos").iterdir()) == ["01-a.mp4", "02-b.mp4"]
    assert len(list(open_video(tmp_path / "out" / "videos" / "02-b.mp4"))) == 6
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


def test_the_default_model_tracks_what_it_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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
    write_image(tmp_path / "v" / "9.png", np.zeros((90, 128, 3), np.uint8))
    with pytest.raises(SystemExit, match="1"):
        main(["track", "v", "--out", "again"])
    assert "9.png is of 90 x 128 pixels, and 0.png of 96 x 128" in capsys.readouterr().err.replace("\n", " ")


# --- videos -----------------------------------------------------------------------------------------------------------


def video(path: Path, count: int = 8) -> Path:
    """Write a video of a bright square that moves, on a grey ground."""
    with VideoWriter(path) as out:
        for k in range(count):
            pixels = np.full((*SIZE, 3), 60, np.uint8)
            pixels[10:30, 5 + 4 * k : 25 + 4 * k] = 220
            out.write(pixels, 0.5 + k / 10)
    return path


def test_frames_of_videos_folders_and_stacks_have_names_and_times(tmp_path: Path) -> None:
    video(tmp_path / "v" / "a.mp4", 3)
    for k in range(3):
        write_image(tmp_path / "f" / "x" / f"{k}.png", np.zeros(SIZE, np.uint8))
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((4, *SIZE), np.uint8), photometric="minisblack")
    found = list(footage([str(tmp_path / name) for name in ("v", "f", "s.tif")], fps=10))
    assert [frame.name for frame in found] == [
        *(f"a.mp4/{k:06d}.png" for k in range(3)),
        *(f"x/{k}.png" for k in range(3)),
        *(f"s.tif/{k:06d}.png" for k in range(4)),
    ]
    assert [round(frame.seconds, 3) for frame in found] == [0.5, 0.6, 0.7, 0, 0.1, 0.2, 0, 0.1, 0.2, 0.3]
    assert found[-1].read().size == SIZE
    arrays = footage((np.zeros(SIZE, np.uint8) for _ in range(3)), fps=2)
    assert [frame.seconds for frame in arrays] == [0, 0.5, 1.0]


def test_a_model_tracks_a_video(tmp_path: Path, model: Model) -> None:
    seen = list(model.track((np.full((12, 20), 40, np.uint8) for _ in range(5)), tracker="iou", fill=0))
    assert [tracked.ids.tolist() for _, tracked in seen] == [[1]] * 5
    assert [moment.number for moment, _ in seen] == list(range(5))


def rings(path: Path, count: int) -> Path:
    y, x = np.mgrid[:96, :128]
    with VideoWriter(path) as out:
        for k in range(count):
            ring = np.where(np.hypot(y - 48, x - 50 - 4 * k) < 20, 210, 40).astype(np.uint8)
            out.write(np.repeat(ring[:, :, None], 3, 2), k / 8)
    return path


def test_a_video_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    rings(tmp_path / "a.mp4", 6)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        main(["track", "a.mp4", "--every", "2", "--for", "0.6s", "--save", "csv,video", "--json"])
    assert json.loads(capsys.readouterr().out)["frames"] == 3
    with (tmp_path / "tracks" / "tracks.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["seconds"], row["id"]) for row in rows] == [
        ("0", "0", "1"), ("2", "0.25", "1"), ("4", "0.5", "1")
    ]  # fmt: skip
    assert [round(m.seconds, 3) for m in open_video(tmp_path / "tracks" / "videos" / "01-a.mp4")] == [0, 0.25, 0.5]
    for said, reason in (
        (["--for", "soon"], "--for soon is no length of time"),
        (["--latest"], "is a file, of which every frame waits"),
        (["--fps", "0"], "--fps is more than 0"),
    ):
        with pytest.raises(SystemExit, match="1"):
            main(["track", "a.mp4", "--out", "again", *said])
        assert reason in capsys.readouterr().err


def broken(folder: Path) -> Iterator[tuple[ImageRef, Image | None, Instances]]:
    """Yield frames of one video, and an error after five of them."""
    for k, one in enumerate(frames(folder, ("a",))):
        if k == 5:
            raise ImageError("a.mp4", "the frame at 0.5 s is damaged")
        yield one


def test_what_came_before_an_error_is_written(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="damaged; the 5 frames before it are tracked and written"):
        track_to(broken(tmp_path / "f"), tmp_path / "out", start, ("coco", "csv"), classes=("car", "pedestrian"))
    assert len(formats.read(tmp_path / "out" / "tracks.json", images=tmp_path / "f")) == 5
    with (tmp_path / "out" / "tracks.csv").open() as file:
        assert {row["frame"] for row in csv.DictReader(file)} == {"0", "1", "2", "3", "4"}


def test_missing_frames_point_to_the_option(tmp_path: Path) -> None:
    away = ((ImageRef(tmp_path / "gone" / "0.png", "0.png", SIZE), None, found) for _, _, found in frames(tmp_path))
    with pytest.raises(ImageError, match=r"does not exist; the folder of the frames is given with images="):
        track_to(away, tmp_path / "out", start, ("overlay",), classes=("car", "pedestrian"))


def test_ctrl_c_ends_as_if_the_video_were_over(tmp_path: Path) -> None:
    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:
            raise KeyboardInterrupt

    steps = 0
    summary = track_to(frames(tmp_path / "f"), tmp_path / "out", start, classes=("car", "pedestrian"), step=step)
    assert summary.stopped
    assert summary.frames == 3
    assert len(formats.read(tmp_path / "out" / "tracks.json", images=tmp_path / "f")) == 3


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9")
def test_what_was_tracked_survives_kill_9(tmp_path: Path) -> None:
    code = f"""
import os, numpy as np
from pathlib import Path
from apiece import Image, Instances, Masks
from apiece.core.image import ImageRef
from apiece.predict import tracks
from apiece.predict.tracks import track_to
from apiece.track import linker, start
def frames():
    for k in range(200):
        found = Instances(Masks.from_boxes([[5, 5, 20, 20]], (48, 64)), scores=[0.9])
        ref = ImageRef(Path("x"), f"a/{{k}}.png", (48, 64), attributes={{"seconds": k / 10}})
        yield ref, Image(np.full((48, 64, 3), k, np.uint8)), found
def step():
    global n
    n += 1
    if n == 100:
        os.kill(os.getpid(), 9)
n = 0
tracks._PAUSE = tracks._SELDOM = 0.02
save = ("csv", "jsonl", "video", "coco", "mots", "ctc")
track_to(frames(), {str(tmp_path / "out")!r}, start, save, classes=("object",), step=step)
"""
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL
    with (tmp_path / "out" / "tracks.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 100
    lines = (tmp_path / "out" / "tracks.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == list(range(100))
    assert len(list(open_video(tmp_path / "out" / "videos" / "01-a.mp4"))) >= 60
    for name in ("tracks.json", "mots", "ctc"):
        assert 1 < len(formats.read(tmp_path / "out" / name)) <= 100


def test_a_file_written_in_pieces_is_the_file_written_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes, save = ("car", "pedestrian"), ("coco", "mots")
    track_to(frames(tmp_path / "f"), tmp_path / "once", start, save, classes=classes)
    monkeypatch.setattr("apiece.predict.tracks._PAUSE", 0.0)
    monkeypatch.setattr("apiece.predict.tracks._SELDOM", 0.0)
    track_to(frames(tmp_path / "f"), tmp_path / "pieces", start, save, classes=classes)
    once, pieces = (tmp_path / name / "tracks.json" for name in ("once", "pieces"))
    assert json.loads(pieces.read_text()) == json.loads(once.read_text())
    assert sorted(p.name for p in (tmp_path / "pieces" / "mots").rglob("*.png")) == sorted(
        p.name for p in (tmp_path / "once" / "mots").rglob("*.png")
    )


def test_a_restarted_stream_goes_on_with_its_ids(tmp_path: Path) -> None:
    path, seen = tmp_path / "line.npz", Instances(Masks.from_boxes([[5, 5, 20, 20], [30, 5, 45, 20]], SIZE))
    with KeptTracker(path, "masks", classes=("object",)) as kept:
        assert kept.begin().update(seen).ids.tolist() == [1, 2]
        with pytest.raises(ConfigError, match="goes with one video"):
            kept.begin()
    killed = KeptTracker(path, "masks", classes=("object",)).begin()
    moved = Instances(Masks.from_boxes([[6, 5, 21, 20], [70, 42, 85, 57]], SIZE))
    for _ in range(2):
        given = killed.update(moved).ids.tolist()
    assert given == [1, 3]  # and here the program is killed
    again = KeptTracker(path, "masks", {"patience": 0}, classes=("object",)).begin()
    fresh = Instances(Masks.from_boxes([[6, 5, 21, 20], [75, 1, 89, 9]], SIZE))
    assert [again.update(fresh).ids.tolist() for _ in range(2)][-1] == [1, 4]
    with pytest.raises(DataError, match="of the tracker 'masks', not 'iou'"):
        KeptTracker(path, "iou", classes=("object",))
    with pytest.raises(DataError, match="of the classes object; now they are car"):
        KeptTracker(path, "masks", classes=("car",))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="is no such file; name another file"):
        KeptTracker(path, "masks", classes=("object",))


def test_counts_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    records = [(ref, seen) for ref, _, seen in frames(tmp_path / "f")]
    formats.write(records, tmp_path / "detections.json", format="coco")
    (tmp_path / "zones.geojson").write_text(
        json.dumps({"type": "Polygon", "coordinates": [[[45, 0], [90, 0], [90, 60], [45, 60], [45, 0]]]})
    )
    monkeypatch.chdir(tmp_path)
    said = ["track", "--detections", "detections.json", "--images", "f", "--save", "video"]
    with pytest.raises(SystemExit, match="0"):
        main([*said, "--line", "door: 22,0 22,60", "--zone", "zones.geojson", "--json"])
    first, second = json.loads(capsys.readouterr().out)["counts"]
    assert first["video"] == "a"
    assert (first["lines"]["door"]["left"], first["lines"]["door"]["right"]) == (1, 0)
    assert first["zones"]["zone 1"]["enter"] == second["zones"]["zone 1"]["inside"] == 1
    with (tmp_path / "tracks" / "counts.csv").open() as file:
        rows = [(row["video"], row["where"], row["what"], row["class"]) for row in csv.DictReader(file)]
    assert rows[:2] == [("1", "zone 1", "enter", "pedestrian"), ("1", "door", "left", "car")]
    assert json.loads((tmp_path / "tracks" / "counts.json").read_text())["videos"] == [first, second]
    for more, reason in (
        (["--line", "door"], "--line door is no line"),
        (["--zone", "detections.json"], "detections.json: zone 1 is no polygon"),
        (["--zone", "none.geojson"], "none.geojson: cannot be read as GeoJSON"),
    ):
        with pytest.raises(SystemExit, match="1"):
            main([*said, "--out", "again", *more])
        assert reason in capsys.readouterr().err


def test_all_frames_at_once_with_pixels_read_again(tmp_path: Path) -> None:
    def again() -> Iterator[tuple[str, Image]]:
        yield "a/left-out.png", Image(np.zeros((*SIZE, 3), np.uint8))
        for video in "ab":
            for k in range(6):
                yield f"{video}/{k:03d}.png", Image(np.full((*SIZE, 3), 40 * k, np.uint8))

    steps: list[int] = []
    summary = track_to(
        frames(tmp_path / "f"), tmp_path / "out", start, ("coco", "overlay", "video"), classes=("car", "pedestrian"),
        link=linker(), again=again, step=lambda: steps.append(1),
    )  # fmt: skip
    assert (summary.videos, summary.frames, summary.filled, len(steps)) == (2, 12, 2, 12)
    for _, found in formats.read(tmp_path / "out" / "tracks.json", images=tmp_path / "f"):
        assert found.ids.tolist() == [1, 2]
    for k in range(6):  # the pixels are those read again, not those of the files, which are black
        assert (read_image(tmp_path / f"out/overlays/b/{k:03d}.png").pixels[-1, -1] == 40 * k).all()


def test_all_frames_at_once_until_the_person_stops(tmp_path: Path) -> None:
    def stopped() -> Iterator[tuple[ImageRef, Image | None, Instances]]:
        for k, frame in enumerate(frames(tmp_path / "f", ("a",))):
            if k == 3:
                raise KeyboardInterrupt
            yield frame

    summary = track_to(stopped(), tmp_path / "out", start, ("csv",), classes=("car", "pedestrian"), link=linker())
    assert (summary.stopped, summary.frames) == (True, 3)
    assert len((tmp_path / "out" / "tracks.csv").read_text().splitlines()) == 7
