#!/usr/bin/env bash
# label-studio-sdk 2.1.2: the converter's YOLO and COCO exports of a task that two people annotated.
#
# Guess: one of the annotations is chosen, or both are kept apart, in every export alike.
# Happens: in YOLO both write the same file and the last one wins: the first person's objects are gone. In COCO the
#   image is listed twice under one file name, each time with one person's objects, so a loader trains on contradicting
#   truths, and a split can put one copy in train and the other in val.
# Seen: three objects by the first person, one by the second. YOLO: one line. COCO: images [photo.png, photo.png] with
#   3 and 1 objects.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q label-studio-sdk==2.1.2 numpy==2.2.6 pillow==12.3.0
cd "$folder"
venv/bin/python - <<'EOF'
import json
import logging
from pathlib import Path

from label_studio_sdk.converter import Converter
from PIL import Image

logging.disable()
Path("images").mkdir()
Image.new("RGB", (100, 80)).save("images/photo.png")
config = """<View><Image name="image" value="$image"/>
<PolygonLabels name="shape" toName="image"><Label value="part"/></PolygonLabels></View>"""


def polygon(left):
    value = {"points": [[left, 10], [left + 9, 10], [left + 9, 50]], "polygonlabels": ["part"], "closed": True}
    size = {"original_width": 100, "original_height": 80, "image_rotation": 0}
    return {"type": "polygonlabels", "from_name": "shape", "to_name": "image", "value": value} | size


people = [
    {"id": 1, "completed_by": 1, "result": [polygon(left) for left in (10, 30, 50)]},
    {"id": 2, "completed_by": 2, "result": [polygon(12)]},
]
task = {"id": 1, "data": {"image": str(Path("images/photo.png").resolve())}, "annotations": people}
Path("tasks.json").write_text(json.dumps([task]))
converter = Converter(config, "images", download_resources=False)
converter.convert_to_yolo("tasks.json", "yolo", is_dir=False)
converter.convert_to_coco("tasks.json", "coco", is_dir=False)

lines = Path("yolo/labels/photo.txt").read_text().splitlines()
coco = json.loads(Path("coco/result.json").read_text())
names = [Path(one["file_name"]).name for one in coco["images"]]
counts = [sum(one["image_id"] == image["id"] for one in coco["annotations"]) for image in coco["images"]]
print("YOLO lines:", len(lines), "COCO images:", names, "objects:", counts)
assert len(lines) == 1
assert names == ["photo.png", "photo.png"] and counts == [3, 1]
EOF
