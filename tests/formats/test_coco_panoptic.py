"""COCO panoptic: files laid out as panoptic_val2017.json and its folder are, which panopticapi reads."""

from __future__ import annotations

import copy
import json
import pickle
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from apiece import ImageRef, Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError
from apiece.testing._labels import hard_instances, plain_instances, ref

PERSON, SKY = 3226956, 6922  # ids as COCO has them: far beyond one channel
IDS = np.array([[0, PERSON, PERSON, SKY], [0, 9, PERSON, SKY], [SKY, 9, SKY, SKY]])


def paint(path: Path, ids: np.ndarray, mode: str = "RGB") -> None:
    """As panopticapi's id2rgb does it: red first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 256**2], -1).astype(np.uint8)
    Pillow.fromarray(colours).convert(mode).save(path)


@pytest.fixture
def panoptic() -> dict[str, Any]:
    return {
        "info": {"description": "COCO 2018 Panoptic Dataset", "year": 2018},
        "licenses": [{"id": 1, "name": "CC"}],
        "images": [
            {"license": 1, "file_name": "000000000139.jpg", "height": 3, "width": 4, "id": 139},
            {"license": 1, "file_name": "000000000285.jpg", "height": 2, "width": 2, "id": 285},
        ],
        "annotations": [
            {
                "segments_info": [
                    {"id": SKY, "category_id": 187, "iscrowd": 0, "bbox": [0, 0, 4, 3], "area": 5},
                    {"id": PERSON, "category_id": 1, "iscrowd": 0, "bbox": [1, 0, 2, 2], "area": 3},
                    {"id": 9, "category_id": 1, "iscrowd": 1, "bbox": [1, 1, 1, 2], "area": 2},
                ],
                "file_name": "000000000139.png",
                "image_id": 139,
            },
            {
                "segments_info": [{"id": 9, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 2, 2], "area": 99}],
                "file_name": "000000000285.png",
                "image_id": 285,
            },
        ],
        "categories": [
            {"supercategory": "person", "isthing": 1, "id": 1, "name": "person"},
            {"supercategory": "sky", "isthing": 0, "id": 187, "name": "sky-other-merged"},
        ],
    }


@pytest.fixture
def put(tmp_path: Path) -> Callable[[Any], Path]:
    def save(document: Any) -> Path:
        paint(tmp_path / "panoptic_val2017" / "000000000139.png", IDS)
        paint(tmp_path / "panoptic_val2017" / "000000000285.png", np.full((2, 2), 9))
        (tmp_path / "panoptic_val2017.json").write_text(json.dumps(document))
        return tmp_path / "panoptic_val2017.json"

    return save


Put = Callable[[Any], Path]


def test_pictures_that_are_packed_still(panoptic: dict[str, Any], put: Put, tmp_path: Path) -> None:
    """As COCO delivers them: a zip beside the JSON."""
    path = put(panoptic)
    (tmp_path / "panoptic_val2017").rename(tmp_path / "kept")
    with pytest.raises(FormatError, match=r"139\.png: is missing$"):
        list(formats.read(path))
    (tmp_path / "panoptic_val2017.zip").touch()
    with pytest.raises(FormatError, match=r"139\.png: is missing; unpack .*panoptic_val2017\.zip so that it is there"):
        list(formats.read(path))


def test_reads_ids_classes_and_crowds(panoptic: dict[str, Any], put: Put, tmp_path: Path) -> None:
    path = put(panoptic)
    assert formats.detect(path) == formats.detect(tmp_path) == "coco_panoptic"
    labels = formats.read(path)
    assert labels.classes == ("person", "sky-other-merged")
    assert [c["isthing"] for c in labels.metadata["coco_panoptic"]["categories"]] == [1, 0]
    image, found = labels[0]
    assert (image.name, image.size, image.id) == ("000000000139.jpg", (3, 4), 139)
    assert image.attributes == {"license": 1}
    assert found.ids is not None
    assert found.ids.tolist() == [SKY, PERSON, 9]
    assert found.labels.tolist() == [1, 0, 0]
    assert found.crowd.tolist() == [False, False, True]
    np.testing.assert_array_equal(found.masks.to_dense(), [IDS == SKY, IDS == PERSON, IDS == 9])
    assert dict(found.attributes) == {}
    assert labels[1][1].attributes["area"].tolist() == [99]
    assert [r for r, _ in labels] == list(labels.refs)


def test_write_then_read_is_the_identity(panoptic: dict[str, Any], put: Put, tmp_path: Path) -> None:
    panoptic["annotations"][0]["segments_info"][1] |= {"score": 0.5}
    with pytest.raises(FormatError, match=r"annotations\[0\]\.segments_info\[0\]\.score: is missing"):
        formats.read(put(panoptic))
    for annotation in panoptic["annotations"]:
        for k, segment in enumerate(annotation["segments_info"]):
            segment |= {"score": k / 3, "note": "ä"}
    labels = formats.read(put(panoptic))
    target = tmp_path / "out" / "panoptic_new.json"
    formats.write(labels, target, "coco_panoptic")
    again = formats.read(target)
    assert [(r.name, r.id, r.attributes, i) for r, i in again] == [(r.name, r.id, r.attributes, i) for r, i in labels]
    assert again.metadata == labels.metadata
    with Pillow.open(tmp_path / "out" / "panoptic_new" / "000000000139.png") as image:
        colours = np.array(image).astype(int)
    np.testing.assert_array_equal(colours @ [1, 256, 65536], IDS)
    assert json.loads(target.read_text())["annotations"][0] == panoptic["annotations"][0]


def test_none_takes_the_others_files(
    panoptic: dict[str, Any], document: dict[str, Any], put: Put, saved: Callable[..., Path]
) -> None:
    panoptic["images"] += [panoptic["images"][1] | {"id": 1000 + i, "x": "y" * 400} for i in range(1000)]
    path = put(panoptic)
    assert path.stat().st_size > 400_000  # annotations lie beyond what is looked at first
    assert formats.detect(path) == "coco_panoptic"
    assert formats.load("coco").detect(path) is formats.load("lvis").detect(path) is False
    assert formats.load("coco_panoptic").detect(saved(document, "coco.json")) is False
    panoptic["annotations"] = []
    assert formats.detect(put(panoptic)) == "coco_panoptic"


def test_a_folder_with_several_files_is_ambiguous(panoptic: dict[str, Any], put: Put, tmp_path: Path) -> None:
    path = put(panoptic)
    (tmp_path / "panoptic_train2017.json").write_text(path.read_text())
    with pytest.raises(FormatError, match=r"must hold one .* name the file"):
        formats.read(tmp_path)


def test_alpha_says_nothing(panoptic: dict[str, Any], put: Put) -> None:
    path = put(panoptic)
    paint(path.with_suffix("") / "000000000139.png", IDS, "RGBA")
    assert len(formats.read(path)[0][1]) == 3


def test_an_image_without_annotation_has_no_instances(panoptic: dict[str, Any], put: Put) -> None:
    del panoptic["annotations"][1]
    assert [len(i) for _, i in formats.read(put(panoptic))] == [3, 0]


def test_ids_and_numbers(tmp_path: Path) -> None:
    instances = plain_instances()
    formats.write([(ref(), instances.replace(ids=None))], tmp_path / "a.json", "coco_panoptic")
    assert formats.read(tmp_path / "a.json")[0][1].ids.tolist() == [1, 2, 3, 4]  # type: ignore[union-attr]
    largest = instances.replace(ids=np.array([1, 2, 3, 256**3 - 1]))
    formats.write([(ref(), largest)], tmp_path / "b.json", "coco_panoptic")
    assert formats.read(tmp_path / "b.json")[0][1] == largest
    with pytest.raises(LossyFormatError, match="ids out of range"):
        formats.write([(ref(), instances.replace(ids=np.array([1, 2, 3, 256**3])))], tmp_path / "c", "coco_panoptic")
    with pytest.raises(LossyFormatError, match="overlap"):
        formats.write([(ref(), hard_instances()[[0, 1]])], tmp_path / "c", "coco_panoptic")


def test_names_that_would_mix(tmp_path: Path) -> None:
    found = plain_instances()
    for names, message in (
        (["a.png", "a.jpg"], "would share a.png"),
        (["../a.png"], "leaves the folder"),
        ([".a/b.png"], "hidden"),
    ):
        with pytest.raises(FormatError, match=message):
            formats.write([(ref(n), found) for n in names], tmp_path / "out.json", "coco_panoptic")
    with pytest.raises(FormatError, match="is another image's already"):
        formats.write([(ref("a", 1), found), (ref("b", 1), found)], tmp_path / "out.json", "coco_panoptic")
    with pytest.raises(FormatError, match="its instances are on"):
        formats.write([(ImageRef(Path("a"), "a", (5, 4)), found)], tmp_path / "out.json", "coco_panoptic")
    bad = found.replace(attributes={"iscrowd": np.zeros(4)})
    with pytest.raises(LossyFormatError, match="key of the format's own"):
        formats.write([(ref(), bad)], tmp_path / "out.json", "coco_panoptic")
    bad = found.replace(attributes={"bbox": np.zeros(4)})
    with pytest.raises(FormatError, match="must be finite numbers of shape"):
        formats.write([(ref(), bad)], tmp_path / "out.json", "coco_panoptic")
    with pytest.raises(LossyFormatError, match="JSON cannot hold"):
        formats.write([(ref(), found.replace(scores=np.full(4, np.inf)))], tmp_path / "out.json", "coco_panoptic")
    assert list(tmp_path.iterdir()) == []


S = ("annotations", 0, "segments_info")
BROKEN: dict[str, tuple[tuple[Any, ...], Any, str, list[int]]] = {
    # what is set to what, the message, and how many segments are left on the images that are
    "id 0": ((*S, 0, "id"), 0, r"annotations\[0\]\.segments_info\[0\]\.id: must lie in 1 to", [2, 1]),
    "id huge": ((*S, 0, "id"), 2**24, r"segments_info\[0\]\.id: must lie in 1 to", [2, 1]),
    "id twice": ((*S, 0, "id"), 9, r"\[2\]\.id: 9 is used twice on image '000000000139\.jpg'", [2, 1]),
    "id without pixel": ((*S, 0, "id"), 77, r"'000000000139\.jpg': no pixel of .*139\.png has id 77; remove", [2, 1]),
    "id text": ((*S, 0, "id"), "one", r"segments_info\[0\]\.id: must be an integer", [2, 1]),
    "category": ((*S, 1, "category_id"), 5, r"segments_info\[1\]\.category_id: there is no category with id 5", [2, 1]),
    "crowd": ((*S, 1, "iscrowd"), 3, r"segments_info\[1\]\.iscrowd: must be 0 or 1", [2, 1]),
    "area": ((*S, 1, "area"), "big", r"segments_info\[1\]\.area: must be a finite number", [2, 1]),
    "box": ((*S, 1, "bbox"), [1, 2], r"segments_info\[1\]\.bbox: must be 4 finite numbers", [2, 1]),
    "no object": ((*S, 1), 4, r"annotations\[0\]\.segments_info\[1\]: must be an object", [2, 1]),
    "no list": (S, {}, r"annotations\[0\]\.segments_info: must be a list", [0, 1]),
    "image": (("annotations", 1, "image_id"), 5, r"annotations\[1\]\.image_id: there is no image", [3, 0]),
    "image twice": (("annotations", 1, "image_id"), 139, r"annotations\[1\]\.image_id: 139 is used twice", [3, 0]),
    "leaves": (("annotations", 1, "file_name"), "../..", r"annotations\[1\]\.file_name: .*is no file name", [3, 0]),
    "no PNG": (("annotations", 1, "file_name"), "b.png", r"b\.png: is missing", [3]),
    "other size": (("images", 1, "width"), 3, r"is 2 x 2 pixels, but its image 2 x 3", [3]),
    "image size": (("images", 1, "width"), 0, r"images\[1\]\.width: must lie in", [3]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_documents(panoptic: dict[str, Any], put: Put, name: str) -> None:
    (*keys, last), value, message, left = BROKEN[name]
    place: Any = panoptic
    for key in keys:
        place = place[key]
    place[last] = value
    path = put(panoptic)
    with pytest.raises(FormatError, match=message):
        list(formats.read(path, "coco_panoptic"))
    told: list[FormatError] = []
    labels = formats.read(path, "coco_panoptic", on_bad=told.append)
    assert [len(i) for _, i in labels] == left
    assert [len(i) for _, i in labels] == left
    assert len(labels) == len(labels.refs) == len(left)
    assert any(re.search(message, str(e)) for e in told)
    assert len({str(e) for e in told}) == len(told)


def test_colours_that_no_segment_has(panoptic: dict[str, Any], put: Put) -> None:
    del panoptic["annotations"][0]["segments_info"][1]
    path = put(panoptic)
    with pytest.raises(FormatError, match=rf"000000000139\.png: image .*: has pixels of id {PERSON}"):
        list(formats.read(path))
    told: list[FormatError] = []
    assert [len(i) for _, i in formats.read(path, on_bad=told.append)] == [2, 1]
    assert len(told) == 1


def claim(width: int, height: int) -> bytes:
    """A PNG whose header claims more than it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_broken_pngs(panoptic: dict[str, Any], put: Put) -> None:
    panoptic["images"][0] |= {"width": 13_000, "height": 13_000}
    path = put(panoptic)
    file = path.with_suffix("") / "000000000139.png"
    good = file.read_bytes()
    file.write_bytes(claim(13_000, 13_000))
    with pytest.raises(FormatError, match="claims 169000000 pixels"):
        formats.read(path)[0]
    panoptic["images"][0] |= {"width": 4, "height": 3}
    put(panoptic)
    for data in [good[:n] for n in range(0, len(good) - 8, 5)] + [b"II*\0" + good, b"GIF89a"]:
        file.write_bytes(data)
        with pytest.raises(FormatError) as caught:
            formats.read(path)[0]
        assert caught.value.path == file
    Pillow.fromarray(IDS.astype(np.uint8)).save(file)
    with pytest.raises(FormatError, match="has one channel; ids are held by the colours"):
        formats.read(path)[0]


def test_a_set_is_small_to_send(panoptic: dict[str, Any], put: Put) -> None:
    labels = formats.read(put(copy.deepcopy(panoptic)))
    assert labels.refs
    assert list(pickle.loads(pickle.dumps(labels))) == list(labels)
    assert labels.fingerprint() == pickle.loads(pickle.dumps(labels)).fingerprint()  # type: ignore[attr-defined]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 256**3 - 1), min_size=12, max_size=12))
def test_any_ids_come_back(tmp_path_factory: pytest.TempPathFactory, values: list[int]) -> None:
    folder = tmp_path_factory.mktemp("any")
    instances = Instances.from_label_map(np.array(values).reshape(3, 4))
    formats.write([(ref("x/ü.png"), instances)], folder / "out.json", "coco_panoptic")
    image, found = formats.read(folder / "out.json", "coco_panoptic")[0]
    assert found == instances
    assert image.name == "x/ü.png"
    assert isinstance(found.masks, Masks)
