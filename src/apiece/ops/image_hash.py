"""Prints of images that survive copying: what near-duplicates are known by, whatever their names.

A print is a thumbnail in grey of 32 x 32 pixels. Its hash is the signs of its 64 lowest frequencies (DCT, the mean left
out): recompression, a small resize, another brightness or contrast flip few of them. A mirrored image has the signs of
its odd frequencies exchanged, a transposed one those of rows and columns, so all eight turns are compared without
touching an image again. After Zauner 2010, *Implementation and benchmarking of perceptual image hash functions*.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

from apiece._arrays import Bool, Float32, Int, UInt8
from apiece.core.image import Image

__all__ = ["TURNS", "Pairs", "Print", "near_pairs", "print_of"]


TURNS = (
    ((False, False, False), ""),
    ((False, False, True), "mirrored"),
    ((False, True, False), "mirrored upside down"),
    ((False, True, True), "turned by 180 degrees"),
    ((True, False, False), "mirrored and turned by 90 degrees"),
    ((True, False, True), "turned by 90 degrees"),
    ((True, True, False), "turned by 90 degrees"),
    ((True, True, True), "mirrored and turned by 90 degrees"),
)
"""Whether rows and columns are exchanged, then rows mirrored, then columns; and how to say so."""

_SIDE = 32
_CELLS = 1 << 22
"""Pairs of hashes compared at once (32 MB)."""
_SLICE = 1 << 13
"""Pairs of thumbnails compared at once (32 MB)."""
_ASPECT = 0.1
"""Most by which the logarithms of height over width of near-duplicates differ."""
_DIFFER = 1.5
"""Most by which a pixel of two near-duplicates' thumbnails differs, in standard deviations of the thumbnail: objects
that lie elsewhere differ by several."""
_CORRELATION = 0.95
"""Least correlation of two near-duplicates' thumbnails."""


@dataclass(frozen=True, eq=False)
class Print:
    """What is kept of an image's pixels, about a kilobyte."""

    digest: bytes
    """Of shape, dtype and pixels: equal for the same image under another name."""
    size: tuple[int, int]
    """(height, width)."""
    small: UInt8
    """(32, 32) in grey, from the darkest at 0 to the brightest at 255; all 0 for an image of one grey."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Near-duplicates, each pair once.

    Attributes
    ----------
    first, second : int64 (P,), ``first < second``.
    turn : int64 (P,), which of `TURNS` makes the second look like the first.
    likeness : float32 (P,), correlation of the thumbnails.
    """

    first: Int
    second: Int
    turn: Int
    likeness: Float32


def print_of(image: Image) -> Print:
    """The print of an image of any dtype and any number of channels, which are averaged; alpha is none of them."""
    image = image.colours()
    pixels = np.ascontiguousarray(image.pixels)
    digest = hashlib.blake2b(repr((pixels.shape, pixels.dtype.str)).encode(), digest_size=16)
    digest.update(pixels.data)
    planes = [
        cv2.resize(pixels[:, :, c : c + 4].astype(np.float32), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        for c in range(0, image.channels, 4)
    ]
    grey = np.concatenate([plane.reshape(_SIDE, _SIDE, -1) for plane in planes], axis=2).mean(2)
    grey = np.nan_to_num(grey, posinf=0.0, neginf=0.0)
    low, high = float(grey.min()), float(grey.max())
    stretched = np.zeros_like(grey) if high <= low else (grey - low) * (255 / (high - low))
    return Print(digest.digest(), image.size, np.rint(stretched).astype(np.uint8))


def near_pairs(prints: Sequence[Print], most: int) -> Pairs:
    """Pairs of images that look alike: hashes that differ in up to ``most`` bits, confirmed by the thumbnails.

    A hash alone would do for photographs; fields with a few objects on a dark ground differ by little more than where
    these lie, so the thumbnails have to agree at every place. Images of one grey look like nothing.
    """
    small = np.array([p.small for p in prints], np.float32).reshape(-1, _SIDE, _SIDE)
    spread = small.std(axis=(1, 2), keepdims=True)
    some = np.flatnonzero(spread.ravel() > 0)
    shape = np.log([p.size[0] / p.size[1] for p in prints]) if len(prints) else np.zeros(0)
    small, shape = (small[some] - small[some].mean(axis=(1, 2), keepdims=True)) / spread[some], shape[some]
    signs = _signs(small)
    own = _packed(signs)
    found: list[tuple[Int, Int, Int, Float32]] = []
    for turn, (how, _) in enumerate(TURNS):
        for i, j in _near(own, _packed(_turned_signs(signs, *how)), most):
            kept = np.abs(shape[i] - (-shape[j] if how[0] else shape[j])) <= _ASPECT
            i, j = i[kept], j[kept]
            for begin in range(0, len(i), _SLICE):
                a, b = i[begin : begin + _SLICE], j[begin : begin + _SLICE]
                alike, likeness = _compared(small[a], small[b], *how)
                found.append((some[a[alike]], some[b[alike]], np.full(len(likeness), turn), likeness))
    return _best(found)


def _compared(first: Float32, second: Float32, transposed: bool, upside: bool, mirrored: bool) -> tuple[Int, Float32]:
    """Which pairs of standardised thumbnails (N, 32, 32) agree once the second are turned, and their correlations."""
    turned = second.transpose(0, 2, 1) if transposed else second
    turned = turned[:, :: -1 if upside else 1, :: -1 if mirrored else 1]
    difference = first - turned
    likeness = 1 - (difference**2).mean(axis=(1, 2)) / 2
    alike = np.flatnonzero((likeness >= _CORRELATION) & (np.abs(difference).max(axis=(1, 2)) <= _DIFFER))
    return alike, likeness[alike]


def _frequencies() -> tuple[Int, Int]:
    """Row and column frequency of each bit: the 64 lowest, closed under transposition."""
    u, v = np.indices((11, 11)).reshape(2, -1)
    chosen = (u + v > 0) & ((u + v < 10) | ((u + v == 10) & (u != v)))
    return u[chosen], v[chosen]


_U, _V = _frequencies()
_EXCHANGED = np.argsort(_V * 11 + _U)[np.argsort(np.argsort(_U * 11 + _V))]
"""The bit whose row frequency is each bit's column frequency, and the other way round."""


def _signs(small: Float32) -> Bool:
    """(N, 64): whether each of the lowest frequencies is positive."""
    wave = fft.dctn(small, axes=(1, 2), norm="ortho")
    return np.asarray(wave[:, _U, _V] > 0)


def _turned_signs(signs: Bool, transposed: bool, upside: bool, mirrored: bool) -> Bool:
    """The signs that the turned images would have."""
    turned = signs[:, _EXCHANGED] if transposed else signs
    flipped = (_U % 2 == 1) & upside
    return turned ^ flipped ^ ((_V % 2 == 1) & mirrored)


def _packed(signs: Bool) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(np.packbits(signs, axis=1)).view(np.uint64).reshape(-1)


def _near(own: npt.NDArray[np.uint64], other: npt.NDArray[np.uint64], most: int) -> list[tuple[Int, Int]]:
    """Pairs i < j whose bits ``own[i]`` and ``other[j]`` differ in up to ``most`` places, in chunks."""
    found = []
    lo = 0
    while lo < len(own):
        hi = min(lo + max(_CELLS // (len(own) - lo), 1), len(own))
        bits = np.bitwise_count(own[lo:hi, None] ^ other[None, lo:])
        i, j = np.nonzero(bits <= most)
        later = i < j
        found.append((i[later] + lo, j[later] + lo))
        lo = hi
    return found


def _best(found: Sequence[tuple[Int, Int, Int, Float32]]) -> Pairs:
    """Each pair once, by the turn that fits best."""
    empty = (np.zeros(0, np.int64),) * 3 + (np.zeros(0, np.float32),)
    first, second, turn, likeness = (np.concatenate(column) for column in zip(empty, *found, strict=True))
    order = np.lexsort((turn, -likeness, second, first))
    first, second, turn, likeness = first[order], second[order], turn[order], likeness[order]
    new = np.append(True, (np.diff(first) != 0) | (np.diff(second) != 0))[: len(first)]
    return Pairs(first[new], second[new], turn[new], likeness[new])
