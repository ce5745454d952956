#!/usr/bin/env bash
# faster-coco-eval 1.8.0: ground truth whose annotation ids are negative, as hashes of 64 bits are half of the time.
#
# Guess: an id is a name. pycocotools takes any number but 0, and gives AP 1 for answers that are the ground truth.
# Happens: every object with a negative id counts as missed, and its answer as false, without a word. (For id 0 there is
#   a warning.)
# Seen: the same two boxes with the ids 1, 2 and -1, -2: AP 1.0 and 0.0. pycocotools 2.0.11 gives 1.0 for both.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q faster-coco-eval==1.8.0 pycocotools==2.0.11 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'EOF'
import contextlib
import io
import json

import faster_coco_eval
import pycocotools.coco
import pycocotools.cocoeval


def judged(coco, evaluator, ids):
    boxes = [[5, 5, 10, 10], [25, 5, 10, 10]]
    common = {"image_id": 1, "category_id": 1}
    notes = [{"id": i, "bbox": b, "area": 100, "iscrowd": 0, **common} for i, b in zip(ids, boxes)]
    image = {"id": 1, "height": 40, "width": 60, "file_name": "photo.png"}
    truth = {"images": [image], "categories": [{"id": 1, "name": "nut"}], "annotations": notes}
    with open("truth.json", "w") as file:
        json.dump(truth, file)
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco("truth.json")
        answers = known.loadRes([{"bbox": b, "score": 0.9, **common} for b in boxes])
        judge = evaluator(known, answers, "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0])


theirs = {
    "faster-coco-eval": (faster_coco_eval.COCO, faster_coco_eval.COCOeval_faster),
    "pycocotools": (pycocotools.coco.COCO, pycocotools.cocoeval.COCOeval),
}
found = {name: [judged(*tools, ids) for ids in ((1, 2), (-1, -2))] for name, tools in theirs.items()}
print("AP with the ids 1, 2 and with -1, -2:", found)
assert [round(ap, 6) for ap in found["faster-coco-eval"]] == [1.0, 0.0]
assert [round(ap, 6) for ap in found["pycocotools"]] == [1.0, 1.0]
EOF
