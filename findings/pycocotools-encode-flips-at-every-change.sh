#!/usr/bin/env bash
# pycocotools 2.0.11: `mask.encode` on uint8 masks that hold more than two values, such as label maps or smoothed masks.
#
# Guess: what is not 0 is foreground, or other values than 0 and 1 are refused.
# Happens: a run ends wherever a value differs from the one above it, down one column after the other, and runs alternate
#   between background and object. From value 1 to value 2 the object ends, and the background below it becomes the object.
# Seen: object 2 right below object 1 (18 pixels each, on 10 x 12): stripes of 30 pixels, 9 in either object and 12 in the
#   background. One pixel of 254 among 255 is a hole. Side by side the two objects come back as one, as guessed.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 pycocotools==2.0.11
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from pycocotools import mask


def round_trip(drawn):
    return mask.decode(mask.encode(np.asfortranarray(drawn)))


stacked = np.zeros((10, 12), np.uint8)
stacked[1:4, 2:8], stacked[4:7, 2:8] = 1, 2
decoded = round_trip(stacked)
print(decoded)
kept = [int(decoded[stacked == value].sum()) for value in (0, 1, 2)]
print("object 2 below object 1: pixels in the background and in the two objects:", kept)
beside = np.zeros((10, 12), np.uint8)
beside[1:4, 2:5], beside[1:4, 5:8] = 1, 2
smooth = np.zeros((10, 12), np.uint8)
smooth[2:8, 3:9] = 255
smooth[4, 5] = 254
print("side by side:", int(round_trip(beside).sum()), "of 18; one pixel of 254:", int(round_trip(smooth).sum()), "of 36")
assert not (decoded == (stacked > 0)).all() and kept == [12, 9, 9]
assert (round_trip(beside) == (beside > 0)).all()
assert round_trip(smooth).sum() == 35 and round_trip(smooth)[4, 5] == 0
EOF
