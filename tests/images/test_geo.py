"""GeoTIFF: where pixels lie in the world, with rasterio as the oracle; label images that stay there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tests.cli.set_scenes import run

from apiece import ImageRef, Instances, Masks, formats
from apiece.core.image import PixelSize
from apiece.images import geo_tags, image_pixel_size, open_pyramid, place_of, read_image

rasterio = pytest.importorskip("rasterio")
SIZE = (40, 60)


def mosaic(path: Path, epsg: int = 32633, point: bool = False, **more: object) -> Path:
    """Write what GDAL writes: upper left corner at 500000, 5400000, pixels of 0.5 x 0.25 units."""
    corner = (500000.0, 5400000.0) if epsg != 4326 else (15.0, 48.0)
    step = (0.5, 0.25) if epsg != 4326 else (1e-5, 1e-5)
    transform = rasterio.Affine(step[0], 0, corner[0], 0, -step[1], corner[1])
    profile = {"driver": "GTiff", "height": SIZE[0], "width": SIZE[1], "count": 1, "dtype": "uint8", **more}
    with rasterio.open(path, "w", crs=f"EPSG:{epsg}", transform=transform, **profile) as out:
        if point:
            out.update_tags(AREA_OR_POINT="Point")
        out.write(np.arange(SIZE[0] * SIZE[1], dtype=np.uint8).reshape(1, *SIZE))
    return path


def found() -> Instances:
    boxes = [[2, 3, 12, 9], [20, 10, 50, 30], [0, 30, 5, 40]]
    return Instances(Masks.from_boxes(boxes, SIZE), classes=("tree",), scores=[0.5, 0.75, 1], ids=[1, 2, 3])


@pytest.mark.parametrize("tiled", [False, True])
def test_what_a_file_states(tmp_path: Path, tiled: bool) -> None:
    more = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate"} if tiled else {}
    path = mosaic(tmp_path / "a.tif", **more)
    place = place_of(path)
    assert place is not None
    assert place.transform == (500000.0, 0.5, 0.0, 5400000.0, 0.0, -0.25)
    assert place.crs == "EPSG:32633"
    assert image_pixel_size(path) == read_image(path).pixel_size == PixelSize(0.5, 0.25, "m")
    with open_pyramid(path) as pyramid:
        assert pyramid.pixel_size == PixelSize(0.5, 0.25, "m")


def test_pixels_as_points_lie_half_a_pixel_apart(tmp_path: Path) -> None:
    area, point = mosaic(tmp_path / "area.tif"), mosaic(tmp_path / "point.tif", point=True)
    ties = [{tag[0]: tag[3] for tag in geo_tags(path)}[33922] for path in (area, point)]
    assert ties[0][3:5] == (500000.0, 5400000.0)  # of the corner
    assert ties[1][3:5] == (500000.25, 5399999.875)  # of the first pixel's centre, which GDAL wrote
    assert place_of(area) == place_of(point)
    tags = [(code, kind, count, ties[0] if code == 33922 else value, once)
            for code, kind, count, value, once in geo_tags(point)]  # fmt: skip
    tifffile.imwrite(tmp_path / "moved.tif", np.zeros(SIZE, np.uint8), extratags=tags, metadata=None)
    moved = place_of(tmp_path / "moved.tif")
    assert moved is not None
    assert moved.transform == (499999.75, 0.5, 0.0, 5400000.125, 0.0, -0.25)


def test_degrees_and_feet(tmp_path: Path) -> None:
    degrees = mosaic(tmp_path / "degrees.tif", 4326)
    assert image_pixel_size(degrees) is None
    feet = image_pixel_size(mosaic(tmp_path / "feet.tif", 2263))
    assert feet is not None
    assert feet.unit == "m"
    assert feet.x == pytest.approx(0.5 * 1200 / 3937)


def test_other_files_lie_nowhere(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), resolution=(1000, 1000), resolutionunit=3)
    assert place_of(tmp_path / "a.tif") is None
    assert geo_tags(tmp_path / "a.tif") == geo_tags(tmp_path / "absent.tif") == ()
    assert image_pixel_size(tmp_path / "a.tif") == PixelSize(1e-3, 1e-3, "cm")


def test_label_images_stay_where_their_image_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = mosaic(tmp_path / "a.tif", point=True)
    labels = found().replace(scores=None, labels=None, classes=("object",))
    for large in (False, True):
        if large:
            monkeypatch.setattr(formats.contract, "LARGE", 1000)
        out = tmp_path / f"labels{large}.tif"
        formats.write([(ImageRef(image, "a.tif"), labels)], out, "labelmap")
        assert place_of(out) == place_of(image)
        with rasterio.open(out) as opened, rasterio.open(image) as before:
            assert opened.crs == before.crs
            assert opened.transform == before.transform
        assert formats.read(out, "labelmap")[0][1].masks == labels.masks


@pytest.mark.parametrize("epsg", [32633, 2263, 4326, 3031])
def test_geojson_has_longitudes_and_latitudes(tmp_path: Path, epsg: int) -> None:
    from rasterio.warp import transform

    place = place_of(mosaic(tmp_path / "a.tif", epsg))
    assert place is not None
    attributes = {"geotransform": list(place.transform), "crs": place.crs}
    ref = ImageRef(tmp_path / "a.tif", "a.tif", SIZE, attributes=attributes)
    formats.write([(ref, found())], tmp_path / "a.geojson")
    document = json.loads((tmp_path / "a.geojson").read_text())
    assert not {"crs", "geotransform"} & document.keys()  # RFC 7946 knows neither
    ring = np.array(document["features"][0]["geometry"]["coordinates"][0])
    corners = np.array([[2, 3], [12, 3], [12, 9], [2, 9]])
    x0, dx, _, y0, _, dy = place.transform
    lon, lat = transform(place.crs, "EPSG:4326", x0 + dx * corners[:, 0], y0 + dy * corners[:, 1])
    wanted = {(round(x, 9), round(y, 9)) for x, y in zip(lon, lat, strict=True)}
    assert {tuple(p) for p in ring.round(9).tolist()} == wanted
    a, b = ring[:-1], ring[1:]
    assert (a[:, 0] * b[:, 1] - b[:, 0] * a[:, 1]).sum() > 0  # counter-clockwise
    ((back, instances),) = formats.read(tmp_path / "a.geojson")
    assert back.attributes == attributes
    assert instances.masks == found().masks


def test_info_and_predict_on_a_mosaic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = mosaic(tmp_path / "mosaic.tif", point=True)
    assert run("info", image, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["height"], said["width"], said["dtype"]) == (40, 60, "uint8")
    assert said["world"] == {"crs": "EPSG:32633", "geotransform": [500000.0, 0.5, 0.0, 5400000.0, 0.0, -0.25]}
    assert said["pixel_size"]["text"] == "0.5 x 0.25 m"
    assert run("info", image) == 0
    assert "EPSG:32633" in capsys.readouterr().out


def test_a_system_that_nobody_knows_changes_no_coordinates(tmp_path: Path) -> None:
    ref = ImageRef(tmp_path / "a.tif", "a.tif", SIZE, attributes={"geotransform": [0, 1, 0, 0, 0, 1], "crs": "moon"})
    formats.write([(ref, found())], tmp_path / "a.geojson")
    assert json.loads((tmp_path / "a.geojson").read_text())["crs"] == "moon"
    assert formats.read(tmp_path / "a.geojson")[0][1].masks == found().masks
