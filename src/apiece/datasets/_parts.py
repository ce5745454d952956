"""The parts that lie in a synthetic scene: washers, pills, screws, hex nuts and irregular particles.

A part is an outline, given as a signed distance in pixels (negative inside), and a surface, given as a height
field that is lit. Mask and pixels come from the same distance: a pixel's coverage is ``0.5 - distance`` clipped
to 0..1, and it belongs to the mask where that is at least one half.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from apiece._arrays import Float32
from apiece.datasets._light import METALS, Colour, View, grime, matte, metal, pick, rounded, scratches
from apiece.datasets._textures import texture


class Part(ABC):
    """One part; making it draws its shape by lot.

    Attributes
    ----------
    reach : radius in pixels of the circle about the origin that holds the part.
    thickness : height above the table in pixels, which is the length of its shadow.
    """

    reach: float
    thickness: float

    @abstractmethod
    def distance(self, u: Float32, v: Float32) -> Float32:
        """Return the signed distance to the outline, in pixels."""

    @abstractmethod
    def paint(self, view: View, rng: np.random.Generator) -> Float32:
        """Return the linear-light colour of every pixel of the patch, float32 (h, w, 3)."""


class _Washer(Part):
    def __init__(self, rng: np.random.Generator, radius: float) -> None:
        self.reach, self.thickness = radius, float(0.10 * radius + 1.0)
        self.hole = float(radius * rng.uniform(0.36, 0.62))
        self.colour = pick(rng, METALS)
        # finished on a lathe: rings and a bow-tie of light; otherwise stamped and tumbled
        self.turned = bool(rng.random() < 0.5)

    def distance(self, u: Float32, v: Float32) -> Float32:
        r = np.sqrt(u * u + v * v)
        return np.maximum(r - self.reach, self.hole - r)

    def paint(self, view: View, rng: np.random.Generator) -> Float32:
        r = np.sqrt(view.u * view.u + view.v * view.v)
        height = rounded(-view.distance, max(1.4, 0.09 * self.reach))
        if self.turned:
            rings = rng.standard_normal(int(2 * self.reach) + 12).astype(np.float32)
            ring = rings[np.minimum((r * 2).astype(np.intp), len(rings) - 1)]
            lx, ly, _ = view.light.direction
            turn = np.arctan2(ly, lx) - view.angle
            c, s = np.cos(turn), np.sin(turn)
            bow = (view.u * c + view.v * s) / np.maximum(r, 0.5)
            shade = 0.80 + 0.07 * ring + 0.85 * np.exp((bow * bow - 1.0) * 5.0)
        else:
            shade = scratches(view, rng, 0.05) * grime(view, rng, 0.14)
        return metal(height, self.colour, view.light, gloss=0.8, shade=np.asarray(shade, np.float32))


class _Nut(Part):
    def __init__(self, rng: np.random.Generator, radius: float) -> None:
        self.reach, self.thickness = radius, float(0.42 * radius + 1.0)
        self.hole = float(radius * rng.uniform(0.40, 0.52))
        self.colour = pick(rng, METALS)

    def _hexagon(self, u: Float32, v: Float32) -> Float32:
        a, b = np.abs(u), np.abs(v)
        inner = self.reach * 0.866
        return np.maximum(0.866 * a + 0.5 * b, b) - np.float32(inner)

    def distance(self, u: Float32, v: Float32) -> Float32:
        r = np.sqrt(u * u + v * v)
        # corners are cut by the chamfer's circle
        return np.maximum(np.maximum(self._hexagon(u, v), r - self.reach * 0.985), self.hole - r)

    def paint(self, view: View, rng: np.random.Generator) -> Float32:
        r = np.sqrt(view.u * view.u + view.v * view.v)
        face = self.reach * 0.85
        # a flat face inside the chamfer's circle; the corners fall away; a countersink leads into the thread
        height = -0.62 * np.maximum(r - face, 0.0)
        height -= 0.95 * np.maximum(self.hole + 0.13 * self.reach - r, 0.0)
        height += rounded(-view.distance, max(1.1, 0.05 * self.reach))
        shade = scratches(view, rng, 0.04) * grime(view, rng, 0.10)
        wall = np.clip((r - self.hole) * (1.0 / max(0.09 * self.reach, 1.0)), 0.0, 1.0)
        shade *= 0.35 + 0.65 * wall
        return metal(np.asarray(height, np.float32), self.colour, view.light, gloss=0.7, shade=shade)


class _Screw(Part):
    def __init__(self, rng: np.random.Generator, radius: float) -> None:
        self.end = float(radius * rng.uniform(1.05, 1.5))  # half the length
        self.shaft = float(max(2.4, radius * rng.uniform(0.17, 0.25)))  # half its width
        self.kind = int(rng.integers(3))  # 0 pan head, 1 hexagon head, 2 countersunk
        self.head = float(self.shaft * rng.uniform(1.7, 2.1))  # half its width
        self.head_length = float(self.shaft * (1.25, 1.3, 1.15)[self.kind] * rng.uniform(0.9, 1.15))
        self.pitch = float(max(2.6, self.shaft * rng.uniform(0.55, 0.75)))
        self.colour = pick(rng, METALS)
        self.pointed = bool(rng.random() < 0.4)
        self.reach, self.thickness = float(np.hypot(self.end, self.head)), self.shaft * 1.6
        self.split = self.head_length - self.end  # where the head ends

    def _thread(self, u: Float32, v: Float32) -> Float32:
        """Return the saw of the thread, -1..1; it climbs half a turn from one side to the other."""
        phase = (u + v * (0.5 * self.pitch / self.shaft)) * (1.0 / self.pitch)
        saw: Float32 = np.abs((phase - np.floor(phase)) * np.float32(4.0) - np.float32(2.0)) - np.float32(1.0)
        return saw

    def _half_width(self, u: Float32) -> Float32:
        """Return half the width of the shaft: full, then a point or a chamfer."""
        left = self.end - u
        taper = 0.45 if self.pointed else 1.0
        least = 0.0 if self.pointed else 0.62 * self.shaft
        return np.minimum(np.float32(self.shaft), least + np.maximum(left, 0.0) * taper)

    def distance(self, u: Float32, v: Float32) -> Float32:
        side = np.abs(v)
        saw = self._thread(u, np.sign(v) * np.float32(self.shaft))
        width = self._half_width(u)
        bite = np.float32(0.13) * width
        shaft = np.maximum(side - width + bite * (1.0 - saw) * 0.5, u - self.end)
        shaft = np.maximum(shaft, self.split - 1.0 - u)
        centre, half = 0.5 * self.head_length - self.end, 0.5 * self.head_length
        if self.kind == 2:
            t = np.clip((u + self.end) * (1.0 / self.head_length), 0.0, 1.0)
            slope = np.float32(self.head - self.shaft) * np.maximum(t - 0.2, 0.0) / 0.8
            head = np.maximum((side - self.head + slope) * 0.75, np.abs(u - centre) - half)
        else:
            radius = (0.75 if self.kind == 0 else 0.16) * half
            qx, qy = np.abs(u - centre) - (half - radius), side - (self.head - radius)
            head = np.hypot(np.maximum(qx, 0), np.maximum(qy, 0)) + np.minimum(np.maximum(qx, qy), 0) - radius
            if self.kind == 0:  # only the outer end of a pan head is round
                head = np.where(u < centre, head, np.maximum(np.abs(u - centre) - half, side - self.head))
        return np.asarray(np.minimum(shaft, head), np.float32)

    def paint(self, view: View, rng: np.random.Generator) -> Float32:
        u, v = view.u, view.v
        width = np.maximum(self._half_width(u), 0.5)
        across = np.clip(v / width, -1.0, 1.0)
        thread = self._thread(u, v)
        bare = np.clip((u - self.split - 0.15 * self.end) * 0.5, 0.0, 1.0)
        shaft = width * np.sqrt(1.0 - 0.96 * across * across) + thread * bare * (0.16 * self.pitch + 0.2)
        over = np.clip(v * (1.0 / self.head), -1.0, 1.0)
        if self.kind == 1:
            # three faces of the hexagon are seen from the side
            head = self.head * (1.15 - np.maximum(np.abs(over) - 0.5, 0.0) * 1.1)
        else:
            head = self.head * np.sqrt(1.0 - 0.96 * over * over)
        in_head = u < self.split
        height = np.where(in_head, head, shaft).astype(np.float32)
        height += 0.5 * rounded(-view.distance, 1.5)
        groove = 1.0 - 0.30 * bare * (thread < -0.25) * ~in_head
        neck = 1.0 - 0.45 * np.exp(-(((u - self.split - 1.0) / 1.3) ** 2)) * ~in_head
        shade = groove * neck * grime(view, rng, 0.08)
        return metal(height, self.colour, view.light, gloss=0.75, shade=np.asarray(shade, np.float32))


_COATS: tuple[Colour, ...] = (
    (0.80, 0.79, 0.76), (0.82, 0.80, 0.74), (0.72, 0.08, 0.07), (0.82, 0.58, 0.06), (0.06, 0.22, 0.55),
    (0.10, 0.42, 0.22), (0.80, 0.32, 0.09), (0.78, 0.42, 0.46), (0.38, 0.58, 0.74), (0.42, 0.22, 0.10),
)  # fmt: skip


class _Pill(Part):
    def __init__(self, rng: np.random.Generator, radius: float) -> None:
        self.kind = int(rng.integers(3))  # 0 two-part capsule, 1 round tablet, 2 oblong tablet
        first, second = rng.choice(len(_COATS), 2, replace=False)
        half = radius * (rng.uniform(0.36, 0.46), rng.uniform(0.62, 0.9), rng.uniform(0.42, 0.55))[self.kind]
        self.half = float(half)  # half the width
        self.reach = self.half if self.kind == 1 else float(radius)
        self.thickness = self.half * (1.0 if self.kind == 0 else 0.7)
        pale = int(rng.integers(2)) if rng.random() < 0.6 else int(first)
        self.colours = _COATS[first if self.kind == 0 else pale], _COATS[second]
        self.scored = bool(self.kind and rng.random() < 0.55)

    def distance(self, u: Float32, v: Float32) -> Float32:
        along = np.maximum(np.abs(u) - np.float32(self.reach - self.half), 0.0)
        return np.sqrt(along * along + v * v) - np.float32(self.half)

    def paint(self, view: View, rng: np.random.Generator) -> Float32:
        u, depth = view.u, -view.distance
        if self.kind == 0:
            lid = u < 0.08 * self.reach  # the cap slides over the body
            t = np.clip(1.0 - depth * (1.0 / self.half), 0.0, 1.0)
            height = self.half * np.sqrt(1.0 - 0.985 * t * t)
            height += 0.045 * self.half * np.clip((0.08 * self.reach - u) * 0.7, 0.0, 1.0)
            albedo = [np.where(lid, np.float32(a), np.float32(b)) for a, b in zip(*self.colours, strict=True)]
            return matte(np.asarray(height, np.float32), albedo, view.light, gloss=0.55, sharp=60.0)
        t = np.clip(1.0 - depth * (1.0 / self.half), 0.0, 1.0)
        height = self.half * 0.30 * (1.0 - t * t) + rounded(depth, max(1.5, 0.22 * self.half))
        if self.scored:
            height -= np.maximum(0.17 * self.half - 0.8 * np.abs(u), 0.0)
        speckle = 1.0 + 0.022 * texture("grain", u.shape, rng)
        height = np.asarray(height, np.float32)
        return matte(height, [speckle * np.float32(c) for c in self.colours[0]], view.light, gloss=0.12, sharp=24.0)


_STONES: tuple[Colour, ...] = (
    (0.34, 0.31, 0.27), (0.20, 0.20, 0.21), (0.50, 0.44, 0.36),
    (0.36, 0.20, 0.14), (0.58, 0.56, 0.52), (0.16, 0.19, 0.15),
)  # fmt: skip


class _Particle(Part):
    """A crushed stone (planes cut off a block) or a pebble (a wavy outline)."""

    def __init__(self, rng: np.random.Generator, radius: float) -> None:
        reach = radius * rng.uniform(0.55, 1.0)
        self.reach, self.thickness = float(reach), 0.5 * float(reach)
        amplitude = rng.uniform(0.2, 1.0, 5) * np.array([0.13, 0.08, 0.045, 0.03, 0.02])
        # (3, K) order, amplitude, phase of the outline of a pebble
        self.waves = np.stack([np.arange(2, 7), amplitude, rng.uniform(0, 2 * np.pi, 5)]).astype(np.float32)
        count = int(rng.integers(6, 10)) if rng.random() < 0.6 else 0
        turn = (np.arange(count) + rng.uniform(-0.32, 0.32, count)) * (2 * np.pi / max(count, 1))
        planes = [turn, reach * rng.uniform(0.58, 0.92, count), rng.uniform(0.35, 1.5, count)]
        # (3, K) direction, offset, slope of the planes of a crushed stone; none for a pebble
        self.planes = np.stack(planes).astype(np.float32)
        self.colour = pick(rng, _STONES, 0.15)

    def _edge(self, u: Float32, v: Float32) -> Float32:
        """Return the distance from the centre to the outline of a pebble, in the direction of each pixel."""
        theta = np.arctan2(v, u)
        order, amplitude, phase = (row[:, None, None] for row in self.waves)
        wave: Float32 = (amplitude * np.cos(order * theta + phase)).sum(axis=0)
        return np.float32(self.reach) * (np.float32(1.0 - self.waves[1].sum()) + wave)

    def distance(self, u: Float32, v: Float32) -> Float32:
        pebble = np.sqrt(u * u + v * v) - self._edge(u, v)
        if not self.planes.size:
            return pebble
        return np.maximum.reduce([u * c + v * s - far for c, s, far, _ in self._cuts()] + [pebble])

    def _cuts(self) -> list[tuple[np.float32, np.float32, np.float32, np.float32]]:
        return [(np.cos(a), np.sin(a), far, slope) for a, far, slope in self.planes.T]

    def paint(self, view: View, rng: np.random.Generator) -> Float32:
        u, v = view.u, view.v
        rough = texture("cloud", u.shape, rng, scale=0.22) + 0.35 * texture("grain", u.shape, rng)
        if self.planes.size:
            roof = [(far - u * c - v * s) * slope for c, s, far, slope in self._cuts()]
            height = np.minimum(np.minimum.reduce(roof), 0.55 * self.reach) + 0.28 * rough
            height += 0.8 * rounded(-view.distance, 2.0)
        else:
            t = np.clip(1.0 + view.distance / self._edge(u, v), 0.0, 1.0)
            height = 0.62 * self.reach * np.sqrt(1.0 - 0.97 * t * t) + 0.12 * rough
        stain = 1.0 + 0.13 * rough + 0.16 * texture("cloud", u.shape, rng, scale=0.5)
        albedo = [np.maximum(stain, 0.2) * np.float32(c) for c in self.colour]
        return matte(np.asarray(height, np.float32), albedo, view.light, gloss=0.05, sharp=10.0)


PARTS: dict[str, Callable[[np.random.Generator, float], Part]] = {
    "washer": _Washer,
    "pill": _Pill,
    "screw": _Screw,
    "nut": _Nut,
    "particle": _Particle,
}
"""Class name to ``make(rng, radius in pixels)``."""
