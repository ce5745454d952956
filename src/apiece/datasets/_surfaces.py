"""Surfaces and grounds of anything: colours, patterns, relief, gloss, rims, glow and glass; desks, walls and clutter.

Colours are linear light. Kin to `_light` and `_textures`, which know real materials; here a surface is drawn by lot.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Array, Bool, Float32
from apiece.datasets._light import METALS, Colour, Light, matte, metal, rounded
from apiece.datasets._shapes import shape_family
from apiece.datasets._textures import BACKDROPS, backdrop, texture

_KINDS = ("cloud", "mottle", "grain", "brushed", "wood")


def colour(rng: np.random.Generator) -> Colour:
    """Return any colour: dark and light ones, grey ones and full ones alike."""
    value, full = float(np.exp(rng.uniform(np.log(0.015), np.log(0.9)))), float(rng.beta(0.8, 1.6))
    hue = rng.dirichlet((0.7, 0.7, 0.7))
    r, g, b = value * ((1 - full) + full * hue / hue.max())
    return float(r), float(g), float(b)


def near(rng: np.random.Generator, base: Colour, spread: float) -> Colour:
    """Return a colour like ``base``."""
    shared, own = rng.normal(0, spread), rng.normal(0, 0.4 * spread, 3)
    r, g, b = (float(np.clip(c * np.exp(shared + o), 0.003, 1.2)) for c, o in zip(base, own, strict=True))
    return r, g, b


def _layer(rng: np.random.Generator, size: tuple[int, int], coarse: float) -> Float32:
    """Return one texture of any kind, about 0, for things ``coarse`` pixels large."""
    kind = _KINDS[rng.integers(len(_KINDS))]
    scale = float(np.exp(rng.uniform(np.log(0.12), np.log(2.5)))) * float(np.clip(coarse / 60, 0.2, 2.0))
    return texture(kind, size, rng, scale=scale, angle=float(rng.uniform(0, np.pi))).clip(-3, 3)


def _bands(rng: np.random.Generator, size: tuple[int, int], pitch: float) -> Bool:
    """Return stripes, checks, dots or bricks of about this pitch."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    angle = float(rng.uniform(0, np.pi)) if rng.random() < 0.5 else float(rng.normal(0, 0.05))
    u, v = (x * np.cos(angle) + y * np.sin(angle)) / pitch, (y * np.cos(angle) - x * np.sin(angle)) / pitch
    share, kind = float(rng.uniform(0.08, 0.6)), int(rng.integers(5))
    if kind == 0:
        return np.asarray(u % 1 < share)
    if kind == 1:
        return np.asarray((u % 1 < 0.5) ^ (v % 1 < 0.5))
    if kind == 2:
        return np.asarray(np.hypot(u % 1 - 0.5, v % 1 - 0.5) < 0.6 * share)
    if kind == 3:
        return np.asarray((u % 1 < 0.3 * share) | (v % 1 < 0.3 * share))
    return np.asarray(((u + 0.5 * (np.floor(v * 2) % 2)) % 1 < 0.2 * share) | ((v * 2) % 1 < 0.4 * share))


def _strokes(rng: np.random.Generator, size: tuple[int, int], count: int, reach: float) -> Float32:
    """Return scribbles and writing, 0..1."""
    ink = np.zeros(size, np.uint8)
    for _ in range(count):
        at = (rng.random(2) * (size[1], size[0])).astype(int)
        width = int(rng.integers(1, 2 + int(reach / 25)))
        if rng.random() < 0.5:
            text = "".join(chr(c) for c in rng.integers(48, 91, int(rng.integers(1, 7))))
            where = (int(at[0] - reach / 2), int(at[1]))
            cv2.putText(ink, text, where, int(rng.integers(8)), reach / 60, 255, width, cv2.LINE_AA)
        else:
            line = at + np.cumsum(rng.normal(0, reach / 4, (6, 2)), 0)
            cv2.polylines(ink, [np.rint(line).astype(np.int32)], False, 255, width, cv2.LINE_AA)
    return np.asarray(ink.astype(np.float32) / 255, np.float32)


@dataclass(frozen=True)
class Surface:
    """How the objects of one kind look; `paint` shows an individual of it."""

    base: Colour
    second: Colour
    spread: float  # how far individuals differ in colour
    grain: float  # strength of the texture
    pattern: str  # "plain", "bands", "strokes", "halves"
    form: str  # "flat", "bevel", "dome", "rough"
    shader: str  # "matte", "metal", "glow", "paint"
    gloss: float
    rim: float  # how much brighter (or darker, below 0) the outline is
    clear: float  # how much of the ground is seen through, 0..1
    flat: float  # thickness, as a share of the size

    @classmethod
    def draw(cls, rng: np.random.Generator, ground: Colour) -> Surface:
        """Return any surface; some are hardly another colour than the ground."""
        lot = rng.random()
        base = near(rng, ground, 0.3) if lot < 0.2 else colour(rng)
        if lot > 0.8:
            base = METALS[rng.integers(len(METALS))]
        shader = "metal" if lot > 0.8 else str(rng.choice(["matte", "matte", "matte", "glow", "paint"]))
        return cls(
            base,
            near(rng, base, 0.6) if rng.random() < 0.5 else colour(rng),
            float(rng.choice([0.03, 0.12, 0.4])),
            float(rng.choice([0.0, 0.05, 0.15, 0.35])),
            str(rng.choice(["plain", "plain", "plain", "bands", "strokes", "halves"])),
            str(rng.choice(["flat", "bevel", "dome", "dome", "rough"])),
            shader,
            float(rng.choice([0.0, 0.1, 0.5])),
            float(rng.choice([0.0, 0.0, -0.6, 1.0])),
            float(rng.uniform(0.35, 0.9)) if rng.random() < 0.12 else 0.0,
            float(rng.choice([0.03, 0.15, 0.4])),
        )

    def paint(self, cover: Float32, below: Float32, light: Light, rng: np.random.Generator) -> Float32:
        """Return the colours (h, w, 3) of one object on what lies below it."""
        depth = cv2.distanceTransform((cover >= 0.5).astype(np.uint8), cv2.DIST_L2, 3)
        thick = max(float(depth.max()), 1.0)
        mix = self._mix(depth.shape, thick, rng)
        height = self._height(depth, thick, rng)
        if self.pattern == "strokes" and self.form != "flat":
            height = height + np.float32(0.1 * thick) * mix  # embossed, as on coins
        albedo = self._albedo(mix, thick, rng)
        rim = 1.0 + self.rim * np.exp(-((depth / max(0.12 * thick, 1.2)) ** 2))
        lit = self._lit(height, [a * rim for a in albedo], light, depth / thick)
        return lit if not self.clear else below * (self.clear * self._glass(rim)) + lit * (1 - self.clear)

    def _glass(self, rim: Float32) -> Float32:
        return np.clip(rim, 0.3, 1.6)[:, :, None].astype(np.float32)

    def _height(self, depth: Float32, thick: float, rng: np.random.Generator) -> Float32:
        if self.form == "flat":
            return np.zeros_like(depth)
        if self.form == "bevel":
            return rounded(depth, max(1.5, 0.25 * thick))
        t = 1.0 - np.clip(depth / thick, 0, 1)
        dome = np.float32(0.7 * thick) * np.sqrt(1.0 - 0.97 * t * t)
        smooth: Float32 = cv2.GaussianBlur(dome, (0, 0), max(0.6, 0.08 * thick))
        return smooth if self.form == "dome" else smooth + np.float32(0.06 * thick) * _layer(rng, depth.shape, thick)

    def _mix(self, shape: tuple[int, int], thick: float, rng: np.random.Generator) -> Float32:
        """Return where the second colour is, 0..1."""
        if self.pattern == "bands":
            return _bands(rng, shape, max(3.0, thick * float(rng.uniform(0.3, 1.5)))).astype(np.float32)
        if self.pattern == "strokes":
            return _strokes(rng, shape, int(rng.integers(1, 6)), max(8.0, 1.5 * thick))
        if self.pattern == "halves":
            y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
            angle = rng.uniform(0, 2 * np.pi)
            across = (x - shape[1] / 2) * np.cos(angle) + (y - shape[0] / 2) * np.sin(angle)
            return np.asarray(np.clip(across, 0, 1), np.float32)
        return np.zeros(shape, np.float32)

    def _albedo(self, mix: Float32, thick: float, rng: np.random.Generator) -> list[Array]:
        one, two = near(rng, self.base, self.spread), near(rng, self.second, self.spread)
        grain = np.maximum(1.0 + self.grain * _layer(rng, mix.shape, thick), 0.05) if self.grain else 1.0
        return [np.asarray((a + (b - a) * mix) * grain, np.float32) for a, b in zip(one, two, strict=True)]

    def _lit(self, height: Float32, albedo: list[Array], light: Light, depth: Float32) -> Float32:
        if self.shader == "glow":
            glow = 0.25 + 0.75 * np.sqrt(np.clip(depth, 0, 1))
            return cv2.merge([np.asarray(1.3 * glow * a, np.float32) for a in albedo])
        if self.shader == "paint":
            return cv2.merge(albedo)
        if self.shader == "metal":
            shade = np.asarray(sum(albedo) / 3 / max(sum(self.base) / 3, 1e-3), np.float32).clip(0.2, 2)
            return metal(height, self.base, light, gloss=self.gloss, shade=shade)
        return matte(height, [np.asarray(a, np.float32) for a in albedo], light, gloss=self.gloss, sharp=20.0)


# --- grounds ----------------------------------------------------------------------------------------------------------


def _spread(rng: np.random.Generator, size: tuple[int, int]) -> Float32:
    """Return a ground of one kind all over."""
    lot = rng.random()
    if lot < 0.3:
        own = backdrop(str(rng.choice(list(BACKDROPS))), rng, size)
        return np.asarray(own * np.array(near(rng, (1.0, 1.0, 1.0), 0.5), np.float32))
    first = colour(rng)
    if lot < 0.42:
        first = near(rng, (0.008, 0.008, 0.008), 0.5)  # a dark field
    elif lot < 0.52:
        first = near(rng, (0.8, 0.8, 0.8), 0.1)
    second = near(rng, first, 0.35) if rng.random() < 0.7 else colour(rng)
    mix = 0.0 * _layer(rng, size, 60)
    if rng.random() < 0.7:
        mix = 1 / (1 + np.exp(-float(rng.uniform(0.3, 5)) * _layer(rng, size, float(rng.uniform(20, 200)))))
    if rng.random() < 0.25:
        mix = np.maximum(mix, _bands(rng, size, float(np.exp(rng.uniform(np.log(6), np.log(90))))))
    grain = 1 + float(rng.choice([0.0, 0.03, 0.1, 0.25])) * _layer(rng, size, 30)
    return cv2.merge([np.asarray(np.maximum((a + (b - a) * mix) * grain, 0.002), np.float32)
                      for a, b in zip(first, second, strict=True)])  # fmt: skip


def _parts(rng: np.random.Generator, size: tuple[int, int]) -> Float32:
    """Return two or three grounds that meet at straight edges: a desk before a wall."""
    ground = _spread(rng, size)
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    for _ in range(int(rng.integers(1, 3))):
        angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.8)
        side = np.cos(angle) * (x / size[1] - far) + np.sin(angle) * (y / size[0] - far) > 0
        ground[side] = _spread(rng, size)[side]
    return ground


def _cluttered(rng: np.random.Generator, size: tuple[int, int], ground: Float32, light: Light) -> Float32:
    """Return the ground with what is no object on it: things out of focus, or scribbles and print."""
    if rng.random() < 0.5:
        ink = _strokes(rng, size, int(rng.integers(1, 12)), float(rng.uniform(15, 90)))[:, :, None]
        return np.asarray(ground + (np.array(colour(rng), np.float32) - ground) * ink, np.float32)
    shape, surface = shape_family(rng), Surface.draw(rng, colour(rng))
    soft = float(rng.uniform(3.0, 9.0))
    for _ in range(int(rng.integers(3, 40))):
        cover = shape(rng, float(np.exp(rng.uniform(np.log(2.5 * soft), np.log(60)))))
        half = cover.shape[0] // 2
        x, y = (int(v) for v in rng.random(2) * (size[1], size[0]))
        y0, x0, y1, x1 = max(y - half, 0), max(x - half, 0), min(y + half + 1, size[0]), min(x + half + 1, size[1])
        at = np.s_[y0 - y + half : y1 - y + half, x0 - x + half : x1 - x + half]
        shown = surface.paint(cover, np.full((*cover.shape, 3), 0.1, np.float32), light, rng)
        ground[y0:y1, x0:x1] += (shown[at] - ground[y0:y1, x0:x1]) * cover[at][:, :, None]
    return np.asarray(cv2.GaussianBlur(ground, (0, 0), soft))


def any_ground(rng: np.random.Generator, size: tuple[int, int], light: Light) -> Float32:
    """Return a ground (H, W, 3), linear light, unlit: one kind, several that meet, or a cluttered one."""
    ground = _parts(rng, size) if rng.random() < 0.2 else _spread(rng, size)
    return _cluttered(rng, size, ground, light) if rng.random() < 0.25 else ground
