"""A vision transformer whose attention looks at windows, on inputs of any shape.

The encoder is transformers' RfDetrDinov2Backbone (Apache-2.0): DINOv2 (M. Oquab et al., arXiv 2304.07193), most of
whose layers look at windows only. The library cuts windows as if there were as many rows as columns. Here they are cut
right, which is the same for square inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def windowed_features(backbone: Any, images: Tensor, taps: Sequence[int]) -> list[Tensor]:
    """Return what ``taps``, layers of the encoder counted from 1, give, normalised: (B, C, H / patch, W / patch)
    each.

    ``images`` is (B, channels, H, W), sides multiples of patch times windows.
    """
    embed, count = backbone.embeddings, backbone.config.num_windows
    batch, _, height, width = images.shape
    grid = (height // embed.patch_size, width // embed.patch_size)
    tokens = embed.patch_embeddings(images)
    tokens = torch.cat([embed.cls_token.expand(batch, -1, -1).to(tokens.dtype), tokens], 1)
    tokens = tokens + positions_over(embed.position_embeddings, grid)
    tokens = embed.dropout(into_windows(tokens, grid, count))
    found = []
    for number, layer in enumerate(backbone.encoder.layer, 1):
        tokens = layer(tokens)
        if number in taps:
            found.append(out_of_windows(backbone.layernorm(tokens), grid, count))
    return found


def positions_over(learned: Tensor, grid: tuple[int, int]) -> Tensor:
    """Return learned positions (1, 1 + cells of a square, C) for a ``grid`` (rows, columns): (1, 1 + cells, C).

    The class token, which comes first, keeps its own. The square is resized as `torch.nn.functional.interpolate` does,
    bicubic with ``antialias``, by two products of matrices: OpenVINO leaves antialias out of a graph and says nothing.
    """
    square = learned[0, 1:].float()
    side, channels = math.isqrt(square.shape[0]), square.shape[1]
    with torch.autocast(learned.device.type, enabled=False):
        rows, columns = (_cubic_weights(side, count, learned.device) for count in grid)
        cells = columns @ (rows @ square.reshape(side, -1)).reshape(-1, side, channels)
    return torch.cat([learned[:, :1], cells.reshape(1, -1, channels).to(learned.dtype)], 1)


def _cubic_weights(old: int, new: int, device: torch.device) -> Tensor:
    """Return how much each of ``old`` cells in a row counts in each of ``new`` ones: float32 (new, old).

    Cubic convolution (R. Keys, 1981) with a = -0.5, stretched where cells become fewer, as Pillow resizes.
    """
    scale: Any = old / new  # a symbol, in a graph
    centre = (torch.arange(new, device=device) + 0.5) * scale
    apart = (torch.arange(old, device=device) + 0.5 - centre[:, None]).abs() / torch.sym_max(scale, 1.0)
    near, far = (1.5 * apart - 2.5) * apart**2 + 1, ((-0.5 * apart + 2.5) * apart - 4) * apart + 2
    weights = torch.where(apart < 1, near, far * (apart < 2))
    return weights / weights.sum(1, keepdim=True)


def into_windows(tokens: Tensor, grid: tuple[int, int], count: int) -> Tensor:
    """Cut (B, 1 + cells, C) into (B * count * count, 1 + cells of a window, C).

    ``tokens`` are a class token, which goes into each window, and the cells of ``grid`` (rows, columns) in reading
    order. ``count`` is the number of windows along each side.
    """
    channels = tokens.shape[-1]
    cells = tokens[:, 1:].view(-1, count, grid[0] // count, count, grid[1] // count, channels).transpose(2, 3)
    cells = cells.reshape(tokens.shape[0] * count * count, -1, channels)
    return torch.cat([tokens[:, :1].repeat_interleave(count * count, 0), cells], 1)


def out_of_windows(tokens: Tensor, grid: tuple[int, int], count: int) -> Tensor:
    """Do the inverse of `into_windows`, without the class tokens: (B, C, rows, columns)."""
    channels = tokens.shape[-1]
    cells = tokens[:, 1:].reshape(-1, count, count, grid[0] // count, grid[1] // count, channels).transpose(2, 3)
    return cells.reshape(-1, *grid, channels).permute(0, 3, 1, 2).contiguous()
