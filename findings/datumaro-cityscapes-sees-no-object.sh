#!/usr/bin/env bash
# datumaro 1.13.12: the labels of Cityscapes themselves, read as "cityscapes".
#
# Guess: `*_gtFine_instanceIds.png` gives an annotation for each object, class * 1000 + number, and regions for stuff.
# Happens: the reader keeps pixel values that are the number of a class, and passes over all others without a word. Every
#   numbered object has another value; what is left are stuff and groups that nobody could tell apart.
# Seen: two cars (26000 and 26001), a group of cars (26) and road (7): back come the group, as a
#   mask like any other, and the road.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q datumaro==1.13.12 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'EOF'
import logging
from pathlib import Path

import datumaro
import numpy as np
from PIL import Image

logging.disable()
values = np.full((80, 100), 7, np.uint16)
values[10:20, 10:30], values[10:20, 40:60], values[50:56, 10:13] = 26000, 26001, 26
name = "aachen_000000_000019"
for place, pixels in (
    (f"set/gtFine/train/aachen/{name}_gtFine_instanceIds.png", values),
    (f"set/leftImg8bit/train/aachen/{name}_leftImg8bit.png", np.zeros((80, 100, 3), np.uint8)),
):
    Path(place).parent.mkdir(parents=True)
    Image.fromarray(pixels).save(place)  # 16 bits, or colours
back = datumaro.Dataset.import_from("set", "cityscapes")
names = [one.name for one in back.categories()[datumaro.AnnotationType.label].items]
found = sorted((names[mask.label], int(mask.get_area())) for one in back for mask in one.annotations)
print("class and area:", found)
assert found == [("car", 18), ("road", 80 * 100 - 400 - 18)]
EOF
