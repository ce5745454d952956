"""Readers against pixels made by hand and files written by other libraries."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from apiece.core.image import Image, PixelSize
from apiece.errors import ConfigError, ImageError, InvalidInstancesError
from apiece.images import image_size, read_image, write_image

RNG = np.random.default_rng(7)


def noise(shape: tuple[int, ...], dtype: object = "u1") -> np.ndarray:
    """Every value of the dtype may occur."""
    dtype = np.dtype(dtype)
    if dtype.kind == "b":
        return RNG.random(shape) > 0.5
    if dtype.kind == "f":
        return RNG.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    return RNG.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, raw: bytes, *between: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(between) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("channels", range(1, 13))
@pytest.mark.parametrize("dtype", ["?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"])
def test_tiff_round_trip(tmp_path: Path, dtype: str, channels: int) -> None:
    pixels = noise((5, 7, channels), dtype)
    write_image(tmp_path / "a.tif", pixels)
    found = read_image(tmp_path / "a.tif").pixels
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_png_round_trip(tmp_path: Path, dtype: str, channels: int) -> None:
    pixels = noise((5, 7, channels), dtype)
    write_image(tmp_path / "a.png", pixels)
    image = read_image(tmp_path / "a.png")
    assert (image.pixels.dtype, image.path) == (pixels.dtype, tmp_path / "a.png")
    np.testing.assert_array_equal(image.pixels, pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("dtype", ["?", "u1", ">u2"])
def test_thin_images_and_byte_order(tmp_path: Path, name: str, shape: tuple[int, int], dtype: str) -> None:
    pixels = noise(shape, np.dtype(dtype).newbyteorder("=")).astype(dtype)
    write_image(tmp_path / name, pixels)
    image = read_image(tmp_path / name)
    assert image.size == shape == image_size(tmp_path / name)
    assert image.pixels.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(image.pixels[:, :, 0], pixels)


@pytest.mark.parametrize(("dtype", "channels"), [("f4", 1), ("i2", 1), ("u4", 3), ("u1", 5), ("?", 3)])
def test_png_refuses_what_it_cannot_hold(tmp_path: Path, dtype: str, channels: int) -> None:
    with pytest.raises(ImageError, match=r"\.tif"):
        write_image(tmp_path / "a.png", noise((3, 3, channels), dtype))
    assert list(tmp_path.iterdir()) == []


def test_write_refuses_other_suffixes_and_empty_arrays(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.png, \.tif"):
        write_image(tmp_path / "a.jpg", noise((3, 3)))
    with pytest.raises(ImageError, match="no pixels"):
        write_image(tmp_path / "a.png", np.zeros((0, 3), "u1"))
    (tmp_path / "file").touch()
    with pytest.raises(ImageError, match="cannot be written"):
        write_image(tmp_path / "file" / "a.png", noise((3, 3)))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", noise((3, 3)))
    before = (tmp_path / "a.png").read_bytes()

    def fail(self: Path, data: bytes) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(ImageError, match="disk full"):
        write_image(tmp_path / "a.png", noise((9, 9)))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == before


class TestPng:
    def read(self, tmp_path: Path, data: bytes) -> np.ndarray:
        (tmp_path / "a.png").write_bytes(data)
        return read_image(tmp_path / "a.png").pixels

    @pytest.mark.parametrize(
        ("depth", "expected"), [(1, [False, False, False, True]), (2, [0, 1, 2, 3]), (4, [1, 11, 1, 11])]
    )
    def test_few_bits_keep_their_values(self, tmp_path: Path, depth: int, expected: list[int]) -> None:
        found = self.read(tmp_path, png(4, 1, depth, 0, b"\0" + bytes([0b00011011] * 2)))
        assert found.dtype == (bool if depth == 1 else np.uint8)
        assert found[0, :, 0].tolist() == expected

    def test_few_bits_with_a_transparent_value(self, tmp_path: Path) -> None:
        found = self.read(tmp_path, png(4, 1, 2, 0, b"\0\x1b", chunk(b"tRNS", b"\0\2")))
        assert found[0].tolist() == [[0, 255], [1, 255], [2, 0], [3, 255]]

    def test_palette_expands(self, tmp_path: Path) -> None:
        palette = chunk(b"PLTE", bytes(range(12)))
        data = png(4, 1, 2, 3, b"\0\x1b", palette)
        assert self.read(tmp_path, data)[0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
        clear = png(4, 1, 2, 3, b"\0\x1b", palette, chunk(b"tRNS", b"\0\x80"))
        assert self.read(tmp_path, clear)[0, :, 3].tolist() == [0, 128, 255, 255]

    def test_transparent_colour_becomes_alpha(self, tmp_path: Path) -> None:
        data = png(2, 1, 8, 2, b"\0\1\2\3\4\5\6", chunk(b"tRNS", b"\0\1\0\2\0\3"))
        assert self.read(tmp_path, data)[0].tolist() == [[1, 2, 3, 0], [4, 5, 6, 255]]

    def test_gamma_changes_nothing(self, tmp_path: Path) -> None:
        data = png(1, 1, 8, 2, b"\0\1\2\3", chunk(b"gAMA", struct.pack(">I", 100000)))
        assert self.read(tmp_path, data)[0, 0].tolist() == [1, 2, 3]

    def test_interlaced(self, tmp_path: Path) -> None:
        # Adam7 of a 2 x 2 image: passes 1 (0,0), 6 (0,1) and 7 (second row)
        data = bytearray(png(2, 2, 8, 0, b"\0\1" + b"\0\2" + b"\0\3\4"))
        data[28] = 1
        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
        assert self.read(tmp_path, bytes(data))[:, :, 0].tolist() == [[1, 2], [3, 4]]

    def test_flipped_bit_is_seen(self, tmp_path: Path) -> None:
        data = bytearray(png(4, 4, 8, 0, bytes(20)))
        data[-20] ^= 1
        with pytest.raises(ImageError, match="checksum"):
            self.read(tmp_path, bytes(data))

    def test_bomb(self, tmp_path: Path) -> None:
        with pytest.raises(ImageError, match="cannot hold"):
            self.read(tmp_path, png(30000, 30000, 8, 6, bytes(1000)))
        with pytest.raises(ImageError, match="max_pixels"):
            self.read(tmp_path, png(2**31 - 1, 2**31 - 1, 8, 6, bytes(1000)))

    def test_animation(self, tmp_path: Path) -> None:
        frames = [Pillow.fromarray(noise((4, 4, 3))) for _ in range(3)]
        frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
        with pytest.raises(ImageError, match="animation of 3"):
            read_image(tmp_path / "a.png")


class TestJpeg:
    @pytest.mark.parametrize("mode", ["L", "RGB"])
    @pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
    def test_as_pillow(self, tmp_path: Path, mode: str, options: dict[str, object]) -> None:
        Pillow.fromarray(noise((19, 33, 3))).convert(mode).save(tmp_path / "a.jpg", **options)
        expected = np.asarray(Pillow.open(tmp_path / "a.jpg"))
        found = read_image(tmp_path / "a.jpg").pixels
        np.testing.assert_array_equal(found, expected.reshape(19, 33, -1))

    def test_cmyk_is_refused(self, tmp_path: Path) -> None:
        Pillow.fromarray(noise((9, 9, 4)), "CMYK").save(tmp_path / "a.jpg")
        with pytest.raises(ImageError, match="CMYK"):
            read_image(tmp_path / "a.jpg")

    def test_end_lost_in_a_file_of_full_length(self, tmp_path: Path) -> None:
        buffer = io.BytesIO()
        Pillow.fromarray(noise((64, 64, 3))).save(buffer, "JPEG")
        data = buffer.getvalue()
        (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2] + bytes(len(data) // 2))
        with pytest.raises(ImageError, match="truncated"):
            read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("channels", [3, 4])
def test_webp(tmp_path: Path, channels: int) -> None:
    pixels = noise((9, 5, channels))
    Pillow.fromarray(pixels).save(tmp_path / "a.webp", lossless=True, exact=True)
    np.testing.assert_array_equal(read_image(tmp_path / "a.webp").pixels, pixels)
    assert image_size(tmp_path / "a.webp") == (9, 5)
    Pillow.fromarray(pixels).save(tmp_path / "b.webp", quality=80)
    expected = np.asarray(Pillow.open(tmp_path / "b.webp"))
    assert image_size(tmp_path / "b.webp") == (9, 5)
    np.testing.assert_array_equal(read_image(tmp_path / "b.webp").pixels, expected)


def test_animated_webp(tmp_path: Path) -> None:
    frames = [Pillow.fromarray(noise((4, 4, 3))) for _ in range(3)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="animation"):
        read_image(tmp_path / "a.webp")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmp(tmp_path: Path, mode: str) -> None:
    image = Pillow.fromarray(noise((9, 5, 3))).convert(mode)
    image.save(tmp_path / "a.bmp")
    found = read_image(tmp_path / "a.bmp").pixels
    assert image_size(tmp_path / "a.bmp") == (9, 5)
    assert found.dtype == (bool if mode == "1" else np.uint8)
    expected = np.asarray(image.convert("RGB") if mode == "P" else image)
    np.testing.assert_array_equal(found, expected.reshape(9, 5, -1))


def test_bmp_bomb(tmp_path: Path) -> None:
    Pillow.fromarray(noise((4, 4, 3))).save(tmp_path / "a.bmp")
    data = bytearray((tmp_path / "a.bmp").read_bytes())
    for side, reason in ((30000, "cannot hold"), (10**9, "max_pixels")):
        data[18:26] = struct.pack("<ii", side, side)
        (tmp_path / "a.bmp").write_bytes(data)
        with pytest.raises(ImageError, match=reason):
            read_image(tmp_path / "a.bmp")


UPRIGHT = np.arange(6, dtype=np.uint8).reshape(2, 3)
# what a viewer must show when the stored rows are 012 / 345, drawn by hand from the EXIF standard
SEEN = {
    1: [[0, 1, 2], [3, 4, 5]],
    2: [[2, 1, 0], [5, 4, 3]],
    3: [[5, 4, 3], [2, 1, 0]],
    4: [[3, 4, 5], [0, 1, 2]],
    5: [[0, 3], [1, 4], [2, 5]],
    6: [[3, 0], [4, 1], [5, 2]],
    7: [[5, 2], [4, 1], [3, 0]],
    8: [[2, 5], [1, 4], [0, 3]],
}


@pytest.mark.parametrize("orientation", SEEN)
@pytest.mark.parametrize("suffix", ["png", "tif", "webp", "jpg"])
def test_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    expected = np.array(SEEN[orientation])
    if suffix == "tif":
        tag = (274, "H", 1, orientation, True)
        tifffile.imwrite(path, UPRIGHT, extratags=[tag], resolution=(10, 20), resolutionunit="CENTIMETER")
    else:
        exif = Pillow.Exif()
        exif[274] = orientation
        options = (
            {"lossless": True} if suffix == "webp" else {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
        )
        big = Pillow.fromarray(np.kron(UPRIGHT * 40, np.ones((8, 8), np.uint8)))  # blocks that JPEG keeps
        (big.convert("RGB") if suffix == "webp" else big).save(path, exif=exif, **options)
    image = read_image(path)
    assert image_size(path) == image.size
    if suffix == "tif":
        np.testing.assert_array_equal(image.pixels[:, :, 0], expected)
        assert image.pixel_size is not None
        assert image.pixel_size.to("mm") == (PixelSize(0.5, 1, "mm") if orientation >= 5 else PixelSize(1, 0.5, "mm"))
    else:
        shown = np.rint(image.pixels[4::8, 4::8, 0] / 40).astype(int)
        np.testing.assert_array_equal(shown, expected)


@pytest.mark.parametrize(
    "exif", [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + bytes(30), b"no"]
)
def test_nonsense_exif_leaves_pixels_alone(tmp_path: Path, exif: bytes) -> None:
    (tmp_path / "a.png").write_bytes(png(2, 1, 8, 0, b"\0\1\2", chunk(b"eXIf", exif)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_image(tmp_path / "a.png").pixels[0, :, 0].tolist() == [1, 2]


def test_pillow_agrees_that_orientation_is_applied_once(tmp_path: Path) -> None:
    from PIL import ImageOps

    for orientation in SEEN:
        exif = Pillow.Exif()
        exif[274] = orientation
        Pillow.fromarray(noise((5, 8))).save(tmp_path / "a.png", exif=exif)
        expected = np.asarray(ImageOps.exif_transpose(Pillow.open(tmp_path / "a.png")))
        np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels[:, :, 0], expected)


def test_an_image_carries_its_pixel_size_through_a_tiff(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", Image(noise((3, 3)), pixel_size=PixelSize(0.325, 0.65, "um")))
    found = read_image(tmp_path / "a.tif").pixel_size
    assert found is not None
    assert (found.to("um").x, found.to("um").y) == pytest.approx((0.325, 0.65), rel=1e-6)


RGBA = np.random.default_rng(0).integers(1, 255, (6, 5, 4), np.uint8)
RGBA[0, :, 3] = 0


@pytest.mark.parametrize("ending", ["png", "webp", "tif"])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_known_where_the_file_says_so(tmp_path: Path, ending: str, channels: int) -> None:
    if (ending, channels) == ("webp", 2):
        return  # it has colour only
    path = tmp_path / f"a.{ending}"
    options = {"lossless": True, "exact": True} if ending == "webp" else {}
    Pillow.fromarray(RGBA[..., :4] if channels == 4 else RGBA[..., 2:]).save(path, **options)
    image = read_image(path)
    assert (image.channels, image.alpha) == (channels, "unassociated")
    assert image.data is not None
    assert (image.data == (RGBA[..., 3] > 0)).all()
    colours = image.colours()
    assert (colours.channels, colours.alpha, colours.path) == (channels - 1, None, path)
    assert (colours.pixels[1:] == image.pixels[1:, :, :-1]).all()
    assert np.ptp(colours.pixels[0], axis=0).max() == 0  # the median of the rest


@pytest.mark.parametrize("alpha", [None, "unassociated", "associated"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [2, 4, 5])
def test_alpha_goes_into_a_tiff_and_back(tmp_path: Path, alpha: Any, dtype: str, channels: int) -> None:
    pixels = np.concatenate([RGBA] * 2, 2)[..., 8 - channels :].astype(dtype)
    image = Image(pixels, alpha=alpha)
    write_image(tmp_path / "a.tif", image)
    back = read_image(tmp_path / "a.tif")
    assert (back.alpha, back.pixels.dtype) == (alpha, np.dtype(dtype))
    assert (back.pixels == pixels).all()


def test_associated_alpha_is_divided_out() -> None:
    pixels = np.array([[[50, 128], [50, 255], [7, 0], [200, 100]]], np.uint8)
    image = Image(pixels, alpha="associated")
    assert image.colours().pixels[0, :, 0].tolist() == [100, 50, 100, 255]
    straight = Image(pixels, alpha="unassociated")
    assert straight.colours().pixels[0, :, 0].tolist() == [50, 50, 50, 200]
    opaque = Image(np.full((2, 2, 2), 255, np.uint8), alpha="associated")
    assert opaque.data is None
    with pytest.raises(ImageError, match="a PNG holds unassociated alpha"):
        write_image("a.png", image)
    with pytest.raises(InvalidInstancesError, match="no alpha channel beside"):
        Image(np.zeros((2, 2, 1)), alpha="associated")


def test_two_channels_without_a_word_are_no_alpha(tmp_path: Path) -> None:
    deep = np.full((6, 5, 2), 65535, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(deep, 2, 0), imagej=True, metadata={"axes": "CYX"})
    image = read_image(tmp_path / "a.tif")
    assert (image.channels, image.alpha, image.data) == (2, None, None)
    assert image.colours() is image
