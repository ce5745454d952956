"""Images too large for one record: pieces of objects in, the same file out, and bands for label images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile

from apiece import Instances, Masks, formats
from apiece.core.image import Image, ImageRef
from apiece.datasets import summarise
from apiece.errors import FormatError, LossyFormatError
from apiece.formats import contract
from apiece.formats._kit import label_bands
from apiece.formats.ome_zarr import _levels
from apiece.images import Pyramid
from apiece.predict.tiles import Tiling

SIZE = (1300, 1500)
REF = ImageRef(Path("a.tif"), "a.tif", SIZE)


@pytest.fixture
def banded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of 1000 pixels or more are written in bands."""
    monkeypatch.setattr(contract, "LARGE", 1000)


def test_an_image_of_8192_pixels_a_side_is_large() -> None:
    assert contract.comes_in_bands((8192, 8192))
    assert Tiling().cuts((8192, 8192))
    assert not contract.comes_in_bands((8192, 8191))
    assert not Tiling().cuts((8192, 8191))


def objects(count: int = 60) -> Instances:
    """Discs that do not overlap, over several bands of rows, one with a hole and one in two parts."""
    rng, a = np.random.default_rng(1), np.zeros(SIZE, np.int64)
    y, x = np.indices(SIZE)
    for k in range(1, count):
        cy, cx, r = rng.uniform(0, SIZE[0]), rng.uniform(0, SIZE[1]), rng.uniform(5, 60)
        a[(y - cy) ** 2 + (x - cx) ** 2 < r * r] = k
    ring = (y - 650) ** 2 + (x - 750) ** 2
    a[(ring < 640**2) & (ring > 600**2)] = count
    a[0, :3], a[-1, -3:] = count + 1, count + 1
    return Instances.from_label_map(a)


def in_pieces(instances: Instances, order: np.ndarray) -> Iterator[tuple[ImageRef, Instances]]:
    for some in np.array_split(order, 5):
        yield REF, instances[some]


@pytest.mark.parametrize(("name", "path"), [("labelmap", "a.tif"), ("labelmap", "b.png"), ("ome_zarr", "a.zarr")])
@pytest.mark.usefixtures("banded")
def test_bands_make_the_label_image_of_the_whole(tmp_path: Path, name: str, path: str) -> None:
    if name == "ome_zarr":
        pytest.importorskip("zarr")
    instances = objects()
    order = np.random.default_rng(2).permutation(len(instances))
    assert formats.write(in_pieces(instances, order), tmp_path / path, name) == []
    ((_, found),) = formats.read(tmp_path / path, name)
    assert found.ids is not None
    assert found.ids.tolist() == sorted(instances.ids.tolist())
    assert found.masks == instances.masks


@pytest.mark.parametrize(("name", "path"), [("labelmap", "a.tif"), ("ome_zarr", "a.zarr")])
@pytest.mark.usefixtures("banded")
def test_a_large_label_image_is_read_in_pieces(
    tmp_path: Path, name: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "ome_zarr":
        pytest.importorskip("zarr")
    formats.write([(REF, objects())], tmp_path / path, name)
    monkeypatch.setattr(label_bands, "WIDE", 600)  # bands are cut into blocks of two tiles
    labels = formats.read(tmp_path / path, name, on_bad=lambda error: None)
    pieces = list(contract.in_pieces(labels))
    assert len(pieces) == 3  # what ends in each band of 512 rows
    assert len({id(ref) for ref, _ in pieces}) == 1
    joined = Instances.concatenate([one for _, one in pieces])
    assert joined.ids is not None
    order = np.argsort(joined.ids)
    ((_, whole),) = labels
    assert joined.ids[order].tolist() == whole.ids.tolist()
    assert joined.masks[order] == whole.masks
    assert summarise(labels).instances == len(whole)


STORED = {
    "tiles": {"tile": (256, 256), "compression": "zlib"},
    "strips": {"rowsperstrip": 16, "compression": "zlib"},
    "high strips": {"rowsperstrip": 600, "compression": "zlib"},
    "plain": {},
}


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.usefixtures("banded")
def test_blocks_are_of_whole_tiles_or_strips_and_of_one_size(
    tmp_path: Path, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = objects()
    tifffile.imwrite(tmp_path / "a.tif", given.masks.to_label_map(given.ids, np.uint16), **STORED[stored])
    monkeypatch.setattr(label_bands, "WIDE", 512)
    tops, sizes = [], []
    window = Pyramid.window

    def watched(self: Pyramid, box: tuple[int, int, int, int], level: int = 0) -> Image:
        tops.append(box[1])
        sizes.append((box[3] - box[1]) * (box[2] - box[0]))
        return window(self, box, level)

    monkeypatch.setattr(Pyramid, "window", watched)
    found = label_bands.read_in_bands(tmp_path / "a.tif", None)
    assert found.ids.tolist() == given.ids.tolist()
    assert found.masks == given.masks
    assert sum(sizes) == SIZE[0] * SIZE[1]
    most = {"high strips": 512 * SIZE[1]}.get(stored, 512 * 512)
    assert max(sizes) <= most
    tall = {"strips": 16, "tiles": 256}.get(stored, 1)
    assert all(top % 512 % tall == 0 for top in tops)


@pytest.mark.parametrize(("name", "path"), [("labelmap", "a.tif"), ("ome_zarr", "a.zarr")])
@pytest.mark.usefixtures("banded")
def test_each_id_is_that_of_its_mask_where_no_object_lies_in_two_blocks(tmp_path: Path, name: str, path: str) -> None:
    if name == "ome_zarr":
        pytest.importorskip("zarr")
    corner = np.array([(x, y) for y in range(40, SIZE[0] - 40, 160) for x in range(30, SIZE[1] - 40, 160)])
    corner = corner[(corner // 512 == (corner + 20) // 512).all(1)]
    masks = Masks.from_boxes(np.hstack([corner, corner + 5 + np.arange(len(corner))[:, None] % 15]), SIZE)
    ids = np.random.default_rng(5).permutation(len(masks)) + 1  # the blocks do not hold them in order
    formats.write([(REF, Instances(masks, ids=ids))], tmp_path / path, name)
    ((_, found),) = formats.read(tmp_path / path, name)
    assert found.ids is not None
    assert found.ids.tolist() == sorted(ids.tolist())
    assert found.masks == masks[np.argsort(ids)]


@pytest.mark.usefixtures("banded")
def test_the_order_of_pieces_changes_nothing(tmp_path: Path) -> None:
    instances = objects()
    for k, seed in enumerate((3, 4)):
        order = np.random.default_rng(seed).permutation(len(instances))
        formats.write(in_pieces(instances, order), tmp_path / f"{k}.tif", "labelmap")
    assert (tmp_path / "0.tif").read_bytes() == (tmp_path / "1.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "0.tif") as tif:
        assert tif.pages[0].is_tiled
        assert tif.pages[0].dtype == np.uint32


@pytest.mark.usefixtures("banded")
def test_overlap_between_pieces_is_refused_or_reported(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[0, 500, 40, 600], [10, 505, 20, 510], [200, 0, 210, 10]], SIZE)
    records = [(REF, Instances(masks[k : k + 1], ids=[k + 1])) for k in (1, 0, 2)]
    with pytest.raises(LossyFormatError, match=r"image 'a.tif', ids 1, 2 overlap others"):
        formats.write(records, tmp_path / "a.tif", "labelmap")
    assert not list(tmp_path.iterdir())
    (lost,) = formats.write(records, tmp_path / "a.tif", "labelmap", allow_lossy=True)
    assert lost == "image 'a.tif', ids 1, 2: overlap resolved, smallest on top"
    assert np.bincount(tifffile.imread(tmp_path / "a.tif").ravel())[1:].tolist() == [3950, 50, 100]
    with pytest.raises(LossyFormatError, match="uses an id twice"):
        formats.write([(REF, records[0][1]), (REF, records[0][1])], tmp_path / "b.tif", "labelmap")


@pytest.mark.usefixtures("banded")
def test_an_image_with_nothing_on_it_has_a_label_image(tmp_path: Path) -> None:
    formats.write([(REF, Instances.empty(SIZE, ("object",)))], tmp_path / "a.tif", "labelmap")
    assert tifffile.imread(tmp_path / "a.tif").shape == SIZE


@pytest.mark.parametrize("name", ["coco", "geojson"])
def test_pieces_of_objects_make_the_same_file(tmp_path: Path, name: str) -> None:
    instances = objects().replace(labels=None, classes=("object",))
    formats.write(in_pieces(instances, np.arange(len(instances))), tmp_path / "a.json", name)
    formats.write([(REF, instances)], tmp_path / "b.json", name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_two_references_to_one_image_are_two_images(tmp_path: Path) -> None:
    instances = objects(3)
    with pytest.raises(FormatError, match="comes twice"):
        formats.write([(REF, instances), (ImageRef(REF.path, REF.name), instances)], tmp_path / "out", "geojson")


@pytest.mark.usefixtures("banded")
@pytest.mark.parametrize("version", [2, 3])
def test_a_label_pyramid_lies_where_its_metadata_says(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr = pytest.importorskip("zarr")
    monkeypatch.setattr(_levels, "_SMALLEST", 400)
    monkeypatch.setattr(_levels, "WIDE", 1024)
    monkeypatch.setattr(label_bands, "WIDE", 1024)
    image = tmp_path / "plate.zarr"
    group = zarr.open_group(str(image), mode="w", zarr_format=version)
    group.create_array("0", shape=SIZE, dtype="uint8", chunks=(500, 500))
    step = {"type": "scale", "scale": [0.5, 0.25]}
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    stated = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [step]}]}]
    group.attrs.update({"multiscales": stated} if version == 2 else {"ome": {"multiscales": stated}})
    instances = objects()
    ref = ImageRef(image, "plate.zarr", SIZE)
    formats.write([(ref, instances[:9]), (ref, instances[9:])], tmp_path / "out", "ome_zarr")
    label = zarr.open_group(str(tmp_path / "out/plate.zarr/labels/objects"), mode="r")
    assert label.metadata.zarr_format == version
    said = label.attrs["multiscales"] if version == 2 else label.attrs["ome"]["multiscales"]
    full = label["0"][:]
    np.testing.assert_array_equal(full, instances.masks.to_label_map(instances.ids))
    assert [entry["path"] for entry in said[0]["datasets"]] == ["0", "1", "2"]
    assert [axis["unit"] for axis in said[0]["axes"]] == ["micrometer", "micrometer"]
    for entry in said[0]["datasets"]:
        coarse, (scale, shift) = label[entry["path"]][:], entry["coordinateTransformations"]
        places = [
            np.minimum(np.arange(n) * s / one + t / one, length - 1).astype(int)
            for n, s, t, one, length in zip(
                coarse.shape, scale["scale"], shift["translation"], (0.5, 0.25), SIZE, strict=True
            )
        ]
        np.testing.assert_array_equal(coarse, full[np.ix_(*places)])
    ((back, found),) = formats.read(tmp_path / "out", images=tmp_path)
    assert back.path == image
    assert found.masks == instances.masks


def test_one_of_several_label_images_must_be_named(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    instances = objects(4)
    formats.write([(REF, instances)], tmp_path / "a.zarr")
    (tmp_path / "a.zarr/labels/objects").rename(tmp_path / "a.zarr/labels/cells")
    labels = zarr.open_group(str(tmp_path / "a.zarr/labels"), mode="a")
    labels.attrs["ome"] = {"labels": ["cells", "nuclei"]}
    with pytest.raises(FormatError, match=r"several label images; name one of them: .*labels/cells"):
        formats.read(tmp_path / "a.zarr")
    ((ref, found),) = formats.read(tmp_path / "a.zarr/labels/cells")
    assert ref.name == "a.tif"
    assert found.masks == instances.masks


def test_an_empty_file_is_damage(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    formats.write([(REF, objects(4))], tmp_path / "a.zarr")
    (tmp_path / "a.zarr/labels/objects/0/c/0/0").write_bytes(b"")
    with pytest.raises(FormatError, match="is damaged: 0/c/0/0 is empty"):
        formats.read(tmp_path / "a.zarr")[0]
