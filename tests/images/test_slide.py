"""OpenSlide's slides, on pyramids that OpenSlide and tifffile both read; SVS through tifffile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from apiece.core.image import PixelSize
from apiece.errors import ImageError
from apiece.images import image_pixel_size, open_pyramid, read_image
from apiece.images.slide import READER, _pyramid

APERIO = "Aperio Image Library v11.2.1\r\n{} |AppMag = 20|MPP = 0.4990"


def pyramid_file(path: Path, sizes: list[tuple[int, int]], dtype: type = np.uint8) -> Path:
    rng = np.random.default_rng(0)
    with tifffile.TiffWriter(path) as tif:
        for k, (height, width) in enumerate(sizes):
            pixels = rng.integers(0, np.iinfo(dtype).max, (height, width, 3)).astype(dtype)
            tif.write(pixels, tile=(64, 64), photometric="rgb", metadata=None, subfiletype=int(k > 0))
    return path


def test_windows_lie_on_the_exact_grid(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    path = pyramid_file(tmp_path / "a.tif", [(512, 1024), (256, 512), (127, 255)])
    wanted = [tifffile.imread(path, key=k) for k in range(3)]
    with _pyramid(path, None) as pyramid:
        assert pyramid is not None
        assert pyramid.levels == ((512, 1024), (256, 512))  # the third is 4.02 times smaller: windows would not fit
        assert (pyramid.channels, pyramid.alpha) == (4, "unassociated")
        for level in range(2):
            for box in ((0, 0, 70, 50), (33, 65, 201, 190)):
                found = pyramid.window(box, level)
                np.testing.assert_array_equal(found.colours().pixels, wanted[level][box[1] : box[3], box[0] : box[2]])
    decoded = READER.read(path, None, 2**30)
    np.testing.assert_array_equal(decoded.pixels[..., :3], wanted[0])
    with pytest.raises(ImageError, match="too large"):
        READER.read(path, None, 1000)


def test_sixteen_bits_never_go_through_openslide(tmp_path: Path) -> None:
    path = pyramid_file(tmp_path / "a.tif", [(128, 128), (64, 64)], np.uint16)
    with open_pyramid(path) as pyramid:
        assert pyramid.dtype == np.uint16
        np.testing.assert_array_equal(pyramid.window((0, 0, 128, 128)).pixels, tifffile.imread(path, key=0))


def test_svs_goes_through_tifffile_with_its_pixel_size(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.svs", np.random.default_rng(0)
    # as a scanner writes it: the image, a thumbnail in strips, a smaller level, the label and the whole glass
    sizes = [(512, 1024), (96, 192), (128, 256), (50, 60), (40, 90)]
    with tifffile.TiffWriter(path) as tif:
        for (height, width), tiled, kind in zip(sizes, (1, 0, 1, 0, 0), (0, 0, 0, 1, 9), strict=True):
            pixels = rng.integers(0, 255, (height, width, 3)).astype(np.uint8)
            said, tile = APERIO.format(f"{width}x{height}"), (64, 64) if tiled else None
            tif.write(pixels, tile=tile, photometric="rgb", description=said, metadata=None, subfiletype=kind)
    with open_pyramid(path) as pyramid:
        assert pyramid.levels == ((512, 1024), (128, 256))
        assert pyramid.channels == 3
        found = pyramid.window((5, 6, 90, 80), 1).pixels
        np.testing.assert_array_equal(found, tifffile.imread(path, key=2)[6:80, 5:90])
    assert image_pixel_size(path) == PixelSize(0.499, 0.499, "um")
    openslide = pytest.importorskip("openslide")
    with openslide.OpenSlide(path) as slide:
        assert slide.dimensions == (1024, 512)
        assert float(slide.properties["openslide.mpp-x"]) == 0.499


def test_an_ending_tells_a_slide_whatever_its_content(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    (tmp_path / "a.mrxs").write_bytes(b"\xff\xd8\xff\xe0 the thumbnail of a MIRAX slide is a JPEG")
    with pytest.raises(ImageError, match="cannot be decoded as slide"):
        read_image(tmp_path / "a.mrxs")
