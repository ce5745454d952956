#!/usr/bin/env bash
# opencv-python-headless 5.0.0.93: a label map as `connectedComponents`, SciPy and scikit-image give it, int32, saved by `cv2.imwrite`.
#
# Guess: a PNG holds 16 bits, so the ids are stored with 16 bits as long as they fit; or `imwrite` raises, or returns False.
# Happens: `imwrite` squeezes what is neither 8 nor 16 bits without sign into 8 bits and returns True. Ids above 255 become
#   255, negative ones 0. A line on stderr speaks of a "fallback to CV_8U", not of lost values. TIFF keeps int32.
# Seen: 600 objects become 255, and 346 of them are one object, id 255; `astype("uint16")` before writing keeps all 600.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 opencv-python-headless==5.0.0.93
cd "$folder"
venv/bin/python - <<'END'
import cv2
import numpy as np

picture = np.zeros((40, 60), np.uint8)
picture[::2, ::2] = 1  # 600 objects of one pixel
count, labels = cv2.connectedComponents(picture, connectivity=4)
assert (count - 1, labels.dtype) == (600, np.int32)
seen = {}
for name, stored in (("int32.png", labels), ("uint16.png", labels.astype(np.uint16)), ("int32.tif", labels)):
    assert cv2.imwrite(name, stored) is True
    back = cv2.imread(name, cv2.IMREAD_UNCHANGED)
    seen[name] = back.dtype.name, len(np.unique(back)) - 1, int((back == back.max()).sum())
print("type that comes back, objects, pixels of the highest id:", seen)
assert seen == {"int32.png": ("uint8", 255, 346), "uint16.png": ("uint16", 600, 1), "int32.tif": ("int32", 600, 1)}
assert cv2.imwrite("negative.png", np.array([[-1, -7]], np.int32))
assert (cv2.imread("negative.png", cv2.IMREAD_UNCHANGED) == 0).all()
END
