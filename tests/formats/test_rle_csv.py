"""Run-length CSV, laid out as Kaggle's Data Science Bowl 2018, Airbus, Severstal and iMaterialist 2019 have it."""

from __future__ import annotations

import contextlib
import csv
import json
import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from apiece import ImageRef, Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.long_csv import long_fields
from apiece.formats.rle_csv._rows import pixel_runs
from apiece.testing._labels import hard_instances, plain_instances, ref


def save(path: Path, *lines: str) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def photo(path: Path, height: int = 4, width: int = 5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(np.zeros((height, width), np.uint8)).save(path)


def kaggle_decode(text: str, size: tuple[int, int]) -> np.ndarray:
    """As the competitions' own notebooks do it."""
    numbers = [int(v) for v in text.split()]
    flat = np.zeros(size[0] * size[1], bool)
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        flat[start - 1 : start - 1 + length] = True
    return flat.reshape(size[1], size[0]).T


@pytest.mark.parametrize("layout", ["{0}.png", "train/{0}.png", "images/{0}.png", "train/{0}/images/{0}.png"])
def test_ids_without_ending_and_sizes_from_the_images(tmp_path: Path, layout: str) -> None:
    for name in ("a1", "b2"):
        photo(tmp_path / layout.format(name))
    path = save(tmp_path / "train.csv", "ImageId,EncodedPixels", "a1,1 3 6 2", "a1,20 1", "b2,4 2", "a1,9 1 10 1")
    assert formats.detect(path) == "rle_csv"
    labels = formats.read(path)
    assert labels.classes == ("object",)
    assert [r.name for r in labels.refs] == ["a1", "b2"]
    assert labels.refs[0].path == tmp_path / layout.format("a1")
    assert labels.refs[0].size is None
    _, found = labels[0]
    expected = np.zeros((3, 4, 5), bool)
    expected[0, :3, 0] = expected[0, 1:3, 1] = True
    expected[1, 3, 4] = True
    expected[2, :2, 2] = True  # two runs that touch are one
    np.testing.assert_array_equal(found.masks.to_dense(), expected)
    assert found.ids is found.scores is None
    # from the last row of one column on into the next
    np.testing.assert_array_equal(labels[1][1].masks.to_dense()[0], kaggle_decode("4 2", (4, 5)))


def test_images_with_their_ending_and_without_objects(tmp_path: Path) -> None:
    photo(tmp_path / "elsewhere" / "x.jpg")
    path = save(tmp_path / "train_ship_segmentations_v2.csv", "ImageId,EncodedPixels", "x.jpg,", "y.jpg,1 1")
    labels = formats.read(path, images=tmp_path / "elsewhere")
    assert len(labels[0][1]) == 0
    assert labels[0][1].size == (4, 5)
    with pytest.raises(FormatError, match=r"image 'y\.jpg'.*images="):
        labels[1]


@pytest.mark.parametrize(
    ("lines", "classes"),
    [
        (["ImageId,ClassId,EncodedPixels", "a.jpg,10,1 1", "a.jpg,2,2 1", "b.jpg,2,3 1"], ("2", "10")),
        (["ImageId_ClassId,EncodedPixels", "a.jpg_10,1 1", "a.jpg_2,2 1", "a.jpg_3,", "b.jpg_2,3 1"], ("2", "10")),
        (["Image_Label,EncodedPixels", "a.jpg_Gravel,1 1", "a.jpg_Fish,2 1", "b.jpg_Fish,3 1"], ("Gravel", "Fish")),
    ],
)
def test_classes_of_severstal_and_clouds(tmp_path: Path, lines: list[str], classes: tuple[str, ...]) -> None:
    for name in ("a", "b"):
        photo(tmp_path / "train_images" / f"{name}.jpg")
    labels = formats.read(save(tmp_path / "train.csv", *lines))
    assert labels.classes == classes
    assert [r.name for r in labels.refs] == ["a.jpg", "b.jpg"]
    order = [classes.index(c) for c in (("10", "2") if "10" in classes else ("Gravel", "Fish"))]
    assert [i.labels.tolist() for _, i in labels] == [order, [order[1]]]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("id,annotation,width,height,cell_type,sample_id", "a,2 2 7 1,5,4,cort,x"),
        ("id,class,segmentation", "a,cort,2 2 7 1"),
    ],
)
def test_runs_along_rows(tmp_path: Path, header: str, row: str) -> None:
    """Of Sartorius' cells and of UW-Madison's organs: pixels 2 and 3 of the first row, pixel 2 of the second."""
    photo(tmp_path / "train" / "a.png")
    labels = formats.read(save(tmp_path / "train.csv", header, row))
    assert labels.classes == ("cort",)
    mask = np.zeros((4, 5), bool)
    mask[0, 1:3] = mask[1, 1] = True
    np.testing.assert_array_equal(labels[0][1].masks.to_dense()[0], mask)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 999))
def test_runs_along_rows_of_any_mask(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.ravel().astype(int), [0]]))) + 1
    text = " ".join(f"{first} {last - first}" for first, last in zip(edges[::2], edges[1::2], strict=True))
    counts = pixel_runs(text, (height, width), along_rows=True)
    found = np.repeat(np.arange(len(counts)) % 2, counts).reshape(width, height).T
    assert (found == mask).all()


def test_memory_of_runs_along_rows_is_not_that_of_the_image() -> None:
    tracemalloc.start()
    counts = pixel_runs("5 3 200001 10", (100_000, 100_000), along_rows=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert counts[1::2].sum() == 13
    assert peak < 1e6


def test_columns_of_hubmap(tmp_path: Path) -> None:
    header = "id,organ,img_height,img_width,rle"
    labels = formats.read(save(tmp_path / "train.csv", header, "a,lung,4,5,2 2"))
    image, found = labels[0]
    assert (image.size, found.names) == ((4, 5), ["object"])
    np.testing.assert_array_equal(np.argwhere(found.masks.to_dense()[0]), [[1, 0], [2, 0]])


def test_imaterialist(tmp_path: Path) -> None:
    (tmp_path / "label_descriptions.json").write_text(
        json.dumps({"categories": [{"id": 0, "name": "shirt, blouse", "level": 2}, {"id": 31, "name": "sleeve"}]})
    )
    lines = ["ImageId,EncodedPixels,Height,Width,ClassId,Note", 'q.jpg,6 3,4,5,31,"a, b"', "q.jpg,1 2,4,5,0,"]
    labels = formats.read(save(tmp_path / "train.csv", *lines))
    assert labels.classes == ("shirt, blouse", "sleeve")
    image, found = labels[0]
    assert image.size == (4, 5)
    assert found.names == ["sleeve", "shirt, blouse"]
    assert found.attributes["Note"].tolist() == ["a, b", ""]
    with pytest.raises(LossyFormatError, match="attributes"):
        formats.write(labels, tmp_path / "out.csv")
    save(tmp_path / "train.csv", *lines, "q.jpg,1 2,4,5,7,")
    with pytest.raises(FormatError, match=r"line 4: there is no class '7' in label_descriptions\.json"):
        formats.read(tmp_path / "train.csv")


def test_what_is_written_is_kaggles(tmp_path: Path) -> None:
    instances = hard_instances()[[0, 1, 2, 3, 4]].replace(ids=None, scores=None, crowd=None, attributes={})
    formats.write([(ref("a,b.png"), instances), (ref("c.png"), instances[:0])], tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "ImageId,EncodedPixels,Height,Width,ClassId"
    assert lines[-1] == "c.png,,24,32,"
    dense = instances.masks.to_dense()
    for line, mask in zip(lines[1:-1], dense, strict=True):
        np.testing.assert_array_equal(kaggle_decode(line.split('"')[2].split(",")[1], (24, 32)), mask)
    named = json.loads((tmp_path / "out_label_descriptions.json").read_text(encoding="utf-8"))
    assert named["categories"][1] == {"id": 1, "name": "Schraube ß"}
    formats.write([(ref(), plain_instances().replace(ids=None))], tmp_path / "one.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.csv", "out.csv", "out_label_descriptions.json"]
    assert (tmp_path / "one.csv").read_text().splitlines()[0] == "ImageId,EncodedPixels,Height,Width"
    labels = formats.read(tmp_path / "out.csv")
    assert list(pickle.loads(pickle.dumps(labels))) == list(labels)


def test_sets_that_cannot_be_told_apart(tmp_path: Path) -> None:
    found = plain_instances().replace(ids=None)
    for records, message in (
        ([(ref("a"), found), (ref("a"), found)], "image 'a' comes twice"),
        ([(ref("../a"), found)], "leaves the folder"),
        ([(ImageRef(Path("a"), "a", (5, 4)), found)], "its instances are on"),
    ):
        with pytest.raises(FormatError, match=message):
            formats.write(records, tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


BROKEN = {
    "odd": ("a,1 3 6,4,5", "line 3: EncodedPixels hold 3 numbers"),
    "zero": ("a,0 3,4,5", "line 3: EncodedPixels hold a start or length of 0"),
    "empty run": ("a,1 0,4,5", "line 3: EncodedPixels hold a start or length of 0"),
    "minus": ("a,-1 3,4,5", "line 3: EncodedPixels must be numbers"),
    "fraction": ("a,1.5 3,4,5", "line 3: EncodedPixels must be numbers"),
    "NaN": ("a,nan,4,5", "line 3: EncodedPixels must be numbers"),
    "huge": (f"a,{'9' * 30} 1,4,5", "line 3: EncodedPixels hold a number that is too large"),
    "outside": ("a,19 3,4,5", "line 3: EncodedPixels reach beyond the image of 4 x 5 pixels"),
    "wraps": (f"a,2 {2**63 - 1},4,5", "line 3: EncodedPixels reach beyond"),
    "falling": ("a,9 2 1 2,4,5", "line 3: EncodedPixels have runs that overlap or do not rise"),
    "overlap": ("a,1 3 3 2,4,5", "line 3: EncodedPixels have runs that overlap"),
    "few values": ("a,1 3", "line 3: has 2 values, but the header 4"),
    "many values": ("a,1 3,4,5,6", "line 3: has 5 values"),
    "other size": ("a,1 3,4,6", r"line 3: image 'a' is 4 x 6 pixels here, but 4 x 5"),
    "size text": ("a,1 3,4,five", "line 3: Height and Width must lie in 1 to"),
    "size huge": ("a,1 3,4,999999999", "line 3: Height and Width must lie in 1 to"),
    "leaves": ("../..,1 3,4,5", "line 3: ImageId .*is no file name"),
    "no name": (",1 3,4,5", "line 3: ImageId is empty"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_bad_rows(tmp_path: Path, name: str) -> None:
    row, message = BROKEN[name]
    path = save(tmp_path / "a.csv", "ImageId,EncodedPixels,Height,Width", "a,1 1,4,5", row, "b,2 2,3,3")
    with pytest.raises(FormatError, match=message):
        list(formats.read(path))
    told: list[FormatError] = []
    labels = formats.read(path, on_bad=told.append)
    assert [(r.name, len(i)) for r, i in labels] == [("a", 1), ("b", 1)] == [(r.name, len(i)) for r, i in labels]
    assert len(told) == 1


def test_images_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    photo(tmp_path / "b.png")
    path = save(tmp_path / "a.csv", "ImageId,EncodedPixels", "a,1 1", "b,2 2", "c,")
    told: list[FormatError] = []
    labels = formats.read(path, on_bad=told.append)
    assert [(r.name, i.masks.area.tolist()) for r, i in labels] == [("b", [2])]
    assert [e.reason.split(":")[0] for e in told] == ["image 'a'", "image 'c'"]


FILES = {
    "no runs": (b"ImageId,Pixels\na,1 1\n", "needs the columns ImageId and EncodedPixels"),
    "cut": (b"ImageId,EncodedPixels\na,1 1\nb,1 1 5 1", "line 3: has no line end"),
    "header cut": (b"ImageId,EncodedPixels", "line 1: has no line end"),
    "latin": ("ImageId,EncodedPixels\nü,1 1\n".encode("latin-1"), "line 2: is not UTF-8"),
    "quote": (b'ImageId,EncodedPixels\n"a,1 1\n', "is no CSV"),
    "empty": (b"", "is empty"),
}


@pytest.mark.parametrize("name", FILES)
def test_broken_files(tmp_path: Path, name: str) -> None:
    data, message = FILES[name]
    (tmp_path / "a.csv").write_bytes(data)
    with pytest.raises(FormatError, match=message):
        list(formats.read(tmp_path / "a.csv", "rle_csv"))


@pytest.mark.parametrize(
    "text", ["[", "{}", '{"categories": [3]}', '{"categories": [{"id": 1, "name": "a"}, {"id": "1", "name": "b"}]}']
)
def test_broken_class_names(tmp_path: Path, text: str) -> None:
    (tmp_path / "label_descriptions.json").write_text(text)
    path = save(tmp_path / "a.csv", "ImageId,EncodedPixels,ClassId", "a,1 1,1")
    with pytest.raises(FormatError) as caught:
        formats.read(path)
    assert caught.value.path.name == "label_descriptions.json"


def test_other_tables_and_a_field_longer_than_csv_allows(tmp_path: Path) -> None:
    assert formats.load("rle_csv").detect(save(tmp_path / "b.csv", "id,annotation,width,height", "a,b c,2,2")) is False
    runs = " ".join(f"{i} 1" for i in range(1, 60_000, 2))
    path = tmp_path / "c.csv"
    path.write_bytes(f"\ufeffImageId,EncodedPixels,Height,Width\r\na,{runs},300,200\r\n".encode())
    assert len(runs) > 1 << 17
    assert formats.detect(path) == "rle_csv"
    assert formats.read(path)[0][1].masks.area.tolist() == [30_000]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2), st.binary(min_size=8, max_size=8).filter(any)), max_size=5),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\:."), min_size=1, max_size=9),
)
def test_any_masks_come_back(tmp_path: Path, rows: list[tuple[int, bytes]], name: str) -> None:
    stack = np.array([np.unpackbits(np.frombuffer(b, np.uint8)).reshape(8, 8) for _, b in rows]).reshape(-1, 8, 8)
    instances = Instances(Masks.from_dense(stack), [k for k, _ in rows] or np.zeros(0, int), ("a", f"b{name}", "b,\n"))
    formats.write([(ref(f"x/{name}.png"), instances)], tmp_path / "out.csv", "rle_csv")
    image, found = formats.read(tmp_path / "out.csv", "rle_csv")[0]
    assert found == instances
    assert image.name == f"x/{name}.png"


def test_one_reader_does_not_end_the_long_fields_of_another() -> None:
    before, field = csv.field_size_limit(), "1 " * 100_000
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(long_fields)
        second.enter_context(long_fields)
        first.close()
        assert next(csv.reader([field])) == [field]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("stated", ["photos\\sub\\a.png", "D:\\x\\sub\\a.png", "/home/x/sub/a.png", "../x/sub/a.png"])
def test_images_of_another_machine(tmp_path: Path, stated: str) -> None:
    photo(tmp_path / "photos" / "sub" / "a.png")
    path = save(tmp_path / "train.csv", "ImageId,EncodedPixels", f"{stated},1 3")
    for images in (None, tmp_path / "photos"):
        (ref,) = formats.read(path, images=images).refs
        assert ref.path == tmp_path / "photos" / "sub" / "a.png"
