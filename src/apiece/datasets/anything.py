"""Scenes of anything: objects of any shape, surface, size and number on any ground, with exact masks.

They teach a model what an object is, whatever it is called: see ``recipes/default_weights``. Where
`apiece.datasets.synthetic` draws five real parts well, here everything is drawn by lot: shapes, colours, textures,
light, clutter, clear and dark things, one object or hundreds, over more than four octaves of size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Bool, Float, Float32, Int32, UInt8
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.datasets._light import Light
from apiece.datasets._shapes import Draw, shape_family
from apiece.datasets._surfaces import Surface, any_ground
from apiece.datasets._table import Table
from apiece.errors import ConfigError, Option

__all__ = ["AnythingConfig", "any_scene"]

_SIZES = (4.0, 0.3)  # smallest radius in pixels, largest as a share of the image's side
_MOST = 220  # objects tried
_TRIES = 10  # places tried for each
_CELLS = 0.2  # of the scenes are packed without gaps, as tissue, seeds and rubble are
_PLAIN = 0.05  # mean difference in brightness, 0..1, from which on an object is one to the eye
_SEEN = 0.35  # least share of an object that stays visible


@dataclass(frozen=True)
class AnythingConfig:
    """Set up scenes of anything.

    Attributes
    ----------
    size : (height, width) of the image in pixels, each at least 64.
    seed : scenes of different seeds have nothing in common; 0 or more.
    """

    size: tuple[int, int] = (384, 384)
    seed: int = 0

    def __post_init__(self) -> None:
        if not (len(self.size) == 2 and min(self.size) >= 64):
            raise ConfigError(f"size must be (height, width), at least 64 x 64 pixels, got {self.size}")
        if self.seed < 0:
            raise ConfigError(Option("seed") + f" must be 0 or more, got {self.seed}")


@dataclass(frozen=True)
class _Kind:
    """One kind of object in a scene."""

    shape: Draw
    surface: Surface


def any_scene(config: AnythingConfig, index: int) -> tuple[Image, Instances]:
    """Draw scene ``index``; the same two arguments always give the same scene.

    Returns
    -------
    A uint8 RGB image, and the visible area of each object: disjoint masks of the one class ``object``.

    Examples
    --------
    >>> from apiece.datasets import AnythingConfig, any_scene
    >>> image, objects = any_scene(AnythingConfig(size=(96, 96), seed=7), index=3)
    >>> image.size, objects.classes
    ((96, 96), ('object',))
    """
    if index < 0:
        raise ConfigError(f"scenes are numbered from 0, got {index}")
    rng = np.random.default_rng([0xA117, config.seed, index])
    light = _light(rng)
    table = Table(any_ground(rng, config.size, light), np.zeros(config.size, np.int32))
    ground = table.canvas.copy()
    r, g, b = np.median(ground[::8, ::8].reshape(-1, 3), axis=0).tolist()
    kinds = [_Kind(shape_family(rng), Surface.draw(rng, (r, g, b))) for _ in range(1 + int(rng.poisson(0.8)))]
    (_pack if rng.random() < _CELLS else _strew)(rng, table, kinds, light)
    masks = Masks.from_label_map(np.where(_shown(table, ground)[table.owner], table.owner, 0))
    return Image(_photo(rng, table.canvas, light)), Instances(masks, np.zeros(len(masks), np.int64), ("object",))


def _shown(table: Table, ground: Float32) -> Bool:
    """Return for each value of the owners whether an eye can tell the object from the ground it lies on."""
    level = max(float(np.quantile(table.canvas[::4, ::4], 0.97)), 0.02)
    bright = [np.sqrt(np.minimum(picture / level, 1.5)) for picture in (table.canvas, ground)]
    apart = np.abs(bright[0] - bright[1]).max(axis=2)
    owner = table.owner.ravel()
    mean = np.bincount(owner, apart.ravel()) / np.maximum(np.bincount(owner), 1)
    return np.asarray((mean > _PLAIN) & (np.arange(len(mean)) > 0))


def _light(rng: np.random.Generator) -> Light:
    turn, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.6, 1.4)
    direction = float(np.cos(height) * np.cos(turn)), float(np.cos(height) * np.sin(turn)), float(np.sin(height))
    return Light(direction, ambient=float(rng.uniform(0.2, 0.8)), size=float(rng.uniform(0.08, 0.6)))


# --- objects that lie about -------------------------------------------------------------------------------------------


def _strew(rng: np.random.Generator, table: Table, kinds: list[_Kind], light: Light) -> None:
    """Lay objects apart, in heaps, in rows, touching or over each other."""
    height, width = table.owner.shape
    low, high = np.log(_SIZES[0]), np.log(_SIZES[1] * min(height, width))
    typical, spread = float(np.exp(rng.uniform(low, high))), float(rng.choice([0.05, 0.25, 0.6]))
    room = height * width / (np.pi * typical**2)
    count = int(np.clip(room * np.exp(rng.uniform(np.log(0.01), np.log(0.9))), 1, _MOST))
    over = float(rng.choice([0.0, 0.0, 0.25, 0.6]))
    shadows = rng.random() < 0.6
    places = _layout(rng, (height, width), typical)
    for _ in range(count):
        kind = kinds[rng.integers(len(kinds))]
        radius = float(np.clip(typical * np.exp(rng.normal(0, spread)), 3.0, 0.45 * min(height, width)))
        cover = kind.shape(rng, radius)
        mask = cover >= 0.5
        area, half = int(np.count_nonzero(mask)), cover.shape[0] // 2
        if area < 6:
            continue
        for x, y in places(table, radius):
            left, top = int(x) - half, int(y) - half
            if table.accepts(left, top, mask, area, over, 1 - _SEEN):
                _lay(rng, table, kind.surface, cover, (left, top), light, shadows)
                table.middles.append((x, y, radius))
                break


def _lay(
    rng: np.random.Generator,
    table: Table,
    surface: Surface,
    cover: Float32,
    at: tuple[int, int],
    light: Light,
    shadows: bool,
) -> None:
    left, top = at
    if shadows and surface.shader != "glow":
        table.shade(left, top, cover, max(1.0, surface.flat * cover.shape[0] / 2), light)
    y0, x0, y1, x1 = table.window(left, top, cover.shape)
    below = np.zeros((*cover.shape, 3), np.float32)
    below[y0 - top : y1 - top, x0 - left : x1 - left] = table.canvas[y0:y1, x0:x1]
    table.lay(left, top, cover, surface.paint(cover, below, light, rng), 0)


Places = Callable[[Table, float], Iterator[tuple[float, float]]]


def _layout(rng: np.random.Generator, size: tuple[int, int], typical: float) -> Places:
    """Return where objects are tried: anywhere, about a few centres, on a lattice, at the side of one another."""
    height, width = size
    kind, touching = int(rng.integers(3)), float(rng.choice([0.0, 0.4, 0.9]))
    centres = rng.random((int(rng.integers(1, 5)), 2)) * (width, height)
    wide = float(rng.uniform(0.08, 0.3)) * min(size)
    pitch, turn = typical * float(rng.uniform(2.0, 3.2)), float(rng.choice([0.0, rng.uniform(0, np.pi)]))
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])

    def anywhere() -> Float:
        if kind == 1:
            return np.asarray(centres[rng.integers(len(centres))] + rng.normal(0, wide, 2))
        point = rng.random(2) * (width, height)
        if kind == 0:
            return np.asarray(point)
        return np.asarray((np.rint(point @ axes.T / pitch) + rng.normal(0, 0.05, 2)) * pitch @ axes)

    def places(table: Table, radius: float) -> Iterator[tuple[float, float]]:
        if table.middles and rng.random() < touching:
            x, y, other = table.middles[rng.integers(len(table.middles))]
            angle = rng.uniform(0, 2 * np.pi)
            for step in np.linspace(0.4, 1.05, _TRIES):  # outwards: the first that fits touches
                far = step * (other + radius)
                yield x + far * np.cos(angle), y + far * np.sin(angle)
        for _ in range(_TRIES):
            x, y = anywhere()
            if 0 <= x < width and 0 <= y < height:
                yield float(x), float(y)

    return places


# --- objects without gaps ---------------------------------------------------------------------------------------------


def _pack(rng: np.random.Generator, table: Table, kinds: list[_Kind], light: Light) -> None:
    """Divide the ground, or islands of it, into cells around random points."""
    size = table.owner.shape
    cells = _cells(rng, size)
    order = rng.permutation(np.arange(1, int(cells.max()) + 1))
    gone = rng.random(len(order)) < float(rng.choice([0.0, 0.1, 0.5]))
    gap = int(rng.choice([0, 0, 1, 2]))
    boxes = Masks.from_label_map(cells).boxes.astype(int)
    values = np.unique(cells[cells > 0])
    where = {int(value): box for value, box in zip(values, boxes, strict=True)}
    for value in order[~gone].tolist():
        if value not in where:
            continue
        x0, y0, x1, y1 = where[value]
        cell = np.pad((cells[y0:y1, x0:x1] == value).astype(np.uint8), 3)
        if gap:
            cell = cv2.erode(cell, np.ones((3, 3), np.uint8), iterations=gap)
        if np.count_nonzero(cell) < 12:
            continue
        cover = np.asarray(cv2.GaussianBlur(cell.astype(np.float32), (3, 3), 0.7), np.float32)
        surface = kinds[rng.integers(len(kinds))].surface
        _lay(rng, table, surface, cover, (x0 - 3, y0 - 3), light, shadows=False)


def _cells(rng: np.random.Generator, size: tuple[int, ...]) -> Int32:
    """Return a label map of the cells nearest to random points, their sides bent."""
    height, width = size
    pitch = float(np.exp(rng.uniform(np.log(9), np.log(0.35 * min(size)))))
    count = max(2, int(height * width / pitch**2))
    points = rng.random((count, 2)) * (height, width)
    even = float(rng.uniform(0, 1))  # from points at random to a lattice
    rows = max(1, round(np.sqrt(count * height / width)))
    lattice = (np.stack([np.arange(count) // -(-count // rows), np.arange(count) % -(-count // rows)], 1) + 0.5) * pitch
    points = (1 - even) * points + even * lattice
    seeds = np.full((height, width), 255, np.uint8)
    at = np.clip(points, 0, (height - 1, width - 1)).astype(int)
    seeds[at[:, 0], at[:, 1]] = 0
    _, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    bend = float(rng.choice([0.0, 0.15, 0.35])) * pitch
    waves = [cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 0.3 * pitch + 1)
             for _ in range(2)]  # fmt: skip
    dx, dy = (bend * wave / max(float(wave.std()), 1e-6) for wave in waves)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    bent = cells[np.clip(y + dy, 0, height - 1).astype(int), np.clip(x + dx, 0, width - 1).astype(int)]
    if rng.random() < 0.5:
        island = waves[0] + cv2.GaussianBlur(rng.standard_normal((height, width)).astype(np.float32), (0, 0), 60) * 20
        inside = np.isin(np.arange(bent.max() + 1), np.unique(bent[island > np.quantile(island, 0.4)]))
        bent = np.where(inside[bent], bent, 0)
    return np.asarray(bent, np.int32)


# --- the camera -------------------------------------------------------------------------------------------------------


def _photo(rng: np.random.Generator, canvas: Float32, light: Light) -> UInt8:
    """Turn linear light into uint8 RGB: uneven light, blur, exposure, film curve and noise."""
    height, width = canvas.shape[:2]
    y, x = np.linspace(-1, 1, height, dtype=np.float32)[:, None], np.linspace(-1, 1, width, dtype=np.float32)[None]
    lx, ly, _ = light.direction
    fall, corner = float(rng.choice([0.0, 0.3, 0.9])) * rng.random(), float(rng.uniform(0, 0.3))
    lit = np.maximum(1 + fall * (x * np.float32(lx) + y * np.float32(ly)) * 2 - corner * (x * x + y * y), 0.08)
    level = max(float(np.quantile(canvas[::4, ::4], 0.97)), 0.02)
    gain = float(np.exp(rng.normal(0.2, 0.5))) / level
    shown = canvas * (lit * gain).astype(np.float32)[:, :, None]
    if (blur := float(rng.choice([0.3, 0.7, 1.5]))) > 0.3:
        shown = cv2.GaussianBlur(shown, (0, 0), blur)
    shown = np.sqrt(np.maximum(1 - np.exp(-1.3 * shown), 0))
    shown += rng.standard_normal(shown.shape, np.float32) * float(rng.choice([0.003, 0.015, 0.05]))
    return np.clip(shown * 255, 0, 255).astype(np.uint8)
