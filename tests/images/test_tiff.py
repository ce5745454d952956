"""TIFF as others write it: planar, tiled, compressed, ImageJ, OME, several pages, broken ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from apiece.core.image import PixelSize
from apiece.errors import ImageError
from apiece.images import image_size, open_pyramid, read_image, write_image
from apiece.transforms.input import seen

RNG = np.random.default_rng(3)
STACK = RNG.integers(0, 60000, (5, 20, 30), np.uint16)


def written(tmp_path: Path, array: np.ndarray, **options: object) -> Path:
    options.setdefault("photometric", "minisblack")
    tifffile.imwrite(tmp_path / "a.tif", array, **options)
    return tmp_path / "a.tif"


@pytest.mark.parametrize("options", [
    {"planarconfig": "separate"},
    {"metadata": {"axes": "CYX"}},
    {"imagej": True, "metadata": {"axes": "CYX"}},
    {"ome": True, "metadata": {"axes": "CYX"}},
    {"planarconfig": "separate", "compression": "zlib", "predictor": True, "tile": (16, 16)},
    {"planarconfig": "separate", "compression": "lzw", "bigtiff": True, "byteorder": ">"},
])  # fmt: skip
def test_channels_first(tmp_path: Path, options: dict[str, object]) -> None:
    path = written(tmp_path, STACK, **options)
    np.testing.assert_array_equal(read_image(path).pixels, np.moveaxis(STACK, 0, -1))
    assert image_size(path) == (20, 30)


@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"tile": (16, 32), "compression": "lzw"}])
def test_channels_last(tmp_path: Path, options: dict[str, object]) -> None:
    pixels = np.moveaxis(STACK, 0, -1)
    np.testing.assert_array_equal(
        read_image(written(tmp_path, pixels, planarconfig="contig", **options)).pixels, pixels
    )


@pytest.mark.parametrize("metadata", [None, {}])
def test_pages_must_be_named(tmp_path: Path, metadata: dict[str, object] | None) -> None:
    path = written(tmp_path, STACK, metadata=metadata)
    for call in (read_image, image_size):
        with pytest.raises(ImageError, match=r"5 pages .*page=0 to page=4"):
            call(path)
        with pytest.raises(ImageError, match=r"no page 5"):
            call(path, page=5)
    np.testing.assert_array_equal(read_image(path, page=3).pixels[:, :, 0], STACK[3])


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_z_stack_is_refused_unless_a_plane_is_named(tmp_path: Path, kind: str) -> None:
    stack = RNG.integers(0, 60000, (2, 3, 20, 30), np.uint16)
    path = written(tmp_path, stack, **{kind: True}, metadata={"axes": "ZCYX"})
    with pytest.raises(ImageError, match=r"2 images \(a stack of axes Z"):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, page=1).pixels, np.moveaxis(stack[1], 0, -1))


def test_imagej_stack_with_one_directory(tmp_path: Path) -> None:
    # what ImageJ writes beyond 4 GB: one directory, then all planes in a row
    path = written(tmp_path, STACK, imagej=True, metadata={"axes": "CYX"}, truncate=True)
    np.testing.assert_array_equal(read_image(path).pixels, np.moveaxis(STACK, 0, -1))
    path = written(tmp_path, STACK, imagej=True, metadata={"axes": "TYX"}, truncate=True)
    np.testing.assert_array_equal(read_image(path, page=4).pixels[:, :, 0], STACK[4])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ImageError):
        read_image(path, page=4)


def test_pyramid_reads_its_full_size(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(STACK[0], subifds=1, photometric="minisblack")
        tif.write(STACK[0, ::2, ::2], subfiletype=1, photometric="minisblack")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels[:, :, 0], STACK[0])


def test_page_that_is_a_thumbnail_is_no_page(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        tif.write(STACK[0], photometric="minisblack", metadata=None)
        tif.write(STACK[0, ::4, ::4], subfiletype=1, photometric="minisblack", metadata=None)
    assert read_image(tmp_path / "a.tif").size == (20, 30)


def test_white_is_zero(tmp_path: Path) -> None:
    path = written(tmp_path, STACK[0], photometric="miniswhite")
    np.testing.assert_array_equal(read_image(path).pixels[:, :, 0], 65535 - STACK[0])
    path = written(tmp_path, STACK[0].astype(np.float32), photometric="miniswhite")
    with pytest.raises(ImageError, match="white-is-zero"):
        read_image(path)


@pytest.mark.parametrize(("factor", "dtype"), [(257, np.uint8), (256, np.uint8), (1, np.uint8), (3, np.uint16)])
def test_palette(tmp_path: Path, factor: int, dtype: type) -> None:
    colours = RNG.integers(0, 256, (3, 256)).astype(np.uint16)
    colours[:, 0] = (101, 201, 255)  # so that no table is a multiple of 256 by chance
    index = RNG.integers(0, 256, (20, 30)).astype(np.uint8)
    found = read_image(written(tmp_path, index, photometric="palette", colormap=colours * factor)).pixels
    assert found.dtype == dtype
    scale = 3 if dtype == np.uint16 else 1
    np.testing.assert_array_equal(found, np.moveaxis(colours[:, index] * scale, 0, -1))


@pytest.mark.parametrize("bits", [1, 2, 4, 12])
def test_few_bits(tmp_path: Path, bits: int) -> None:
    pixels = RNG.integers(0, 2**bits, (5, 7))
    rows = np.concatenate([
        np.packbits(((row[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).ravel()) for row in pixels
    ])  # fmt: skip
    data = rows.tobytes()
    entries = [(256, 4, 7), (257, 4, 5), (258, 3, bits), (259, 3, 1), (262, 3, 1), (273, 4, 8), (277, 3, 1),
               (278, 4, 5), (279, 4, len(data))]  # fmt: skip
    head = b"II*\0" + struct.pack("<I", 8 + len(data)) + data
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in entries)
    (tmp_path / "a.tif").write_bytes(head + body + bytes(4))
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels[:, :, 0], pixels)


def test_kinds_that_are_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="complex"):
        read_image(written(tmp_path, np.ones((4, 4), np.complex64)))
    with pytest.raises(ImageError, match="SEPARATED"):
        read_image(written(tmp_path, np.ones((4, 4, 4), np.uint8), photometric="separated"))


def test_jpeg_in_tiff(tmp_path: Path) -> None:
    pixels = np.broadcast_to(np.uint8([200, 40, 90]), (32, 32, 3)).copy()
    path = written(tmp_path, pixels, photometric="rgb", compression="jpeg")
    with tifffile.TiffFile(path) as tif:
        assert tif.pages[0].photometric.name == "YCBCR"
    found = read_image(path).pixels
    assert np.abs(found.astype(int) - pixels).max() <= 3


@pytest.mark.parametrize(("options", "expected"), [
    ({"resolution": (20000, 40000), "resolutionunit": "CENTIMETER"}, PixelSize(0.5, 0.25, "um")),
    ({"resolution": (254, 254), "resolutionunit": "INCH"}, PixelSize(100, 100, "um")),
    ({"resolution": (72, 72), "resolutionunit": "INCH"}, None),
    ({"resolution": (20, 20), "resolutionunit": "NONE"}, None),
    ({}, None),
    ({"imagej": True, "resolution": (2, 4), "metadata": {"unit": "um"}}, PixelSize(0.5, 0.25, "um")),
    ({"imagej": True, "resolution": (2, 4), "metadata": {"unit": "micron"}}, PixelSize(0.5, 0.25, "um")),
    ({"imagej": True, "resolution": (2, 4), "metadata": {"unit": "\\u00B5m"}}, PixelSize(0.5, 0.25, "um")),
    ({"imagej": True, "resolution": (2, 4), "metadata": {"unit": "pixel"}}, None),
    ({"ome": True, "metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 250,
                                "PhysicalSizeYUnit": "nm"}}, PixelSize(0.5, 0.25, "um")),
    ({"ome": True, "metadata": {"PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25}}, PixelSize(0.5, 0.25, "um")),
    ({"ome": True, "metadata": {}}, None),
])  # fmt: skip
def test_pixel_size(tmp_path: Path, options: dict[str, object], expected: PixelSize | None) -> None:
    found = read_image(written(tmp_path, STACK[0], **options)).pixel_size
    if expected is None:
        assert found is None
    else:
        assert found is not None
        assert (found.to("um").x, found.to("um").y) == pytest.approx((expected.x, expected.y), rel=1e-6)


def test_pixels_that_are_not_there(tmp_path: Path) -> None:
    path = written(tmp_path, STACK[0], rowsperstrip=5, compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as tif:
        tag = tif.pages[0].tags["StripByteCounts"]
        tag.overwrite([0, *tag.value[1:]])
    with pytest.raises(ImageError, match="1 of 4 strips or tiles hold no data"):
        read_image(path)


def test_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    for options in ({}, {"compression": "zlib"}):
        path = written(tmp_path, STACK[0], **options)
        for side, reason in ((30, "damaged"), (20000, "damaged"), (10**6, "max_pixels")):
            with tifffile.TiffFile(path, mode="r+") as tif:
                tif.pages[0].tags["ImageLength"].overwrite(side)
                tif.pages[0].tags["RowsPerStrip"].overwrite(side)
            with pytest.raises(ImageError, match=reason):
                read_image(path, max_pixels=10**6)  # the limit comes first where both apply
            if reason == "max_pixels":
                with pytest.raises(ImageError):
                    read_image(path)


def test_circle_of_pages(tmp_path: Path) -> None:
    path = written(tmp_path, STACK[0], metadata=None)
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * count, at)
    path.write_bytes(data)
    with pytest.raises(ImageError, match="circle"):
        read_image(path)


@pytest.mark.parametrize(
    ("dtype", "text", "value"),
    [
        ("f4", "nan", np.nan),
        ("f4", "-9999", -9999.0),
        ("f4", "-3.4028234663852886e+38", np.finfo("f4").min),
        ("u1", "0", 0.0),
    ],
)
def test_nodata_is_what_gdal_says(tmp_path: Path, dtype: str, text: str, value: float) -> None:
    pixels = np.random.default_rng(0).integers(1, 99, (40, 48, 3)).astype(dtype)
    pixels[:20, :16] = value
    pixels[30, 40, :2] = np.nan_to_num(value)  # one channel tells that there is something
    path = tmp_path / "a.tif"
    tag = [(42113, "s", 0, text, True)]
    tifffile.imwrite(path, pixels, tile=(16, 16), photometric="rgb", compression="zlib", extratags=tag)
    image, empty = read_image(path), np.zeros((40, 48), bool)
    empty[:20, :16] = True
    np.testing.assert_array_equal(image.pixels, pixels)
    np.testing.assert_equal(image.nodata, value)
    assert image.data is not None
    np.testing.assert_array_equal(~image.data, empty)
    assert np.isfinite(image.colours().pixels[empty]).all()
    assert image.colours().data is None
    np.testing.assert_array_equal(seen(image, 3)[1], ~empty)
    with open_pyramid(path) as pyramid:
        np.testing.assert_array_equal(pyramid.window((8, 8, 40, 40)).data, ~empty[8:40, 8:40])
        assert pyramid.window((20, 0, 40, 20)).data is None
    write_image(tmp_path / "b.tif", image)
    np.testing.assert_equal(read_image(tmp_path / "b.tif").nodata, value)
    with pytest.raises(ImageError, match=r"does not say that .* is no data|cannot hold"):
        write_image(tmp_path / "b.png", image)


@pytest.mark.parametrize("text", ["-1", "300", "0.5", "inf", "nan", "none"])
def test_nodata_that_no_pixel_can_have_is_none(tmp_path: Path, text: str) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[(42113, "s", 0, text, True)])
    assert read_image(tmp_path / "a.tif").nodata is None


def test_tiles_that_gdal_leaves_out_are_nodata_in_windows_too(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    options = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "int16", "nodata": -5}
    with rasterio.open(
        tmp_path / "a.tif", "w", tiled=True, blockxsize=32, blockysize=32, sparse_ok=True, **options
    ) as out:
        out.write(np.full((1, 32, 32), 7, np.int16), window=((0, 32), (0, 32)))
    whole = read_image(tmp_path / "a.tif")
    with open_pyramid(tmp_path / "a.tif") as pyramid:
        np.testing.assert_array_equal(pyramid.window((0, 0, 64, 64)).pixels, whole.pixels)
    assert whole.data is not None
    assert whole.data.sum() == 32 * 32
