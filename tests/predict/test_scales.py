"""Images at the pixel size that a model learned at."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import tifffile
from tests.predict.known_model import Blobs, Settings

from apiece import Image, Instances, Masks, formats
from apiece.errors import ConfigError, ImageError
from apiece.images import open_pyramid, write_image
from apiece.models._engine.folder import save_model
from apiece.models.contract import ModelInput
from apiece.predict import Model, load, predict_to
from apiece.predict.scales import at_learned_scale, rescaled
from apiece.transforms.scale import Scale

HALF = ModelInput(1, "range", mean=(0,), std=(1,), learned=Scale(0.5, (3, 9, 20, 24)))


@pytest.fixture
def learned(folder: Path, tmp_path: Path) -> Model:
    """The model whose answers are known, as if it had learned at 0.5 um a pixel."""
    save_model(tmp_path / "half", Blobs(), architecture="blobs", config=Settings(), input=HALF, classes=("object",))
    return load(tmp_path / "half", "cpu")


def written(path: Path, pixels: np.ndarray, um: float | None = 0.25, levels: tuple[int, ...] = ()) -> Path:
    with tifffile.TiffWriter(path, ome=um is not None) as tif:
        said = {} if um is None else {"PhysicalSizeX": um, "PhysicalSizeY": um}
        options = {"tile": (32, 32), "photometric": "minisblack"}
        tif.write(pixels, subifds=len(levels), metadata={"axes": "YX", **said} if said else None, **options)
        for step in levels:
            tif.write(pixels[step // 2 :: step, step // 2 :: step], subfiletype=1, **options)
    return path


def picture() -> np.ndarray:
    """A 300 x 400 image of discs with values 40, 80, ... that lie apart."""
    y, x = np.indices((300, 400)) + 0.5
    pixels = np.zeros((300, 400), np.uint8)
    for k, (cx, cy, r) in enumerate([(60, 60, 30), (200, 100, 41), (330, 210, 35), (120, 230, 22)], 1):
        pixels[(x - cx) ** 2 + (y - cy) ** 2 < r * r] = 40 * k
    return pixels


@pytest.mark.parametrize("um", [0.13, 0.25, 0.4, 0.9, 1.7])
def test_a_window_is_what_the_whole_resampled_has_there(tmp_path: Path, um: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (90, 130), dtype=np.uint8)
    with open_pyramid(written(tmp_path / "a.ome.tif", noise, um, (2,))) as pyramid:
        scaled = at_learned_scale(pyramid, "auto", HALF)
        height, width = scaled.size
        assert (height, width) == (round(90 * um / 0.5), round(130 * um / 0.5))
        whole = scaled.window((0, 0, width, height)).pixels
        for box in ((3, 2, 17, 11), (width - 9, height - 5, width, height), (0, 0, 1, 1)):
            x0, y0, x1, y1 = box
            np.testing.assert_array_equal(scaled.window(box).pixels, whole[y0:y1, x0:x1])
        assert whole.mean() == pytest.approx(noise.mean(), abs=4)


def test_the_level_that_is_next_finer_is_taken_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.full((240, 320), 9, np.uint8)
    path = written(tmp_path / "a.ome.tif", pixels, 0.1, (2, 4))
    with caplog.at_level(logging.INFO, "apiece"), open_pyramid(path) as pyramid:
        assert at_learned_scale(pyramid, "auto", HALF).size == (48, 64)
    assert "0.1 um a pixel, learned at 0.5 um: level 2 of 60 x 80 pixels is taken as 48 x 64" in caplog.text
    with open_pyramid(path) as pyramid:
        assert at_learned_scale(pyramid, "0.5um", HALF) is pyramid
        exact = at_learned_scale(pyramid, "0.25 um", HALF)
        np.testing.assert_array_equal(exact.window((0, 0, 160, 120)).pixels, pyramid.window((0, 0, 160, 120), 1).pixels)


def test_what_is_no_data_is_mixed_with_nothing(tmp_path: Path) -> None:
    pixels = np.full((64, 64), 5, np.float32)
    pixels[:, :21] = np.nan
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, tile=(32, 32), compression="zlib", extratags=[(42113, "s", 0, "nan", True)])
    with open_pyramid(path) as pyramid:
        half = at_learned_scale(pyramid, "0.25 um", HALF).window((0, 0, 32, 32))
    assert np.isnan(half.pixels[:, :10]).all()
    np.testing.assert_allclose(half.pixels[:, 11:], 5)


@pytest.mark.parametrize("alpha", ["associated", "unassociated"])
def test_transparent_ground_is_mixed_with_nothing(tmp_path: Path, alpha: Literal["associated", "unassociated"]) -> None:
    pixels = np.full((64, 64, 2), (100, 255), np.uint8)
    pixels[:, :21] = (0, 0) if alpha == "associated" else (7, 0)
    write_image(tmp_path / "a.tif", Image(pixels, alpha=alpha))
    with open_pyramid(tmp_path / "a.tif") as pyramid:
        half = at_learned_scale(pyramid, "0.25 um", HALF).window((0, 0, 32, 32))
    assert half.data is not None
    assert half.data[:, 11:].all()
    np.testing.assert_allclose(half.colours().pixels[half.data], 100, atol=1)


def test_masks_come_back_at_the_size_of_the_image(learned: Model, tmp_path: Path) -> None:
    path, truth = written(tmp_path / "a.ome.tif", picture(), 0.25, (2,)), Masks.from_label_map(picture())
    predict_to(learned, path, tmp_path / "out", conf=0, tile=64, pixel_size="auto")
    _, found = formats.read(tmp_path / "out/predictions.json")[0]
    assert found.size == truth.size
    dense, best = truth.to_dense(), found.masks.to_dense()
    iou = (dense[:, None] & best).sum((2, 3)) / (dense[:, None] | best).sum((2, 3))
    assert (iou.max(1) > 0.9).all()
    tiled = learned.predict_tiled(path, conf=0, tile=64, pixel_size="auto")
    assert Instances.concatenate(list(tiled)).masks == found.masks
    predict_to(learned, path, tmp_path / "there", conf=0, tile=64, pixel_size="auto", workers=2)
    assert formats.read(tmp_path / "there/predictions.json")[0][1].masks == found.masks


def test_what_is_not_known_is_asked_for(learned: Model, model: Model, tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", picture(), None)
    with pytest.raises(ImageError, match=r"a.tif: states no pixel size; give it, such as pixel_size='0.5 um'"):
        predict_to(learned, path, tmp_path / "out", pixel_size="auto")
    with pytest.raises(ConfigError, match=r"training images stated none, or different ones; leave out .*, or take"):
        predict_to(model, path, tmp_path / "out", pixel_size="0.5 um")
    with pytest.raises(ConfigError, match="cannot read pixel size 'half'"):
        predict_to(learned, path, tmp_path / "out", pixel_size="half")


@pytest.mark.parametrize("size", [(7, 31), (20, 13), (40, 60), (1, 1)])
def test_masks_are_rescaled_as_nearest_neighbours_are(size: tuple[int, int]) -> None:
    stack = np.random.default_rng(1).random((3, 20, 30)) < 0.4
    rows, columns = (((2 * np.arange(n) + 1) * s // (2 * n)) for n, s in zip(size, (20, 30), strict=True))
    found = rescaled(Instances(Masks.from_dense(stack)), size).masks
    assert found == Masks.from_dense(stack[:, rows[:, None], columns])


@pytest.mark.parametrize(("values", "said"), [((0.0, ()), "above 0"), ((None, (1, 2)), "four sizes")])
def test_a_scale_that_cannot_be_is_refused(values: tuple[float | None, tuple[float, ...]], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Scale(*values)
