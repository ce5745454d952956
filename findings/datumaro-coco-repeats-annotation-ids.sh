#!/usr/bin/env bash
# datumaro 1.13.12: a LabelMe set of two images, imported and exported as COCO, and judged by pycocotools 2.0.11.
#
# Guess: a converter numbers the annotations of a COCO file, each with an id of its own, as COCO wants.
# Happens: ids that the source counts in each image (LabelMe, KITTI and Cityscapes imports do) are written as they are,
#   so that images share them. pycocotools looks annotations up by id, without a warning: every image gets the objects
#   of the last one that has the id.
# Seen: two images with two objects each. The file has the ids 1, 2, 1, 2; pycocotools knows two of four annotations,
#   and answers that are the ground truth itself have AP 0.25.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datumaro==1.13.12 numpy==2.2.6 pycocotools==2.0.11
cd "$folder"
venv/bin/python - <<'EOF'
import json
import logging
from pathlib import Path

import datumaro
import numpy as np
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

logging.disable()
Path("set").mkdir()
for name, corners in (("a", [(2, 2), (30, 2)]), ("b", [(10, 20), (40, 20)])):
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(f"set/{name}.png")
    objects = ""
    for number, (x, y) in enumerate(corners, 1):
        points = ((x, y), (x + 10, y), (x + 10, y + 10), (x, y + 10))
        polygon = "".join(f"<pt><x>{px}</x><y>{py}</y></pt>" for px, py in points)
        objects += (
            f"<object><name>nut</name><deleted>0</deleted><verified>0</verified><occluded>no</occluded>"
            f"<attributes></attributes><parts><hasparts></hasparts><ispartof></ispartof></parts><date></date>"
            f"<id>{number}</id><polygon>{polygon}</polygon></object>"
        )
    size = "<imagesize><nrows>40</nrows><ncols>60</ncols></imagesize>"
    text = f"<annotation><filename>{name}.png</filename><folder></folder>{size}{objects}</annotation>"
    Path(f"set/{name}.xml").write_text(text)

datumaro.Dataset.import_from("set", "label_me").export("out", "coco_instances")
(path,) = Path("out/annotations").glob("instances_*.json")
notes = json.loads(path.read_text())["annotations"]
print("ids and images:", [(note["id"], note["image_id"]) for note in notes])
truth = COCO(str(path))
print("annotations:", len(notes), "known to pycocotools:", len(truth.anns))
answers = [
    {"image_id": note["image_id"], "category_id": note["category_id"], "segmentation": truth.annToRLE(note), "score": 0.9}
    for note in notes
]
judge = COCOeval(truth, truth.loadRes(answers), "segm")
judge.evaluate()
judge.accumulate()
judge.summarize()
print("AP of the ground truth itself:", round(judge.stats[0], 3))
assert sorted(note["id"] for note in notes) == [1, 1, 2, 2]
assert len(truth.anns) == 2
assert judge.stats[0] < 0.3
EOF
