#!/usr/bin/env bash
# datumaro 1.13.12: a rotated box, exported to datumaro's own format and to the formats of other tools.
#
# Guess: a program's own format holds whatever its data model does; a foreign one may not.
# Happens: the other way round. `export("set", "datumaro")` raises a NotImplementedError with an empty message. CVAT, COCO
#   and LabelMe are written without a warning, and in COCO and LabelMe the object is not there.
# Seen: NotImplementedError '' for datumaro; one <box> with its rotation in CVAT; no annotation in COCO, no <object> in
#   LabelMe.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datumaro==1.13.12 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'EOF'
import json
import logging
from pathlib import Path

import datumaro
import numpy as np
from datumaro.components.annotation import RotatedBbox
from datumaro.components.media import Image

logging.disable()
photo = Image.from_numpy(np.zeros((40, 60, 3), np.uint8))
item = datumaro.DatasetItem(id="a", media=photo, annotations=[RotatedBbox(30, 20, 20, 6, 30, label=0)])
found = {}
for name in ("datumaro", "cvat", "coco", "label_me"):
    try:
        datumaro.Dataset.from_iterable([item], categories=["nut"]).export(name, name, save_media=True)
        found[name] = "written"
    except Exception as error:
        found[name] = f"{type(error).__name__} {str(error)!r}"
print(found)
notes = [note for path in Path("coco").rglob("instances_*.json") for note in json.loads(path.read_text())["annotations"]]
objects = sum(path.read_text().count("<object>") for path in Path("label_me").rglob("*.xml"))
boxes = [path.read_text().count("rotation=") for path in Path("cvat").rglob("*.xml")]
print("objects in COCO:", len(notes), "in LabelMe:", objects, "in CVAT, turned:", boxes)
assert found["datumaro"] == "NotImplementedError ''"
assert set(found.values()) - {found["datumaro"]} == {"written"}
assert (len(notes), objects, boxes) == (0, 0, [1])
EOF
