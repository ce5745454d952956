#!/usr/bin/env bash
# pycocotools 2.0.11: `COCO.loadRes` on mask results that also carry a `bbox`.
#
# Guess: mask AP by size (APs, APm, APl) sorts predictions by the area of their masks, box or no box.
# Happens: where the first result has a `bbox`, `loadRes` sets the area of every result to width x height of its box,
#   and COCOeval(iouType="segm") sorts by that area. The same masks get another APs, without a warning.
# Seen: one disc found right, and a false disc with a higher score. Each has 901 pixels (small: up to 1024) and a box
#   of 35 x 35 = 1225 (medium). Masks only: areas [901, 901], APs 0.5. Masks and boxes: areas [1225, 1225], APs 1.0,
#   because the false disc is no longer small.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 pycocotools==2.0.11
cd "$folder"
venv/bin/python - <<'EOF'
import contextlib
import io

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def disc(x, y):
    rows, columns = np.ogrid[:400, :400]
    drawn = (columns - x) ** 2 + (rows - y) ** 2 <= 17**2
    rle = mask.encode(np.asfortranarray(drawn.astype(np.uint8)))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def small_ap(results):
    truth = COCO()
    truth.dataset = {
        "images": [{"id": 1, "width": 400, "height": 400}],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 901, "segmentation": disc(100, 100)}
        ],
    }
    truth.createIndex()
    loaded = truth.loadRes(results)
    evaluation = COCOeval(truth, loaded, "segm")
    evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    return [int(one["area"]) for one in loaded.dataset["annotations"]], round(float(evaluation.stats[3]), 3)


found = [(disc(300, 300), 0.99), (disc(100, 100), 0.9)]
masks_only = [{"image_id": 1, "category_id": 1, "score": score, "segmentation": rle} for rle, score in found]
with_boxes = [one | {"bbox": mask.toBbox(one["segmentation"]).tolist()} for one in masks_only]
with contextlib.redirect_stdout(io.StringIO()):
    plain, boxed = small_ap(masks_only), small_ap(with_boxes)
print("masks only:", plain, "masks and boxes:", boxed)
assert plain[0] == [901, 901] and abs(plain[1] - 0.5) < 0.01
assert boxed[0] == [1225, 1225] and abs(boxed[1] - 1) < 0.01
EOF
