"""Scenes drawn per second: ``python benchmarks/synthetic.py``. Bar: 100 of 256 x 256 on two cores, so 50 on one."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ProcessPoolExecutor

import cv2

from apiece.datasets.synthetic import SceneConfig, scene

COUNT, REPEATS = 100, 7
CONFIGS = {
    "256 px, as it comes": SceneConfig(),
    "256 px, 30 parts": SceneConfig(objects=(30, 30)),
    "512 px, 60 parts": SceneConfig(size=(512, 512), objects=(60, 60)),
}


def draw(config: SceneConfig, first: int, count: int) -> int:
    cv2.setNumThreads(1)
    return sum(len(scene(config, first + i).visible) for i in range(count))


def rate(config: SceneConfig, pool: ProcessPoolExecutor, workers: int) -> float:
    start = time.perf_counter()
    list(pool.map(draw, [config] * workers, range(0, workers * COUNT, COUNT), [COUNT] * workers))
    return workers * COUNT / (time.perf_counter() - start)


def main() -> None:
    for workers in (1, 2):
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(draw, [SceneConfig()] * 4, [0] * 4, [20] * 4))  # textures are made on first use
            for name, config in CONFIGS.items():
                rates = [rate(config, pool, workers) for _ in range(REPEATS)]
                print(
                    f"{name:20s} {workers} process{'es' if workers > 1 else '  '} "
                    f"best {max(rates):6.1f}  median {statistics.median(rates):6.1f} scenes/s"
                )


if __name__ == "__main__":
    main()
