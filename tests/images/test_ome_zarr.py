"""OME-Zarr, Zarr 2 and 3: planes, levels, pixel size, and what is wrong with a folder."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apiece.core.image import PixelSize
from apiece.errors import ImageError
from apiece.images import image_size, open_pyramid, read_image
from apiece.predict import find_sources

zarr = pytest.importorskip("zarr")
PIXELS = np.random.default_rng(0).integers(0, 60_000, (2, 3, 2, 40, 56), dtype=np.uint16)  # t, c, z, y, x
AXES = [
    {"name": "t", "type": "time"},
    {"name": "c", "type": "channel"},
    *({"name": name, "type": "space", "unit": "micrometer"} for name in "zyx"),
]


def written(path: Path, version: int, pixels: np.ndarray = PIXELS, axes: list[Any] = AXES) -> Path:
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    datasets = []
    for level, step in enumerate((1, 2)):
        values = pixels[..., ::step, ::step]
        shards = {} if version == 2 else {"shards": (1,) * (pixels.ndim - 2) + (32, 32)}
        array = group.create_array(
            f"s{level}", shape=values.shape, dtype=values.dtype, chunks=(1,) * (pixels.ndim - 2) + (16, 16), **shards
        )
        array[:] = values
        scale = [1.0] * (pixels.ndim - 2) + [0.5 * step, 0.25 * step]
        datasets.append({"path": f"s{level}", "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    note = [{"axes": axes, "datasets": datasets}]
    if version == 2:
        group.attrs["multiscales"] = [note[0] | {"version": "0.4"}]
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": note}
    return path


@pytest.mark.parametrize("version", [2, 3])
def test_a_plane_is_read_whole_and_in_windows(tmp_path: Path, version: int) -> None:
    path = written(tmp_path / "a.zarr", version)
    image = read_image(path, page=3)  # the second time point, its second plane
    np.testing.assert_array_equal(image.pixels, PIXELS[1, :, 1].transpose(1, 2, 0))
    assert image.pixel_size == PixelSize(0.25, 0.5, "um")
    assert image_size(path, page=0) == (40, 56)
    with open_pyramid(path, page=3) as pyramid:
        assert (pyramid.levels, pyramid.channels, pyramid.dtype) == (((40, 56), (20, 28)), 3, np.uint16)
        np.testing.assert_array_equal(pyramid.window((5, 7, 50, 31)).pixels, image.pixels[7:31, 5:50])
        coarse = pyramid.window((1, 2, 20, 15), level=1)
        np.testing.assert_array_equal(coarse.pixels, image.pixels[::2, ::2][2:15, 1:20])
        assert coarse.pixel_size == PixelSize(0.5, 1.0, "um")


def test_several_planes_need_a_page(tmp_path: Path) -> None:
    path = written(tmp_path / "a.zarr", 3)
    with pytest.raises(ImageError, match=r"planes \(time and depth: 2 x 2\)"):
        read_image(path)
    with pytest.raises(ImageError, match="page"):
        read_image(path, page=4)


def test_axes_may_come_in_any_order_and_a_plain_array_has_two(tmp_path: Path) -> None:
    grey = PIXELS[0, 0, 0]
    path = written(tmp_path / "a.zarr", 3, grey, [{"name": "y", "unit": "pixel"}, {"name": "x", "unit": "pixel"}])
    assert read_image(path).pixel_size is None
    np.testing.assert_array_equal(read_image(path).pixels[..., 0], grey)
    plain = zarr.create_array(str(tmp_path / "plain.zarr"), shape=grey.shape, dtype=grey.dtype)
    plain[:] = grey
    np.testing.assert_array_equal(read_image(tmp_path / "plain.zarr").pixels[..., 0], grey)


def test_a_zarr_is_one_image_in_a_folder_of_images(tmp_path: Path) -> None:
    written(tmp_path / "plates" / "a.zarr", 3)
    assert [source.name for source in find_sources(tmp_path / "plates")] == ["a.zarr"]
    assert [source.name for source in find_sources(tmp_path / "plates" / "a.zarr")] == ["a.zarr"]


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "g.zarr"), mode="w")
    group.create_array("raw", shape=(2, 3, 4), dtype="uint8")
    with pytest.raises(ImageError, match=r"without an image; name one of its parts \(raw\)"):
        read_image(tmp_path / "g.zarr")
    with pytest.raises(ImageError, match="whose axes nobody names"):
        read_image(tmp_path / "g.zarr" / "raw")
    path = written(tmp_path / "a.zarr", 3, PIXELS[0, 0], [{"name": name} for name in ("u", "y", "x")])
    with pytest.raises(ImageError, match="has the axes u, y, x"):
        read_image(path)
    group = zarr.open_group(str(path), mode="r+")
    group.attrs["ome"] = {"multiscales": [{"axes": AXES, "datasets": [{"path": "absent"}]}]}
    with pytest.raises(ImageError, match="multiscales cannot be read"):
        read_image(path)
