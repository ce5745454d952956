"""The studio on an image of 4096 x 4096 pixels with 5,000 objects, in Chromium.

``python benchmarks/studio.py`` prints bytes of masks, seconds to the first picture and to all masks, frames a second
while zooming and panning, and milliseconds from a move of the brush to the next frame. Needs node, Chromium, and the
page built.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np

import apiece
from apiece.images import write_image

SIDE, ACROSS = 4096, 71  # 71 x 71 cells, of which 5,000 stay
STUDIO = Path(__file__).parents[1] / "studio"


def cells(folder: Path) -> Path:
    """Write an image of touching cells, and their labels."""
    rng = np.random.default_rng(0)
    step = SIDE / ACROSS
    centres = (np.stack(np.mgrid[:ACROSS, :ACROSS], -1).reshape(-1, 2) + 0.5) * step + rng.uniform(
        -8, 8, (ACROSS**2, 2)
    )
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radii = rng.uniform(18, 30, (len(centres), 1)) * (1 + 0.12 * rng.standard_normal((len(centres), 24)).cumsum(1) / 5)
    outlines = centres[:, None] + radii[..., None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    masks = apiece.Masks.from_polygons([[ring] for ring in outlines[:5000]], (SIDE, SIDE))
    found = apiece.Instances(masks)
    pixels = rng.integers(20, 60, (SIDE, SIDE), np.uint8)
    pixels[masks.to_label_map(overlap="last") > 0] += 120
    write_image(folder / "cells.png", pixels)
    apiece.write([(apiece.ImageRef(folder / "cells.png", "cells.png", (SIDE, SIDE)), found)], folder / "cells.json")
    return folder / "cells.json"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        labels = cells(Path(name))
        words = ["studio", str(labels), "--out", f"{name}/work", "--port", "0", "--json"]
        code = "from apiece.cli import main; main()"
        with subprocess.Popen([sys.executable, "-u", "-c", code, *words], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            text = ""
            while not text.rstrip().endswith("}"):
                text += child.stdout.readline()
            address = json.loads(text)["address"]
            time.sleep(1)
            request = urllib.request.Request(f"{address}api/set")
            urllib.request.urlopen(request, timeout=60).read()
            done = subprocess.run(["node", "browser/measure.mjs", address], cwd=STUDIO, capture_output=True, text=True)
            with urllib.request.urlopen(f"{address}api/images/0/objects", timeout=60) as answer:
                size = len(answer.read())
            child.terminate()
    print(json.dumps({"mask_bytes": size, **json.loads(done.stdout or "{}"), "errors": done.stderr[-500:]}, indent=1))


if __name__ == "__main__":
    main()
