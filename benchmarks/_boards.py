"""Synthetic circuit boards with exact masks and twelve kinds of faults: for `inspection.py` and the documentation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from apiece import Image, Instances, Masks

CLASSES = (
    "chip",
    "resistor",
    "capacitor",
    "led",
    "connector",
    "screw",
    "fiducial",
    "pin",
    "scratch",
    "bridge",
    "particle",
)
SIZE = (384, 512)
FAULTS = (
    "missing", "shifted", "turned", "doubled", "wrong part", "wrong colour", "oversized", "broken", "scratched",
    "bridged", "bent pin", "foreign particle",
)  # fmt: skip
PIXEL = "0.1 mm"

_COLOURS = {
    "chip": (38, 38, 42), "resistor": (60, 60, 150), "capacitor": (190, 150, 90), "led": (215, 40, 40),
    "connector": (235, 235, 225), "screw": (165, 165, 175), "fiducial": (225, 190, 60), "pin": (205, 205, 210),
    "scratch": (190, 215, 190), "bridge": (215, 215, 220), "particle": (95, 60, 30),
}  # fmt: skip
_BOARD = (25, 105, 60)
_ROUND = ("capacitor", "screw", "fiducial", "particle")


@dataclass(frozen=True)
class Part:
    """A part on the board: class, centre, length and width in pixels, angle in degrees, colour, share broken off."""

    name: str
    x: float
    y: float
    long: float
    short: float
    angle: float = 0.0
    colour: tuple[int, int, int] | None = None
    broken: float = 0.0


def layout() -> list[Part]:
    """Return the 44 parts of a right board."""
    parts = [Part("fiducial", x, y, 14, 14) for x, y in ((40, 40), (472, 40), (40, 344))]
    parts += [Part("screw", x, y, 26, 26) for x, y in ((24, 192), (488, 192), (256, 24), (256, 360))]
    parts += [Part("chip", 150, 110, 74, 40), Part("chip", 350, 130, 40, 74, 0), Part("chip", 180, 270, 60, 30, 30)]
    parts += [Part("resistor", 70 + 34 * k, 190, 26, 10) for k in range(5)]
    parts += [Part("resistor", 300, 200 + 24 * k, 26, 10, 90 if k % 2 else 0) for k in range(5)]
    parts += [Part("capacitor", x, y, 22, 22) for x, y in ((90, 60), (230, 70), (90, 300), (410, 60), (420, 250))]
    parts += [Part("led", 430 + 0 * k, 290 + 22 * k, 18, 12) for k in range(2)] + [Part("led", 380, 300, 18, 12)]
    parts += [Part("connector", 370, 340, 90, 18)]
    parts += [Part("pin", 130 + 15 * k, 330, 18, 7, 90) for k in range(10)]
    # a chip that stands upright: long side first
    return [replace(p, long=p.short, short=p.long, angle=90) if p.long < p.short else p for p in parts]


def faulty(rng: np.random.Generator, parts: list[Part], fault: str) -> list[Part]:
    """Return a board with one fault of a kind."""
    movable = [k for k, p in enumerate(parts) if p.name in ("chip", "resistor", "capacitor", "led", "connector")]
    k = int(rng.choice(movable))
    part, changed = parts[k], list(parts)
    turn = rng.uniform(0, 2 * np.pi)
    if fault == "missing":
        del changed[k]
    elif fault == "shifted":
        far = rng.uniform(7, 12)
        changed[k] = replace(part, x=part.x + far * np.cos(turn), y=part.y + far * np.sin(turn))
    elif fault == "turned":
        k = int(rng.choice([k for k in movable if parts[k].name in ("chip", "resistor", "connector")]))
        changed[k] = replace(parts[k], angle=parts[k].angle + rng.uniform(18, 90) * rng.choice([-1, 1]))
    elif fault == "doubled":
        k = int(rng.choice([k for k in movable if parts[k].name != "connector"]))
        off = 1.2 * parts[k].short
        changed.append(replace(parts[k], x=parts[k].x + off * np.sin(turn), y=parts[k].y + off * np.cos(turn)))
    elif fault == "wrong part":
        other = rng.choice([name for name in ("resistor", "capacitor", "led") if name != part.name])
        model = next(p for p in parts if p.name == other)
        changed[k] = replace(model, x=part.x, y=part.y, angle=part.angle)
    elif fault == "wrong colour":
        k = int(rng.choice([k for k in movable if parts[k].name == "led"]))
        changed[k] = replace(parts[k], colour=(40, 190, 70))
    elif fault == "oversized":
        changed[k] = replace(part, long=1.35 * part.long, short=1.35 * part.short)
    elif fault == "broken":
        k = int(rng.choice([k for k in movable if parts[k].name in ("chip", "connector", "capacitor")]))
        changed[k] = replace(parts[k], broken=rng.uniform(0.25, 0.4))
    elif fault == "scratched":
        changed.append(
            Part("scratch", rng.uniform(60, 450), rng.uniform(60, 320), rng.uniform(30, 60), 3, rng.uniform(0, 180))
        )
    elif fault == "bridged":
        x = 130 + 15 * int(rng.integers(9))
        changed.append(Part("bridge", x + 7.5, 330 + rng.uniform(-4, 4), 10, 6))
    elif fault == "bent pin":
        k = [j for j, p in enumerate(parts) if p.name == "pin"][int(rng.integers(9))]
        changed[k] = replace(parts[k], x=parts[k].x + rng.uniform(5, 7), angle=parts[k].angle - rng.uniform(10, 25))
    else:
        radius = rng.uniform(9, 16)
        changed.append(Part("particle", rng.uniform(60, 450), rng.uniform(60, 320), radius, radius))
    return changed


def jittered(rng: np.random.Generator, parts: list[Part], place: float, size: float, angle: float) -> list[Part]:
    """Return parts that differ a little, as made or as a model outlines them; sizes in pixels, standard deviations."""
    out = []
    for p in parts:
        dx, dy, dl, ds, da = rng.normal(0, 1, 5)
        out.append(
            replace(
                p,
                x=p.x + place * dx,
                y=p.y + place * dy,
                long=p.long + size * dl,
                short=p.short + size * ds,
                angle=p.angle + angle * da,
            )
        )
    return out


def moved(parts: list[Part], turn: float, dx: float, dy: float) -> list[Part]:
    """Return the board turned about its middle and shifted."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    my, mx = SIZE[0] / 2, SIZE[1] / 2
    return [
        replace(
            p,
            x=c * (p.x - mx) - s * (p.y - my) + mx + dx,
            y=s * (p.x - mx) + c * (p.y - my) + my + dy,
            angle=p.angle + turn,
        )
        for p in parts
    ]


def instances(parts: list[Part], scores: np.ndarray | None = None) -> Instances:
    """Return the parts' masks; a part that is drawn later lies on top of none: masks may overlap."""
    crops, corners = [], []
    for p in parts:
        half = int(np.ceil(np.hypot(p.long, p.short) / 2)) + 2
        x0, y0 = int(p.x) - half, int(p.y) - half
        y, x = np.mgrid[y0 : y0 + 2 * half, x0 : x0 + 2 * half] + 0.5
        a = np.radians(p.angle)
        u, v = (x - p.x) * np.cos(a) + (y - p.y) * np.sin(a), (y - p.y) * np.cos(a) - (x - p.x) * np.sin(a)
        if p.name in _ROUND:
            mask = (2 * u / p.long) ** 2 + (2 * v / p.short) ** 2 <= 1
        else:
            mask = (np.abs(u) <= p.long / 2) & (np.abs(v) <= p.short / 2)
        if p.broken:
            mask &= ~((u > p.long * (0.5 - p.broken)) & (v > 0))
        crops.append(mask)
        corners.append((x0, y0))
    masks = Masks.from_crops(crops, np.array(corners), SIZE)
    return Instances(masks, [CLASSES.index(p.name) for p in parts], CLASSES, scores)


def picture(rng: np.random.Generator, parts: list[Part]) -> Image:
    """Return the photo of a board, uint8 RGB, with soft noise."""
    pixels = np.empty((*SIZE, 3))
    pixels[:] = _BOARD
    for part, mask in zip(parts, instances(parts).masks.to_dense(), strict=True):
        pixels[mask] = part.colour or _COLOURS[part.name]
    light = 1 + 0.06 * np.linspace(-1, 1, SIZE[1])[None, :, None] * rng.uniform(-1, 1)
    return Image(np.clip(pixels * light + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8))


def board(seed: int, fault: str = "") -> list[Part]:
    """Return the parts of one board, made with small tolerances, shifted and turned; with one fault, if named."""
    rng = np.random.default_rng(seed)
    parts = jittered(rng, layout(), 0.4, 0.15, 0.6)
    if fault:
        parts = faulty(rng, parts, fault)
    return moved(parts, rng.uniform(-3, 3), rng.uniform(-5, 5), rng.uniform(-5, 5))
