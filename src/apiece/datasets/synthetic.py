"""Photo-like scenes of small parts on a table, with exact masks: for the demo, for tests and for pretraining.

Washers, pills, screws, hex nuts and irregular particles lie on paper, felt, steel, wood, rubber, concrete or a cutting
mat; they touch, overlap, hide each other, cross the border, cast shadows and shine. A scene depends only on the
configuration and its index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from apiece import formats
from apiece._arrays import UInt8
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.datasets._light import Light, View
from apiece.datasets._parts import PARTS, Part
from apiece.datasets._table import Table
from apiece.datasets._textures import BACKDROPS, backdrop
from apiece.errors import ConfigError, Option, UnknownNameError
from apiece.images import write_image

__all__ = ["Scene", "SceneConfig", "SyntheticSet", "scene", "write_dataset"]

_VAL_START = 1_000_000_000  # first scene of the validation split, which does not depend on the training split
_TRIES = 14  # places tried for a part before it is given up


@dataclass(frozen=True)
class SceneConfig:
    """What a scene may hold.

    Attributes
    ----------
    size : (height, width) of the image in pixels, each at least 32.
    objects : fewest and most parts tried; a crowded table may have room for fewer.
    classes : which parts, among ``washer``, ``pill``, ``screw``, ``nut`` and ``particle``; labels index into them.
    radius : smallest and largest radius of a part, in pixels, at least 6; screws are up to 1.5 times as long.
    overlap : largest share of a part that others may hide, 0 (no overlap) to 1 (hidden parts have no label).
    touching : share of the parts that touch another one, 0..1.
    blur : smallest and largest standard deviation of the lens blur, in pixels.
    noise : smallest and largest standard deviation of the sensor noise, as a share of full scale.
    backdrops : which tables, among ``paper``, ``felt``, ``steel``, ``wood``, ``rubber``, ``concrete`` and ``mat``.
    seed : scenes of different seeds have nothing in common; 0 or more.
    """

    size: tuple[int, int] = (256, 256)
    objects: tuple[int, int] = (4, 18)
    classes: tuple[str, ...] = tuple(PARTS)
    radius: tuple[float, float] = (11.0, 32.0)
    overlap: float = 0.4
    touching: float = 0.6
    blur: tuple[float, float] = (0.35, 1.0)
    noise: tuple[float, float] = (0.004, 0.022)
    backdrops: tuple[str, ...] = tuple(BACKDROPS)
    seed: int = 0

    def __post_init__(self) -> None:
        for kind, given, known in (("part", self.classes, PARTS), ("backdrop", self.backdrops, BACKDROPS)):
            object.__setattr__(self, "classes" if kind == "part" else "backdrops", tuple(given))
            for name in given:
                if name not in known:
                    raise UnknownNameError(kind, name, known)
            if not given or len(set(given)) != len(given):
                raise ConfigError(f"a scene needs at least one {kind}, each named once; got {given}")
        if not (_whole_pair(self.size) and min(self.size) >= 32):
            raise ConfigError(f"size must be (height, width), at least 32 x 32 whole pixels, got {self.size}")
        for name, low in (("objects", 0), ("radius", 6), ("blur", 0), ("noise", 0)):
            pair = tuple(getattr(self, name))
            if not (len(pair) == 2 and low <= pair[0] <= pair[1] < np.inf):
                raise ConfigError(f"{name} must be (least, most) with {low} <= least <= most, got {pair}")
        if not _whole_pair(self.objects):
            raise ConfigError(f"objects must be two whole numbers, got {self.objects}")
        if not (0 <= self.overlap <= 1 and 0 <= self.touching <= 1):
            raise ConfigError(f"overlap and touching are shares, 0 to 1; got {self.overlap} and {self.touching}")
        if self.seed < 0:
            raise ConfigError(Option("seed") + f" must be 0 or more, got {self.seed}")


def _whole_pair(pair: Sequence[float]) -> bool:
    return len(pair) == 2 and all(isinstance(v, int | np.integer) for v in pair)


@dataclass(frozen=True, eq=False)
class Scene:
    """One scene and its exact labels. Both sets have the same parts in the same order, the lowest part first.

    Attributes
    ----------
    image : uint8 RGB, (H, W, 3).
    visible : the visible area of each part: disjoint masks. The attribute ``occluded`` is the hidden share, 0..1.
    full : the whole area of each part, visible or not (amodal masks), cut only by the image's border.
    """

    image: Image
    visible: Instances
    full: Instances


def _places(
    rng: np.random.Generator, table: Table, reach: float, config: SceneConfig
) -> Iterator[tuple[float, float, float]]:
    """Yield places to try, (x, y, share of a part that may be hidden there); the first that fits counts."""
    height, width = config.size
    limit = config.overlap * rng.random() if rng.random() < 0.5 else 0.0
    if table.middles and rng.random() < config.touching:
        # from inside another part outwards, step by step: the first place that fits touches it
        x, y, other = table.middles[rng.integers(len(table.middles))]
        turn = rng.uniform(0, 2 * np.pi)
        for step in np.linspace(0.25, 1.06, _TRIES):
            far = step * (other + reach)
            yield x + far * np.cos(turn), y + far * np.sin(turn), limit
    out = 0.35 * reach if rng.random() < 0.3 else -min(0.9 * reach, 0.4 * min(config.size))
    for _ in range(_TRIES):
        x, y = rng.uniform(-out, width + out), rng.uniform(-out, height + out)
        yield float(np.clip(x, 0, width)), float(np.clip(y, 0, height)), limit


def _add(rng: np.random.Generator, table: Table, label: int, light: Light, config: SceneConfig) -> None:
    """Draw a part by lot, find it a place, cast its shadow and paint it; without a place there is no part."""
    low, high = config.radius
    part: Part = PARTS[config.classes[label]](rng, float(low * (high / low) ** rng.random()))
    angle = float(rng.uniform(0, 2 * np.pi))
    half = int(np.ceil(part.reach)) + 3
    shift = rng.random(2).astype(np.float32)
    x = np.arange(-half, half + 1, dtype=np.float32)[None, :] - shift[0]
    y = np.arange(-half, half + 1, dtype=np.float32)[:, None] - shift[1]
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = x * c + y * s, y * c - x * s
    distance = part.distance(u, v)
    coverage = np.clip(np.float32(0.5) - distance, 0, 1)
    mask = coverage >= 0.5
    area = int(np.count_nonzero(mask))
    for cx, cy, limit in _places(rng, table, part.reach, config):
        left, top = int(cx) - half, int(cy) - half
        if table.accepts(left, top, mask, area, limit, config.overlap):
            break
    else:
        return
    table.shade(left, top, coverage, part.thickness, light)
    table.lay(left, top, coverage, part.paint(View(u, v, distance, angle, light), rng), label)
    table.middles.append((cx, cy, part.reach))


def _light(rng: np.random.Generator) -> Light:
    azimuth, elevation = rng.uniform(0, 2 * np.pi), rng.uniform(0.70, 1.22)
    flat = np.cos(elevation)
    direction = (float(flat * np.cos(azimuth)), float(flat * np.sin(azimuth)), float(np.sin(elevation)))
    return Light(direction, ambient=float(rng.uniform(0.25, 0.52)), size=float(rng.uniform(0.08, 0.40)))


def _expose(rng: np.random.Generator, table: Table, light: Light, config: SceneConfig) -> UInt8:
    """Turn the canvas into uint8 RGB: uneven light, colour temperature, lens blur, film curve, noise."""
    height, width = config.size
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    lx, ly, _ = light.direction
    fall = float(rng.uniform(0.05, 0.38))
    corner = float(rng.uniform(0.0, 0.16))
    lit = np.maximum(1.0 + fall * (x * np.float32(lx) + y * np.float32(ly)) - corner * (x * x + y * y), 0.2)
    warm = float(rng.normal(0, 0.07))
    gain = float(np.exp(rng.normal(0.62, 0.20)))
    canvas = cv2.multiply(table.canvas, cv2.merge([lit * (gain * (1 + warm * k)) for k in (1.0, 0.1, -1.0)]))
    sigma = float(rng.uniform(*config.blur))
    if sigma > 0:
        canvas = cv2.GaussianBlur(canvas, (0, 0), sigma)
    # 1 - exp(-x) rolls highlights off as film does, the root is the display's gamma, the last step is its contrast
    shown = cv2.sqrt(1.0 - cv2.exp(canvas * np.float32(-1.15)))
    shown *= 0.60 + 0.40 * shown
    strength = float(rng.uniform(*config.noise))
    if strength > 0:
        # the sum of three bytes is nearly normal, with a standard deviation of 128, and ten times cheaper
        one, two, three = rng.integers(0, 256, (3, *shown.shape), dtype=np.uint8)
        noise = cv2.add(cv2.add(one, two, dtype=cv2.CV_32F), three, dtype=cv2.CV_32F)
        shown = cv2.scaleAdd(noise, strength / 128.0, shown) - np.float32(strength * 382.5 / 128.0)
    return np.asarray(cv2.convertScaleAbs(cv2.max(shown, 0.0), alpha=255.0), np.uint8)


def scene(config: SceneConfig, index: int) -> Scene:
    """Draw scene ``index`` of a configuration; the same two always give the same scene.

    Neither set of masks has parts without a visible pixel.

    Raises
    ------
    ConfigError
        If ``index`` is negative.

    Examples
    --------
    >>> from apiece.datasets import SceneConfig, scene
    >>> drawn = scene(SceneConfig(size=(96, 96), objects=(4, 4), seed=7), index=0)
    >>> drawn.image.size, len(drawn.visible) == len(drawn.full)
    ((96, 96), True)
    """
    if index < 0:
        raise ConfigError(f"scenes are numbered from 0, got {index}")
    rng = np.random.default_rng([config.seed, index])
    light = _light(rng)
    kind = config.backdrops[rng.integers(len(config.backdrops))]
    table = Table(backdrop(kind, rng, config.size), np.zeros(config.size, np.int32))
    # a photograph seldom holds every part in equal shares
    shares = rng.dirichlet(np.full(len(config.classes), 1.2))
    for label in rng.choice(len(config.classes), rng.integers(config.objects[0], config.objects[1] + 1), p=shares):
        _add(rng, table, int(label), light, config)
    return _label(Image(_expose(rng, table, light, config)), table, config)


def _label(image: Image, table: Table, config: SceneConfig) -> Scene:
    """Return the scene with its two sets of masks; a part's id is its place in the pile, from 1 at the bottom."""
    ids = np.flatnonzero(table.seen) + 1
    labels = np.asarray(table.labels, np.int64)[ids - 1]
    full = Masks.from_crops([table.crops[i - 1] for i in ids], [table.corners[i - 1] for i in ids], config.size)
    visible = Masks.from_label_map(table.owner)
    hidden = {"occluded": 1.0 - visible.area / np.maximum(full.area, 1)}
    return Scene(
        image,
        Instances(visible, labels, config.classes, ids=ids, attributes=hidden, full=full),
        Instances(full, labels, config.classes, ids=ids, attributes=hidden),
    )


class SyntheticSet:
    """A data set that draws each scene on demand: ``set[i]`` is ``(Image, Instances)`` with visible and full masks.

    Parameters
    ----------
    config : what the scenes hold; default `SceneConfig`.
    count : number of scenes.
    start : index of the first scene; sets that share no index share no scene.
    """

    def __init__(self, config: SceneConfig | None = None, count: int = 100, start: int = 0) -> None:
        if count < 0 or start < 0:
            raise ConfigError(f"count and start must be 0 or more, got {count} and {start}")
        self.config = config or SceneConfig()
        self.count, self.start = count, start

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; labels index into them."""
        return self.config.classes

    @property
    def refs(self) -> tuple[ImageRef, ...]:
        """Every image by name and size; there are no files at the paths."""
        names = (f"{self.start + i:010d}.png" for i in range(self.count))
        return tuple(ImageRef(Path("synthetic") / n, n, self.config.size, id=i + 1) for i, n in enumerate(names))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Image, Instances]:
        drawn = self.scene(index)
        return drawn.image, drawn.visible

    def __iter__(self) -> Iterator[tuple[Image, Instances]]:
        return (self[i] for i in range(self.count))

    def scene(self, index: int) -> Scene:
        """Draw one scene with visible and full masks; negative indices count from the end."""
        where = index + self.count if index < 0 else index
        if not 0 <= where < self.count:
            raise IndexError(f"index {index} of {self.count} scenes")
        return scene(self.config, self.start + where)


def write_dataset(
    folder: Path | str, *, train: int = 240, val: int = 60, config: SceneConfig | None = None, full: bool = False
) -> tuple[Path, Path]:
    """Write ``folder/images/*.png`` with ``train.json`` and ``val.json`` (COCO) beside them.

    The validation scenes do not depend on ``train``. Replaces existing files of the same names.

    Parameters
    ----------
    folder : folder to write; new, or with anything in it.
    train, val : number of scenes.
    config : what the scenes hold; default `SceneConfig`.
    full : write the full masks, too, with what other parts hide.

    Returns
    -------
    The paths of ``train.json`` and ``val.json``.
    """
    folder = Path(folder)
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    paths = []
    for split, count, start in (("train", train, 0), ("val", val, _VAL_START)):
        drawn = SyntheticSet(config, count, start)

        def records(split: str = split, drawn: SyntheticSet = drawn) -> Iterator[tuple[ImageRef, Instances]]:
            for i, ref in enumerate(drawn.refs):
                image, instances = drawn[i]
                path = images / f"{split}_{i:05d}.png"
                write_image(path, image)
                # ids are places in the pile; in a COCO file they would have to differ over all images
                shown = instances.replace(ids=None, full=instances.full if full else None)
                yield replace(ref, path=path, name=path.name), shown

        paths.append(folder / f"{split}.json")
        formats.write(records(), paths[-1], format="coco", classes=drawn.classes)
    return paths[0], paths[1]
