#!/usr/bin/env bash
# sahi 0.12.8: `slice_coco` on polygons whose coordinates have fractions, as COCO's own and every annotation tool's have.
#
# Guess: a slice moves outlines by whole pixels, and cuts them at its border; inside it they stay as they are.
# Happens: the fractions of every coordinate are cut off (the box and the area are of the outline before that). All
#   outlines move to the upper left by half a pixel on average, and differ from the boxes beside them.
# Seen: a square from 10.9 to 40.9 lies from 10 to 40 in the slice, its box still begins at 10.9; 59 of its 900 pixels
#   are others.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q sahi==0.12.8 opencv-python-headless==4.12.0.88 pycocotools==2.0.11 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'EOF'
import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask
from sahi.slicing import slice_coco

Path("photos").mkdir()
Image.fromarray(np.zeros((100, 100, 3), np.uint8)).save("photos/a.png")
square = [10.9, 10.9, 40.9, 10.9, 40.9, 40.9, 10.9, 40.9]
note = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 900.0}
note |= {"segmentation": [square], "bbox": [10.9, 10.9, 30.0, 30.0]}
image = {"id": 1, "file_name": "a.png", "height": 100, "width": 100}
labels = {"images": [image], "annotations": [note], "categories": [{"id": 1, "name": "nut"}]}
Path("labels.json").write_text(json.dumps(labels))
sliced, _ = slice_coco("labels.json", "photos", "sliced", output_dir="out", slice_height=100, slice_width=100)
(found,) = sliced["annotations"]
print("outline:", found["segmentation"], "box:", found["bbox"], "area:", found["area"])
before, after = (mask.decode(mask.frPyObjects(n["segmentation"], 100, 100)).any(2) for n in (note, found))
print("pixels:", int(before.sum()), "of them others:", int((before & ~after).sum()))
assert sorted(set(found["segmentation"][0])) == [10, 40]
assert found["bbox"][0] == 10.9
assert (before & ~after).sum() == 59
EOF
