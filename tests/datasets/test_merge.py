"""Sets seen as one, with other classes, without some fields: the same by index and one after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apiece import ImageRef, Instances, Masks, formats
from apiece.datasets import merge
from apiece.datasets._merge import together
from apiece.datasets._place import Placer
from apiece.datasets.classes import Dropped, map_classes
from apiece.datasets.summary import summarise
from apiece.errors import ConfigError, DataError, UnknownNameError
from apiece.formats import LabelSet


def labels(path: Path, names: list[str], classes: tuple[str, ...], ids: list[int], **more: object) -> LabelSet:
    boxes = [[2 * k, 0, 2 * k + 1, 3] for k in range(len(ids))]
    found = Instances(Masks.from_boxes(boxes, (8, 8)), np.arange(len(ids)) % len(classes), classes, ids=ids, **more)
    formats.write([(ImageRef(path / n, n, (8, 8), i + 5), found) for i, n in enumerate(names)], path)
    return formats.read(path)


def records(found: LabelSet) -> list[tuple[str, Instances]]:
    one_by_one = [found[i] for i in range(len(found))]
    assert [(r.name, r.id, i) for r, i in found] == [(r.name, r.id, i) for r, i in one_by_one]
    assert [r.name for r in found.refs] == [r.name for r, _ in one_by_one]
    assert [r.attributes for r in found.refs] == [r.attributes for r, _ in one_by_one]
    assert all(i.classes == found.classes for _, i in one_by_one)
    return [(r.name, i) for r, i in one_by_one]


def test_merged(tmp_path: Path) -> None:
    a = labels(tmp_path / "a.json", ["x.png", "y.png"], ("nut", "bolt"), [4, 9])
    b = labels(tmp_path / "b.json", ["x.jpg", "b/x.png", "Y.PNG"], ("bolt", "pin"), [-3, 5])
    joined, notes = merge({"a": a, "b": b})
    found = records(joined)
    # label files go by names without ending, and some file systems mind no case
    assert [name for name, _ in found] == ["x.png", "y.png", "b-2/x.jpg", "b/x.png", "b/Y.PNG"]
    assert len({name.rpartition(".")[0].casefold() for name, _ in found}) == 5
    assert joined.classes == ("nut", "bolt", "pin")
    assert found[2][1].names == ["bolt", "pin"]
    assert [i.ids.tolist() for _, i in found] == [[4, 9]] * 2 + [[10, 18]] * 3
    assert any("13 added to instance ids" in note for note in notes)
    assert merge({"a": a, "b": b}, distinct_ids=False)[0][4][1].ids.tolist() == [-3, 5]
    assert [r.id for r in joined.refs] == [5, 6, None, None, None]
    with pytest.raises(ConfigError, match="refuse, first, unite"):
        merge({"a": a, "b": b}, "last")  # type: ignore[arg-type]


def test_what_cannot_be_united(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"pixels")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.png").write_bytes(b"pixels")
    a = labels(tmp_path / "a.json", ["x.png"], ("nut",), [1])
    b = labels(tmp_path / "other" / "b.json", ["x.png"], ("nut",), [1, 2], scores=[0.5, 1])
    joined, _ = merge({"a": a, "b": b}, "unite")
    with pytest.raises(DataError, match="only one of them has scores"):
        list(joined)


def test_splits_together(tmp_path: Path) -> None:
    a = labels(tmp_path / "a.json", ["x.png", "y.png"], ("nut",), [1])
    b = labels(tmp_path / "b.json", ["z.png"], ("nut",), [1])
    found = together({"train": a, "val": b})
    assert [name for name, _ in records(found)] == ["x.png", "y.png", "z.png"]
    assert [r.attributes["split"] for r in found.refs] == ["train", "train", "val"]
    c = labels(tmp_path / "c.json", ["y.jpg"], ("nut",), [1])
    assert [r.name for r in together({"train": a, "val": c}).refs] == ["train/x.png", "train/y.png", "val/y.jpg"]


def test_classes(tmp_path: Path) -> None:
    a = labels(tmp_path / "a.json", ["x.png"], ("nut", "a,b=c", "pin"), [1, 2, 3])
    cases = {
        ("pin", "nut"): (("pin", "nut"), ["nut", "pin"]),
        ("pin=nut", "*"): (("nut", "a,b=c"), ["nut", "a,b=c", "nut"]),
        ("*", "pin=nut"): (("nut", "a,b=c"), ["nut", "a,b=c", "nut"]),
        (r"a,b\=c=d", "nut"): (("d", "nut"), ["nut", "d"]),
    }
    for wanted, (classes, names) in cases.items():
        found = map_classes(a, wanted)
        assert found.classes == classes
        assert records(found)[0][1].names == names
    assert found.left_out == {"pin": 1}
    assert map_classes(a, ["nut=x"], keep_others=True).classes == ("x", "a,b=c", "pin")
    with pytest.raises(UnknownNameError, match="no class named 'pins'"):
        map_classes(a, ["pins"])
    for wrong in ("", "nut=", "=x"):
        with pytest.raises(ConfigError, match="cannot read the class"):
            map_classes(a, [wrong])


def test_dropped(tmp_path: Path) -> None:
    a = labels(tmp_path / "a.json", ["x.png"], ("nut", "pin"), [1, 2], scores=[0.5, 1], attributes={"angle": [1, 2]})
    (_, found), *_ = records(Dropped(a, ("ids", "scores", "attributes", "crowd")))
    assert (found.ids, found.scores, dict(found.attributes)) == (None, None, {})
    assert found.names == ["nut", "pin"]
    assert records(Dropped(a, ("classes",)))[0][1].names == ["object", "object"]
    with pytest.raises(UnknownNameError, match="'id'"):
        Dropped(a, ("id",))


def test_images_that_are_folders(tmp_path: Path) -> None:
    """OME-Zarr: the same folder is the same image, another folder of equal size is another image."""
    for name in ("a.zarr", "b.zarr"):
        (tmp_path / name).mkdir()
    a = labels(tmp_path / "a.json", ["a.zarr"], ("nut",), [4])
    b = labels(tmp_path / "b.json", ["b.zarr"], ("nut",), [5])
    assert summarise(a).missing_images == 0
    assert [name for name, _ in records(merge({"a": a, "b": b})[0])] == ["a.zarr", "b.zarr"]
    assert len(merge({"a": a, "again": formats.read(tmp_path / "a.json")})[0]) == 1
    with Placer("link", tmp_path / "out", lambda: None) as placer:
        told = placer.put([(ref, tmp_path / "out" / ref.name) for ref in a.refs])
    assert told == {"folders, left where they are": 1}
