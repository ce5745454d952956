"""Windows of many sizes as one flat list of pixels, so that nothing is padded to the largest instance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pixels:
    """Pixels of all windows, window by window."""

    window: Tensor  # int64[P]: the window that each pixel belongs to, ascending
    y: Tensor  # int64[P]: row
    x: Tensor  # int64[P]: column
    counts: Tensor  # int64[N]: pixels per window


def window_pixels(windows: Tensor, most: int | None = None) -> Pixels:
    """Return all pixels of windows int64[N, 4], half-open ``x0, y0, x1, y1``.

    In a window with more than ``most`` pixels an even grid of about ``most`` is taken. The grid's phase is drawn from
    torch's generator, so that every pixel gets its turn.
    """
    width = (windows[:, 2] - windows[:, 0]).clamp(min=0)
    height = (windows[:, 3] - windows[:, 1]).clamp(min=0)
    step = torch.ones_like(width)
    if most is not None:
        step = (width * height / most).sqrt().ceil().long().clamp(min=1)
    phase = (torch.rand(2, len(windows), device=windows.device) * step).long()
    phase = torch.minimum(phase, torch.stack([width, height]).sub(1).clamp(min=0))
    columns = (width - phase[0] + step - 1) // step
    rows = (height - phase[1] + step - 1) // step
    counts = columns * rows
    window = owners(counts, windows.device)
    place = torch.arange(len(window), device=windows.device) - (counts.cumsum(0) - counts)[window]
    row = torch.div(place, columns[window], rounding_mode="floor")
    column = place - row * columns[window]
    y = (windows[:, 1] + phase[1])[window] + row * step[window]
    x = (windows[:, 0] + phase[0])[window] + column * step[window]
    return Pixels(window, y, x, counts)


def rows_at(maps: Tensor, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the channels of maps (B, C, H, W) at pixels of images: (P, C), by rows, which is faster."""
    height, width = maps.shape[2:]
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])[(image * height + y) * width + x]


def few_of_each(owner: Tensor, most: int) -> Tensor:
    """Return places of at most ``most`` of each value of ``owner``, drawn at random, in the order of the values."""
    shuffled = torch.randperm(len(owner), device=owner.device)
    order = shuffled[owner[shuffled].argsort(stable=True)]
    count = torch.bincount(owner)
    rank = torch.arange(len(owner), device=owner.device) - (count.cumsum(0) - count)[owner[order]]
    return order[rank < most]


def owners(counts: Tensor | Sequence[int], device: torch.device) -> Tensor:
    """Return ``0`` as often as the first count says, then ``1`` as often as the second says, and so on: int64."""
    times = torch.as_tensor(counts, device=device)
    return torch.repeat_interleave(torch.arange(len(times), device=device), times)


def centres(shape: tuple[int, int], stride: float, device: torch.device) -> Tensor:
    """Return x and y of the centres of a grid's cells, row by row: float32 (rows * columns, 2), in pixels.

    ``shape`` is (rows, columns) of the grid, ``stride`` the side of its cells in pixels.
    """
    y, x = ((torch.arange(n, device=device) + 0.5) * stride for n in shape)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1)


def segment_sum(values: Tensor, segment: Tensor, count: int) -> Tensor:
    """Return the sum of ``values`` (P,) in each segment: (count,)."""
    return values.new_zeros(count).index_add(0, segment, values)
