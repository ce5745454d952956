"""Whatever is wrong with a file, it is an `ImageError`, and pixels are never made up."""

from __future__ import annotations

import io
import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from apiece.errors import ImageError
from apiece.images import image_size, read_image
from apiece.testing import check_image_reader

RNG = np.random.default_rng(1)
PIXELS = RNG.integers(0, 256, (24, 30, 3), np.uint8)


def _pillow(kind: str, mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(PIXELS).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _tiff(array: np.ndarray = PIXELS, **options: object) -> bytes:
    buffer = io.BytesIO()
    options.setdefault("photometric", "rgb")
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


FILES = {
    "png": _pillow("PNG"),
    "png palette": _pillow("PNG", "P"),
    "jpeg": _pillow("JPEG"),
    "jpeg grey": _pillow("JPEG", "L"),
    "jpeg progressive": _pillow("JPEG", progressive=True),
    "webp": _pillow("WEBP"),
    "webp lossless": _pillow("WEBP", lossless=True),
    "bmp": _pillow("BMP"),
    "bmp palette": _pillow("BMP", "P"),
    "tiff": _tiff(),
    "tiff strips": _tiff(rowsperstrip=4, compression="lzw"),
    "tiff tiles": _tiff(tile=(16, 16), compression="zlib", predictor=True),
    "tiff pages first": _tiff(PIXELS[None], metadata=None),
    "tiff imagej": _tiff(PIXELS[..., 0], photometric="minisblack", imagej=True),
    "tiff ome": _tiff(np.moveaxis(PIXELS, -1, 0), photometric="minisblack", ome=True, metadata={"axes": "CYX"}),
    "tiff pillow": _pillow("TIFF"),
    "tiff pillow deflate": _pillow("TIFF", compression="tiff_adobe_deflate"),
}


def attempt(call: Callable[[Path], Any], path: Path) -> Any:
    """What the call gives, or the `ImageError` it raises; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return call(path)
        except ImageError as error:
            return error


@pytest.mark.parametrize("name", FILES)
def test_a_reader_keeps_its_contract(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(FILES[name])
    check_image_reader(name.partition(" ")[0], [path])


@pytest.mark.parametrize("name", FILES)
def test_truncated_anywhere(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(FILES[name])
    whole = read_image(path).pixels
    for length in range(0, len(FILES[name]), 10):
        path.write_bytes(FILES[name][:length])
        outcome = attempt(read_image, path)
        if isinstance(outcome, ImageError):
            assert outcome.path == path
            assert outcome.reason
            continue
        found = outcome.pixels
        # a trailing note may be lost, a pixel may not
        np.testing.assert_array_equal(found, whole, err_msg=f"cut at {length} of {len(FILES[name])}")
        assert length > len(FILES[name]) - 20 or name.startswith("tiff pillow")


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_never_raise_anything_else(tmp_path: Path, name: str, changes: list[tuple[float, int]]) -> None:
    data = bytearray(FILES[name])
    for at, value in changes:
        # half of the changes go to the first 200 bytes, where the headers are
        data[int(at * 2 * 200) if at < 0.5 and len(data) > 200 else int(at * len(data))] = value
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    for call in (image_size, lambda p: read_image(p, max_pixels=10**6)):
        outcome = attempt(call, path)
        assert not isinstance(outcome, ImageError) or outcome.path == path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x20\0\0\0WEBP", b"BM", b"II*\0", b"MM\0+", b""]),
    st.binary(max_size=80),
)
def test_rubbish_behind_a_magic_number(tmp_path: Path, magic: bytes, rest: bytes) -> None:
    (tmp_path / "a").write_bytes(magic + rest)
    for call in (image_size, read_image):
        with pytest.raises(ImageError):
            call(tmp_path / "a")


def test_missing_empty_folder_text(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello, I am a letter")
    (tmp_path / "val.JSON").write_text('{"images": []}')
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    for name, reason in {
        "none.png": "does not exist",
        "empty.png": "is empty",
        "text.png": "none of .*PNG.*whatever its name says.*hello",
        "val.JSON": "file of labels .*, not an image; name the images",
        "page.jpg": "begins with b'<html>",
        ".": "folder",
    }.items():
        with pytest.raises(ImageError, match=reason) as caught:
            read_image(tmp_path / name)
        assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not a file"):
        read_image(tmp_path / "pipe.png")
    with pytest.raises(ImageError):
        read_image("a\0b.png")


def test_wrong_suffix_is_read_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(FILES["tiff"])
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, PIXELS)


def test_limit_is_what_it_says(tmp_path: Path) -> None:
    for name in ("png", "jpeg", "webp", "bmp", "tiff"):
        (tmp_path / "a").write_bytes(FILES[name])
        assert read_image(tmp_path / "a", max_pixels=24 * 30).size == (24, 30)
        with pytest.raises(ImageError, match=r"24 x 30 .*limit of 719 pixels"):
            read_image(tmp_path / "a", max_pixels=24 * 30 - 1)


def test_only_tiff_has_pages(tmp_path: Path) -> None:
    for name in ("png", "jpeg", "webp", "bmp", "tiff"):
        (tmp_path / "a").write_bytes(FILES[name])
        assert read_image(tmp_path / "a", page=0).size == image_size(tmp_path / "a", page=0)
        with pytest.raises(ImageError, match="no page 1"):
            read_image(tmp_path / "a", page=1)


def test_real_images_as_pillow_reads_them(shared_data: Path) -> None:
    for path in [
        *sorted((shared_data / "nuclei" / "images").iterdir())[:8],
        *sorted((shared_data / "facades" / "images").iterdir())[:2],
    ]:
        expected = np.asarray(Pillow.open(path))
        found = read_image(path).pixels
        np.testing.assert_array_equal(found if expected.ndim == 3 else found[:, :, 0], expected)
        assert image_size(path) == expected.shape[:2]
