#!/usr/bin/env bash
# datumaro 1.13.12: instance masks exported as "kitti_segmentation" and read back.
#
# Guess: pixels of no object stay without an object.
# Happens: the exporter writes them with the number of the first class, and the reader makes a crowd region of it. Every
#   image comes back with one region more: its whole background, as the first class. Metrics ignore what is found there.
# Seen: classes bolt and nut, one nut of 1200 pixels in an image of 8000. Back come a nut of 1200 pixels and a crowd
#   region "bolt" of 6800.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datumaro==1.13.12 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'EOF'
import logging

import datumaro
import numpy as np
from datumaro.components.annotation import Mask
from datumaro.components.media import Image

logging.disable()
nut = np.zeros((80, 100), bool)
nut[10:40, 10:50] = True
item = datumaro.DatasetItem(
    id="photo",
    subset="train",
    media=Image.from_numpy(np.zeros((80, 100, 3), np.uint8)),
    annotations=[Mask(nut, label=1, id=1, group=1, attributes={"is_crowd": False})],
)
datumaro.Dataset.from_iterable([item], categories=["bolt", "nut"]).export("set", "kitti_segmentation", save_media=True)

back = datumaro.Dataset.import_from("set", "kitti_segmentation")
names = [one.name for one in back.categories()[datumaro.AnnotationType.label].items]
found = [
    (names[mask.label], mask.attributes["is_crowd"], int(mask.get_area())) for one in back for mask in one.annotations
]
print("class, is_crowd, area:", found)
assert sorted(found) == [("bolt", True, 6800), ("nut", False, 1200)]
EOF
