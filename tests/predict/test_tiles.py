"""Large images in tiles: the same answer as whole, resumed after a crash, holes where pixels are damaged."""

from __future__ import annotations

import json
import signal
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from tests.predict.known_model import Blobs, Settings

from apiece import Image, Instances, Masks, formats
from apiece.errors import ConfigError, DataError, ImageError
from apiece.formats import contract
from apiece.images import read_image
from apiece.models._engine.folder import save_model
from apiece.models.contract import ModelInput
from apiece.predict import Model, load, predict_to
from apiece.predict.sources import Source
from apiece.predict.tiles import TileStore, Tiling, halo_for, open_large, plan_of
from apiece.transforms.input import value_limits, value_limits_of
from apiece.transforms.scale import Scale


@pytest.fixture
def one_class(folder: Path, tmp_path: Path) -> Model:
    """The model whose answers are known: each value of an image is an object."""
    spec = ModelInput(1, "range", mean=(0,), std=(1,))
    save_model(tmp_path / "one", Blobs(), architecture="blobs", config=Settings(), input=spec, classes=("object",))
    return load(tmp_path / "one", "cpu")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A 150 x 200 image with discs of 30 values, one of them larger than a tile of 64 pixels, with a hole."""
    rng = np.random.default_rng(0)
    y, x = np.indices((150, 200)) + 0.5
    pixels = np.zeros((150, 200), np.uint8)
    for value in range(2, 32):
        cx, cy = rng.uniform(0, 200), rng.uniform(0, 150)
        pixels[(x - cx) ** 2 + (y - cy) ** 2 < rng.uniform(3, 10) ** 2] = value
    ring = (x - 90) ** 2 + (y - 80) ** 2
    pixels[(ring < 50**2) & (ring > 43**2)] = 40
    tifffile.imwrite(tmp_path / "large.tif", pixels, tile=(16, 16), compression="zlib")
    return tmp_path / "large.tif"


def as_text(masks: Masks) -> list[str]:
    return sorted(str(one["counts"]) for one in masks.to_coco())


@pytest.mark.parametrize(("tile", "halo"), [(64, 16), (80, 10), (64, None), (512, 8)])
def test_the_answer_is_that_of_the_whole_image(one_class: Model, large: Path, tile: int, halo: int | None) -> None:
    truth = Masks.from_label_map(read_image(large).pixels[..., 0])
    found = Instances.concatenate(list(one_class.predict_tiled(large, tile=tile, halo=halo, conf=0)))
    assert as_text(found.masks) == as_text(truth)
    again = one_class.predict_tiled(read_image(large).pixels, tile=tile, halo=halo, conf=0, batch=3)
    assert as_text(Instances.concatenate(list(again)).masks) == as_text(truth)


def test_a_halo_that_leaves_nothing_is_refused(one_class: Model, large: Path) -> None:
    with pytest.raises(ConfigError, match="leave no core"):
        next(one_class.predict_tiled(large, tile=64, halo=32))


def test_tiles_of_no_pixels_are_refused(one_class: Model, large: Path) -> None:
    for tile in (0, 10):
        with pytest.raises(ConfigError, match=rf"tile.*{tile} is too small: .* halo on each side"):
            list(one_class.predict_tiled(large, tile=tile))


def test_the_halo_comes_from_the_objects_that_were_learned() -> None:
    assert halo_for(1024, ModelInput(), 32) == 128
    learned = ModelInput(learned=Scale(None, (5, 20, 60, 99.5)))
    assert halo_for(1024, learned, 32) == 100 + 64
    assert halo_for(256, learned, 32) == 64
    assert Tiling(1024, 40).grid((5000, 5000), learned, 32).halo == 40


def test_files_are_those_of_the_whole_image(one_class: Model, large: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    predict_to(
        one_class, large, tmp_path / "tiled", ("coco", "geojson", "labelmap", "csv", "overlay"), conf=0, tile=64,
        progress=lambda *step: steps.append(step),
    )  # fmt: skip
    truth = as_text(Masks.from_label_map(read_image(large).pixels[..., 0]))
    for name in ("predictions.json", "geojson/large.geojson", "labelmaps"):
        ((_, found),) = formats.read(tmp_path / "tiled" / name, images=large.parent)
        assert as_text(found.masks) == truth
    assert not (tmp_path / "tiled" / ".apiece-tiles").exists()
    assert steps[-1] == (len(steps), len(steps), "large.tif")


def test_label_images_of_tiles_hold_the_saved_objects(
    one_class: Model, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects come in pieces, and label images are painted in bands."""
    pytest.importorskip("zarr")
    monkeypatch.setattr(contract, "LARGE", 100)
    save = ("coco", "geojson", "labelmap", "labels", "csv")
    for tile in (64, 512):
        predict_to(one_class, large, tmp_path / str(tile), save, conf=0, tile=tile)
    (_, whole), (_, tiled) = (formats.read(tmp_path / name / "predictions.json")[0] for name in ("512", "64"))
    assert as_text(whole.masks) == as_text(tiled.masks)
    assert tiled.ids is not None
    label_map = tiled.masks.to_label_map(tiled.ids)
    np.testing.assert_array_equal(tifffile.imread(next((tmp_path / "64/labelmaps").iterdir())), label_map)
    (_, zarr_labels) = formats.read(tmp_path / "64/labels")[0]
    np.testing.assert_array_equal(zarr_labels.masks.to_label_map(zarr_labels.ids), label_map)


def test_the_best_of_all_tiles_stay(one_class: Model, large: Path, tmp_path: Path) -> None:
    predict_to(one_class, large, tmp_path / "all", conf=0, tile=64)
    predict_to(one_class, large, tmp_path / "few", conf=0, tile=64, max_instances=5)
    every, few = (formats.read(tmp_path / name / "predictions.json")[0][1] for name in ("all", "few"))
    assert every.scores is not None
    assert few.scores is not None
    assert sorted(few.scores) == sorted(every.scores)[-5:]
    assert few.ids is not None
    assert few.ids.tolist() == [1, 2, 3, 4, 5]


def test_a_run_that_was_killed_goes_on(
    one_class: Model, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, results = tmp_path / "out", Model.results

    def dies(*given: Any) -> Iterator[Any]:
        for k, found in enumerate(results(*given)):
            if k == 5:
                raise KeyboardInterrupt
            yield found

    with monkeypatch.context() as patch:
        patch.setattr(Model, "results", dies)
        with pytest.raises(KeyboardInterrupt):
            predict_to(one_class, large, out, conf=0, tile=64)
    assert not (out / "predictions.json").exists()
    with pytest.raises(DataError, match="cut short"):
        predict_to(one_class, large, out, conf=0, tile=64)
    with pytest.raises(DataError, match="tile was 64, is 80"):
        predict_to(one_class, large, out, conf=0, tile=80, resume=True)
    blobs = one_class.runtime._module
    assert isinstance(blobs, Blobs)
    before = len(blobs.shapes)
    predict_to(one_class, large, out, conf=0, tile=64, resume=True)
    resumed = len(blobs.shapes) - before
    predict_to(one_class, large, tmp_path / "whole", conf=0, tile=64)
    assert len(blobs.shapes) - before - resumed == resumed + 5
    assert (out / "predictions.json").read_bytes() == (tmp_path / "whole" / "predictions.json").read_bytes()


def test_tiles_that_went_through_the_network_together_do_so_again(
    one_class: Model, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs: Any = one_class.runtime._module  # type: ignore[attr-defined]
    predict_to(one_class, large, tmp_path / "whole", conf=0, tile=64, batch=3)
    whole, kept = list(blobs.shapes), TileStore.save

    def fifth_is_the_last(store: TileStore, number: int, found: Instances) -> None:
        if number == 5:
            raise KeyboardInterrupt
        kept(store, number, found)

    with monkeypatch.context() as patch:
        patch.setattr(TileStore, "save", fifth_is_the_last)
        with pytest.raises(KeyboardInterrupt):
            predict_to(one_class, large, tmp_path / "out", conf=0, tile=64, batch=3)
    blobs.shapes.clear()
    predict_to(one_class, large, tmp_path / "out", conf=0, tile=64, batch=3, resume=True)
    assert blobs.shapes == whole[1:]


def test_another_image_or_another_run_is_refused(
    one_class: Model, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("apiece.predict.writing._write_all", lambda results, *_: next(iter(results)) and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            predict_to(one_class, large, tmp_path / "out", conf=0, tile=64)
    tifffile.imwrite(large, read_image(large).pixels[::-1, :, 0], tile=(16, 16), compression="zlib")
    with pytest.raises(DataError, match="the image has changed"):
        predict_to(one_class, large, tmp_path / "out", conf=0, tile=64, resume=True)
    predict_to(one_class, large, tmp_path / "out", conf=0, tile=64, overwrite=True)


@pytest.mark.parametrize("normalise", ["range", "percentile"])
def test_a_damaged_tile_is_a_hole_that_is_named(one_class: Model, large: Path, tmp_path: Path, normalise: str) -> None:
    spec = replace(one_class.loaded.input, normalise=normalise)
    model = Model(replace(one_class.loaded, input=spec), "cpu")
    with tifffile.TiffFile(large) as tif:
        page = tif.pages[0]
        at = page.dataoffsets[4 * 13 + 9]  # of 13 tiles in a row: x 144, y 64
    with large.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 8)
    with pytest.raises(ImageError, match="tile at x 144, y 64 cannot be decoded"):
        predict_to(model, large, tmp_path / "out", conf=0, tile=64)
    summary = predict_to(model, large, tmp_path / "out", conf=0, tile=64, skip_bad=True, overwrite=True)
    assert summary.instances > 10
    assert summary.bad
    assert all("x 144, y 64" in str(error) for error in summary.bad)


def test_a_mosaic_has_results_in_the_world(one_class: Model, large: Path, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    pixels = read_image(large).pixels
    profile = {"driver": "GTiff", "height": 150, "width": 200, "count": 1, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(
        tmp_path / "mosaic.tif", "w", transform=rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 54e5), **profile
    ) as out:
        out.write(pixels[None, ..., 0])
    predict_to(one_class, tmp_path / "mosaic.tif", tmp_path / "out", ("geojson", "labelmap", "coco"), conf=0, tile=64)
    document = json.loads((tmp_path / "out/geojson/mosaic.geojson").read_text())
    points = [p for f in document["features"] for ring in f["geometry"]["coordinates"] for p in ring if len(p) == 2]
    x, y = np.array(points, float).T
    assert 14.9999 < x.min() < x.max() < 15.002  # the central meridian of zone 33, and 100 m to the east
    assert 48.7 < y.min() < y.max() < 48.8
    with rasterio.open(tmp_path / "out/labelmaps/mosaic.tif") as opened:
        assert opened.crs.to_epsg() == 32633
        assert opened.transform == rasterio.Affine(0.5, 0, 5e5, 0, -0.5, 54e5)
    for name in ("geojson/mosaic.geojson", "predictions.json"):
        ((ref, found),) = formats.read(tmp_path / "out" / name)
        assert as_text(found.masks) == as_text(Masks.from_label_map(pixels[..., 0]))
        assert ref.attributes["crs"] == "EPSG:32633"


def test_two_runs_in_one_folder(one_class: Model, large: Path, tmp_path: Path) -> None:
    with open_large(Source("large.tif", large), one_class, Tiling(64)) as opened:
        plan = plan_of(opened, one_class, one_class.options(0))
        first = TileStore(tmp_path / "tiles", plan, False)
        with pytest.raises(DataError, match="another run is writing into"):
            TileStore(tmp_path / "tiles", plan, True)
        first.close()
        TileStore(tmp_path / "tiles", plan, True).close()


def test_a_full_disk_loses_nothing(one_class: Model, large: Path, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, limits[1]))  # writes beyond it fail as on a full disk
        with pytest.raises(DataError, match=r"results cannot be written to .*out: .*too large"):
            predict_to(one_class, large, tmp_path / "out", conf=0, tile=64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".apiece-tiles"]
    predict_to(one_class, large, tmp_path / "out", conf=0, tile=64, resume=True)
    predict_to(one_class, large, tmp_path / "whole", conf=0, tile=64)
    assert (tmp_path / "out/predictions.json").read_bytes() == (tmp_path / "whole/predictions.json").read_bytes()


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.uint16, np.int32, np.float32])
def test_values_of_blocks_are_those_of_the_image(dtype: type) -> None:
    pixels = (np.random.default_rng(0).gamma(2, 20, (60, 70, 2)) % 250).astype(dtype)
    spec = ModelInput(2, mean=(0, 0), std=(1, 1))
    blocks = [Image(pixels[y : y + 25, x : x + 30]) for y in range(0, 60, 25) for x in range(0, 70, 30)]
    assert value_limits_of(blocks, spec) == value_limits(pixels, spec)


def test_of_blocks_of_floats_only_the_values_that_count_are_kept() -> None:
    spec, alive = ModelInput(1, mean=(0,), std=(1,)), list[weakref.ref[np.ndarray]]()

    def block(seed: int) -> Image:
        pixels = np.random.default_rng(seed).random((200, 200, 1)).astype(np.float32)
        alive.append(weakref.ref(pixels))
        return Image(pixels)

    value_limits_of((block(seed) for seed in range(5) if sum(ref() is not None for ref in alive) <= 2), spec)
    assert len(alive) == 5


def test_a_large_label_map_is_written_in_bands(tmp_path: Path, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instances = Instances.from_label_map(read_image(large).pixels[..., 0])
    ref = next(iter(formats.read(_written(tmp_path / "a.tif", instances), format="labelmap")))[0]
    monkeypatch.setattr(contract, "LARGE", 100)
    formats.write([(ref, instances)], tmp_path / "b.tif", format="labelmap")
    with tifffile.TiffFile(tmp_path / "b.tif") as tif:
        assert tif.pages[0].is_tiled
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), tifffile.imread(tmp_path / "a.tif"))


def _written(path: Path, instances: Instances) -> Path:
    from apiece.core.image import ImageRef

    formats.write([(ImageRef(path, path.name, instances.size), instances)], path, format="labelmap")
    return path
