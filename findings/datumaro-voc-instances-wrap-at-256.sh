#!/usr/bin/env bash
# datumaro 1.13.12: more than 255 instance masks of one image, exported as "voc_segmentation" and read back.
#
# Guess: an image of more instances than the palette has is refused, or written with 16 bits.
# Happens: instance numbers are cut to 8 bits, without a warning. Instance 256 becomes background, instance 257 joins
#   instance 1, and so on.
# Seen: 300 squares of 9 pixels come back as 255 masks: one square is lost, 44 masks are two squares each.
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
masks = []
for number in range(300):
    mask = np.zeros((80, 100), bool)
    row, column = divmod(number, 20)
    mask[5 * row : 5 * row + 3, 5 * column : 5 * column + 3] = True
    masks.append(Mask(mask, label=0, id=number + 1, group=number + 1))
photo = Image.from_numpy(np.zeros((80, 100, 3), np.uint8))
item = datumaro.DatasetItem(id="photo", subset="train", media=photo, annotations=masks)
datumaro.Dataset.from_iterable([item], categories=["cell"]).export("set", "voc_segmentation", save_media=True)

read = datumaro.Dataset.import_from("set", "voc_segmentation")
back = [int(mask.get_area()) for one in read for mask in one.annotations]
print("masks back:", len(back), "of 9 pixels:", back.count(9), "of 18:", back.count(18))
print("squares lost:", 300 - sum(back) // 9)
assert len(back) == 255
assert back.count(18) == 44 and sum(back) == 299 * 9
EOF
