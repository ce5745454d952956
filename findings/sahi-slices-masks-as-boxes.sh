#!/usr/bin/env bash
# sahi 0.12.8: `slice_coco` (and `Coco.from_coco_dict_or_path`) on a COCO file with RLE masks and crowd regions.
#
# Guess: RLE masks are cut at the tile's edge as polygons are, or refused; a crowd region stays a crowd region.
# Happens: a warning says that the RLE annotation is skipped. It is not: it becomes a polygon of its whole bounding box,
#   and `iscrowd` becomes 0. A model trained on the tiles learns rectangles, and learns ground to ignore as an object.
# Seen: a ring of 4800 pixels and a crowd region of the same shape come out as two ordinary squares of 6400.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q \
  sahi==0.12.8 pycocotools==2.0.11 opencv-python==5.0.0.93 numpy==2.4.6 shapely==2.2.0 pillow==13.0.0
cd "$folder"
venv/bin/python - <<'EOF'
import contextlib
import io
import json

import numpy as np
from PIL import Image
from pycocotools import mask
from sahi.slicing import slice_coco

Image.new("RGB", (200, 100)).save("photo.png")
ring = np.zeros((100, 200), np.uint8, order="F")
ring[10:90, 110:190] = 1
ring[30:70, 130:170] = 0
rle = mask.encode(ring)
rle["counts"] = rle["counts"].decode()
shared = {"image_id": 1, "category_id": 1, "bbox": [110, 10, 80, 80], "area": int(ring.sum()), "segmentation": rle}
coco = {
    "images": [{"id": 1, "width": 200, "height": 100, "file_name": "photo.png"}],
    "categories": [{"id": 1, "name": "ring"}],
    "annotations": [shared | {"id": 1, "iscrowd": 0}, shared | {"id": 2, "iscrowd": 1}],
}
json.dump(coco, open("truth.json", "w"))
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    size = {"slice_height": 100, "slice_width": 100, "overlap_height_ratio": 0, "overlap_width_ratio": 0}
    tiles, _ = slice_coco("truth.json", ".", "tiles", output_dir="tiles", **size)
for one in tiles["annotations"]:
    print(one["segmentation"], "area", one["area"], "iscrowd", one["iscrowd"])
assert [one["area"] for one in tiles["annotations"]] == [6400, 6400]
assert [one["iscrowd"] for one in tiles["annotations"]] == [0, 0]
EOF
