#!/usr/bin/env bash
# pyvips 3.2.0 with libvips 8.18.7: `labelregions` on a mask.
#
# Guess: as `label` of SciPy and scikit-image: background 0, objects from 1.
# Happens: every connected region of one value gets a number, the background too, and each hole. Numbers go by reading order,
#   so the background is 1 or, where the first pixel is in an object, something else. `segments` counts one too many on top.
# Seen: two objects, one of them with a hole: labels 1 to 4, of which 1 is the background and 3 the hole, and segments 5.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 pyvips==3.2.0 pyvips-binary==8.18.7
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import pyvips

mask = np.zeros((20, 30), np.uint8)
mask[2:9, 2:9], mask[4:6, 4:6], mask[12:16, 12:20] = 255, 0, 255


def numbered(mask):
    image, found = pyvips.Image.new_from_array(mask).labelregions(segments=True)
    return image.numpy(), found["segments"]


labels, segments = numbered(mask)
print("background:", labels[0, 0], "objects:", labels[2, 2], labels[13, 13], "hole:", labels[4, 4], "segments:", segments)
mask[0, 0] = 255
print("with an object in the first pixel, the background is", numbered(mask)[0][1, 1])
assert len({int(labels[at]) for at in ((0, 0), (2, 2), (13, 13), (4, 4))}) == 4 and labels.min() == 1
assert segments == 5
assert numbered(mask)[0][0, 0] == 1 and numbered(mask)[0][1, 1] == 2
EOF
