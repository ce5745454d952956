"""Draw the synthetic part of what the default weights learn from, as a COCO folder.

python -m recipes.default_weights.scenes --out RUN/scenes --count 3000

Three scenes of four are of anything, one of the small parts of the demo, sparse to crowded and small to large.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from apiece import formats
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.datasets import AnythingConfig, SceneConfig, any_scene, scene
from apiece.images import write_image
from recipes.default_weights.mixture import CLASSES, as_objects


def _parts(side: int, seed: int, index: int) -> tuple[Image, Instances]:
    """Draw a scene of washers, pills, screws, nuts and particles of a size and number by lot."""
    rng = np.random.default_rng([seed, index])
    low = float(np.exp(rng.uniform(np.log(6), np.log(side / 8))))
    high = low * float(rng.uniform(1, 4))
    count = int(rng.integers(1, int(np.clip(side * side / (4 * low * high), 2, 150)) + 1))
    overlap, touching = float(rng.choice([0, 0.2, 0.5])), float(rng.random())
    config = SceneConfig((side, side), (count, count), radius=(low, high), overlap=overlap, touching=touching)
    drawn = scene(config, index)
    return drawn.image, as_objects(drawn.visible)


def records(folder: Path, count: int, side: int, seed: int) -> Iterator[tuple[ImageRef, Instances]]:
    """Draw scenes, write their images, and yield their labels."""
    for index in range(count):
        image, found = any_scene(AnythingConfig((side, side), seed), index) if index % 4 else _parts(side, seed, index)
        path = folder / "images" / f"{index:06d}.png"
        write_image(path, image)
        yield ImageRef(path, path.name, image.size, id=index + 1), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--count", type=int, default=3000, help="scenes (default 3000)")
    parser.add_argument("--side", type=int, default=352, help="of the images, in pixels (default 352)")
    parser.add_argument("--seed", type=int, default=0, help="of the scenes (default 0)")
    options = parser.parse_args()
    (options.out / "images").mkdir(parents=True, exist_ok=True)
    found = records(options.out, options.count, options.side, options.seed)
    formats.write(found, options.out / "train.json", format="coco", classes=CLASSES)


if __name__ == "__main__":
    main()
