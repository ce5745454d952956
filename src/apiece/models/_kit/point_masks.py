"""Masks of points, visible and full: a kernel and a box each, over maps that all of them share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from apiece._arrays import Float, Float32, Int
from apiece.core.masks import Masks
from apiece.models._kit.arrays import Arrays
from apiece.models._kit.quadratic_forms import FORM, quadratic_planes
from apiece.models.contract import Frame


@dataclass(frozen=True, eq=False)
class PointMasks:
    """The masks of chosen points as weighted sums of maps."""

    basis: list[Float32]  # (k, h, w) each, K maps in all
    sums: Float32  # (N, K)
    windows: Float  # (N, 4) xyxy in pixels of the input, where each mask lies
    frame: Frame
    span: tuple[float, float]  # cells of the maps that the image covers
    stride: int

    @classmethod
    def of(cls, out: Arrays, keep: Int, frame: Frame) -> PointMasks:
        """Return the visible masks of the points ``keep``."""
        maps = out["features"]
        stride = round(4 * (len(out["logits"]) * 64 / 85 / maps[0].size) ** 0.5)  # 64 of 85 points lie at stride 4
        planes, sums, windows = _weighted(out, keep, "", maps.shape[1:], stride)
        span = (frame.input_size[0] / stride, frame.input_size[1] / stride)
        return cls([maps, planes], sums, windows, frame, span, stride)

    def whole(self, out: Arrays, keep: Int) -> PointMasks:
        """Return the full masks of the points ``keep``, sums of the same maps."""
        _, sums, windows = _weighted(out, keep, "full_", self.basis[0].shape[1:], self.stride)
        return replace(self, sums=sums, windows=windows)

    def draw(self, which: Int, size: tuple[int, int], threshold: float = 0.0) -> Masks:
        """Return some of the masks at a size of the image, where their logits lie above a threshold."""
        scale = np.array([size[1] / self.frame.input_size[1], size[0] / self.frame.input_size[0]] * 2)
        windows = self.windows[which] * scale
        return Masks.from_prototypes(self.basis, self.sums[which], windows, size, threshold=threshold, span=self.span)

    def logits(self, which: Int, x: Float, y: Float) -> Float:
        """Return the logits of masks ``which`` (P, 1) at places (P, S) of the image: (P, S)."""
        height, width = self.frame.size
        column, row = (x * (self.span[1] / width)).astype(np.int64), (y * (self.span[0] / height)).astype(np.int64)
        cells = np.concatenate([maps[:, row, column] for maps in self.basis])
        return np.einsum("kps,pk->ps", cells, self.sums[which[:, 0]])


def _weighted(out: Arrays, keep: Int, kind: str, shape: tuple[int, ...], stride: int) -> tuple[Float32, Float32, Float]:
    """Return the maps of quadratic forms, and weights of all maps and windows of points' masks, visible or full."""
    boxes, kernels = out[f"{kind}boxes"][keep].astype(np.float64), out[f"{kind}kernels"][keep]
    planes, weights = quadratic_planes(kernels[:, -FORM:], boxes, shape, stride)
    margin = 0.1 * (boxes[:, 2:] - boxes[:, :2]) + stride
    windows = np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1)
    return planes, np.concatenate([kernels[:, :-FORM], weights], 1), windows
