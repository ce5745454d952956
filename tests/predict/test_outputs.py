"""Results on disk: right, whole, and nothing at all when something goes wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

import apiece.predict.writing as outputs
from apiece import formats
from apiece.core.image import Image
from apiece.core.masks import Masks
from apiece.errors import ConfigError, DataError, ImageError, LossyFormatError, UnknownNameError
from apiece.images import read_image, write_image
from apiece.predict import Model, find_sources, predict_to

ALL = ("coco", "csv", "labelmap", "overlay")


@pytest.fixture
def photos(tmp_path: Path, picture: np.ndarray) -> Path:
    """Three images, one in a subfolder, one without any object."""
    write_image(tmp_path / "photos" / "2.png", picture)
    write_image(tmp_path / "photos" / "10.png", np.zeros((12, 20), np.uint8))
    write_image(tmp_path / "photos" / "sub" / "1.tif", picture[:, ::-1])
    return tmp_path / "photos"


def tree(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_everything(model: Model, photos: Path, tmp_path: Path, picture: np.ndarray) -> None:
    steps: list[tuple[int, int, str]] = []
    out = tmp_path / "new" / "out"
    summary = predict_to(model, photos, out, ALL, conf=0, progress=lambda *step: steps.append(step))
    assert tree(out) == [
        "labelmaps/10.png", "labelmaps/2.png", "labelmaps/sub/1.png", "overlays/10.png", "overlays/2.png",
        "overlays/sub/1.png", "predictions.csv", "predictions.json",
    ]  # fmt: skip
    assert (summary.images, summary.instances, summary.per_class) == (3, 6, {"bolt": 4, "nut": 2})
    assert (summary.bad, summary.lost) == ((), ())
    assert set(summary.files) == {
        out / name for name in ("predictions.json", "predictions.csv", "labelmaps", "overlays")
    }
    assert steps == [(1, 3, "2.png"), (2, 3, "10.png"), (3, 3, "sub/1.tif")]

    truth = Masks.from_label_map(picture)
    labels = formats.read(out / "predictions.json")
    assert labels.classes == ("bolt", "nut")
    read = {ref.name: found for ref, found in labels}
    assert set(read) == {"2.png", "10.png", "sub/1.tif"}
    assert read["2.png"].masks == truth
    assert read["2.png"].scores.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert len(read["10.png"]) == 0

    label_map = read_image(out / "labelmaps" / "2.png").pixels[:, :, 0]
    assert Masks.from_label_map(label_map) == truth
    assert {ref.name for ref, _ in formats.read(out / "labelmaps")} == set(read)
    assert read_image(out / "overlays" / "sub" / "1.png").pixels.shape == (12, 20, 3)

    rows = list(csv.DictReader((out / "predictions.csv").open()))
    assert len(rows) == 6
    assert rows[1] == {
        "image": "2.png", "id": "2", "class": "nut", "score": "0.8", "x0": "8", "y0": "5", "x1": "12", "y1": "9",
        "area": "16",
    }  # fmt: skip


def test_maps_and_boxes_of_the_same_instances(model: Model, photos: Path, tmp_path: Path, picture: np.ndarray) -> None:
    out = tmp_path / "out"
    predict_to(model, photos, out, ("semantic", "panoptic", "boxes"), conf=0)
    assert sorted(p.name for p in out.iterdir()) == ["boxes.json", "panoptic", "semantic"]
    assert json.loads((out / "semantic" / "classes.json").read_text()) == {"0": "", "1": "bolt", "2": "nut"}
    values = np.unique(picture[picture > 0])
    expected = np.zeros_like(picture)
    for k, value in enumerate(values):
        expected[picture == value] = 1 + k % 2
    assert (read_image(out / "semantic" / "2.png").pixels[:, :, 0] == expected).all()
    assert sorted(p.name for p in (out / "panoptic").iterdir()) == ["panoptic", "panoptic.json"]
    panoptic = {ref.name: found for ref, found in formats.read(out / "panoptic")}
    assert panoptic["2.png"].names == ["bolt", "nut", "bolt"]
    assert panoptic["2.png"].masks == Masks.from_label_map(picture)
    rows = json.loads((out / "boxes.json").read_text())
    assert len(rows) == 6
    assert rows[1] == {
        "image_id": 1, "file_name": "2.png", "category_id": 2, "category": "nut", "bbox": [8.0, 5.0, 4.0, 4.0],
        "score": pytest.approx(0.8),
    }  # fmt: skip


@pytest.mark.parametrize("save", [("coco",), ("csv",), ("overlay", "labelmap"), ("boxes",)])
def test_only_what_was_asked_for(model: Model, photos: Path, tmp_path: Path, save: tuple[str, ...]) -> None:
    predict_to(model, photos, tmp_path / "out", save)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {outputs.OUTPUTS[name] for name in save}


def test_the_same_bytes_each_time_and_for_each_batch(model: Model, photos: Path, tmp_path: Path) -> None:
    predict_to(model, photos, tmp_path / "a", ALL)
    predict_to(model, photos, tmp_path / "b", ALL, batch=3)
    for name in tree(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_bad_images_stop_everything_and_are_all_named(model: Model, photos: Path, tmp_path: Path) -> None:
    (photos / "3.png").write_text("no image")
    (photos / "4.png").touch()
    with pytest.raises(ImageError) as caught:
        predict_to(model, photos, tmp_path / "new" / "out", ALL)
    for part in ("3.png", "4.png: is empty", "2 of 5 images cannot be used", "skip_bad"):
        assert part in str(caught.value)
    assert not (tmp_path / "new").exists()


def test_bad_images_are_left_out_when_asked(model: Model, photos: Path, tmp_path: Path) -> None:
    (photos / "3.png").write_text("no image")
    (photos / "z.png").touch()
    steps: list[int] = []
    summary = predict_to(
        model, photos, tmp_path / "out", ALL, skip_bad=True, progress=lambda done, *_: steps.append(done)
    )
    assert [e.path.name for e in summary.bad] == ["3.png", "z.png"]
    assert summary.images == 3
    assert steps == [1, 2, 3, 4, 5]
    assert len(formats.read(tmp_path / "out" / "predictions.json")) == 3


def test_nothing_but_bad_images(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"none\.png: does not exist"):
        predict_to(model, tmp_path / "none.png", tmp_path / "out", skip_bad=True)
    (tmp_path / "a.png").touch()
    with pytest.raises(ImageError, match=r"is empty\n1 of 1 images cannot be used$"):  # skip_bad would not help
        predict_to(model, tmp_path / "a.png", tmp_path / "out", skip_bad=True)
    assert not (tmp_path / "out").exists()


def test_results_are_overwritten_only_when_asked(model: Model, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_to(model, photos, out, ALL)
    (out / "notes.txt").write_text("mine")
    (out / "overlays" / "stale.png").touch()
    before = {name: (out / name).read_bytes() for name in tree(out)}
    with pytest.raises(DataError, match="holds results already"):
        predict_to(model, photos, out, ALL)
    (photos / "3.png").touch()
    with pytest.raises(ImageError):
        predict_to(model, photos, out, ALL, overwrite=True)
    assert {name: (out / name).read_bytes() for name in tree(out)} == before
    predict_to(model, photos, out, ALL, overwrite=True, skip_bad=True)
    assert "overlays/stale.png" not in tree(out)
    assert (out / "notes.txt").read_text() == "mine"
    assert not [p for p in out.iterdir() if p.name.startswith(".")]


def test_results_beside_the_images_are_not_predicted_on_again(model: Model, photos: Path) -> None:
    predict_to(model, photos, photos, ALL)
    assert predict_to(model, photos, photos, ALL, overwrite=True).images == 3


@pytest.mark.parametrize("save", [("labelmap",), ALL])
def test_overlap_in_label_maps(model: Model, tmp_path: Path, save: tuple[str, ...]) -> None:
    pixels = np.zeros((12, 20), np.uint8)
    pixels[3:5, 4:8] = 1  # for this value the network finds another object that covers everything
    write_image(tmp_path / "a.png", pixels)
    out = tmp_path / "out"
    with pytest.raises(LossyFormatError, match=r"labelmaps: image 'a.png', ids 1, 2 overlap.*allow_lossy") as caught:
        predict_to(model, tmp_path / "a.png", out, save)
    assert caught.value.path == out / "labelmaps"
    assert not out.exists()
    summary = predict_to(model, tmp_path / "a.png", out, save, allow_lossy=True)
    assert len(summary.lost) == 1
    assert "smallest on top" in summary.lost[0]
    label_map = read_image(out / "labelmaps" / "a.png").pixels
    assert (label_map == 1).sum() == 8
    assert (label_map == 2).sum() == 12 * 20 - 8


def test_a_failure_while_writing_leaves_nothing(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(outputs, "write_image", full)
    with pytest.raises(DataError, match="disk full"):
        predict_to(model, photos, tmp_path / "out", ALL)
    assert not (tmp_path / "out").exists()


def test_an_interruption_leaves_nothing(model: Model, photos: Path, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_to(model, photos, tmp_path / "out", ALL, progress=stop)
    assert not (tmp_path / "out").exists()


def test_a_failed_exchange_puts_the_old_results_back(
    model: Model, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    predict_to(model, photos, out, ("csv",))
    before = (out / "predictions.csv").read_bytes()
    rename = Path.rename

    def once(self: Path, target: Path) -> Path:
        if target == out / "predictions.csv" and not self.parent.name.startswith(".old"):
            raise OSError("not now")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", once)
    with pytest.raises(DataError, match="not now"):
        predict_to(model, photos, out, ("csv",), overwrite=True)
    assert (out / "predictions.csv").read_bytes() == before


def test_names_that_differ_only_in_their_suffix(model: Model, picture: np.ndarray, tmp_path: Path) -> None:
    for name in ("a.png", "a.tif"):
        write_image(tmp_path / "in" / name, picture)
    predict_to(model, tmp_path / "in", tmp_path / "out", ("labelmap", "overlay"))
    assert tree(tmp_path / "out") == [
        "labelmaps/a.png.png", "labelmaps/a.tif.png", "overlays/a.png.png", "overlays/a.tif.png",
    ]  # fmt: skip


def test_arrays(model: Model, picture: np.ndarray, tmp_path: Path) -> None:
    predict_to(model, [picture, picture], tmp_path / "out", ALL)
    content = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [i["file_name"] for i in content["images"]] == ["image_000000", "image_000001"]
    assert (tmp_path / "out" / "overlays" / "image_000001.png").exists()


def test_wrong_calls(model: Model, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'labelmap'"):
        predict_to(model, photos, tmp_path / "out", ("labelmaps",))
    for save in ((), "coco"):
        with pytest.raises(ConfigError, match="save takes a list"):
            predict_to(model, photos, tmp_path / "out", save)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file"):
        predict_to(model, photos, tmp_path / "file")
    with pytest.raises(ConfigError, match="batch"):
        predict_to(model, photos, tmp_path / "out", batch=0)
    assert find_sources(photos)
    assert not (tmp_path / "out").exists()


def test_a_page_of_a_stack_is_known_afterwards(model: Model, tmp_path: Path, picture: np.ndarray) -> None:
    stack = np.stack([picture[::-1], picture])
    tifffile.imwrite(tmp_path / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    with pytest.raises(ImageError, match="say which with page=0 to page=1"):
        predict_to(model, tmp_path / "stack.tif", tmp_path / "none", ("coco",), conf=0)
    predict_to(model, tmp_path / "stack.tif", tmp_path / "out", ("coco",), conf=0, page=1)
    ((ref, found),) = formats.read(tmp_path / "out" / "predictions.json", images=tmp_path)
    assert (ref.page, ref.attributes, len(found)) == (1, {}, 3)
    assert (read_image(ref.path, page=ref.page).pixels[..., 0] == picture).all()


def test_nothing_is_found_on_transparent_ground(
    model: Model, tmp_path: Path, picture: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    alpha = np.full(picture.shape, 255, np.uint8)
    alpha[:, :10] = 0  # all of the first blob, half of the second
    image = Image(np.stack([picture, alpha], 2), path=Path("tile.png"), alpha="unassociated")
    with caplog.at_level("INFO", "apiece"):
        found = model.predict(image, conf=0)
    assert found.masks.area.tolist() == [8, 10]
    assert not found.masks.union().to_dense()[0][:, :10].any()
    assert not caplog.records  # what is stored there was never looked at
    # here the median of what is seen, 75, is the value of no pixel, so that all of the ground looks like one object
    two = np.full(picture.shape, 50, np.uint8)
    two[:, 15:] = 100
    striped = Image(np.stack([two, alpha], 2), path=Path("tile.png"), alpha="unassociated")
    with caplog.at_level("INFO", "apiece"):
        found = model.predict(striped, conf=0)
    assert found.masks.area.tolist() == [60, 60]
    assert "tile.png: 1 object on transparent ground is left out" in caplog.text
