"""Images read in windows: the same pixels as read whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from apiece.core.image import PixelSize
from apiece.errors import ImageError
from apiece.images import open_pyramid, read_image, write_image

RGB = np.random.default_rng(0).integers(0, 60_000, (60, 100, 3), dtype=np.uint16)
KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "tiles": (RGB, {"photometric": "rgb", "tile": (16, 32)}),
    "planes of tiles": (
        RGB.transpose(2, 0, 1),
        {"photometric": "rgb", "tile": (16, 32), "planarconfig": "separate", "compression": "zlib"},
    ),
    "planes": (RGB.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}),
    "strips": (RGB, {"photometric": "rgb", "rowsperstrip": 7, "compression": "lzw"}),
    "one strip": (RGB, {"photometric": "rgb"}),
    "big-endian": (RGB, {"photometric": "rgb", "byteorder": ">"}),
    "predictor": (RGB[..., 0], {"tile": (32, 32), "compression": "zlib", "predictor": 2}),
    "white is zero": (RGB[..., 0], {"photometric": "miniswhite", "tile": (32, 32)}),
    "bits": (RGB[..., 0] > 30_000, {}),
    "ImageJ": (RGB.transpose(2, 0, 1), {"imagej": True, "metadata": {"axes": "CYX"}}),
    "OME": (RGB.transpose(2, 0, 1), {"ome": True, "metadata": {"axes": "CYX"}, "tile": (16, 16)}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_windows_of_a_tiff_are_those_of_the_whole_image(tmp_path: Path, kind: str) -> None:
    pixels, how = KINDS[kind]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, **how)
    whole = read_image(path)
    rng = np.random.default_rng(1)
    with open_pyramid(path) as pyramid:
        assert (pyramid.size, pyramid.channels, pyramid.dtype) == (whole.size, whole.channels, whole.pixels.dtype)
        for _ in range(10):
            x0, x1 = np.sort(rng.choice(101, 2, replace=False)).tolist()
            y0, y1 = np.sort(rng.choice(61, 2, replace=False)).tolist()
            np.testing.assert_array_equal(pyramid.window((x0, y0, x1, y1)).pixels, whole.pixels[y0:y1, x0:x1])


def test_a_png_is_held_whole(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", RGB)
    with open_pyramid(tmp_path / "a.png") as pyramid:
        np.testing.assert_array_equal(pyramid.window((3, 4, 9, 8)).pixels, RGB[4:8, 3:9])
        with pytest.raises(ValueError, match="does not lie within level 0 of 60 x 100 pixels"):
            pyramid.window((3, 4, 101, 8))


def slide(path: Path, coarse: np.ndarray) -> Path:
    size = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    with tifffile.TiffWriter(path) as tif:
        tif.write(RGB, subifds=1, tile=(16, 16), photometric="rgb", metadata={"axes": "YXS", **size})
        tif.write(coarse, subfiletype=1, tile=(16, 16), photometric="rgb")
    return path


def test_levels_have_their_own_size_and_pixel_size(tmp_path: Path) -> None:
    with open_pyramid(slide(tmp_path / "a.ome.tif", RGB[::2, ::2])) as pyramid:
        assert pyramid.levels == ((60, 100), (30, 50))
        window = pyramid.window((5, 6, 50, 30), level=1)
        np.testing.assert_array_equal(window.pixels, RGB[::2, ::2][6:30, 5:50])
        assert window.pixel_size == PixelSize(1.0, 1.0, "um")


def test_levels_that_contradict_are_named(tmp_path: Path) -> None:
    path = slide(tmp_path / "a.ome.tif", RGB[:20, ::2])
    with (
        pytest.raises(ImageError, match=r"level 1 has 20 x 50 pixels .* no smaller copy of 60 x 100"),
        open_pyramid(path),
    ):
        pass


def test_a_damaged_tile_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", tile=(16, 32), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        at = tif.pages[0].dataoffsets[5]  # row 1, column 1
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 40)
    with open_pyramid(path) as pyramid:
        pyramid.window((0, 0, 100, 16))
        with pytest.raises(ImageError, match="tile at x 32, y 16 cannot be decoded"):
            pyramid.window((0, 0, 100, 17))


@pytest.mark.parametrize("names", [("TileWidth", "TileLength"), ("RowsPerStrip", "ImageLength", "ImageWidth")])
def test_a_strip_or_tile_that_claims_too_much_is_refused_unread(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = tmp_path / "a.tif"
    shape = {"tile": (32, 32)} if "TileWidth" in names else {"rowsperstrip": 100}
    tifffile.imwrite(path, np.zeros((100, 100), np.uint8), compression="zlib", **shape)
    with tifffile.TiffFile(path, mode="r+b") as tif:
        for name in names:
            tif.pages[0].tags[name].overwrite(60_000)
    with pytest.raises(ImageError, match=r"is too large: its header says 60000 x 60000 pixels"), open_pyramid(path):
        pass
