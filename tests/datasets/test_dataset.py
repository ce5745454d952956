"""Datasets: where splits are found, that nothing is read early, and what does not fit together."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from tests.datasets.data_scenes import CLASSES, records, save

from apiece import Instances, Masks, formats
from apiece.datasets.dataset import (
    BadEntries,
    Dataset,
    Subset,
    fingerprint,
    open_data,
    open_sources,
    readable,
)
from apiece.errors import DataError, FormatError, ImageError


def test_one_item_at_a_time(tmp_path: Path) -> None:
    data = open_data(save(tmp_path / "a.json", ["a.png", "b.png", "sub/c.png"]))["train"]
    assert len(data) == 3
    assert data.classes == CLASSES
    image, instances = data[1]
    assert image.size == instances.size == (20, 30)
    assert instances.names == ["nut", "bolt"]
    assert [i.path.name for i, _ in data] == ["a.png", "b.png", "c.png"]
    assert data[-1][0].path == tmp_path / "sub" / "c.png"
    with pytest.raises(IndexError):
        data[3]
    (tmp_path / "b.png").unlink()
    assert data[0][1] == instances.replace(ids=[0, 1])
    with pytest.raises(ImageError, match=r"b\.png"):
        data[1]


def test_sizes_must_agree(tmp_path: Path) -> None:
    data = open_data(save(tmp_path / "a.json", ["a.png", "b.png"]))["train"]
    Pillow.fromarray(np.zeros((30, 20), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: the image is 30 x 20 .* drawn on 20 x 30; its sides are .*EXIF"):
        data[0]
    Pillow.fromarray(np.zeros((10, 15), np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match=r"the image is 10 x 15 .*another or a resized"):
        data[1]


def test_exif_rotation_is_named(tmp_path: Path) -> None:
    formats.write(records(["a.jpg"]), tmp_path / "a.json")
    exif = Pillow.Exif()
    exif[0x0112] = 6
    Pillow.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    with pytest.raises(ImageError, match="before the rotation that the photo's EXIF entry asks for"):
        open_data(tmp_path / "a.json")["train"][0]


LAYOUTS = {
    "files": ("train.json", "val.json"),
    "valid": ("train.json", "valid.json"),
    "annotations": ("annotations/train.json", "annotations/val.json"),
    "as COCO": ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
    "folders": ("train/_annotations.coco.json", "valid/_annotations.coco.json"),
    "mixed": ("train.json", "val/labels.json"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(tmp_path: Path, name: str) -> None:
    train, val = LAYOUTS[name]
    for i, path in enumerate((train, val)):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        save(tmp_path / path, [f"{i}.png", f"{i}b.png"][: 2 - i])
    sets = open_data(tmp_path)
    assert {k: len(v) for k, v in sets.items()} == {"train": 2, "val": 1}
    assert sets["val"][0][0].path is not None


def test_label_maps_in_folders(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        masks = Masks.from_boxes([[0, 0, 4, 5]], (20, 30))
        formats.write([("a.png", Instances(masks))], tmp_path / split / "masks", "labelmap")
        (tmp_path / split / "images").mkdir()
        Pillow.fromarray(np.zeros((20, 30), np.uint8)).save(tmp_path / split / "images" / "a.png")
    sets = open_data(tmp_path)
    assert list(sets) == ["train", "val", "test"]
    assert all(len(s[0][1]) == 1 for s in sets.values())


@pytest.mark.parametrize("name", ["labelme", "cvat", "rle_csv", "voc", "coco_panoptic"])
def test_folders_of_other_formats(tmp_path: Path, name: str) -> None:
    """Also those with many JSON files of their own."""
    rows = [(ref, instances.replace(ids=None)) for ref, instances in records(["a.png", "b.png"])]
    ending = formats.load(name).ending
    formats.write(rows, tmp_path / "set" / f"train{ending}", name)
    assert {k: len(v) for k, v in open_data(tmp_path / "set").items()} == {"train": 2}
    ((split, source),) = open_sources(tmp_path / "set" / f"train{ending}").items()
    # COCO's own layout names the split in the folder that is named
    assert (split, source.format, len(source.labels)) == ("train" if name == "coco_panoptic" else "", name, 2)


def test_a_set_that_says_its_splits(tmp_path: Path) -> None:
    splits = ["val", "train", "test", "train"]
    rows = records(["a.png", "b.png", "c.png", "d.png"], split=splits)
    formats.write([(ref, instances.replace(ids=None)) for ref, instances in rows], tmp_path / "set", "yolo")
    for path in (tmp_path / "set", tmp_path / "set" / "data.yaml"):
        found = {k: [r.name for r in v.refs] for k, v in open_data(path).items()}
        assert found == {"train": ["b.png", "d.png"], "val": ["a.png"], "test": ["c.png"]}


def test_bad_entries_are_left_out(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[0, 0, 4, 5]], (20, 30))
    names = ["a.png", "b.png", "c.png"]
    formats.write([(n, Instances(masks)) for n in names], tmp_path / "masks", "labelmap")
    formats.write([(n, Instances(masks)) for n in names], tmp_path / "set" / "train", "geojson")
    (tmp_path / "masks" / "b.png").write_bytes(b"no PNG")
    text = (tmp_path / "set" / "train" / "b.geojson").read_text()
    (tmp_path / "set" / "train" / "b.geojson").write_text(text.replace('"size": [20, 30], ', ""))
    for path in (tmp_path / "masks", tmp_path / "set"):
        with pytest.raises(FormatError, match=r"b\.png"):
            list(open_data(path)["train"].labels)
        bad = BadEntries()
        data = open_data(path, on_bad=bad)["train"]
        # every index has a record, which is what training needs
        assert [data.labels[i][0].name for i in range(len(data))] == ["a.png", "c.png"]
        assert [r.name for r in data.refs] == [r.name for r, _ in data.labels] == ["a.png", "c.png"]
        assert len(bad.errors) == 1
    assert pickle.loads(pickle.dumps(data)).labels[1][0].name == "c.png"


def test_a_folder_without_splits(tmp_path: Path) -> None:
    save(tmp_path / "labels.json", ["a.png"])
    assert list(open_data(tmp_path)) == ["train"]
    save(tmp_path / "more.json", ["a.png"])
    with pytest.raises(DataError, match=r"several label files \(labels\.json, more\.json\)"):
        open_data(tmp_path)


def test_nothing_or_too_much(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        open_data(tmp_path / "none")
    with pytest.raises(DataError, match=r"no labels here. Looked for train\.json.* format='class_map'"):
        open_data(tmp_path)
    save(tmp_path / "val.json", ["a.png"])
    assert list(open_data(tmp_path)) == ["val"]
    save(tmp_path / "valid.json", ["a.png"])
    with pytest.raises(DataError, match=r"val\.json and valid\.json could both be 'val'"):
        open_data(tmp_path)
    (tmp_path / "valid.json").unlink()
    (tmp_path / "val.json").write_text("{")
    with pytest.raises(FormatError):
        open_data(tmp_path)


def test_classes_must_agree(tmp_path: Path) -> None:
    save(tmp_path / "train.json", ["a.png"], ("nut", "bolt", "pin"))
    save(tmp_path / "val.json", ["b.png"], ("nut", "Bolt"))
    with pytest.raises(DataError, match=r"only in train\.json: bolt, pin; only in val\.json: Bolt"):
        open_data(tmp_path)
    save(tmp_path / "val.json", ["b.png"], ("pin", "bolt", "nut"))
    with pytest.raises(DataError, match="the same names in another order"):
        open_data(tmp_path)
    for split, names in (("train", ("nut",)), ("val", ("nut", "bolt"))):
        (tmp_path / "folders" / split).mkdir(parents=True)
        save(tmp_path / "folders" / split / "labels.json", ["a.png"], names)
    with pytest.raises(DataError, match=r"only in val: bolt; .* apiece convert --classes orders and renames them"):
        open_data(tmp_path / "folders")


def test_subsets(tmp_path: Path) -> None:
    data = open_data(save(tmp_path / "a.json", ["a.png", "b.png", "c.png"]))["train"]
    part = data.subset([2, 0])
    assert [r.name for r in part.refs] == ["c.png", "a.png"]
    assert [i.path.name for i, _ in part] == ["c.png", "a.png"]
    assert part[0][1] == data[2][1]
    assert part.refs is part.refs  # looked up for every sample of a training
    formats.write(part.labels, tmp_path / "part.json")
    assert [r.name for r in formats.read(tmp_path / "part.json").refs] == ["c.png", "a.png"]


def test_pickled_for_workers(tmp_path: Path) -> None:
    data = open_data(save(tmp_path / "a.json", ["a.png", "b.png"]))["train"]
    assert data.refs
    part = data.subset([1])
    before = len(pickle.dumps(part))
    assert part.refs
    assert len(pickle.dumps(part)) == before
    again = pickle.loads(pickle.dumps(part))
    assert again[0][1] == data[1][1]
    assert again.refs == part.refs


def test_fingerprint(tmp_path: Path) -> None:
    path = save(tmp_path / "a.json", ["a.png", "b.png"])
    data = open_data(path)["train"]
    first = fingerprint(data)
    assert len(first) == 64
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere" / "z.json")
    assert fingerprint(open_data(tmp_path / "elsewhere" / "z.json")["train"]) == first
    assert fingerprint(data.subset([0])) != fingerprint(data.subset([1])) != first
    changed = save(tmp_path / "b.json", ["a.png", "c.png"])
    assert fingerprint(open_data(changed)["train"]) != first

    class Plain:
        """A format that knows no short cut."""

        classes, metadata = CLASSES, {}

        def __init__(self, names: list[str]) -> None:
            self.records = records(names)
            self.refs = tuple(r for r, _ in self.records)

        def __len__(self) -> int:
            return len(self.records)

        def __getitem__(self, index: int) -> object:
            return self.records[index]

    assert fingerprint(Plain(["a.png"])) == fingerprint(Dataset(Plain(["a.png"]))) != fingerprint(Plain(["b.png"]))
    assert fingerprint(Subset(Plain(["a.png"]), (0,))) != fingerprint(Plain(["a.png"]))


def test_real_data(shared_data: Path) -> None:
    sets = open_data(shared_data / "nuclei")
    assert {k: len(v) for k, v in sets.items()} == {"train": 450, "val": 97}
    image, instances = sets["val"][5]
    assert image.size == instances.size
    assert len(instances) > 0


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    data = open_data(save(tmp_path / "a.json", ["a.png", "b.png", "c.png"]))["train"]
    Pillow.fromarray(np.zeros((10, 15), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:-20])
    bad = BadEntries()
    assert [ref.name for ref in readable(data, bad).refs] == ["c.png"]
    assert [error.path.name for error in bad.errors] == ["a.png", "b.png"]
    assert readable(data.subset([2]), bad).refs[0].name == "c.png"
