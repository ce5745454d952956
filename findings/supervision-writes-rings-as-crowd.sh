#!/usr/bin/env bash
# supervision 0.31.2: `DetectionDataset.as_coco` on masks that have a hole or lie in two parts.
#
# Guess: RLE, or polygons, of an ordinary object: `iscrowd` 0.
# Happens: such an object is written with `iscrowd` 1. COCO evaluation takes a crowd for ground to ignore: a model can
#   neither find nor miss the object, and training code often drops it. Rings, washers and half hidden objects leave the
#   ground truth.
# Seen: iscrowd [1, 1, 0] for a ring, an object in two parts, and a plain square. A model that finds the square alone
#   has recall 1.0 in pycocotools.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q supervision==0.31.2 pycocotools==2.0.11 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'EOF'
import contextlib
import io
import json

import cv2
import numpy as np
import supervision as sv
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

cv2.imwrite("photo.png", np.zeros((100, 160, 3), np.uint8))
masks = np.zeros((3, 100, 160), bool)
masks[0, 10:50, 10:60] = True
masks[0, 20:30, 20:30] = False  # a ring
masks[1, 70:80, 70:80] = masks[1, 70:80, 90:100] = True  # two parts
masks[2, 20:40, 100:120] = True  # a square
objects = sv.Detections(xyxy=sv.mask_to_xyxy(masks).astype(float), mask=masks, class_id=np.zeros(3, int))
sv.DetectionDataset(["part"], ["photo.png"], {"photo.png": objects}).as_coco(annotations_path="truth.json")

written = json.load(open("truth.json"))["annotations"]
print("iscrowd:", [one["iscrowd"] for one in written])
with contextlib.redirect_stdout(io.StringIO()):
    truth = COCO("truth.json")
    square = {"image_id": 1, "category_id": 1, "score": 0.9, "segmentation": truth.annToRLE(written[2])}
    found = truth.loadRes([square])
    evaluation = COCOeval(truth, found, "segm")
    evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
recall = float(evaluation.eval["recall"][0, 0, 0, -1])
print("recall at IoU 0.5 with one of three objects found:", recall)
assert [one["iscrowd"] for one in written] == [1, 1, 0]
assert recall == 1.0
EOF
