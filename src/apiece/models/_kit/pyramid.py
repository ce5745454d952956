"""A feature pyramid and heads over it that learn from scratch, and the way from its levels to one map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from apiece.models._kit.blocks import ConvNorm, norm_layer

_AROUND = 21  # cells of the coarsest level, 672 pixels: a whole image at the usual size, or the largest usual crop

_BORDER = 2  # cells at the border of a larger image that are no part of it, as they see too little


class Pyramid(nn.Module):
    """A feature pyramid (Lin et al., CVPR 2017) whose coarsest level also sees what is around at a glance."""

    def __init__(self, channels: Sequence[int], width: int, norm: str) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(ConvNorm(c, width, 1, norm=norm) for c in channels)
        self.glance = nn.Conv2d(width, width, 1)
        self.smooth = nn.ModuleList(ConvNorm(width, width, norm=norm) for _ in channels)

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        levels = [lateral(f) for lateral, f in zip(self.lateral, features, strict=True)]
        x = levels[-1] + self.glance(mean_around(levels[-1], _AROUND, _BORDER))
        out = [self.smooth[-1](x)]
        for k in range(len(levels) - 2, -1, -1):
            x = levels[k] + functional.interpolate(out[-1], size=levels[k].shape[-2:], mode="nearest")
            out.append(self.smooth[k](x))
        return out[::-1]


def mean_around(x: Tensor, side: int, border: int = 0) -> Tensor:
    """Return the mean of ``x`` (B, C, H, W) over a square of ``side`` x ``side`` cells around each of its cells.

    At a border the square is moved to lie ``border`` cells inside, as far as there is room; where ``x`` is shorter than
    the square, it is cut. So a large image is seen as the crops of training were (Chu et al., ECCV 2022, arXiv
    2112.04491), and a tile nearly as the whole.
    """
    rows, columns = (_averages(length, side, border, x) for length in x.shape[-2:])
    return rows @ x @ columns.T


def _averages(length: int, side: int, border: int, like: Tensor) -> Tensor:
    """Return (length, length): row i averages ``side`` (odd) entries around entry i."""
    at, half = torch.arange(length, device=like.device).to(torch.float32), side // 2
    middle = at.mean()
    first, last = middle.clamp(max=half + border), torch.maximum(middle, 2 * middle - (half + border))
    away = (at - torch.minimum(torch.maximum(at, first), last)[:, None]).abs()
    inside = (half + 1 - away).clamp(0, 1)  # comparisons of integers are not in every runtime
    return (inside / inside.sum(1, keepdim=True)).to(like.dtype)


class Tower(nn.Module):
    """Convolutions shared by all levels, each level with norms of its own (as in RTMDet)."""

    def __init__(self, width: int, depth: int, levels: int, norm: str) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, 1, 1, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(nn.ModuleList(norm_layer(norm, width) for _ in range(depth)) for _ in range(levels))

    def forward(self, x: Tensor, level: int) -> Tensor:
        norms: Iterable[nn.Module] = self.norms[level]  # type: ignore[assignment]
        for conv, norm in zip(self.convs, norms, strict=True):
            x = functional.relu(norm(conv(x)))
        return x


def climbs(inputs: int, width: int, norm: str, levels: int = 4) -> nn.ModuleList:
    """Return the convolutions of `climb`: as many for each level as it has steps to stride 4, at least one."""
    return nn.ModuleList(
        nn.ModuleList(ConvNorm(inputs if step == 0 else width, width, norm=norm) for step in range(max(1, level)))
        for level in range(levels)
    )


def climb(levels: nn.ModuleList, pyramid: Sequence[Tensor]) -> Tensor:
    """Bring the levels of a pyramid to stride 4, by convolution and twofold upsampling in turn, and add them up."""
    total: Tensor | None = None
    for k, (steps, x) in enumerate(zip(levels, pyramid, strict=True)):
        for step in steps:  # type: ignore[attr-defined]
            x = step(x)
            x = functional.interpolate(x, scale_factor=2.0, mode="bilinear") if k else x
        total = x if total is None else total + x
    assert total is not None
    return total
