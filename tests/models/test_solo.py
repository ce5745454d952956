"""SOLO's own parts: windows of maps that repeat, decoding by hand."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.models._decode.solo import windows
from apiece.models._kit.grid_targets import cell_places
from apiece.models.contract import DecodeOptions, Frame, ModelInput
from apiece.models.solo import SOLO, SOLOConfig, decode
from apiece.ops import iou

CONFIG = SOLOConfig(period=8, cell=8)
FINE = 4  # values of a map along a cell
SHAPES = [(16, 24), (8, 12), (4, 6), (2, 3), (1, 2)]


def network() -> SOLO:
    torch.manual_seed(0)
    return SOLO(CONFIG, ModelInput(channels=1, mean=(0.0,), std=(1.0,)), 2).eval()


def maps_with(level: int, row: int, column: int, box: tuple[int, int, int, int]) -> list[torch.Tensor]:
    """Maps that are off but for one cell's column and row, which are on in a box x0, y0, x1, y1 of map pixels."""
    maps = [torch.full((1, 2 * CONFIG.period, FINE * h, FINE * w), -10.0) for h, w in SHAPES]
    x0, y0, x1, y1 = box
    maps[level][0, column % CONFIG.period, :, x0:x1] = 10.0
    maps[level][0, CONFIG.period + row % CONFIG.period, y0:y1] = 10.0
    return maps


def answer(
    maps: list[torch.Tensor], place: tuple[float, float, float], config: SOLOConfig = CONFIG
) -> dict[str, torch.Tensor]:
    """What the network says of one cell, centre x, y and side, with these maps."""
    return {
        "scores": torch.tensor([[0.9]]), "labels": torch.tensor([[1]]), "places": torch.tensor([[place]]),
        "left_out": torch.zeros(1), "sides": torch.tensor([config.sides[: len(maps)]]),
        **{f"maps{k}": level for k, level in enumerate(maps)},
    }  # fmt: skip


def cell_number(level: int, row: int, column: int) -> int:
    return sum(h * w for h, w in SHAPES[:level]) + row * SHAPES[level][1] + column


@pytest.mark.parametrize(
    ("level", "row", "column", "box"),
    [(0, 7, 11, (40, 20, 54, 38)), (0, 0, 0, (0, 0, 10, 6)), (0, 15, 23, (82, 54, 96, 64)), (2, 1, 4, (10, 0, 24, 12))],
)
def test_the_mask_of_a_cell_is_its_column_times_its_row(
    level: int, row: int, column: int, box: tuple[int, ...]
) -> None:
    maps = maps_with(level, row, column, box)  # type: ignore[arg-type]
    side = CONFIG.sides[level]
    out = answer(maps, ((column + 0.5) * side, (row + 0.5) * side, side))
    size = (SHAPES[0][0] * 8, SHAPES[0][1] * 8)
    (instances,) = decode(out, [Frame(size, size)], ("a", "b"), DecodeOptions())
    assert instances.names == ["b"]
    assert instances.scores == pytest.approx([0.9], abs=1e-3)
    _is_box(instances.masks, Masks.from_boxes(np.array([box]) * side / FINE, size))
    (double,) = decode(out, [Frame((2 * size[0], 2 * size[1]), size)], ("a", "b"), DecodeOptions())
    _is_box(double.masks, Masks.from_boxes(np.array([box]) * side * 2 / FINE, (2 * size[0], 2 * size[1])))


def _is_box(found: Masks, box: Masks) -> None:
    """The mask is the box but for its corners, where the product of two slopes is below one half."""
    assert found.boxes.tolist() == box.boxes.tolist()
    assert iou(found, box).toarray()[0, 0] > 0.9


def test_the_finest_grid_of_small_cells_has_two_values_along_a_cell() -> None:
    config = SOLOConfig(period=8, cell=4)
    net = SOLO(config, ModelInput(channels=1, mean=(0.0,), std=(1.0,)), 2)
    maps = [torch.full((1, 16, 2 * h, 2 * w), -10.0) for h, w in SHAPES]
    maps[0][0, 11 % 8, :, 20:27] = maps[0][0, 8 + 7, 10:19] = 10.0
    out = answer(maps[:1], (46.0, 30.0, 4.0), config)
    (instances,) = decode(out, [Frame((64, 96), (64, 96))], ("a", "b"), DecodeOptions())
    _is_box(instances.masks, Masks.from_boxes([[40, 20, 54, 38]], (64, 96)))
    _, made, shapes = net.grids(torch.zeros(1, 1, 96, 160))
    assert shapes == [(24, 40), (12, 20), (6, 10), (4, 6), (2, 4)]
    assert [tuple(level.shape[2:]) for level in made] == [(48, 80), (48, 80), (24, 40), (12, 20), (8, 12)]


def test_windows_repeat_with_the_period() -> None:
    torch.manual_seed(1)
    net, period = network(), CONFIG.period
    maps = [torch.randn(1, 2 * period, FINE * h, FINE * w) for h, w in SHAPES]
    moved = [level.roll(FINE * period, 3) for level in maps]
    one = net.windows(maps, SHAPES, torch.tensor([0]), torch.tensor([cell_number(0, 7, 5)]))
    other = net.windows(moved, SHAPES, torch.tensor([0]), torch.tensor([cell_number(0, 7, 5 + period)]))
    # the left window reaches three cells beyond the image's left side in neither
    torch.testing.assert_close(one, other)


def test_the_decoder_reads_the_windows_that_are_learned() -> None:
    """In NumPy as in torch, on every grid, at the borders and inside."""
    torch.manual_seed(2)
    net = network()
    with torch.no_grad():
        out = net(torch.randn(1, 1, 96, 160))
        _, maps, shapes = net.grids(torch.zeros(1, 1, 96, 160))
        cells = torch.arange(sum(h * w for h, w in shapes))
        maps = [torch.randn_like(level) for level in maps]
        wanted = net.windows(maps, shapes, torch.zeros_like(cells), cells)
    read = {f"maps{k}": level[0].numpy() for k, level in enumerate(maps)}
    read |= {"places": cell_places(shapes, CONFIG.sides, cells.device).numpy(), "sides": out["sides"][0].numpy()}
    np.testing.assert_allclose(windows(read, cells.numpy()), wanted.numpy(), atol=1e-6)


def test_nothing_lies_beyond_the_image() -> None:
    maps = [torch.full((1, 2 * CONFIG.period, FINE * h, FINE * w), 10.0) for h, w in SHAPES]
    found = network().windows(maps, SHAPES, torch.tensor([0]), torch.tensor([0]))[0]
    half = FINE * CONFIG.period // 2
    assert (found[:half] < 1e-6).all()
    assert (found[:, :half] < 1e-6).all()
    assert (found[half:, half:] > 0.99).all()


def test_candidates_left_out_are_said(caplog: pytest.LogCaptureFixture) -> None:
    out = answer([torch.full((1, 16, 64, 64), 10.0)], (6.0, 6.0, 4.0)) | {"left_out": torch.tensor([0.6])}
    with caplog.at_level(logging.WARNING, "apiece"):
        decode(out, [Frame((32, 32), (32, 32))], ("a", "b"), DecodeOptions(conf=0.7))
        assert not caplog.records
        decode(out, [Frame((32, 32), (32, 32))], ("a", "b"), DecodeOptions(conf=0.5))
    assert "raise candidates in the settings of solo" in caplog.text


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="period must be a multiple of 4"):
        SOLOConfig(period=10)
    with pytest.raises(ConfigError, match="cell must be one of 2, 4, 8"):
        SOLOConfig(cell=5)
