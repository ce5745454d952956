"""A stream without end: memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from apiece import Image, Instances, Masks
from apiece.core.image import ImageRef
from apiece.predict.counts import Counts
from apiece.predict.tracks import track_to
from apiece.track import Line, Zone, start

SIZE = (60, 80)


def resident() -> float:
    """Return the memory that this process holds, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def stream(frames: int, seen: dict[int, float]) -> Iterator[tuple[ImageRef, Image | None, Instances]]:
    """Yield frames in which objects come in at the left and leave at the right, forever new ones."""
    rows = 6 + 12 * np.arange(4)
    for k in range(frames):
        x = (k * (1 + np.arange(4) % 3) * 0.7 + 20 * np.arange(4)) % (SIZE[1] + 20) - 10
        boxes = np.stack([x - 4, rows - 4, x + 4, rows + 4], 1).clip(0, [SIZE[1], SIZE[0]] * 2)
        masks = Masks.from_boxes(boxes, SIZE)
        keep = masks.area > 0
        found = Instances(masks[keep], scores=np.full(int(keep.sum()), 0.9))
        ref = ImageRef(Path("cam"), f"cam/{k:06d}.png", SIZE, attributes={"seconds": k / 25}, page=k)
        yield ref, Image(np.zeros((*SIZE, 3), np.uint8)), found
        if k in seen:
            seen[k] = resident()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_is_flat_over_100_000_frames(tmp_path: Path) -> None:
    frames = 100_000
    seen = {1_000: 0.0, frames - 1: 0.0}
    counts = Counts([Line("exit", (40, 0), (40, 60))], [Zone("all", ((10, 0, 70, 0, 70, 60, 10, 60),))])
    summary = track_to(stream(frames, seen), tmp_path / "out", start, ("csv",), classes=("object",), counts=counts)
    assert summary.frames == frames
    assert summary.tracks["object"] > 1_000
    assert seen[frames - 1] < 1.05 * seen[1_000]
