#!/usr/bin/env bash
# webdataset 1.0.2: `decode("pil")` on label images.
#
# Guess: "pil" gives the image as `PIL.Image.open` does: 16-bit ids stay ids, palette indices stay indices.
# Happens: "pil" converts every image to RGB. Ids of a 16-bit PNG are cut to 255, indices of a palette PNG become its
#   colours, and "pill" (grey) makes brightness of them. "l", "rgb" and their 8-bit kinds lose ids too.
# Seen: ids 0, 300, 40000 become 0 and 255; index 2 becomes the colour (0, 128, 0), and in grey 75.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 pillow==13.0.0 webdataset==1.0.2
cd "$folder"
venv/bin/python - <<'EOF'
import io

import numpy as np
import webdataset
from PIL import Image


def png(image):
    stored = io.BytesIO()
    image.save(stored, "png")
    return stored.getvalue()


ids = np.zeros((20, 30), np.uint16)
ids[2:8, 2:8], ids[10:15, 10:15] = 300, 40000
palette = Image.fromarray((ids == 300).astype(np.uint8) * 2)
palette.putpalette([0, 0, 0, 128, 0, 0, 0, 128, 0])
with webdataset.TarWriter("set.tar") as tar:
    tar.write({"__key__": "one", "ids.png": png(Image.fromarray(ids)), "index.png": png(palette)})


def decoded(how):
    sample = next(iter(webdataset.WebDataset("set.tar", shardshuffle=False).decode(how)))
    return sample["ids.png"], sample["index.png"]


as_colour, as_grey = decoded("pil"), decoded("pill")
raw = next(iter(webdataset.WebDataset("set.tar", shardshuffle=False)))
print("pil:", as_colour[0].mode, np.unique(as_colour[0]), as_colour[1].getpixel((3, 3)))
print("pill:", as_grey[0].mode, np.unique(as_grey[0]), as_grey[1].getpixel((3, 3)))
print("raw bytes:", np.unique(Image.open(io.BytesIO(raw["ids.png"]))))
assert np.unique(as_colour[0]).tolist() == np.unique(as_grey[0]).tolist() == [0, 255]
assert as_colour[1].getpixel((3, 3)) == (0, 128, 0) and as_grey[1].getpixel((3, 3)) == 75
assert np.unique(Image.open(io.BytesIO(raw["ids.png"]))).tolist() == [0, 300, 40000]
EOF
