"""Label maps: layouts, depths, and files that are none."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from apiece import Instances, Masks, formats
from apiece.errors import FormatError, LossyFormatError
from apiece.formats import contract
from apiece.formats._kit.class_signs import class_sign
from apiece.formats._kit.label_images import read_raster, write_raster
from apiece.testing._labels import plain_instances, ref

A = np.array([[0, 1, 1, 0], [0, 3, 3, 0], [0, 0, 0, 200]], np.uint8)


def save(path: Path, array: np.ndarray = A) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, array)
    else:
        Pillow.fromarray(array).save(path)
    return path


def grey(path: Path) -> Path:
    return save(path, np.arange(12, dtype=np.uint8).reshape(3, 4) * 20)


def test_values_become_ids(tmp_path: Path) -> None:
    labels = formats.read(save(tmp_path / "a_mask.png"))
    found_ref, found = labels[0]
    assert found.ids is not None
    assert found.ids.tolist() == [1, 3, 200]
    assert found.classes == labels.classes == ("object",)
    assert found.masks.area.tolist() == [2, 2, 1]
    assert found_ref.name == "a.png"  # what its image is called


@pytest.mark.parametrize("folder", ["masks", "labels"])
@pytest.mark.parametrize("name", ["a.png", "a_mask.png", "sub/a_label.tif"])
def test_layout_beside_images(tmp_path: Path, folder: str, name: str) -> None:
    image = Path(name).with_name("a.png")
    grey(tmp_path / "images" / image)
    grey(tmp_path / "images" / "unlabelled.png")
    save(tmp_path / folder / name)
    assert formats.detect(tmp_path) == "labelmap"
    labels = formats.read(tmp_path)
    assert [(r.name, r.path) for r in labels.refs] == [(image.as_posix(), tmp_path / "images" / image)]
    assert len(labels[0][1]) == 3
    again = formats.read(tmp_path / folder)
    assert again.refs[0].path == labels.refs[0].path


@pytest.mark.parametrize("ending", ["_mask", "_masks", "_label", "_labels"])
def test_layout_in_one_folder(tmp_path: Path, ending: str) -> None:
    grey(tmp_path / "b.png")
    save(tmp_path / f"b{ending}.png")
    grey(tmp_path / "a.png")
    save(tmp_path / f"a{ending}.png")
    assert formats.detect(tmp_path) == "labelmap"
    labels = formats.read(tmp_path)
    assert [r.name for r in labels.refs] == ["a.png", "b.png"]
    assert formats.read(tmp_path / f"a{ending}.png").refs[0].path == tmp_path / "a.png"


def test_images_in_a_folder_of_their_own(tmp_path: Path) -> None:
    save(tmp_path / "x" / "masks" / "a.png")
    grey(tmp_path / "photos" / "a.tif")
    labels = formats.read(tmp_path / "x", images=tmp_path / "photos")
    assert labels.refs[0].path == tmp_path / "photos" / "a.tif"


@pytest.mark.parametrize("labels", ["mask", "gt", "ground_truth", "instance_masks", "annotations"])
@pytest.mark.parametrize("images", ["images", "raw", "test"])
def test_other_names_of_folders(tmp_path: Path, labels: str, images: str) -> None:
    for name in ("train/good/a.png", f"{images}/broken/a.png", f"{images}/broken/b.png"):
        grey(tmp_path / name)
    for name in ("a_mask.png", "b_mask.png"):
        save(tmp_path / labels / "broken" / name)
    for path in (tmp_path, tmp_path / labels):
        assert formats.detect(path) == "labelmap"
        found = formats.read(path)
        assert [ref.path for ref in found.refs] == [tmp_path / images / "broken" / name for name in ("a.png", "b.png")]


def test_pictures_of_labels_and_label_files_of_other_kinds_are_no_images(tmp_path: Path) -> None:
    for name in ("overlays/a.png", "raw/a.png"):
        grey(tmp_path / name)
    save(tmp_path / "gt" / "a.png")
    assert formats.read(tmp_path).refs[0].path == tmp_path / "raw" / "a.png"
    save(tmp_path / "labels" / "b.png")
    assert formats.detect(tmp_path / "labels") == "labelmap"
    square = [[1, 1], [4, 1], [4, 4], [1, 1]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [square]}}
    (tmp_path / "labels" / "b.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert formats.detect(tmp_path / "labels") == "geojson"  # so the picture is the image


def test_images_beside_a_folder_of_label_maps_come_before_another_folder(tmp_path: Path) -> None:
    for name in ("a.png", "overlays/a.png"):
        grey(tmp_path / name)
    save(tmp_path / "masks" / "a.png")
    assert [ref.path for ref in formats.read(tmp_path).refs] == [tmp_path / "a.png"]


def test_a_folder_that_holds_more_than_label_maps_is_none_of_them(tmp_path: Path) -> None:
    grey(tmp_path / "images" / "a.png")
    save(tmp_path / "annotations" / "a.png")
    (tmp_path / "annotations" / "list.txt").write_text("a")
    with pytest.raises(FormatError):
        formats.detect(tmp_path)


@pytest.mark.parametrize("ending", ["gif", "bmp", "png"])
def test_masks_as_viewers_show_them(tmp_path: Path, ending: str) -> None:
    """Kinds of files without loss, and greys in three channels, with alpha or without."""
    grey(tmp_path / "images" / "a.png")
    (tmp_path / "masks").mkdir()
    image = Pillow.fromarray(A)
    (image if ending == "gif" else image.convert("RGB")).save(tmp_path / "masks" / f"a.{ending}")
    assert formats.detect(tmp_path) == "labelmap"
    assert formats.read(tmp_path)[0][1].masks.area.tolist() == [2, 2, 1]


@pytest.mark.parametrize("faded", [False, True])
def test_greys_with_alpha(tmp_path: Path, faded: bool) -> None:
    alpha = np.full_like(A, 255)
    alpha[0, 0] = 0 if faded else 255
    for k, channels in enumerate(([A, alpha], [A, A, A, alpha])):
        path = save(tmp_path / f"{k}_mask.png", np.stack(channels, -1))
        if faded:
            with pytest.raises(FormatError, match="colour image"):
                read_raster(path)
        else:
            assert read_raster(path).tolist() == A.tolist()


def test_photos_are_not_taken_for_label_maps(tmp_path: Path) -> None:
    grey(tmp_path / "a.png")
    with pytest.raises(FormatError, match="no known label format"):
        formats.detect(tmp_path)
    assert len(formats.read(tmp_path, "labelmap")) == 1


def test_two_label_maps_or_images_of_one_name(tmp_path: Path) -> None:
    save(tmp_path / "masks" / "a.png")
    save(tmp_path / "masks" / "a.tif")
    with pytest.raises(FormatError, match="label maps of the same image"):
        formats.read(tmp_path)
    (tmp_path / "masks" / "a.tif").unlink()
    grey(tmp_path / "images" / "a.png")
    grey(tmp_path / "images" / "a.tif")
    with pytest.raises(FormatError, match="share the name 'a'"):
        formats.read(tmp_path)


@pytest.mark.parametrize("ids", [[1, 2], [1, 255], [1, 256], [7, 65535], [7, 65536], [1, 2**32 - 1]])
def test_smallest_depth_that_fits(tmp_path: Path, ids: list[int]) -> None:
    instances = Instances(Masks.from_boxes([[0, 0, 2, 2], [3, 3, 5, 6]], (6, 8)), ids=np.array(ids))
    formats.write([(ref("sub/ä.jpg"), instances)], tmp_path / "out", "labelmap")
    files = [p for p in (tmp_path / "out").rglob("*") if p.is_file()]
    assert [p.relative_to(tmp_path / "out").as_posix() for p in files] == [
        "sub/ä.png" if ids[1] < 65536 else "sub/ä.tif"
    ]
    assert read_raster(files[0]).dtype.itemsize == (1 if ids[1] < 256 else 2 if ids[1] < 65536 else 4)
    found_ref, found = formats.read(tmp_path / "out")[0]
    assert found == instances
    assert found_ref.name == "sub/ä.jpg"


def test_one_file(tmp_path: Path) -> None:
    instances = plain_instances()
    formats.write([(ref(), instances)], tmp_path / "a.png")
    assert formats.detect(tmp_path / "a.png") == "labelmap"
    assert formats.read(tmp_path / "a.png")[0][1] == instances
    large = instances.replace(ids=np.array([1, 2, 3, 65536]))
    with pytest.raises(LossyFormatError, match=r"an id is 65536; name it \.tif"):
        formats.write([(ref(), large)], tmp_path / "b.png")
    formats.write([(ref(), large)], tmp_path / "b.tif")
    assert formats.read(tmp_path / "b.tif")[0][1] == large
    for records in ([], [(ref("a"), instances), (ref("b"), instances)]):
        with pytest.raises(FormatError, match="name a folder"):
            formats.write(records, tmp_path / "c.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.tif"]


def test_names_that_would_mix(tmp_path: Path) -> None:
    instances = plain_instances()
    names = ["x.png", "x_mask.png", "y_labels.png"]
    formats.write([(ref(n), instances) for n in names], tmp_path / "out", "labelmap")
    assert [r.name for r, _ in formats.read(tmp_path / "out")] == names
    with pytest.raises(FormatError, match=r"would share x\.png"):
        formats.write([(ref("x.png"), instances), (ref("x.jpg"), instances)], tmp_path / "o2", "labelmap")
    with pytest.raises(FormatError, match="hidden"):
        formats.write([(ref(".x.png"), instances)], tmp_path / "o2", "labelmap")
    with pytest.raises(FormatError, match="leaves the folder"):
        formats.write([(ref("../x.png"), instances)], tmp_path / "o2", "labelmap")
    with pytest.raises(FormatError, match="not an empty folder"):
        formats.write([(ref("x.png"), instances)], tmp_path / "out", "labelmap")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_palette_and_binary_images(tmp_path: Path) -> None:
    palette = Pillow.fromarray(A)
    palette.putpalette([i for k in range(256) for i in (k, 0, 255 - k)])
    palette.save(tmp_path / "a_mask.png")
    assert palette.mode == "P"
    assert formats.read(tmp_path / "a_mask.png")[0][1].ids.tolist() == [1, 3, 200]  # type: ignore[union-attr]
    Pillow.fromarray(A > 0).save(tmp_path / "b_mask.png")
    assert formats.read(tmp_path / "b_mask.png")[0][1].ids.tolist() == [1]  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int16, np.int32, np.uint64])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_tiff_depths(tmp_path: Path, dtype: type, byteorder: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", A.astype(dtype), byteorder=byteorder)
    np.testing.assert_array_equal(read_raster(tmp_path / "a.tif"), A)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_that_are_whole_numbers(tmp_path: Path, dtype: type) -> None:
    """As ImageJ saves a label map after a calculation."""
    (tmp_path / "masks").mkdir()
    tifffile.imwrite(tmp_path / "masks" / "a.tif", A.astype(dtype))
    assert formats.detect(tmp_path) == "labelmap"
    assert formats.read(tmp_path)[0][1] == Instances.from_label_map(A)
    stack = np.stack([A, A]).astype(dtype)
    if dtype is np.float32:
        tifffile.imwrite(tmp_path / "masks" / "b.tif", stack, imagej=True, metadata={"axes": "ZYX"})
        assert [i == Instances.from_label_map(A) for _, i in formats.read(tmp_path)] == [True] * 3


@pytest.mark.parametrize(
    ("label", "image"),
    [
        ("a_cp_masks.tif", "a.png"),
        ("a_cp_masks.png", "a.tif"),
        ("masks/a_cp_masks.tif", "images/a.png"),
        ("000_masks.png", "000_img.png"),
        ("masks/000_masks.png", "images/000_img.png"),
        ("a-labels.tif", "a.jpg"),
        ("a.seg.tif", "a.jpg"),
        ("a_Object Identities.tif", "a.png"),
        ("labels/a_seg.png", "images/a.jpg"),
        ("masks/a.jpg.png", "images/a.jpg"),
        ("masks/a-lbl.tif", "images/a.tif"),
    ],
)
def test_names_that_tools_give(tmp_path: Path, label: str, image: str) -> None:
    for name in (label, image):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    Pillow.fromarray(np.zeros((*A.shape, 3), np.uint8)).save(tmp_path / image)
    if label.endswith(".png"):
        save(tmp_path / label, A.astype(np.uint8))
    else:
        tifffile.imwrite(tmp_path / label, A.astype(np.uint16))
    assert formats.detect(tmp_path) == "labelmap"
    for path in (tmp_path, tmp_path / label):
        ((ref, found),) = formats.read(path, "labelmap")
        assert ref.path == tmp_path / image
        assert len(found) == len(np.unique(A)) - 1


def test_not_label_maps(tmp_path: Path) -> None:
    colour = np.zeros((3, 4, 3), np.uint8)
    colour[0, 0, 0] = 9
    cases = {
        "colour.png": (colour, "is a colour image"),
        "colour.tif": (colour, "is a colour image"),
        "float.tif": (A.astype(np.float32) / 2, "holds floats, such as 0.5 at row"),
        "large.tif": (np.full((3, 4), 2.0**25, np.float32), "beyond 16777216 they are not exact"),
        "nan.tif": (np.full((3, 4), np.nan), "holds floats, such as nan at row 0, column 0"),
        "negative.tif": (-A.astype(np.int16), "negative value -200"),
        "stack.tif": (np.zeros((5, 30, 40), np.uint16), "has 5 pages"),
        "huge.tif": (np.full((3, 4), 2**63, np.uint64), "fit 63 bits"),
    }
    for name, (array, message) in cases.items():
        if name.endswith(".tif"):
            tifffile.imwrite(
                tmp_path / name, array, photometric="rgb" if array.ndim == 3 and array.shape[2] == 3 else None
            )
        else:
            save(tmp_path / name, array)
        with pytest.raises(FormatError, match=message) as caught:
            list(formats.read(tmp_path / name, "labelmap"))
        assert caught.value.path == tmp_path / name
    Pillow.fromarray(A).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").rename(tmp_path / "jpg.png")
    with pytest.raises(FormatError, match="is a JPEG file"):
        list(formats.read(tmp_path / "jpg.png", "labelmap"))


def claim(width: int, height: int) -> bytes:
    """A PNG whose header claims more than it holds."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(20_000, 20_000), (2**31 - 1, 2**31 - 1)])
def test_a_header_that_claims_gigabytes(tmp_path: Path, size: tuple[int, int]) -> None:
    (tmp_path / "a.png").write_bytes(claim(*size))
    with pytest.raises(FormatError, match=r"claims|damaged|bomb"):
        list(formats.read(tmp_path / "a.png", "labelmap"))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_truncation_is_an_error(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    array = rng.integers(0, 60000, (40, 50)).astype(np.uint16)
    write_raster(array, tmp_path / f"a{suffix}", {})
    data = (tmp_path / f"a{suffix}").read_bytes()
    path = tmp_path / f"b{suffix}"
    for length in [*range(0, 200, 13), *range(200, len(data) - 8, 397)]:
        path.write_bytes(data[:length])
        with pytest.raises(FormatError):
            list(formats.read(path, "labelmap"))


def test_damage_is_an_error_or_harmless(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for suffix in (".png", ".tif"):
        write_raster(A, tmp_path / f"a{suffix}", {"image": "a.png"})
        data = np.frombuffer((tmp_path / f"a{suffix}").read_bytes(), np.uint8)
        for _ in range(60):
            hurt = data.copy()
            hurt[rng.integers(0, len(hurt), 3)] = rng.integers(0, 256, 3)
            path = tmp_path / f"b{suffix}"
            path.write_bytes(hurt.tobytes())
            try:
                list(formats.read(path, "labelmap"))
            except FormatError as error:
                assert error.path == path  # noqa: PT017


def test_broken_label_maps_are_left_out_and_reported(tmp_path: Path) -> None:
    for name in "abcd":
        save(tmp_path / "masks" / f"{name}.png")
        grey(tmp_path / "images" / f"{name}.png")
    data = (tmp_path / "masks" / "b.png").read_bytes()
    (tmp_path / "masks" / "b.png").write_bytes(data[: len(data) // 2])
    save(tmp_path / "masks" / "c.tif")
    grey(tmp_path / "images" / "d.tif")
    with pytest.raises(FormatError):
        formats.read(tmp_path)
    told: list[FormatError] = []
    labels = formats.read(tmp_path, on_bad=told.append)
    assert [r.name for r in labels.refs] == ["a.png", "c.png"]
    assert [r.name for r, _ in labels] == ["a.png", "c.png"]
    assert [e.path.name for e in told] == ["d.tif", "c.tif", "b.png"]
    assert [len(found) for _, found in labels] == [3, 3]
    with pytest.raises(FormatError):  # the file as a whole
        list(formats.read(tmp_path / "masks" / "b.png", on_bad=told.append))


def stack(count: int = 12) -> np.ndarray:
    planes = np.zeros((count, 5, 7), np.uint16)
    planes[:, 1:3, 2:5] = 4
    planes[3, 4, 6] = 300
    return planes


@pytest.mark.parametrize("kind", ["ome", "imagej", "shaped", "compressed"])
def test_a_stack_is_an_image_for_each_page(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "masks" / ("cells.ome.tif" if kind == "ome" else "cells.tif")
    file.parent.mkdir()
    options: dict[str, object] = {"metadata": {"axes": "ZYX"}}
    options |= {"ome": {"ome": True}, "imagej": {"imagej": True}, "compressed": {"compression": "zlib"}}.get(kind, {})
    tifffile.imwrite(file, stack(), **options)
    labels = formats.read(tmp_path)
    assert len(labels) == 12
    assert labels.refs[3].name == file.name.replace(".tif", "#03.tif")
    assert labels.refs[3].page == 3
    assert [i.ids.tolist() for _, i in labels] == [[4], [4], [4], [4, 300]] + [[4]] * 8  # type: ignore[union-attr]
    np.testing.assert_array_equal(labels[3][1].masks.to_label_map(labels[3][1].ids), stack()[3])
    told: list[FormatError] = []
    assert len(formats.read(tmp_path, on_bad=told.append)) == 12
    assert told == []
    formats.write(labels, tmp_path / "out", "labelmap")
    again = formats.read(tmp_path / "out")
    assert [i for _, i in again] == [i for _, i in labels]
    assert [r.name for r in again.refs] == [r.name for r in labels.refs]


def test_pages_that_could_be_anything_are_refused(tmp_path: Path) -> None:
    cases = {"channels": "CYX", "unsaid": None, "both": "TCYX"}
    for name, axes in cases.items():
        planes = stack().reshape(4, 3, 5, 7) if name == "both" else stack()
        metadata = {"axes": axes} if axes else None
        tifffile.imwrite(tmp_path / f"{name}_mask.tif", planes, metadata=metadata, photometric="minisblack")
        with pytest.raises(FormatError, match=r"has 12 pages, and does not say that they are slices"):
            list(formats.read(tmp_path / f"{name}_mask.tif"))


@pytest.mark.parametrize("imagej", [True, False])
def test_a_stack_cut_short(tmp_path: Path, imagej: bool) -> None:
    path = tmp_path / "a_mask.tif"
    tifffile.imwrite(path, stack(), imagej=imagej, metadata={"axes": "TYX"})
    data = path.read_bytes()
    for length in range(0, len(data) * 9 // 10, 97):
        path.write_bytes(data[:length])
        with pytest.raises(FormatError):
            list(formats.read(path, "labelmap"))


BLOBS = np.zeros((20, 30), np.uint8)
BLOBS[2:8, 2:10] = 1
BLOBS[2:8, 15:23] = 1
BLOBS[12:18, 4:20] = 2


def folder_of(tmp_path: Path, *arrays: np.ndarray) -> Path:
    for k, array in enumerate(arrays):
        save(tmp_path / "masks" / f"{k}.png", array)
        grey(tmp_path / "images" / f"{k}.png")
    return tmp_path


@pytest.mark.parametrize(
    "array", [BLOBS, (BLOBS > 0) * np.uint8(255), (BLOBS > 0) * np.uint8(1), np.array([0, 127, 255], np.uint8)[BLOBS]]
)
def test_values_that_look_like_classes_are_refused_until_somebody_says_what_they_are(
    tmp_path: Path, array: np.ndarray
) -> None:
    path = folder_of(tmp_path, array, array[::-1])
    with pytest.raises(FormatError, match=r"in 0.png the value \d+ covers [23] separate regions"):
        formats.read(path)
    assert len(formats.read(path, "labelmap")[0][1]) == len(np.unique(array)) - 1
    labels = formats.read(path, "class_map")
    assert [len(found) for _, found in labels] == [3, 3]
    assert labels.classes == (("object",) if len(np.unique(array)) == 2 else tuple(map(str, np.unique(array)[1:])))


@pytest.mark.parametrize(
    "arrays",
    [
        [np.array([0, 1, 3], np.uint8)[np.where(BLOBS == 1, 0, BLOBS)]] * 3,  # an object each
        [np.where(np.arange(30) > 12, BLOBS * 3, BLOBS)],  # few objects
        [(BLOBS == 2) * np.uint8(255)] * 2,  # either reading is the same
        [np.where(BLOBS == 1, np.uint16(300), BLOBS)],  # ids beyond any class
        [np.zeros((20, 30), np.uint8)],
        [np.where((np.arange(30) == 9) | (BLOBS == 1), 0, BLOBS)]
        + [np.where(np.arange(30) > 12, BLOBS * 3, BLOBS)] * 3,
    ],
)
def test_objects_are_read_as_such_though_they_are_few_or_hidden_in_part(
    tmp_path: Path, arrays: list[np.ndarray]
) -> None:
    path = folder_of(tmp_path, *arrays)
    assert list(formats.read(path)) == list(formats.read(path, "labelmap"))


def test_instances_beside_labels_are_chosen(tmp_path: Path) -> None:
    grey(tmp_path / "images" / "a.png")
    save(tmp_path / "labels" / "a.png", BLOBS)
    wide = BLOBS.astype(np.uint16) * 256
    save(tmp_path / "instances" / "a.png", np.where(np.arange(30) > 12, wide + (wide > 0), wide))
    ((image, found),) = formats.read(tmp_path)
    assert (image.path, len(found)) == (tmp_path / "images" / "a.png", 4)
    with pytest.raises(FormatError, match=r"labels: holds classes, where .*instances holds objects"):
        formats.read(tmp_path / "labels")


MANY = ("bottles", "breadboard-parts", "corn-kernels", "granular-burden", "hydroponic-plants", "microcontroller-boards")
MORE = ("mildew-leaves", "mushrooms", "seedling-parts")
SETS = ("nuclei", "facades", *(f"many/{name}" for name in MANY + MORE))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_objects_and_classes_of_real_sets_are_told_apart(shared_data: Path, tmp_path: Path, name: str) -> None:
    objects: list[Path] = []
    classes: list[Path] = []
    several = False
    for k, (_, found) in zip(range(40), formats.read(shared_data / name / "val.json"), strict=False):
        found = found[np.argsort(-found.masks.area, kind="stable")]
        ids = np.arange(1, len(found) + 1)
        objects.append(save(tmp_path / f"o{k}.png", found.masks.to_label_map(ids, np.uint16, overlap="last")))
        painted = found.masks.to_semantic(found.labels, overlap="last").astype(np.uint8)
        classes.append(save(tmp_path / f"c{k}.png", painted))
        several |= int(np.bincount(found.labels).max(initial=0)) > 1
    assert class_sign(objects) == ""
    assert (class_sign(classes) != "") == (several and name != "many/microcontroller-boards")


def test_the_sign_of_a_large_label_image_is_found_in_bands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((4096, 1024), np.uint32)
    values[100:4000:300, 100:300] = 1  # thin lines apart from each other
    values[200:4000:300, 600:900] = 2
    tifffile.imwrite(tmp_path / "a.tif", values, tile=(512, 512), compression="zlib")

    def peak() -> tuple[str, int]:
        tracemalloc.start()
        sign = class_sign([tmp_path / "a.tif"])
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return sign, most

    sign, whole = peak()
    assert "separate regions" in sign
    monkeypatch.setattr(contract, "LARGE", 1000)
    again, bands = peak()
    assert again == sign
    assert bands < whole / 2


def test_roboflow_names_the_classes_of_its_masks(tmp_path: Path) -> None:
    values = np.zeros((12, 16), np.uint8)
    values[2:5, 2:5], values[2:5, 8:12], values[8:10, 2:5] = 1, 2, 1
    Pillow.new("RGB", (16, 12)).save(tmp_path / "a.jpg")
    Pillow.fromarray(values).save(tmp_path / "a_mask.png")
    (tmp_path / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, nut\n2, hex bolt\n")
    ((ref, found),) = formats.read(tmp_path, "class_map")
    assert (ref.name, found.classes) == ("a.jpg", ("nut", "hex bolt"))
    assert sorted(found.names) == ["hex bolt", "nut", "nut"]
    for wrong, reason in (("x\n1\n", "a value and a name"), ("x\n1, nut\n2, nut\n", "'nut' is there twice")):
        (tmp_path / "_classes.csv").write_text(wrong)
        with pytest.raises(FormatError, match=reason):
            formats.read(tmp_path, "class_map")


@pytest.mark.parametrize("folder", ["", "annotations"])
def test_masks_of_open_images_are_no_label_maps(tmp_path: Path, folder: str) -> None:
    """One object a file: read as label maps, each mask would become an image of its own."""
    (tmp_path / "masks" / "train").mkdir(parents=True)
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 2:5] = 255
    Pillow.fromarray(mask).save(tmp_path / "masks" / "train" / "a_m0cat_1f.png")
    (tmp_path / folder).mkdir(exist_ok=True)
    listed = tmp_path / folder / "train-annotations-object-segmentation.csv"
    listed.write_text("MaskPath,ImageID,LabelName,BoxID\na_m0cat_1f.png,a,/m/0cat,1f\n")
    assert formats.detect(tmp_path) == "mask_files"
    with pytest.raises(FormatError, match=r"one object a file.*object-segmentation\.csv says of .*; name that file"):
        formats.read(tmp_path / "masks")
    assert len(formats.read(tmp_path, "labelmap")[0][1]) == 1
