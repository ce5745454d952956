"""Tileable noise for the synthetic scenes, and the backdrops made of it.

The tiles are made once per process from a fixed seed, so that a scene costs a look-up and stays the same
whatever was drawn before it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from apiece._arrays import Array, Float32

_SIDE = 512
# how each tile's amplitude falls with spatial frequency (across, along): the spectrum is the texture
_SPECTRA: dict[str, Callable[[Float32, Float32], Array]] = {
    "cloud": lambda fx, fy: 1.0 / (2.0 + np.hypot(fx, fy)) ** 1.7,
    "mottle": lambda fx, fy: np.exp(-(((np.hypot(fx, fy) - 26.0) / 16.0) ** 2)),
    "grain": lambda fx, fy: np.exp(-((np.hypot(fx, fy) / 130.0) ** 2)),
    "brushed": lambda fx, fy: np.exp(-((fx / 5.0) ** 2)) * np.exp(-((fy / 190.0) ** 2)),
    "wood": lambda fx, fy: np.exp(-((fx / 2.5) ** 2)) / (6.0 + np.abs(fy)) ** 0.8,
}


@cache
def _tile(kind: str) -> Float32:
    """Return one periodic tile of (512, 512), mean 0, standard deviation 1."""
    rng = np.random.default_rng([20260101, sorted(_SPECTRA).index(kind)])
    frequency = np.fft.fftfreq(_SIDE, 1.0 / _SIDE)
    spectrum = _SPECTRA[kind](np.abs(frequency[None, :]), np.abs(frequency[:, None]))
    spectrum[0, 0] = 0.0
    white = np.fft.fft2(rng.standard_normal((_SIDE, _SIDE)))
    tile = np.fft.ifft2(white * spectrum).real
    return np.ascontiguousarray(tile / tile.std(), dtype=np.float32)


def texture(
    kind: str, shape: tuple[int, int], rng: np.random.Generator, *, scale: float = 1.0, angle: float = 0.0
) -> Float32:
    """Cut a random piece out of a tile, turned by ``angle`` (radians), enlarged ``scale`` times: mean 0, std 1."""
    tile = _tile(kind)
    dx, dy = rng.random(2) * _SIDE
    if scale == 1.0 and angle == 0.0 and max(shape) <= _SIDE // 2:
        x, y = int(dx) % (_SIDE - shape[1]), int(dy) % (_SIDE - shape[0])
        return tile[y : y + shape[0], x : x + shape[1]]
    c, s = np.cos(angle) / scale, np.sin(angle) / scale
    where = np.array([[c, s, dx], [-s, c, dy]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    piece = cv2.warpAffine(tile, where, (shape[1], shape[0]), flags=flags, borderMode=cv2.BORDER_WRAP)
    return np.asarray(piece, np.float32)


_Colour = tuple[float, float, float]
_Field = tuple[Float32, _Colour]  # what a backdrop returns: brightness around 1, base colour; linear light, unlit


def _tint(rng: np.random.Generator, low: _Colour, high: _Colour) -> _Colour:
    r, g, b = np.asarray(low) + (np.asarray(high) - np.asarray(low)) * rng.random()
    return float(r), float(g), float(b)


def _mixed(rng: np.random.Generator, size: tuple[int, int], *layers: tuple[str, float, float]) -> Float32:
    """Return 1 plus textures, each given by (kind, amplitude, scale)."""
    field: Float32 | float = 1.0
    for kind, amplitude, scale in layers:
        field = field + amplitude * texture(kind, size, rng, scale=scale)
    return np.asarray(field)


def _paper(rng: np.random.Generator, size: tuple[int, int]) -> _Field:
    field = _mixed(rng, size, ("grain", 0.012, 1.0), ("cloud", 0.03, 1.5))
    return field, _tint(rng, (0.62, 0.60, 0.56), (0.80, 0.80, 0.79))


def _felt(rng: np.random.Generator, size: tuple[int, int]) -> _Field:
    field = _mixed(rng, size, ("grain", 0.16, 1.0), ("mottle", 0.07, 1.0), ("cloud", 0.05, 1.0))
    colours = ((0.03, 0.16, 0.08), (0.04, 0.07, 0.22), (0.05, 0.05, 0.055), (0.22, 0.035, 0.045), (0.16, 0.15, 0.14))
    return field, colours[rng.integers(len(colours))]


def _steel(rng: np.random.Generator, size: tuple[int, int]) -> _Field:
    angle = float(rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.06))
    field = 1.0 + 0.075 * texture("brushed", size, rng, angle=angle) + 0.10 * texture("wood", size, rng, angle=angle)
    return field, _tint(rng, (0.22, 0.23, 0.24), (0.40, 0.41, 0.43))


def _wood(rng: np.random.Generator, size: tuple[int, int]) -> _Field:
    angle = float(rng.uniform(0, np.pi))
    lines = texture("wood", size, rng, scale=1.4, angle=angle)
    pores = texture("brushed", size, rng, scale=1.2, angle=angle)
    field = 1.0 + 0.17 * np.tanh(lines) + 0.05 * pores + 0.06 * texture("cloud", size, rng, scale=2.0)
    return field, _tint(rng, (0.20, 0.10, 0.05), (0.52, 0.36, 0.20))


def _rubber(rng: np.random.Generator, size: tuple[int, int]) -> _Field:
    field = _mixed(rng, size, ("mottle", 0.20, float(rng.uniform(0.8, 1.6))), ("grain", 0.10, 1.0))
    return field, _tint(rng, (0.030, 0.032, 0.035), (0.085, 0.085, 0.08))


def _concrete(rng: np.random.Generator, size: tuple[int, int]) -> _Field:
    pits = np.maximum(texture("mottle", size, rng) - 1.6, 0.0)
    field = _mixed(rng, size, ("cloud", 0.12, 1.0), ("grain", 0.05, 1.0)) - 0.35 * pits
    return field, _tint(rng, (0.26, 0.25, 0.23), (0.44, 0.43, 0.41))


def _mat(rng: np.random.Generator, size: tuple[int, int]) -> _Field:
    """Draw a cutting mat: a printed grid on matt plastic."""
    field = _mixed(rng, size, ("grain", 0.05, 1.0), ("cloud", 0.04, 1.0))
    pitch, angle = float(rng.uniform(26, 60)), float(rng.normal(0, 0.12))
    y, x = np.ogrid[: size[0], : size[1]]
    c, s, (ox, oy) = np.cos(angle), np.sin(angle), rng.random(2) * pitch
    for across in (x * c + y * s + ox, y * c - x * s + oy):
        near = np.abs((across + 0.5 * pitch) % pitch - 0.5 * pitch)
        field = field + 0.55 * np.clip(1.2 - near, 0, 1)
    colours = ((0.03, 0.15, 0.13), (0.035, 0.09, 0.20), (0.10, 0.10, 0.105))
    return np.asarray(field, np.float32), colours[rng.integers(len(colours))]


BACKDROPS: dict[str, Callable[[np.random.Generator, tuple[int, int]], _Field]] = {
    "paper": _paper,
    "felt": _felt,
    "steel": _steel,
    "wood": _wood,
    "rubber": _rubber,
    "concrete": _concrete,
    "mat": _mat,
}


def backdrop(kind: str, rng: np.random.Generator, size: tuple[int, int]) -> Float32:
    """Draw the empty table ``kind`` (a key of `BACKDROPS`): float32 (H, W, 3), linear light, unlit."""
    field, colour = BACKDROPS[kind](rng, size)
    # dust: a few light and dark specks, so that small blobs alone do not mean a part
    count = int(rng.integers(0, 1 + size[0] * size[1] // 3000))
    if count:
        at = (rng.random((count, 2)) * (np.asarray(size) - 1)).astype(np.intp)
        specks = np.zeros(size, np.float32)
        specks[at[:, 0], at[:, 1]] = rng.uniform(-1.2, 1.6, count)
        field = field + cv2.GaussianBlur(specks, (5, 5), 0.8) * 1.3
    return cv2.merge([np.maximum(field, 0.05).astype(np.float32) * np.float32(c) for c in colour])
