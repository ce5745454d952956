#!/usr/bin/env bash
# label-studio-sdk 2.1.2: `converter.brush.contour2rle`, which makes Label Studio's brush mask of an OpenCV contour.
#
# Guess: width and height are taken as the parameters `img_width` and `img_height` say.
# Happens: the contour is drawn on a canvas of (img_width, img_height), and an array has rows first: the canvas is as high
#   as the image is wide. Pre-annotations of images that are not square come out sheared into stripes, and what lies
#   beyond the canvas is lost. On square images, as in most tests, nothing shows.
# Seen: a square of 10 x 10 pixels on 40 x 60 (height x width), decoded with the image's size, lies in 7 rows in place of
#   10, at another place. On 60 x 60 it is right.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q label-studio-sdk==2.1.2 opencv-python-headless==4.12.0.88 numpy==2.2.6 pillow==12.3.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from label_studio_sdk.converter.brush import contour2rle, decode_rle

square = np.array([[[30, 20]], [[39, 20]], [[39, 29]], [[30, 29]]], np.int32)
rows, right = {}, {}
for height, width in ((40, 60), (60, 60)):
    rle = contour2rle([square], 0, img_width=width, img_height=height)
    drawn = np.asarray(decode_rle(rle)).reshape(height, width, 4)[..., 3] > 0  # as Label Studio reads it
    wanted = np.zeros((height, width), bool)
    wanted[20:30, 30:40] = True
    rows[height, width], right[height, width] = int(drawn.any(1).sum()), bool((drawn == wanted).all())
print("rows with pixels:", rows, "right:", right)
assert right == {(40, 60): False, (60, 60): True}
assert rows[40, 60] == 7
EOF
