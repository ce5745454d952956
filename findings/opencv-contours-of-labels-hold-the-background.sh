#!/usr/bin/env bash
# OpenCV 5.0.0 (opencv-python-headless 5.0.0.93): `findContours` of a label map, int32 with RETR_CCOMP.
#
# Guess: one outline for each object, along its outermost pixels, as of a mask of 8 bits.
# Happens: the background's inner borders are outlines as well: around each object, or group of objects that touch,
#   a second one runs a pixel outside it. The hierarchy lists all as outer outlines without a parent, and RETR_EXTERNAL
#   takes 8 bits only. The label under the outline's first point, 0, is what tells them apart.
# Seen: two objects give four outlines, two of them over label 0 and 10 pixels for 8; touching objects give three.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 opencv-python-headless==5.0.0.93
cd "$folder"
venv/bin/python - <<'EOF'
import cv2
import numpy as np


def outlines(second):
    labels = np.zeros((20, 30), np.int32)
    labels[2:10, 2:10], labels[2:10, second : second + 6] = 1, 2
    found, hierarchy = cv2.findContours(labels, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    points = [contour[:, 0] for contour in found]
    rows = sorted((int(labels[p[0, 1], p[0, 0]]), (np.ptp(p, axis=0) + 1).tolist()) for p in points)
    return rows, hierarchy[0, :, 3].tolist()


apart, parents = outlines(14)
print("label at the first point, and width and height:", apart, "parents:", parents)
assert apart == [(0, [8, 10]), (0, [10, 10]), (1, [8, 8]), (2, [6, 8])]
touching, _ = outlines(10)
print("touching:", touching)
assert [label for label, _ in touching] == [0, 1, 2]
EOF
