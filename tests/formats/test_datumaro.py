"""Datumaro JSON, in the layout that Datumaro 1.x and CVAT's "Datumaro 1.0" export write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from apiece import Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError

Save = Callable[..., Path]
SQUARE = [1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]


def labelled(annotations: list[Any], **item: Any) -> dict[str, Any]:
    labels = [{"name": n, "parent": "", "attributes": []} for n in ("nut", "Schraube ß")]
    image = {"path": "a.png", "size": [6, 8]}
    return {
        "info": {"author": "hand"},
        "categories": {"label": {"labels": labels, "attributes": ["occluded"]}, "mask": {"colormap": []}},
        "items": [{"id": "a", "annotations": annotations, "image": image} | item],
    }


def note(kind: str = "polygon", **more: Any) -> dict[str, Any]:
    shape = {"polygon": {"points": SQUARE}, "bbox": {"bbox": [1.0, 1.0, 3.0, 2.0]}}.get(kind, {})
    return {"id": 0, "type": kind, "attributes": {}, "group": 0, "label_id": 1, "z_order": 0} | shape | more


def square() -> np.ndarray:
    a = np.zeros((6, 8), bool)
    a[1:3, 1:4] = True
    return a


def test_every_kind_of_shape(saved: Save) -> None:
    path = saved(
        labelled(
            [
                note(id=4, attributes={"occluded": True, "score": 0.25}, z_order=2),
                note("mask", id=5, label_id=0, rle={"counts": [7, 2, 39], "size": [6, 8]}, attributes={"is_crowd": 1}),
                note("bbox", id=6),
                note("ellipse", id=7, points=[2.0, 1.0, 6.0, 5.0]),
                note("label"),
                note("points", points=[1.0, 1.0]),
            ]
        )
    )
    assert formats.detect(path) == "datumaro"
    labels = formats.read(path)
    assert labels.classes == ("nut", "Schraube ß")
    assert labels.shape_counts() == {"label": 1, "points": 1}
    ref, found = labels[0]
    assert (ref.name, ref.size, ref.id) == ("a.png", (6, 8), "a")
    dense = found.masks.to_dense()
    assert (dense[0] == square()).all()
    assert np.argwhere(dense[1]).tolist() == [[1, 1], [2, 1]]
    assert (dense[2] == square()).all()
    disc = [[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1], [0, 1, 1, 0]]
    assert (dense[3, 1:5, 2:6] == disc).all()
    assert dense[3].sum() == 12
    assert found.ids is not None
    assert found.ids.tolist() == [4, 5, 6, 7]
    assert found.labels.tolist() == [1, 0, 1, 1]
    assert found.crowd.tolist() == [False, True, False, False]
    assert found.scores is None
    assert found.attributes["occluded"].tolist() == [True, None, None, None]
    assert found.attributes["z_order"].tolist() == [2, None, None, None]


def test_a_group_is_one_object(saved: Save) -> None:
    other = [5.0, 4.0, 7.0, 4.0, 7.0, 5.0, 5.0, 5.0]
    path = saved(
        labelled(
            [
                note(group=3, id=1),
                note(group=3, id=2, points=other),
                note("bbox", group=3, bbox=[0.0, 0.0, 8.0, 6.0]),
                note(group=3, label_id=0),
                note("bbox", group=4),
                note("mask", group=3, rle={"counts": [0, 1, 47], "size": [6, 8]}),
            ]
        )
    )
    _, found = formats.read(path)[0]
    wanted = square()
    wanted[4, 5:7] = wanted[0, 0] = True
    assert len(found) == 3
    assert (found.masks.to_dense()[0] == wanted).all()
    assert (found.masks.to_dense()[1] == square()).all()
    assert found.attributes["group"].tolist() == [3, 3, 4]


def test_the_folder_it_writes(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images" / "train").mkdir(parents=True)
    document = labelled([note()])
    del document["items"][0]["image"]["size"]
    document["items"][0]["image"]["path"] = "/somewhere/else/a.png"
    (tmp_path / "annotations" / "train.json").write_text(json.dumps(document))
    labels = formats.read(tmp_path)
    with pytest.raises(FormatError, match=r"image 'a\.png': its size is not stated, and the image does not exist"):
        labels[0]
    Pillow.new("L", (8, 6)).save(tmp_path / "images" / "train" / "a.png")
    ref, found = formats.read(tmp_path)[0]
    assert ref.path == tmp_path / "images" / "train" / "a.png"
    assert found.size == (6, 8)


BROKEN = {
    "unknown label": (note(label_id=2), r"annotations\[0\]: label_id: 2 is none of the 2 labels"),
    "two points": (note(points=[1, 1, 2, 2]), "polygon has 2 points"),
    "outside": (note(points=[1, 1, 20, 1, 4, 4]), "reaches 12 pixels outside the image of 8 x 6"),
    "huge number": (note(points=[1, 1, 10**400, 1, 4, 4]), "not finite"),
    "text": (note(points=[1, 1, "x", 1, 4, 4]), "pairs of numbers"),
    "wrong size": (note("mask", rle={"counts": [48], "size": [8, 6]}), r"size \[6, 8\]"),
    "wrong counts": (note("mask", rle={"counts": [4], "size": [6, 8]}), r"annotations\[0\]: "),
    "negative counts": (note("mask", rle={"counts": [-4, 52], "size": [6, 8]}), "list of integers"),
    "empty box": (note("bbox", bbox=[1, 1, 0, 2]), "must be more than 0"),
    "unknown kind": (note("blob"), "type 'blob' is not known"),
    "no object": ([], "must be an object, got a list"),
    "big id": (note(id=2**70), "at most 64 bits"),
    "bad attributes": (note(attributes=[1]), "attributes: must be an object"),
    "bad attributes of a box": (note("bbox", attributes=True), "attributes: must be an object"),
    "bad score": (note(attributes={"score": "high"}), "score must be a number"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_annotation(saved: Save, case: str) -> None:
    bad, reason = BROKEN[case]
    path = saved(labelled([bad, note(id=9)]))
    with pytest.raises(FormatError, match=reason):
        list(formats.read(path))
    told: list[FormatError] = []
    _, found = formats.read(path, on_bad=told.append)[0]
    assert found.ids is not None
    assert found.ids.tolist() == [9]
    assert len(told) == 1
    assert told[0].path == path


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"id": "..", "image": {"path": "../.."}}, "is no file name"),
        ({"id": "b"}, None),
        ({"id": "a"}, "another item's already"),
        ({"id": 3}, "id .a string"),
        ({"image": {"path": "x.png", "size": [0, 5]}, "id": "x"}, "height must be an integer from 1"),
        ({"image": {"path": "x.png", "size": [2**40, 2**40]}, "id": "x"}, "height must be an integer"),
    ],
)
def test_a_bad_item(saved: Save, item: dict[str, Any], reason: str | None) -> None:
    document = labelled([note()])
    document["items"].append({"id": "b", "annotations": []} | item)
    path = saved(document)
    told: list[FormatError] = []
    labels = formats.read(path, on_bad=told.append)
    assert len(labels) == (2 if reason is None else 1)
    if reason is not None:
        assert reason.partition(" .")[0] in told[0].reason
        with pytest.raises(FormatError, match="items"):
            formats.read(path)


def test_broken_documents(saved: Save) -> None:
    for document, reason in (
        ({"categories": {}, "items": []}, "categories.label.labels"),
        ({"categories": {"label": {"labels": [{"name": "a"}, {"name": "a"}]}}, "items": []}, "another's"),
        ({"categories": {}, "items": {}}, "list of items"),
        ('{"categories": ' + "[" * 100_000, "too deep"),
    ):
        with pytest.raises(FormatError, match=reason):
            formats.read(saved(document), "datumaro")


def test_what_the_file_says_comes_back(saved: Save, tmp_path: Path) -> None:
    path = saved(labelled([note(group=3, z_order=1), note(id=2)], attr={"day": 3}))
    labels = formats.read(path)
    formats.write(labels, tmp_path / "out.json", "datumaro")
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["info"] == {"author": "hand"}
    assert document["categories"] == labelled([])["categories"]
    assert document["items"][0]["id"] == "a"
    assert document["items"][0]["attr"] == {"day": 3}
    assert [(n["group"], n["z_order"]) for n in document["items"][0]["annotations"]] == [(3, 1), (0, 0)]
    assert formats.read(tmp_path / "out.json")[0][1] == labels[0][1]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[0, 0, 1, 1]], (2, 2))
    with pytest.raises(LossyFormatError, match="JSON cannot hold"):
        formats.write([("a.png", Instances(masks, attributes={"x": [np.inf]}))], tmp_path / "o.json", "datumaro")
    with pytest.raises(FormatError, match="leaves the folder"):
        formats.write([("../a.png", Instances(masks))], tmp_path / "o.json", "datumaro")
    with pytest.raises(FormatError, match="comes twice"):
        formats.write([("a.png", Instances(masks))] * 2, tmp_path / "o.json", "datumaro")
    assert list(tmp_path.iterdir()) == []


def test_an_image_file_of_another_name_than_its_item(saved: Save, tmp_path: Path) -> None:
    """Datumaro 1.13 flattens the folders of an item for the image's file, and states it."""
    item = {"id": "sub/a", "image": {"path": "sub_a.png", "size": [8, 10]}, "annotations": []}
    path = saved(labelled([]) | {"items": [item]})
    (tmp_path / "images").mkdir()
    Pillow.new("L", (10, 8)).save(tmp_path / "images" / "sub_a.png")
    (ref,) = formats.read(path).refs
    assert (ref.name, ref.path) == ("sub/a.png", tmp_path / "images" / "sub_a.png")
