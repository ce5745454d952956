"""COCO: against pycocotools, by hand, and broken in every way."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from apiece import ImageRef, Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError, on_command_line
from apiece.formats.coco import is_results, read_results
from apiece.testing._labels import hard_instances, ref

Save = Callable[..., Path]


def pycoco(path: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_reads_every_kind_of_segmentation(document: dict[str, Any], saved: Save) -> None:
    labels = formats.read(saved(document))
    assert labels.classes == ("nut", "Schraube ß")
    assert [r.name for r in labels.refs] == ["a.png", "sub/b.png", "c.png"]
    assert [r.id for r in labels.refs] == [7, "ü-3", 9]
    assert labels.refs[0].size == (8, 10)
    assert labels.refs[0].attributes == {"license": 1, "modality": "dark"}
    assert labels.refs[1].attributes == {}
    _, first = labels[0]
    assert first.ids is not None
    assert first.ids.tolist() == [11, 12]
    assert first.labels.tolist() == [1, 0]
    assert first.scores is None
    dense = np.zeros((8, 10), bool)
    dense[1:4, 2:6] = True
    np.testing.assert_array_equal(first.masks.to_dense()[0], dense)
    assert first.masks.area.tolist() == [12, 16]
    # the file states another area for one of them, so its areas are kept; its boxes say what the masks say
    assert first.attributes["area"].tolist() == [12.5, 16.0]
    assert "bbox" not in first.attributes
    _, second = labels[1]
    assert second.crowd.tolist() == [True]
    assert second.masks.to_dense()[0].T.ravel().nonzero()[0].tolist() == [1, 2]
    assert len(labels[-1][1]) == 0
    assert labels[2][1].size == (4, 4)
    with pytest.raises(IndexError):
        labels[3]


def test_write_then_read_is_the_identity_and_pycocotools_agrees(
    document: dict[str, Any], saved: Save, tmp_path: Path
) -> None:
    path = saved(document)
    labels = formats.read(path)
    assert formats.write(labels, tmp_path / "out.json") == []
    again = formats.read(tmp_path / "out.json")
    assert list(again) == list(labels)
    assert again.metadata == labels.metadata
    assert [c["id"] for c in again.metadata["coco"]["categories"]] == [40, 3]
    theirs, ours = pycoco(path), pycoco(tmp_path / "out.json")
    assert set(theirs.anns) == set(ours.anns)
    for number, annotation in theirs.anns.items():
        np.testing.assert_array_equal(theirs.annToMask(annotation), ours.annToMask(ours.anns[number]))
        for key in ("area", "bbox", "category_id", "image_id"):
            assert annotation[key] == ours.anns[number][key]


def test_area_and_box_are_written_from_the_masks(tmp_path: Path) -> None:
    instances = hard_instances().replace(attributes={})
    formats.write([(ref(), instances)], tmp_path / "out.json")
    annotations = json.loads((tmp_path / "out.json").read_text())["annotations"]
    for annotation in annotations:
        assert annotation["area"] == coco_mask.area(annotation["segmentation"])
        assert annotation["bbox"] == coco_mask.toBbox(annotation["segmentation"]).tolist()


def test_ids_used_on_several_images_are_kept_beside_unique_ones(tmp_path: Path) -> None:
    instances = hard_instances()
    records = [(ref("a.png"), instances), (ref("b.png"), instances), (ref("c.png"), instances.replace(ids=None))]
    formats.write(records, tmp_path / "out.json")
    annotations = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert len({a["id"] for a in annotations}) == len(annotations) == 21
    again = [found for _, found in formats.read(tmp_path / "out.json")]
    assert again[0] == again[1] == instances


def test_attributes_that_only_some_have(document: dict[str, Any], saved: Save, tmp_path: Path) -> None:
    first, second, third = document["annotations"]
    first |= {"note": "x", "truncated": 1, "points": [1, 2], "tags": {"deep": [1, None]}}
    second |= {"note": "y", "truncated": 0, "points": [3, 4], "tags": {}}
    third |= {"note": "z", "truncated": 1, "points": [5, 6]}
    labels = formats.read(saved(document))
    found = labels[0][1].attributes
    assert found["note"].tolist() == ["x", "z"]
    assert found["note"].dtype.kind == "U"
    assert found["truncated"].dtype == np.int64
    assert found["points"].shape == (2, 2)
    assert found["tags"].tolist() == [{"deep": [1, None]}, None]
    formats.write(labels, tmp_path / "out.json")
    assert list(formats.read(tmp_path / "out.json")) == list(labels)


def test_polygons_and_rle_on_one_image_keep_their_order(saved: Save) -> None:
    rng = np.random.default_rng(0)
    masks = Masks.from_boxes(rng.uniform(0, 20, (6, 2)).repeat(2, 0).reshape(6, 4) + np.array([0, 0, 5, 5]), (32, 32))
    rles, plain = masks.to_coco(), masks.to_coco(compressed=False)
    polygon = [[3.2, 4.1, 20.7, 5.0, 9.9, 31.0], [1, 1, 4, 1, 4, 4]]
    kinds = [rles[0], polygon, plain[2], rles[3], [polygon[0]], plain[5]]
    rows = [{"id": i, "image_id": 1, "category_id": 1, "segmentation": s} for i, s in enumerate(kinds)]
    images = [{"id": 1, "file_name": "a.png", "height": 32, "width": 32}]
    path = saved({"images": images, "annotations": rows, "categories": [{"id": 1, "name": "thing"}]})
    _, found = formats.read(path)[0]
    theirs = pycoco(path)
    for i, mask in enumerate(found.masks.to_dense()):
        np.testing.assert_array_equal(mask, theirs.annToMask(theirs.anns[i]).astype(bool))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.floats(-20, 60, width=32), min_size=6, max_size=12), min_size=1, max_size=5))
def test_polygons_are_clipped_as_pycocotools_clips(saved: Save, polygons: list[list[float]]) -> None:
    polygons = [p[: len(p) // 2 * 2] for p in polygons]
    rows = [{"id": i, "image_id": 1, "category_id": 1, "segmentation": [p]} for i, p in enumerate(polygons)]
    images = [{"id": 1, "file_name": "a.png", "height": 30, "width": 40}]
    path = saved({"images": images, "annotations": rows, "categories": [{"id": 1, "name": "thing"}]})
    told: list[FormatError] = []
    _, found = formats.read(path, on_bad=told.append, clip_outlines=True)[0]
    areas = [int(coco_mask.area(coco_mask.frPyObjects([p], 30, 40))[0]) for p in polygons]
    named = [i for i in range(len(polygons)) if any(f"annotations[{i}]" in str(error) for error in told)]
    assert all("lies wholly outside" in str(error) for error in told)
    assert not any(areas[i] for i in named)
    assert found.masks.area.tolist() == [area for i, area in enumerate(areas) if i not in named]


def test_scores_make_a_prediction(document: dict[str, Any], saved: Save, tmp_path: Path) -> None:
    for i, annotation in enumerate(document["annotations"]):
        annotation["score"] = i / 3
    labels = formats.read(saved(document))
    assert labels[0][1].scores.tolist() == [0, 2 / 3]
    assert labels[2][1].scores.tolist() == []
    formats.write(labels, tmp_path / "out.json")
    assert list(formats.read(tmp_path / "out.json")) == list(labels)
    del document["annotations"][1]["score"]
    with pytest.raises(FormatError, match=r"annotations\[1\]\.score: is missing"):
        formats.read(saved(document))


def test_results_are_read_on_the_images_of_the_truth(document: dict[str, Any], saved: Save) -> None:
    truth = formats.read(saved(document))
    rle = Masks.from_boxes([[1, 1, 4, 3]], (8, 10)).to_coco()[0]
    rows = [
        {"image_id": 7, "category_id": 40, "segmentation": rle, "score": 0.5, "bbox": [1, 1, 3, 3]},
        {"image_id": 9, "category_id": 3, "segmentation": {"size": [4, 4], "counts": [0, 4, 12]}, "score": 0.25},
    ]
    path = saved(rows, "results.json")
    assert is_results(path)
    found = read_results(path, truth)
    assert found.refs == truth.refs
    assert found.classes == truth.classes
    assert found[0][1].scores.tolist() == [0.5]
    assert found[0][1].labels.tolist() == [0]
    # pycocotools takes a result's area from its box
    theirs = pycoco(truth.table.path).loadRes(copy.deepcopy(rows[:1]))  # type: ignore[attr-defined]
    assert found[0][1].attributes["area"].tolist() == [9.0] == [theirs.anns[1]["area"]]
    assert found[0][1].masks.area.tolist() == [6]
    assert len(found[1][1]) == 0
    with pytest.raises(FormatError, match=r"read_results"):
        formats.read(path)
    rows[0]["category_id"] = 4
    with pytest.raises(FormatError, match=r"\[0\]\.category_id: there is no category with id 4"):
        read_results(saved(rows, "results.json"), truth)
    nothing = saved([], "results.json")
    assert len(read_results(nothing, truth)[0][1].scores) == 0
    with pytest.raises(FormatError, match="is a bare list of results"):  # as a longer one, not an unknown format
        formats.read(nothing)


@pytest.mark.parametrize("where", ["", "images", "elsewhere"])
def test_images_are_found(document: dict[str, Any], saved: Save, tmp_path: Path, where: str) -> None:
    folder = tmp_path / where
    folder.mkdir(exist_ok=True)
    (folder / "a.png").touch()
    labels = formats.read(saved(document), images=folder if where == "elsewhere" else None)
    assert labels.refs[0].path == folder / "a.png"
    assert labels.refs[1].path == folder / "sub" / "b.png"


def test_an_opened_file_travels_to_workers(document: dict[str, Any], saved: Save) -> None:
    labels = formats.read(saved(document))
    assert labels.refs
    again = pickle.loads(pickle.dumps(labels))
    assert list(again) == list(labels)
    assert pickle.loads(pickle.dumps(labels[0])) == labels[0]


def test_many_images_of_several_sizes_stream_in_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    records = []
    for i in range(700):
        size = (16, 20) if i % 3 else (20 + i % 2, 16)
        boxes = rng.uniform(0, 12, (i % 5, 2)).repeat(2, 0).reshape(-1, 4) + np.array([0, 0, 4, 4])
        masks = Masks.from_boxes(boxes, size)
        records.append(
            (ImageRef(Path(f"{i}.png"), f"{i}.png", size, i + 1), Instances(masks, ids=1000 * i + np.arange(i % 5)))
        )
    formats.write(records, tmp_path / "out.json")
    labels = formats.read(tmp_path / "out.json")
    assert [(r.name, found) for r, found in labels] == [(r.name, found) for r, found in records]
    assert all(labels[i][1] == records[i][1] for i in (0, 1, 699))


def _set(*keys: Any, to: Any) -> Callable[[dict[str, Any]], Any]:
    def change(document: dict[str, Any]) -> Any:
        *path, last = keys
        place: Any = document
        for key in path:
            place = place[key]
        if to is None:
            del place[last]
        else:
            place[last] = to
        return document

    return change


A = "annotations"
# fmt: off
BROKEN = {
    "no images": (_set("images", to=None), "images missing at the top level"),
    "no categories": (_set("categories", to=None), "categories missing"),
    "images no list": (_set("images", to={}), "images: must be a list, got an object"),
    "annotation no object": (_set(A, 1, to=[]), r"annotations\[1\]: must be an object, got a list"),
    "image without id": (_set("images", 1, "id", to=None), r"images\[1\]\.id: is missing"),
    "duplicate image": (_set("images", 1, "id", to=7), r"images\[1\]\.id: 7 is used twice; images\[0\] has it too"),
    "unknown category": (_set(A, 0, "category_id", to=4),
        r"annotations\[0\]\.category_id: there is no category with id 4"),
    "missing image": (_set(A, 0, "image_id", to=8), r"annotations\[0\]\.image_id: there is no image with id 8"),
    "id a list": (_set(A, 0, "image_id", to=[7]), r"annotations\[0\]\.image_id: must be an integer or a string"),
    "id true": (_set(A, 0, "id", to=True), r"annotations\[0\]\.id: must be an integer, got true or false"),
    "id too large": (_set(A, 0, "id", to=2**64), r"annotations\[0\]\.id: \d+ does not fit 64 bits"),
    "crowd 2": (_set(A, 0, "iscrowd", to=2), r"annotations\[0\]\.iscrowd: must be 0 or 1, got 2"),
    "width 0": (_set("images", 0, "width", to=0), r"images\[0\]\.width: must lie in 1 to"),
    "width huge": (_set("images", 0, "width", to=10**12), r"images\[0\]\.width: must lie in 1 to"),
    "width text": (_set("images", 0, "width", to="ten"), r"images\[0\]\.width: must be an integer, got a string"),
    "leaves": (_set("images", 0, "file_name", to="../.."), r"images\[0\]\.file_name: '../..' is no file name"),
    "leaves, Windows": (_set("images", 0, "file_name", to="x\\..\\.."), r"is no file name"),
    "absolute": (_set("images", 0, "file_name", to="/"), r"is no file name"),
    "drive": (_set("images", 0, "file_name", to="C:\\"), r"is no file name"),
    "name empty": (_set("images", 0, "file_name", to=""), r"file_name: is empty"),
    "name nul": (_set("images", 0, "file_name", to="a\0.png"), r"is no file name"),
    "odd polygon": (_set(A, 0, "segmentation", to=[[1, 2, 3, 4, 5, 6, 7]]),
        r"annotations\[0\]\.segmentation: polygon 0 has an odd"),
    "two points": (_set(A, 0, "segmentation", to=[[0, 0, 9, 0, 9, 9], [1, 2, 3, 4]]), r"polygon 1 has 2 points"),
    "flat polygon": (_set(A, 0, "segmentation", to=[1, 2, 3, [4], 5, 6]), r"must be a list of lists"),
    "polygon text": (_set(A, 0, "segmentation", to=[[1, 2, 3, 4, 5, "six"]]),
        r"polygon 0 holds something that is no number"),
    "polygon null": (_set(A, 0, "segmentation", to=[[1, 2, 3, 4, 5, [6]]]),
        r"polygon 0 holds something that is no number"),
    "no mask": (_set(A, 0, "segmentation", to=[]), r"annotations\[0\]\.segmentation: there is no mask"),
    "mask absent": (_set(A, 0, "segmentation", to=None), r"annotations\[0\]\.segmentation: there is no mask"),
    "mask text": (_set(A, 0, "segmentation", to="x"), r"must be a list of polygons or an RLE object, got a string"),
    "RLE other size": (_set(A, 1, "segmentation", "size", to=[4, 5]),
        r"annotations\[1\].*RLE size \[4, 5\] differs .* height 4 and width 4"),
    "RLE no size": (_set(A, 1, "segmentation", "size", to=None), r"annotations\[1\].*needs a size"),
    "RLE size text": (_set(A, 1, "segmentation", "size", to=["4", 4]), r"annotations\[1\].*needs a size"),
    "RLE counts sum": (_set(A, 1, "segmentation", "counts", to=[1, 2, 14]),
        r"annotations\[1\]\.segmentation: RLE counts add up to 17"),
    "RLE counts negative": (_set(A, 1, "segmentation", "counts", to=[-1, 4, 13]),
        r"annotations\[1\]\.segmentation: .*negative"),
    "RLE counts huge": (_set(A, 1, "segmentation", "counts", to=[2**70]),
        r"annotations\[1\]\.segmentation: RLE counts must be"),
    "RLE counts float": (_set(A, 1, "segmentation", "counts", to=[1.5, 14.5]),
        r"annotations\[1\]\.segmentation: RLE counts must be"),
    "RLE text sum": (_set(A, 2, "segmentation", "counts", to="0`0P1"),
        r"annotations\[2\]\.segmentation: RLE counts add up to"),
    "RLE text cut": (_set(A, 2, "segmentation", "counts", to="0`0P"), r"annotations\[2\]\.segmentation: .*cut short"),
    "RLE text foreign": (_set(A, 2, "segmentation", "counts", to="0`0 2"),
        r"annotations\[2\]\.segmentation: .*character"),
    "RLE text unicode": (_set(A, 2, "segmentation", "counts", to="0`0ä"),
        r"annotations\[2\]\.segmentation: .*character"),
    "box of three": (_set(A, 0, "bbox", to=[1, 2, 3]), r"annotations\[0\]\.bbox: must be 4 finite numbers"),
    "box text": (_set(A, 0, "bbox", to=[1, 2, 3, "four"]), r"annotations\[0\]\.bbox: must be 4 finite numbers"),
    "area text": (_set(A, 0, "area", to="twelve"), r"annotations\[0\]\.area: must be a finite number"),
    "score text": (_set(A, 0, "score", to="one"), r"annotations\[\d\]\.score"),
}
# fmt: on


@pytest.mark.parametrize("name", BROKEN)
def test_broken_documents_are_named_by_key(document: dict[str, Any], saved: Save, name: str) -> None:
    change, message = BROKEN[name]
    path = saved(change(copy.deepcopy(document)))
    with pytest.raises(FormatError, match=message) as caught:
        list(formats.read(path, "coco"))
    assert caught.value.path == path


TEXTS = {
    "empty": ("", "is empty"),
    "cut": ('{"images": [', "line 1, column .*cut short"),
    "cut in a string": ('{"images": [{"file_na', "line 1"),
    "other": ("hello", "line 1, column 1"),
    "number": ("12", "must be an object"),
    "NaN": ('{"images": [], "annotations": [], "categories": [NaN]}', "json: categories: holds NaN"),
    "Infinity": (
        '{"images": [{"id": -Infinity}], "annotations": [], "categories": []}',
        r"images\[0\]: holds NaN or I",
    ),
    "deep": ("[" * 100_000, "nested too deep"),
    "long number": ('{"images": ' + "9" * 5000 + "}", "number that cannot be read"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_broken_text(saved: Save, name: str) -> None:
    text, message = TEXTS[name]
    with pytest.raises(FormatError, match=message):
        formats.read(saved(text), "coco")


def test_infinite_numbers(document: dict[str, Any], saved: Save) -> None:
    text = json.dumps(document)
    for given_, key in (("12.5", "area"), ('"bbox": [2', "bbox"), ("6.0, 1.0", "segmentation")):
        swapped = given_.replace("12.5", "1e999").replace("[2", "[1e999").replace("6.0", "1e999")
        with pytest.raises(FormatError, match=rf"annotations\[0\]\.{key}"):
            list(formats.read(saved(text.replace(given_, swapped))))


def test_not_utf8(tmp_path: Path, document: dict[str, Any]) -> None:
    path = tmp_path / "labels.json"
    path.write_bytes(json.dumps(document, ensure_ascii=False).encode("latin-1"))
    with pytest.raises(FormatError, match="is not UTF-8"):
        formats.read(path)
    path.write_bytes(json.dumps(document, ensure_ascii=False).encode("utf-8-sig"))
    assert len(formats.read(path)) == 3


def test_the_error_comes_at_the_image_it_is_about(document: dict[str, Any], saved: Save) -> None:
    document["annotations"][1]["segmentation"]["counts"] = [1, 2, 14]
    labels = iter(formats.read(saved(document)))
    assert next(labels)[0].name == "a.png"
    with pytest.raises(FormatError, match=r"annotations\[1\]"):
        next(labels)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"x": np.array([np.nan])}, "attribute 'x': JSON cannot hold nan"),
        ({"x": np.array([object()], object)}, "JSON cannot hold"),
        ({"image_id": np.array([1])}, "is a key of COCO's own"),
    ],
)
def test_attributes_that_json_cannot_hold(tmp_path: Path, attributes: dict[str, Any], message: str) -> None:
    instances = Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4)), attributes=attributes)
    with pytest.raises(LossyFormatError, match=message):
        formats.write([(ref(), instances)], tmp_path / "out.json")
    assert list(tmp_path.iterdir()) == []


def test_images_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    nothing = Instances.empty((4, 4))
    with pytest.raises(FormatError, match="is another image's already"):
        formats.write([(ref("a.png", 1), nothing), (ref("b.png", 1), nothing)], tmp_path / "out.json")
    with pytest.raises(FormatError, match="leaves the folder"):
        formats.write([(ref("../a.png"), nothing)], tmp_path / "out.json")
    with pytest.raises(FormatError, match="its instances are on"):
        formats.write([(ImageRef(Path("a"), "a", (5, 4)), nothing)], tmp_path / "out.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["nuclei/val", "facades/val"])
def test_real_files_equal_pycocotools(shared_data: Path, name: str, tmp_path: Path) -> None:
    check_real(shared_data / f"{name}.json", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nuclei/train", "facades/train"])
def test_large_real_files_equal_pycocotools(shared_data: Path, name: str, tmp_path: Path) -> None:
    check_real(shared_data / f"{name}.json", tmp_path)


def text(counts: str | bytes) -> str:
    return counts if isinstance(counts, str) else counts.decode()


def check_real(path: Path, tmp_path: Path) -> None:
    labels, theirs = formats.read(path), pycoco(path)
    records = list(labels)
    assert all(r.path.is_file() for r, _ in records)
    count = 0
    for _, found in records:
        assert found.ids is not None
        rles = [theirs.annToRLE(theirs.anns[i]) for i in found.ids.tolist()]
        assert [text(r["counts"]) for r in rles] == [r["counts"] for r in found.masks.to_coco()]
        count += len(found)
    assert count == len(theirs.anns)
    formats.write(labels, tmp_path / "out.json")
    again = formats.read(tmp_path / "out.json", images=labels.refs[0].path.parent)
    assert list(again) == records
    assert again.metadata == labels.metadata


BAD_ENTRIES = [k for k in BROKEN if k.split()[0] not in ("no", "images", "duplicate") or k.startswith("no mask")] + [
    "annotation no object",
]
OF_AN_IMAGE = ("image without id", "width", "leaves", "absolute", "drive", "name ")


@pytest.mark.parametrize("name", [n for n in BAD_ENTRIES if not n.startswith(OF_AN_IMAGE)])
def test_a_bad_annotation_is_left_out_and_reported_once(document: dict[str, Any], saved: Save, name: str) -> None:
    change, message = BROKEN[name]
    if name == "score text":
        for annotation in document[A]:
            annotation["score"] = 0.5
    whole = [i for _, i in formats.read(saved(copy.deepcopy(document)))]
    told: list[FormatError] = []
    labels = formats.read(saved(change(copy.deepcopy(document))), "coco", on_bad=told.append)
    found = [i for _, i in labels]
    assert found == [i for _, i in labels]
    assert len(told) == 1
    assert told[0].path == labels.table.path  # type: ignore[attr-defined]
    assert re.search(message, str(told[0]))
    bad = next(r for r in (re.search(r"annotations\[(\d)\]", str(told[0])),) if r)
    lost = document[A][int(bad[1])]["id"]
    for before, after in zip(whole, found, strict=True):
        assert before.ids is not None
        assert after.masks == before[before.ids != lost].masks
        assert after.ids is not None
        assert after.ids.tolist() == [i for i in before.ids.tolist() if i != lost]


@pytest.mark.parametrize("name", [n for n in BROKEN if n.startswith(OF_AN_IMAGE)] + ["duplicate image"])
def test_a_bad_image_is_left_out_with_its_annotations(document: dict[str, Any], saved: Save, name: str) -> None:
    change, message = BROKEN[name]
    told: list[FormatError] = []
    labels = formats.read(saved(change(copy.deepcopy(document))), "coco", on_bad=told.append)
    assert len(labels) == 2
    assert re.search(message, str(told[0]))
    names = [r.name for r, _ in labels]
    assert names == (["a.png", "c.png"] if name in ("image without id", "duplicate image") else ["sub/b.png", "c.png"])
    # an image without its id cannot say which annotations go with it
    assert len(told) == (2 if name in ("image without id", "duplicate image") else 1)


def test_boxes_among_masks_can_be_left_out(document: dict[str, Any], saved: Save) -> None:
    document[A][0]["segmentation"] = []
    with pytest.raises(FormatError) as caught:
        formats.read(saved(document))
    assert on_command_line(caught.value).endswith("give them masks, or leave them out with apiece convert --skip-bad")
    told: list[FormatError] = []
    formats.read(saved(document), on_bad=told.append)
    assert [e.reason.rpartition("; ")[2] for e in told] == ["remove such annotations or give them masks"]


def test_not_a_number_is_looked_for_in_the_entries(document: dict[str, Any], saved: Save) -> None:
    document[A][0]["area"] = float("nan")
    document[A][1]["tags"] = {"deep": [1.0, float("-inf")]}
    document["images"][2]["extra"] = [float("nan")]
    with pytest.raises(FormatError, match=r"images\[2\]: holds NaN"):
        formats.read(saved(document))
    told: list[FormatError] = []
    labels = formats.read(saved(document), on_bad=told.append)
    assert [len(i) for _, i in labels] == [1, 0]
    assert [e.reason.split(":")[0] for e in told] == ["images[2]", "annotations[0].area", "annotations[1]"]
    document["info"] = {"x": float("nan")}
    with pytest.raises(FormatError, match="info: holds NaN"):
        formats.read(saved(document), on_bad=told.append)


def test_boxes_among_masks_and_faults_of_every_kind(tmp_path: Path) -> None:
    masks = Masks.from_boxes(np.tile([1.0, 1, 4, 3], (3000, 1)), (8, 10))
    rows = [{"id": i, "image_id": i % 300, "category_id": 1, "segmentation": r} for i, r in enumerate(masks.to_coco())]
    for i in range(0, 3000, 3):
        rows[i]["segmentation"] = []  # a box only
    rows[1]["segmentation"] = {"size": [8, 10], "counts": "0`0P1"}
    rows[4]["category_id"] = 9
    rows[7]["id"] = "x"
    rows[301]["segmentation"] = {"size": [8, 10], "counts": [1, 2]}
    images = [{"id": i, "file_name": f"{i}.png", "height": 8, "width": 10} for i in range(300)]
    document = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "thing"}]}
    (tmp_path / "a.json").write_text(json.dumps(document))
    told: list[FormatError] = []
    labels = formats.read(tmp_path / "a.json", on_bad=told.append)
    opened = len(told)
    assert opened == 1002
    first, again = list(labels), list(labels)
    assert first == again
    assert len(told) == opened + 2
    assert {re.match(r"annotations\[(\d+)\]", e.reason)[1] for e in told[-2:]} == {"1", "301"}  # type: ignore[index]
    assert sum(len(i) for _, i in first) == 3000 - 1004
    formats.write(labels, tmp_path / "out.json")
    assert [i.masks for _, i in formats.read(tmp_path / "out.json")] == [i.masks for _, i in first]


def test_bad_results_are_left_out(document: dict[str, Any], saved: Save) -> None:
    truth = formats.read(saved(document))
    rle = Masks.from_boxes([[1, 1, 4, 3]], (8, 10)).to_coco()[0]
    row = {"image_id": 7, "category_id": 40, "segmentation": rle, "score": 0.5}
    rows = [row, row | {"score": float("nan")}, row | {"image_id": 8}, {k: v for k, v in row.items() if k != "score"}]
    told: list[FormatError] = []
    found = read_results(saved(rows, "results.json"), truth, on_bad=told.append)
    assert [len(i) for _, i in found] == [1, 0, 0]
    assert [e.reason.split(":")[0] for e in told] == ["[2].image_id", "[3].score", "[1].score"]


@pytest.mark.parametrize(
    "text", ['{"images": {"a.png": [1]}}', '{"annotations": "x", "images": 3}', '[{"image": 1}]', "[[]]", "[1]"]
)
def test_keys_alone_make_no_coco_file(saved: Save, text: str) -> None:
    assert formats.load("coco").detect(saved(text)) is False


def test_numbers_and_outlines_are_read_as_other_tools_spell_them(document: dict[str, Any], saved: Save) -> None:
    wanted = list(formats.read(saved(document)))
    square, *rest = document[A]
    square["segmentation"] = [[[2, 1], [6, 1], [6, 4], [2, 4]]]
    square |= {"id": 11.0, "image_id": 7.0, "category_id": "3", "iscrowd": 0.0}
    rest[1] |= {"id": "12", "image_id": "7", "category_id": 40.0}
    document["images"][0] |= {"height": 8.0, "width": 10.0}
    document["categories"][1]["id"] = "3"
    labels = formats.read(saved(document))
    assert list(labels) == wanted
    assert [c["id"] for c in labels.metadata["coco"]["categories"]] == [40, 3]
    square["segmentation"] = [2, 1, 6, 1, 6, 4, 2, 4]
    assert list(formats.read(saved(document))) == wanted
    document["images"][1]["id"] = "7"  # now a text and a number are two images
    rest[0]["image_id"], rest[1]["image_id"] = "7", 7
    assert [len(found) for _, found in formats.read(saved(document))] == [2, 1, 0]


def test_digits_are_names_of_classes_and_no_word_on_crowd_is_no_crowd(document: dict[str, Any], saved: Save) -> None:
    plain = formats.read(saved(document))
    names = document["categories"]
    names[0]["name"], names[1]["name"] = 7, 0
    document[A][0]["iscrowd"] = None
    labels = formats.read(saved(document))
    assert labels.classes == ("7", "0") != plain.classes
    assert [found.crowd.tolist() for _, found in labels] == [found.crowd.tolist() for _, found in plain]
    names[1]["name"] = "7"
    with pytest.raises(FormatError, match=r"categories\[1\]\.name: '7' is used twice"):
        formats.read(saved(document))


def test_boxes_are_written_as_whole_numbers(tmp_path: Path) -> None:
    formats.write([(ref(), Instances(Masks.from_boxes([[1, 2, 4, 4]], (8, 8))))], tmp_path / "out.json")
    assert '"bbox": [1, 2, 3, 2]' in (tmp_path / "out.json").read_text()


def test_two_categories_of_one_name(document: dict[str, Any], saved: Save, tmp_path: Path) -> None:
    """Roboflow lists the group of a class, id 0, and the class itself; ids that no annotation uses give way."""
    group = {"id": 0, "name": "nut", "supercategory": "none"}
    document["categories"] = [group, *document["categories"], {"id": 9, "name": "bolt"}, {"id": 10, "name": "bolt"}]
    labels = formats.read(saved(document))
    assert labels.classes == ("nut", "Schraube ß", "bolt")
    assert labels[0][1].names == ["Schraube ß", "nut"]
    formats.write(labels, tmp_path / "out.json")
    again = formats.read(tmp_path / "out.json")
    assert (again.classes, [i for _, i in again]) == (labels.classes, [i for _, i in labels])
    assert [c["id"] for c in again.metadata["coco"]["categories"]] == [40, 3, 10]


def test_two_used_categories_of_one_name_stay_apart(
    document: dict[str, Any], saved: Save, caplog: pytest.LogCaptureFixture
) -> None:
    document["categories"] = [{"id": 0, "name": "nut", "supercategory": "none"}, *document["categories"]]
    document["annotations"][0]["category_id"] = 0
    labels = formats.read(saved(document))
    assert labels.classes == ("nut (id 0)", "nut", "Schraube ß")
    assert labels[0][1].names == ["nut (id 0)", "nut"]
    assert "several categories are named 'nut'; one is 'nut (id 0)' here" in caplog.text


def test_annotations_with_the_id_of_an_earlier_one_are_numbered_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two files joined by hand, or datumaro's ids, which it counts in every image."""
    square = [[1, 1, 4, 1, 4, 4, 1, 4]]
    notes = [{"id": i, "image_id": n, "category_id": 1, "segmentation": square} for n in (1, 2) for i in (7, 3)]
    notes.append({"id": 9, "image_id": 3, "category_id": 1, "segmentation": square})  # of no image
    images = [{"id": n, "file_name": f"{n}.png", "height": 8, "width": 8} for n in (1, 2)]
    path = tmp_path / "joined.json"
    path.write_text(json.dumps({"images": images, "annotations": notes, "categories": [{"id": 1, "name": "nut"}]}))
    labels = formats.read(path, on_bad=[].append)
    assert [own.ids.tolist() for _, own in labels] == [[7, 3], [8, 9]]
    assert labels.repeated_ids == 2  # type: ignore[attr-defined]
    assert "annotations with the id of an earlier one, which are numbered from 8: 2" in caplog.text


def test_annotations_by_id_as_livecell_lists_them(tmp_path: Path) -> None:
    square = [[1, 1, 4, 1, 4, 4, 1, 4]]
    notes = {str(i): {"id": i, "image_id": 1, "category_id": 1, "segmentation": square} for i in (7, 3)}
    images = [{"id": 1, "file_name": "a.png", "height": 8, "width": 8}]
    path = tmp_path / "livecell.json"
    path.write_text(json.dumps({"images": images, "annotations": notes, "categories": [{"id": 1, "name": "cell"}]}))
    assert formats.detect(path) == "coco"
    ((_, found),) = formats.read(path)
    assert found.ids.tolist() == [7, 3]


def test_boxes_alone_are_named(tmp_path: Path) -> None:
    note = {"image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 3], "area": 9, "iscrowd": 0}
    document = {
        "images": [{"id": 1, "file_name": "a.png", "height": 9, "width": 9}],
        "categories": [{"id": 1, "name": "nut"}],
        "annotations": [{"id": k, **note} for k in (1, 2)],
    }
    (tmp_path / "boxes.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match="none of the 2 annotations has a mask, only boxes at most"):
        formats.read(tmp_path / "boxes.json")
