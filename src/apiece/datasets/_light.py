"""Light on the surfaces of a synthetic scene: metal as a mirror of a simple room, everything else as matt with a shine.

Colours are linear light. Surfaces are height fields in pixels on the image's own grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Float32
from apiece.datasets._textures import texture

Colour = tuple[float, float, float]
_Normal = tuple[Float32, Float32, Float32]

METALS: tuple[Colour, ...] = (
    (0.74, 0.75, 0.77),  # bright zinc
    (0.60, 0.61, 0.63),  # stainless
    (0.78, 0.70, 0.46),  # yellow passivated
    (0.80, 0.60, 0.26),  # brass
    (0.72, 0.42, 0.27),  # copper
    (0.13, 0.13, 0.14),  # black oxide
)


@dataclass(frozen=True)
class Light:
    """The one lamp of a scene.

    Attributes
    ----------
    direction : unit vector to the lamp; x to the right, y down, z towards the camera.
    ambient : share of the light that comes from all directions, 0..1.
    size : how large the lamp is: width of highlights, softness of shadows.
    """

    direction: tuple[float, float, float]
    ambient: float
    size: float


@dataclass(frozen=True)
class View:
    """A patch of pixels on which a part is painted.

    Attributes
    ----------
    u, v : pixel centres in the part's own frame, in pixels, (h, w) each.
    distance : signed distance to the outline, in pixels.
    angle : how far the part is turned, in radians.
    light : the lamp.
    """

    u: Float32
    v: Float32
    distance: Float32
    angle: float
    light: Light


def _normals(height: Float32) -> _Normal:
    """Return the unit normals of a height field, in the image's frame."""
    gx = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=-0.125)
    gy = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=-0.125)
    nz = 1.0 / np.sqrt(gx * gx + gy * gy + 1.0)
    return gx * nz, gy * nz, nz


def rounded(depth: Float32, radius: float) -> Float32:
    """Return the height of a plate with a rounded edge, ``depth`` inside its outline."""
    t = np.clip(depth * (1.0 / radius), 0.0, 1.0) - 1.0
    return radius * np.sqrt(1.0 - t * t)


def metal(height: Float32, colour: Colour, light: Light, *, gloss: float, shade: Float32 | float = 1.0) -> Float32:
    """Mirror a simple room: bright towards the lamp, a dark horizon opposite, the lamp itself."""
    nx, ny, nz = _normals(height)
    rx, ry = 2.0 * nz * nx, 2.0 * nz * ny
    lx, ly, _ = light.direction
    flat = max(float(np.hypot(lx, ly)), 1e-6)
    along = rx * (lx / flat) + ry * (ly / flat)
    room = 0.40 + 0.34 * along - 0.30 * np.exp(-(((along + 0.60) * 4.5) ** 2))
    spread = 0.10 + 0.5 * light.size
    lamp = np.exp(((rx - lx) ** 2 + (ry - ly) ** 2) * (-1.0 / spread))
    lit = np.maximum(room * shade, 0.02)
    lamp *= gloss
    white = 0.35 if max(colour) < 0.3 else 0.0
    return cv2.merge([lit * np.float32(c) + lamp * np.float32(c + white) for c in colour])


def matte(
    height: Float32, albedo: list[Float32] | Colour, light: Light, *, gloss: float, sharp: float = 40.0
) -> Float32:
    """Return diffuse light with a highlight on top."""
    nx, ny, nz = _normals(height)
    lx, ly, lz = light.direction
    facing = np.maximum(nx * lx + ny * ly + nz * lz, 0.0)
    # the table throws some light back up; steep walls see less of the sky
    lit = light.ambient * (0.45 + 0.55 * nz) + (1.0 - light.ambient) * facing
    half = float(np.sqrt(2.0 + 2.0 * lz))
    mirror = np.maximum((nx * lx + ny * ly + nz * (lz + 1.0)) * (1.0 / half), 1e-3)
    shine = gloss * np.exp(np.log(mirror) * (sharp / (0.5 + 4.0 * light.size)))
    return cv2.merge([np.asarray(lit * c + shine, np.float32) for c in albedo])


def scratches(view: View, rng: np.random.Generator, strength: float) -> Float32:
    """Return a brushed finish, turned with the part."""
    return np.asarray(1.0 + strength * texture("brushed", view.u.shape, rng, angle=view.angle), np.float32)


def grime(view: View, rng: np.random.Generator, strength: float) -> Float32:
    return np.asarray(1.0 + strength * texture("cloud", view.u.shape, rng, scale=0.35, angle=view.angle), np.float32)


def pick(rng: np.random.Generator, colours: tuple[Colour, ...], jitter: float = 0.06) -> Colour:
    r, g, b = np.asarray(colours[rng.integers(len(colours))]) * (1.0 + rng.normal(0, jitter))
    return float(r), float(g), float(b)
