#!/usr/bin/env bash
# SciPy 1.17.1: `ndimage.binary_closing` on objects at the image's border.
#
# Guess: closing fills gaps and only adds pixels. That is its definition, and OpenCV and scikit-image keep to it.
# Happens: the second half, the erosion, takes what lies outside for background, so that objects at the border lose a strip
#   there. `border_value=1` is no way out: then the outside is an object, and closing fills the image's corners.
# Seen: a full square of 5 x 5 in the corner, two iterations: 9 pixels of 25 are left. With `border_value=1` it is 40
#   pixels, some in every corner of the image. OpenCV 5.0.0 and scikit-image 0.26.0 give 25.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 opencv-python-headless==5.0.0.93
cd "$folder"
venv/bin/python - <<'EOF'
import cv2
import numpy as np
from scipy import ndimage
from skimage.morphology import closing, diamond

mask = np.zeros((20, 20), bool)
mask[:5, :5] = True
closed = ndimage.binary_closing(mask, iterations=2)
with_border = ndimage.binary_closing(mask, iterations=2, border_value=1)
cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
by_opencv = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, cross, iterations=2)
by_skimage = closing(mask, diamond(2))
print("SciPy:", int(closed.sum()), "of 25 pixels; border_value=1:", int(with_border.sum()))
print("OpenCV:", int(by_opencv.sum()), "scikit-image:", int(by_skimage.sum()))
assert closed.sum() == 9 and not (closed & ~mask).any()
assert with_border.sum() == 40 and with_border[-1, -1] and with_border[0, -1] and with_border[-1, 0]
assert (by_opencv == mask).all() and (by_skimage == mask).all()
EOF
