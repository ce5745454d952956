"""Label Studio JSON, in the layout that Label Studio 1.x exports as "JSON"."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from apiece import Instances, Masks, formats
from apiece.datasets import open_sources, summarise
from apiece.errors import ConfigError, FormatError, LossyFormatError, UnknownNameError
from apiece.formats._kit.checks import BadEntryError
from apiece.formats.contract import OpenedLabels
from apiece.formats.label_studio import read_predictions
from apiece.formats.label_studio._brush import decode_brush, encode_brush

Save = Callable[..., Path]
# an image of 10 x 5 pixels: 10 % is one column, 20 % one row
SQUARE = [[10, 20], [40, 20], [40, 60], [10, 60]]


def region(kind: str = "polygonlabels", key: str | None = "aB3x", label: str = "nut", **more: Any) -> dict[str, Any]:
    value: dict[str, Any] = {
        "polygonlabels": {"points": SQUARE, "closed": True},
        "rectanglelabels": {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0},
        "ellipselabels": {"x": 50, "y": 50, "radiusX": 20, "radiusY": 40, "rotation": 0},
        "brushlabels": {"format": "rle", "rle": more.pop("rle", [])},
    }.get(kind, {})
    head = {"original_width": 10, "original_height": 5, "image_rotation": 0, "from_name": "label", "to_name": "image"}
    value = value | more.pop("value", {}) | {kind: [label]}
    return head | {"id": key, "type": kind, "origin": "manual", "value": value} | more


def task(*results: dict[str, Any], image: str = "/data/upload/1/5f-a.png", **more: Any) -> dict[str, Any]:
    annotation = {"id": 7, "completed_by": 2, "result": list(results), "was_cancelled": False, "ground_truth": False}
    return {
        "id": 3,
        "annotations": [annotation],
        "file_upload": "5f-a.png",
        "drafts": [],
        "predictions": [],
        "data": {"image": image},
        "meta": {},
        "project": 1,
    } | more


def square() -> np.ndarray:
    a = np.zeros((5, 10), bool)
    a[1:3, 1:4] = True
    return a


def drawn(codes: Any, size: tuple[int, int]) -> Masks:
    return Masks.from_coco([decode_brush(codes, size)], size[::-1]).transpose()


def bits(*words: tuple[int, int]) -> list[int]:
    """Numbers of so many bits each, packed."""
    text = "".join(f"{value:0{size}b}" for value, size in words)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


HEAD = [(7, 5), (2, 4), (3, 4), (7, 4), (15, 4)]  # words of 8 bits, lengths of 3, 4, 8, 16


def test_brush_bits() -> None:
    # 3 x 1 pixels, the middle one painted: 4 zeros, 4 times 255, 4 zeros
    runs = [(1, 1), (0, 2), (3, 3), (0, 8), (1, 1), (1, 2), (3, 4), (255, 8), (1, 1), (0, 2), (3, 3), (0, 8)]
    assert drawn(bits((12, 32), *HEAD, *runs), (1, 3)).to_dense().tolist() == [[[False, True, False]]]
    # the same as single values; colours differ from alpha
    single = [(0, 1), (2, 2), (11, 8), *((v, 8) for v in (9, 9, 9, 0, 1, 2, 3, 77, 0, 5, 0, 0))]
    assert drawn(bits((12, 32), *HEAD, *single), (1, 3)).to_dense().tolist() == [[[False, True, False]]]
    # blocks that end inside a pixel
    cut = [(1, 1), (0, 2), (1, 3), (0, 8), (0, 1), (0, 2), (1, 3), (0, 8), (200, 8), (1, 1), (1, 2), (7, 4), (0, 8)]
    assert drawn(bits((12, 32), *HEAD, *cut), (1, 3)).to_dense().tolist() == [[[True, False, False]]]
    # as Label Studio's own encoder writes it
    (codes,) = encode_brush(Masks.from_dense([[[0, 1, 0]]]))
    short = [(1, 1), (0, 2), (3, 3)]
    assert codes == bits((12, 32), *HEAD, *short, (0, 8), *short, (255, 8), *short, (0, 8))


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (None, "list of bytes"),
        ([1, 2, 300], "list of bytes"),
        ([0, 0, 0], "cut short"),
        (bits((16, 32), *HEAD, (0, 40)), "rle is of 4 pixels"),
        (bits((2**32 - 1, 32), *HEAD, (0, 40)), "rle is of"),
        (bits((12, 32), *HEAD, (1, 1), (0, 2), (3, 3), (0, 8)), "cut short"),
        (bits((12, 32), *HEAD, (0, 1), (2, 2), (11, 8)), "cut short"),
        (bits((12, 32), *HEAD, (1, 1), (2, 2), (200, 8), (0, 8)), "more values than it says"),
    ],
)
def test_broken_brush(codes: Any, reason: str) -> None:
    with pytest.raises(BadEntryError, match=reason):
        decode_brush(codes, (1, 3))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.floats(0, 1))
def test_any_brush_comes_back(seed: int, height: int, width: int, share: float) -> None:
    masks = Masks.from_dense(np.random.default_rng(seed).random((2, height, width)) < share)
    again = [drawn(codes, masks.size) for codes in encode_brush(masks)]
    assert Masks.concatenate(again) == masks


def test_a_large_brush_comes_back() -> None:
    masks = Masks.from_boxes([[100, 50, 1500, 1100], [0, 0, 1600, 1200]], (1200, 1600))
    assert Masks.concatenate([drawn(codes, masks.size) for codes in encode_brush(masks)]) == masks


def test_every_kind_of_shape(saved: Save) -> None:
    (brush,) = encode_brush(Masks.from_dense(square()[None]))
    path = saved(
        [
            task(
                region(key="12"),
                region("rectanglelabels", key="x", label="Schraube ß"),
                region("ellipselabels", key="y"),
                region("brushlabels", key="z", rle=brush),
                region("keypointlabels", key="k", value={"x": 1, "y": 1, "width": 1}),
                {"from_id": "x", "to_id": "y", "type": "relation", "direction": "right"},
                {"id": "q", "type": "choices", "from_name": "weather", "value": {"choices": ["sunny"]}},
            )
        ]
    )
    assert formats.detect(path) == "label_studio"
    labels = formats.read(path)
    assert labels.classes == ("nut", "Schraube ß")
    assert labels.shape_counts() == {"keypoint": 1, "relation": 1, "choices": 1}
    ref, found = labels[0]
    assert (ref.name, ref.size, ref.id) == ("5f-a.png", (5, 10), 3)
    dense = found.masks.to_dense()
    for k in (0, 1, 3):
        assert (dense[k] == square()).all()
    assert dense[2].astype(int).tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]
    assert found.labels.tolist() == [0, 1, 0, 0]
    assert found.ids is not None
    assert found.ids[0] == 12
    assert found.attributes["region"].tolist() == [None, "x", "y", "z"]
    assert found.attributes["annotator"].tolist() == [2, 2, 2, 2]


def test_turned_shapes(saved: Save) -> None:
    # a quarter turn clockwise about the upper left corner, on an image of 10 x 10
    turned = {"x": 50, "y": 20, "width": 30, "height": 20, "rotation": 90}
    long = {"x": 50, "y": 50, "radiusX": 40, "radiusY": 10, "rotation": 90}
    square_image = {"original_height": 10}
    results = [region("rectanglelabels", value=turned, **square_image)]
    results.append(region("ellipselabels", key="b", value=long, **square_image))
    _, found = formats.read(saved([task(*results)]))[0]
    assert found.boxes.tolist() == [[3, 2, 5, 5], [4, 2, 6, 8]]
    assert found.masks.area.tolist() == [6, 12]


def test_labels_and_answers_of_a_region(saved: Save) -> None:
    shape = region()
    shape |= {"type": "polygon", "value": {"points": SQUARE}}
    named = region("labels", value={"points": SQUARE, "labels": ["bolt", "rusty"]})
    named["value"]["labels"] = ["bolt", "rusty"]
    answer = {"id": "aB3x", "type": "choices", "from_name": "state", "value": {"choices": ["worn"]}}
    _, found = formats.read(saved([task(shape, named, answer)]))[0]
    assert found.names == ["bolt"]
    assert found.attributes["labels"].tolist() == [["bolt", "rusty"]]
    assert found.attributes["state"].tolist() == ["worn"]


def test_several_annotators_and_skipped_ones(saved: Save, tmp_path: Path) -> None:
    one = task(region())
    one["annotations"].append({"completed_by": {"id": 5, "email": "e@x"}, "result": [region("rectanglelabels")]})
    one["annotations"].append({"completed_by": 9, "was_cancelled": True, "result": [region()]})
    one["predictions"] = [{"model_version": "m1", "score": 0.5, "result": [region()]}]
    labels = formats.read(saved([one]))
    _, found = labels[0]
    assert found.attributes["annotator"].tolist() == [2, 5]
    assert found.scores is None
    assert labels.shape_counts() == {"prediction": 1, "cancelled": 1}
    formats.write(labels, tmp_path / "again.json", "label_studio")
    assert [s["completed_by"] for s in json.loads((tmp_path / "again.json").read_text())[0]["annotations"]] == [2, 5, 9]
    assert formats.read(tmp_path / "again.json")[0][1] == found


def test_predictions_have_scores(saved: Save) -> None:
    one = task(predictions=[{"model_version": "m1", "score": 0.5, "result": [region(), region(key="b", score=0.75)]}])
    _, found = formats.read(saved([one]))[0]
    assert found.scores is not None
    assert found.scores.tolist() == [0.5, 0.75]
    assert found.attributes["model_version"].tolist() == ["m1", "m1"]


def test_predictions_beside_annotations(saved: Save, caplog: pytest.LogCaptureFixture) -> None:
    predicted = [{"model_version": "m", "score": 0.5, "result": [region(label="bolt", score=0.75)]}]
    path = saved([task(region(), predictions=predicted)])
    assert formats.read(path).classes == ("nut",)
    found = read_predictions(path, None)
    assert (found.classes, found[0][1].scores.tolist()) == (("bolt",), [0.75])  # type: ignore[union-attr]
    assert found.shape_counts() == {"annotation": 1}
    assert read_predictions(saved([task(region())]), None).classes == ("nut",)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("/data/local-files/?d=a%20b/%C3%BC.png", "a b/ü.png"),
        ("https://example.com/x/%C3%BC%201.png?token=3", "ü 1.png"),
        ("s3://bucket/deep/a.png", "a.png"),
        ("sub/a.png", "sub/a.png"),
    ],
)
def test_names_of_images(saved: Save, image: str, name: str) -> None:
    assert formats.read(saved([task(image=image)])).refs[0].name == name


def test_images_of_one_name(saved: Save) -> None:
    path = saved([task(image=f"https://x.org/{k}/a.png") for k in (1, 2, 2)])
    with pytest.raises(FormatError, match=r"is that of task \[1\] already"):
        formats.read(path)
    told: list[FormatError] = []
    labels = formats.read(path, on_bad=told.append)
    assert [r.name for r in labels.refs] == ["1/a.png", "2/a.png"]
    assert len(told) == 1


def test_the_size_of_an_unlabelled_image(saved: Save, tmp_path: Path) -> None:
    path = saved([task()])
    with pytest.raises(FormatError, match="size is not stated"):
        formats.read(path)[0]
    (tmp_path / "images").mkdir()
    Pillow.new("L", (8, 6)).save(tmp_path / "images" / "5f-a.png")
    assert formats.read(path)[0][1].size == (6, 8)


BROKEN = {
    "two points": (region(value={"points": SQUARE[:2]}), "has 2 points"),
    "outside": (region(value={"points": [[0, 0], [500, 0], [0, 90]]}), "outside the image of 10 x 5"),
    "text": (region(value={"points": [["x", 0], [5, 0], [0, 9]]}), "pairs of numbers"),
    "not closed": (region(value={"closed": False}), "not closed"),
    "other size": (region(original_width=99), "others on"),
    "turned": (region(image_rotation=90), "turned by 90"),
    "no label": (region() | {"value": {"points": SQUARE}}, "has no label"),
    "no value": (region() | {"value": None}, "must be an object, got null"),
    "unknown": (region("bloblabels"), "type 'bloblabels' is not known"),
    "box": (region("rectanglelabels", value={"width": None}), "width must be a number"),
    "brush": (region("brushlabels", rle=[1, 2]), "cut short"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_bad_region(saved: Save, case: str) -> None:
    bad, reason = BROKEN[case]
    path = saved([task(region(key="9"), bad)])
    with pytest.raises(FormatError, match=rf"\[0\]\.annotations\[0\]\.result\[1\]: .*{reason}"):
        list(formats.read(path))
    told: list[FormatError] = []
    _, found = formats.read(path, on_bad=told.append)[0]
    assert found.ids is not None
    assert found.ids.tolist() == [9]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (3, "an object with an object of data"),
        (task(image="../.."), "is no file name"),
        (task() | {"data": {"text": "hello"}}, "names no image"),
        (task() | {"annotations": [3]}, "list of objects with a result"),
        (task(region(original_width=2**40)), "width must be an integer"),
    ],
)
def test_a_bad_task(saved: Save, bad: Any, reason: str) -> None:
    path = saved([task(region(), image="b.png"), bad])
    with pytest.raises(FormatError, match=rf"\[1\].*{reason}"):
        formats.read(path, "label_studio")
    told: list[FormatError] = []
    assert len(formats.read(path, on_bad=told.append)) == 1
    assert len(told) == 1


def test_what_cannot_be_written(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[0, 0, 1, 1]], (2, 2))
    out = tmp_path / "o.json"
    with pytest.raises(LossyFormatError, match="write two files"):
        formats.write([("a.png", Instances(masks)), ("b.png", Instances(masks, scores=[1]))], out, "label_studio")
    with pytest.raises(LossyFormatError, match=r"fewer than 2\*\*30 pixels"):
        formats.write([("a.png", Instances(Masks.empty((1 << 15, 1 << 15))))], out, "label_studio")
    with pytest.raises(LossyFormatError, match="JSON cannot hold"):
        formats.write([("a.png", Instances(masks, attributes={"x": [np.nan]}))], out, "label_studio")
    assert list(tmp_path.iterdir()) == []


def two_people() -> list[dict[str, object]]:
    """Three images: both drew on the first, each alone on another, where the second found nothing."""
    anna, ben = {"id": 2, "email": "anna@x", "username": "anna"}, 5
    both = task(region())
    both["annotations"] = [
        {"completed_by": anna, "result": [region()]},
        {"completed_by": ben, "result": [region(key="b"), region(key="c")]},
    ]
    first, second = task(), task()
    first["annotations"] = [{"completed_by": anna, "result": [region(key="d")]}]
    second["annotations"] = [{"completed_by": ben, "result": []}]
    found = []
    for k, one in enumerate((both, first, second)):
        size = {"image": f"{k}.png", "width": 10, "height": 5}
        found.append(one | {"id": k, "data": size})
    return found


def test_one_of_two_annotators(saved: Save, caplog: pytest.LogCaptureFixture) -> None:
    path = saved(two_people())
    labels = formats.read(path)
    assert isinstance(labels, OpenedLabels)
    assert labels.annotators == {"anna@x": [0, 1], "5": [0, 2]}
    assert [len(found) for _, found in labels] == [3, 1, 0]
    for name in ("anna@x", "anna", "2"):
        assert [(ref.name, len(found)) for ref, found in labels.by_annotator(name)] == [("0.png", 1), ("1.png", 1)]
    assert [(ref.name, len(found)) for ref, found in labels.by_annotator("5")] == [("0.png", 2), ("2.png", 0)]
    with pytest.raises(UnknownNameError, match=r"no annotator named 'anne'\. Did you mean 'anna@x'"):
        labels.by_annotator("anne")
    assert not caplog.records
    open_sources(path)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "1 of 3 images have labels of several annotators (anna@x: 2 images, 5: 2 images), and all of them" in line
    caplog.clear()
    assert len(open_sources(path, annotator="5")[""].labels) == 2
    agreed = open_sources(path, annotator="agreement")[""].labels
    assert [(ref.name, len(found)) for ref, found in agreed] == [("0.png", 1), ("1.png", 1), ("2.png", 0)]
    assert not caplog.records
    summary = summarise(labels)
    assert (summary.annotators, summary.several_annotators) == ({"anna@x": 2, "5": 2}, 1)


def test_labels_that_do_not_say_who_drew_them(tmp_path: Path) -> None:
    formats.write([("a.png", Instances(Masks.from_boxes([[0, 0, 2, 2]], (4, 4))))], tmp_path / "a.json", "coco")
    with pytest.raises(ConfigError, match="do not say who drew them; leave out annotator='anna'"):
        open_sources(tmp_path / "a.json", annotator="anna")
