#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: `cv2.watershed` with a marker drawn along the border of the image.
#
# Guess: a ring of background markers along the image's border keeps the water of the object's marker inside.
# Happens: the outermost rows and columns are overwritten with -1 before the flood, and the ring with them. The object's water
#   takes the whole picture. A ring of two pixels is enough, as its inner pixel stays.
# Seen: a disc of 11,277 pixels on 600 x 400: 238,004 pixels with the ring, about its own size with one twice as wide.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 opencv-python-headless==5.0.0.93
cd "$folder"
venv/bin/python - <<'EOF'
import cv2
import numpy as np

image = np.full((400, 600, 3), 60, np.uint8)
cv2.circle(image, (200, 150), 60, (200, 200, 200), -1)
true = int((image[:, :, 0] == 200).sum())


def flooded(width):
    markers = np.zeros(image.shape[:2], np.int32)
    markers[:width], markers[-width:], markers[:, :width], markers[:, -width:] = 2, 2, 2, 2
    cv2.circle(markers, (200, 150), 2, 1, -1)
    cv2.watershed(image, markers)
    return int((markers == 1).sum())


one, two = flooded(1), flooded(2)
print(f"the disc has {true:,} pixels; with a ring of 1 pixel {one:,}, of 2 pixels {two:,}")
assert one > 0.95 * image.shape[0] * image.shape[1]
assert abs(two / true - 1) < 0.05
EOF
