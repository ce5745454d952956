#!/usr/bin/env bash
# darwin-py 3.6.3 (V7's tools), pycocotools 2.0.11: polygons with several paths, exported as COCO.
#
# Guess: an object with a hole, or one that something parts, is an object in COCO as well; RLE can hold it.
# Happens: the export writes it as run-lengths with `iscrowd` 1 and `area` 0. COCO's evaluation never counts a crowd
#   region as missed, so these objects leave the score. Its last row and column belong to the mask, too, while the
#   polygon of a plain object has none of them.
# Seen: a plain square of 30 x 30: a polygon, area 900, no crowd. A square of 30 x 30 with a hole of 10 x 10: crowd, area
#   0, 880 pixels for 800. Two squares of 10 x 10: crowd, area 0, 242 pixels for 200.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.2.6 pycocotools==2.0.11 darwin-py==3.6.3
cd "$folder"
venv/bin/python - <<'EOF'
import contextlib
import io
import json
from pathlib import Path

from darwin.exporter.formats import coco
from darwin.utils import parse_darwin_json
from pycocotools import mask as rle


def square(x, y, side):
    return [{"x": x + dx, "y": y + dy} for dx, dy in ((0, 0), (side, 0), (side, side), (0, side))]


def drawn(number, name, paths, box):
    sides = dict(zip(("x", "y", "w", "h"), box))
    return {"id": str(number), "name": name, "polygon": {"paths": paths}, "bounding_box": sides, "slot_names": ["0"]}


objects = [
    drawn(1, "plain", [square(10, 10, 30)], (10, 10, 30, 30)),
    drawn(2, "hole", [square(50, 10, 30), square(60, 20, 10)], (50, 10, 30, 30)),
    drawn(3, "parts", [square(10, 50, 10), square(30, 50, 10)], (10, 50, 30, 10)),
]
files = [{"file_name": "a.png", "url": ""}]
slot = {"type": "image", "slot_name": "0", "width": 100, "height": 80, "thumbnail_url": "", "source_files": files}
item = {"name": "a.png", "path": "/", "slots": [slot]}
Path("a.json").write_text(json.dumps({"version": "2.0", "item": item, "annotations": objects}))
Path("out").mkdir()
with contextlib.redirect_stdout(io.StringIO()):
    coco.export([parse_darwin_json(Path("a.json"), None)], Path("out"))
told = json.loads(Path("out/output.json").read_text())
names = {category["id"]: category["name"] for category in told["categories"]}
seen = {}
for entry in told["annotations"]:
    shape = entry["segmentation"]
    pixels = int(rle.area(rle.frPyObjects(shape, *shape["size"]))) if isinstance(shape, dict) else None
    seen[names[entry["category_id"]]] = (entry["iscrowd"], entry["area"], pixels)
print("crowd, area and pixels of the run-lengths:", seen)
assert seen == {"plain": (0, 900, None), "hole": (1, 0, 880), "parts": (1, 0, 242)}
EOF
