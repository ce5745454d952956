#!/usr/bin/env bash
# pycocotools 2.0.11: mask AP of predictions with equal scores, as from a tool without scores (every score 1.0).
#
# Guess: predictions with the same score enter the precision-recall curve together, so AP does not depend on names.
# Happens: they enter one by one, image by image in the order of image ids. Objects found in the first images come first and
#   lift AP.
# Seen: 10 images with one object each, 5 of them found and 5 missed with one false prediction each. AP is 0.50 where the
#   found ones have ids 1 to 5, and 0.25 where they have ids 6 to 10.
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


def square(at):
    drawn = np.zeros((80, 80), np.uint8, order="F")
    drawn[at : at + 20, at : at + 20] = 1
    return mask.encode(drawn)


def average_precision(found):
    truth, predictions = COCO(), []
    images = range(1, 11)
    truth.dataset = {
        "images": [{"id": i, "width": 80, "height": 80} for i in images],
        "categories": [{"id": 1, "name": "nut"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "area": 400, "bbox": [5, 5, 20, 20]}
            | {"segmentation": square(5)}
            for i in images
        ],
    }
    for i in images:
        predictions.append({"image_id": i, "category_id": 1, "score": 1.0, "segmentation": square(5 if i in found else 50)})
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(predictions), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


first, last = average_precision(range(1, 6)), average_precision(range(6, 11))
print(f"found in images 1 to 5: AP {first:.3f}; found in images 6 to 10: AP {last:.3f}")
assert 0.50 < first < 0.52
assert 0.2 < last < 0.28
EOF
