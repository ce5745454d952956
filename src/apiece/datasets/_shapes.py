"""Outlines of anything: round, long, cornered, lobed, bent, branched, with holes; drawn as coverage patches.

A family draws its own habit by lot (how long, how many lobes) and returns a function that draws individuals: so the
objects of a scene resemble each other as real ones do.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from apiece._arrays import Float, Float32, UInt8

Draw = Callable[[np.random.Generator, float], Float32]
"""``draw(rng, radius in pixels)`` returns coverage 0..1 on a patch of odd sides, the middle of it the object's."""

_FINE = 4  # subpixels along a side; larger objects have fewer
_ANGLES = np.linspace(0, 2 * np.pi, 97)[:-1]


def _canvas(reach: float) -> tuple[UInt8, int]:
    """Return an empty patch of subpixels around the origin, and the subpixels along a pixel."""
    fine = _FINE if reach < 60 else 2
    side = (2 * int(np.ceil(reach + 2)) + 1) * fine
    return np.zeros((side, side), np.uint8), fine


def _coverage(canvas: UInt8, fine: int) -> Float32:
    side = canvas.shape[0] // fine
    return np.asarray(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA), np.float32) / 255.0


def _polygon(points: Float, turn: float, holes: tuple[Float, ...] = ()) -> Float32:
    """Fill an outline (N, 2) around the origin, turned, less its holes."""
    c, s = np.cos(turn), np.sin(turn)
    canvas, fine = _canvas(float(np.abs(points).max()) * 1.42)
    middle = canvas.shape[0] / 2
    for value, outline in ((255, points), *((0, hole) for hole in holes)):
        placed = outline @ np.array([[c, s], [-s, c]]) * fine + middle
        cv2.fillPoly(canvas, [np.rint(placed * 16).astype(np.int32)], value, shift=4)
    return _coverage(canvas, fine)


def _strips(strips: list[tuple[Float, Float]], turn: float) -> Float32:
    """Fill bands given by a middle line (N, 2) and half the width (N,) along it."""
    reach = max(float((np.hypot(*line.T) + half).max()) for line, half in strips)
    canvas, fine = _canvas(reach)
    c, s = np.cos(turn), np.sin(turn)
    for line, half in strips:
        placed = line @ np.array([[c, s], [-s, c]])
        along = np.gradient(placed, axis=0)
        across = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.hypot(*along.T), 1e-6)[:, None]
        sides = np.stack([placed + across * half[:, None], placed - across * half[:, None]], 1)
        corners = np.rint((sides * fine + canvas.shape[0] / 2) * 16).astype(np.int32)
        for k in range(len(line) - 1):
            quad = np.stack([corners[k, 0], corners[k, 1], corners[k + 1, 1], corners[k + 1, 0]])
            cv2.fillConvexPoly(canvas, quad, 255, shift=4)
        for k in range(0, len(line), 2):  # bends stay filled on their outside
            at = np.rint((placed[k] * fine + canvas.shape[0] / 2) * 16).astype(int)
            cv2.circle(canvas, (int(at[0]), int(at[1])), int(half[k] * fine * 16), 255, -1, shift=4)
    return _coverage(canvas, fine)


def _radial(reach: Float, radius: float, aspect: float) -> Float:
    """Return the outline with this distance from the origin at each of the angles, squeezed by ``aspect``."""
    points = np.stack([reach * np.cos(_ANGLES), reach * np.sin(_ANGLES) / aspect], 1)
    return points * (radius * np.sqrt(aspect) / np.abs(points).max())


def _turn(rng: np.random.Generator) -> Callable[[np.random.Generator], float]:
    """Return how individuals lie: as they fell, or lined up."""
    if rng.random() < 0.7:
        return lambda own: float(own.uniform(0, 2 * np.pi))
    first = float(rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)]))
    return lambda own: first + float(own.normal(0, 0.06))


def _vary(rng: np.random.Generator, value: float, spread: float) -> float:
    return float(value * np.exp(rng.normal(0, spread)))


def _round(rng: np.random.Generator) -> Draw:
    longest = float(rng.choice([1.08, 1.3, 2.2, 4.0]))
    hole = float(rng.uniform(0.25, 0.75)) if rng.random() < 0.15 else 0.0
    turn = _turn(rng)

    def draw(own: np.random.Generator, radius: float) -> Float32:
        points = _radial(np.ones_like(_ANGLES), radius, float(own.uniform(1, longest)))
        return _polygon(points, turn(own), (points * hole,) if hole else ())

    return draw


def _box(rng: np.random.Generator) -> Draw:
    power, aspect = float(np.exp(rng.uniform(np.log(2.5), np.log(40)))), float(np.exp(rng.uniform(0, np.log(6))))
    shear, turn = float(rng.normal(0, 0.15)), _turn(rng)

    def draw(own: np.random.Generator, radius: float) -> Float32:
        c, s = np.abs(np.cos(_ANGLES)), np.abs(np.sin(_ANGLES))
        points = _radial((c**power + s**power) ** (-1 / power), radius, max(1.0, _vary(own, aspect, 0.1)))
        points[:, 0] += shear * points[:, 1]
        return _polygon(points, turn(own))

    return draw


def _cornered(rng: np.random.Generator) -> Draw:
    corners, rough = int(rng.integers(3, 10)), float(rng.choice([0.0, 0.15, 0.35]))
    aspect, turn = float(rng.uniform(1, 2.2)), _turn(rng)

    def draw(own: np.random.Generator, radius: float) -> Float32:
        count = max(3, corners + int(own.integers(-1, 2)) * (rough > 0))
        angle = (np.arange(count) + own.uniform(-0.4, 0.4, count) * (rough > 0)) * 2 * np.pi / count
        far = radius * np.exp(own.normal(0, rough + 1e-9, count).clip(-0.7, 0.35))
        return _polygon(np.stack([far * np.cos(angle), far * np.sin(angle) / aspect], 1), turn(own))

    return draw


def _lobed(rng: np.random.Generator) -> Draw:
    lobes, depth = int(rng.integers(3, 14)), float(rng.uniform(0.05, 0.5))
    sharp, aspect, turn = float(rng.uniform(0.5, 2.0)), float(rng.uniform(1, 1.6)), _turn(rng)

    def draw(own: np.random.Generator, radius: float) -> Float32:
        wave = (0.5 + 0.5 * np.cos(lobes * _ANGLES + own.uniform(0, 6))) ** sharp
        return _polygon(_radial(1 - depth * (1 - wave), radius, aspect), turn(own))

    return draw


def _blob(rng: np.random.Generator) -> Draw:
    strength, fall = float(rng.uniform(0.05, 0.5)), float(rng.uniform(0.8, 2.2))
    aspect, turn = float(np.exp(rng.uniform(0, np.log(2.5)))), _turn(rng)
    order = np.arange(2, 15)

    def draw(own: np.random.Generator, radius: float) -> Float32:
        amplitude = strength * own.normal(0, 1, len(order)) / (order - 1.0) ** fall
        phase = own.uniform(0, 2 * np.pi, len(order))
        wave = (amplitude[:, None] * np.cos(order[:, None] * _ANGLES + phase[:, None])).sum(0)
        return _polygon(_radial(np.exp(wave.clip(-1.2, 0.8)), radius, max(1.0, _vary(own, aspect, 0.2))), turn(own))

    return draw


def _line(rng: np.random.Generator, length: float, bend: float, points: int = 25) -> Float:
    """Return a bent line of this length around the origin."""
    turns = np.cumsum(rng.normal(0, bend / np.sqrt(points), points)) + np.linspace(-1, 1, points) * rng.normal(0, bend)
    line = np.cumsum(np.stack([np.cos(turns), np.sin(turns)], 1), 0) * (length / points)
    return np.asarray(line - line.mean(0))


def _long(rng: np.random.Generator) -> Draw:
    """Draw rods, worms, leaves, strands, and turned forms such as bottles, pins and screws."""
    thin, bend = float(np.exp(rng.uniform(np.log(0.03), np.log(0.42)))), float(rng.choice([0.0, 0.15, 0.5, 1.0]))
    ends, turn = float(rng.choice([0.0, 0.5, 1.0])), _turn(rng)
    steps = np.repeat(rng.uniform(0.35, 1.0, 5), 5) if bend == 0 and rng.random() < 0.6 else np.ones(25)

    def draw(own: np.random.Generator, radius: float) -> Float32:
        line = _line(own, 2 * radius, bend)
        half = radius * _vary(own, thin, 0.15) * steps * np.sin(np.linspace(0.15, np.pi - 0.15, 25)) ** ends
        return _strips([(line, np.maximum(half, 0.9))], turn(own))

    return draw


def _branched(rng: np.random.Generator) -> Draw:
    """Draw stars of leaves, seedlings, clips: bands that begin at one point."""
    most, thin = int(rng.integers(2, 7)), float(np.exp(rng.uniform(np.log(0.03), np.log(0.3))))
    bend, ends, turn = float(rng.uniform(0, 0.7)), float(rng.choice([0.0, 1.0])), _turn(rng)

    def draw(own: np.random.Generator, radius: float) -> Float32:
        strips = []
        for angle in np.sort(own.uniform(0, 2 * np.pi, int(own.integers(2, most + 1)))):
            line = _line(own, radius * float(own.uniform(0.5, 1)), bend)
            line -= line[0]
            c, s = np.cos(angle), np.sin(angle)
            half = radius * thin * np.sin(np.linspace(0.25, np.pi - 0.1, 25)) ** ends
            strips.append((line @ np.array([[c, s], [-s, c]]), np.maximum(half, 0.9)))
        return _strips(strips, turn(own))

    return draw


def _joined(rng: np.random.Generator) -> Draw:
    """Draw two or three forms grown together: caps on stems, boards with plugs."""
    parts = [_SIMPLE[k](rng) for k in rng.integers(0, len(_SIMPLE), int(rng.integers(2, 4)))]
    places = [(0.0, 0.0), *((float(a), float(r)) for a, r in rng.uniform((0, 0.3), (6.28, 0.7), (len(parts) - 1, 2)))]
    sizes = [0.7, *rng.uniform(0.25, 0.6, len(parts) - 1)]

    def draw(own: np.random.Generator, radius: float) -> Float32:
        half = int(np.ceil(radius * 2)) + 3
        whole = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
        turn = own.uniform(0, 2 * np.pi)
        for part, (angle, far), size in zip(parts, places, sizes, strict=True):
            patch = part(own, max(radius * size, 2.0))
            x, y = (round(half + radius * far * f(angle + turn)) - patch.shape[0] // 2 for f in (np.cos, np.sin))
            if min(x, y) < 0 or max(x, y) + patch.shape[0] > len(whole):
                continue
            spot = whole[y : y + patch.shape[0], x : x + patch.shape[1]]
            np.maximum(spot, patch, out=spot)
        return whole

    return draw


_SIMPLE = (_round, _box, _cornered, _lobed, _blob, _long)
_FAMILIES = ((_round, 0.22), (_box, 0.16), (_cornered, 0.12), (_lobed, 0.06), (_blob, 0.2), (_long, 0.12),
             (_branched, 0.05), (_joined, 0.07))  # fmt: skip


def shape_family(rng: np.random.Generator) -> Draw:
    """Return one family of outlines with its habit, by lot."""
    shares = np.array([share for _, share in _FAMILIES])
    return _FAMILIES[rng.choice(len(_FAMILIES), p=shares / shares.sum())][0](rng)
