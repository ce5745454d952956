#!/usr/bin/env bash
# pylabel 0.1.55: `importer.ImportCoco` and `export.ExportToCoco` on a set in which one image has no objects.
#
# Guess: the same annotations come out.
# Happens: for an image without objects the annotation before it is written once more, numbered and placed as before.
# Seen: two annotations, both of image 1, and image 2 without any: three come out, and the last two are equal.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==1.26.4 pandas==2.3.3 opencv-python-headless==4.11.0.86 \
  matplotlib==3.11.2 scikit-learn==1.9.1 pyyaml==6.0.4 tqdm==4.70.1 ipywidgets==8.1.9 anywidget==0.9.21
"$folder/venv/bin/pip" install -q --no-deps pylabel==0.1.55 bbox-visualizer==1.0.1 jupyter-bbox-widget==0.7.0
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import json

from pylabel import importer


def annotation(number, left):
    outline = [left, 10, left + 20, 10, left + 20, 30]
    box = [left, 10, 20, 20]
    return {"id": number, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 200, "bbox": box, "segmentation": [outline]}


images = [{"id": k, "file_name": f"{k}.jpg", "width": 100, "height": 80} for k in (1, 2)]
content = {"images": images, "categories": [{"id": 1, "name": "nut"}], "annotations": [annotation(5, 10), annotation(6, 50)]}
with open("in.json", "w") as file:
    json.dump(content, file)
importer.ImportCoco("in.json", path_to_images=".").export.ExportToCoco(output_path="out.json")
with open("out.json") as file:
    written = json.load(file)["annotations"]
print("given: 2 annotations of image 1. Written:")
for each in written:
    print({name: each[name] for name in ("id", "image_id", "bbox")})
assert len(written) == 3 and written[1] == written[2]
EOF
