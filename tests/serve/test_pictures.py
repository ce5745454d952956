"""What the studio shows of an image: tiles at every level, thumbnails, windows of slides, contrast and channels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from apiece import ImageRef
from apiece.errors import ImageError, UnknownNameError
from apiece.images import write_image
from apiece.serve.studio import pictures as module
from apiece.serve.studio.pictures import TILE, Look, Pictures, levels_of

RNG = np.random.default_rng(0)


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    coarse = RNG.integers(0, 255, (6, 8, channels), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)


def opened(path: Path) -> Pictures:
    return Pictures(lambda number: ImageRef(path, path.name))


def shown(data: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1].astype(int)


def test_tiles_cover_an_image_at_every_level(tmp_path: Path) -> None:
    pixels = smooth(700, 1100)
    write_image(tmp_path / "a.png", pixels)
    held = opened(tmp_path / "a.png")
    assert levels_of((700, 1100)) == 3
    for level, columns, rows in ((0, 3, 2), (1, 2, 1), (2, 1, 1)):
        want = (
            cv2.resize(pixels, (-(-1100 >> level), -(-700 >> level)), interpolation=cv2.INTER_AREA) if level else pixels
        )
        tiles = [[shown(held.tile(0, level, x, y, Look())) for x in range(columns)] for y in range(rows)]
        joined = np.concatenate([np.concatenate(row, 1) for row in tiles])
        assert joined.shape[:2] == (-(-700 // (1 << level)), -(-1100 // (1 << level)))
        if joined.shape == want.shape:
            assert np.abs(joined - want).mean() < 2
    for level, column, row in ((3, 0, 0), (0, 3, 0), (0, 0, -1), (-1, 0, 0)):
        with pytest.raises(UnknownNameError):
            held.tile(0, level, column, row, Look())
    assert max(shown(held.thumb(0)).shape) == 256


def test_sixteen_bits_are_stretched_and_a_person_sets_black_and_white(tmp_path: Path) -> None:
    pixels = np.linspace(1000, 3000, 64 * 64).astype(np.uint16).reshape(64, 64)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    held = opened(tmp_path / "a.tif")
    channels, dtype, (low, high) = held.look(0)
    assert (channels, dtype) == (1, np.uint16)
    assert 1000 <= low < 1050
    assert 2950 < high <= 3000
    assert np.ptp(shown(held.tile(0, 0, 0, 0, Look()))) > 240
    assert shown(held.tile(0, 0, 0, 0, Look(limits=(3000, 4000)))).max() < 8
    assert shown(held.tile(0, 0, 0, 0, Look(limits=(0, 900)))).min() > 247


def test_channels_are_chosen_and_unknown_ones_named(tmp_path: Path) -> None:
    pixels = np.zeros((40, 60, 5), np.uint8)
    pixels[:, :, 3], pixels[:, :, 4] = 90, 200
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", planarconfig="contig")
    held = opened(tmp_path / "a.tif")
    assert np.abs(shown(held.tile(0, 0, 0, 0, Look((4, 3, 0)))) - [200, 90, 0]).max() < 4
    assert np.abs(shown(held.tile(0, 0, 0, 0, Look((3,)))) - 90).max() < 4
    for wrong in ((5,), (0, 1), (-1,)):
        with pytest.raises(UnknownNameError, match="channel"):
            held.tile(0, 0, 0, 0, Look(wrong))


def test_a_slide_is_read_in_windows_and_looks_as_when_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = smooth(1500, 2100)
    small = [cv2.resize(pixels, (2100 >> k, 1500 >> k), interpolation=cv2.INTER_AREA) for k in (1, 2)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(pixels, tile=(256, 256), subifds=2, photometric="rgb")
        for level in small:
            file.write(level, tile=(256, 256), subfiletype=1, photometric="rgb")
    tifffile.imwrite(tmp_path / "flat.tif", pixels, tile=(256, 256), photometric="rgb")
    whole = opened(tmp_path / "a.tif")
    monkeypatch.setattr(module, "LARGE", 1000)
    slide, flat = opened(tmp_path / "a.tif"), opened(tmp_path / "flat.tif")
    for level, column, row in ((0, 0, 0), (0, 4, 2), (1, 1, 1), (2, 0, 0), (3, 0, 0)):
        one, other = (shown(p.tile(0, level, column, row, Look())) for p in (whole, slide))
        assert one.shape == other.shape
        assert np.abs(one - other).mean() < 2, (level, column, row)
    assert shown(slide.thumb(0)).shape == shown(whole.thumb(0)).shape
    monkeypatch.setattr(module, "_MOST_WINDOW", TILE * TILE)
    assert flat.tile(0, 0, 0, 0, Look())
    with pytest.raises(ImageError, match="no copies that are small enough"):
        flat.tile(0, 2, 0, 0, Look())
