#!/usr/bin/env bash
# btrack 0.7.0 (scikit-image 0.26.0): `utils.segmentation_to_objects(label maps)`.
#
# Guess: each id of a label map becomes one object to track.
# Happens: only if the ids are exactly those that `skimage.measure.label` would give. A map with any other numbers is
#   labelled anew: the parts of an object that something lies across become objects of their own, the ids are others,
#   and with them the number of objects depends on how the ids are numbered.
# Seen: three cells, one of them in two parts: 4 objects. Adding a cell's own number as a class does not tell them
#   apart either: the class is the highest value in each part, so both parts are there with the same one.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0 btrack==0.7.0
cd "$folder"
venv/bin/python - 2>/dev/null <<'EOF'
import numpy as np
from btrack import utils

frames = np.zeros((1, 30, 40), np.uint16)
frames[0, 2:8, 2:8], frames[0, 2:8, 8:14] = 1, 2
frames[0, 20:24, 2:6] = frames[0, 20:24, 20:24] = 3


def areas(labels):
    objects = utils.segmentation_to_objects(labels, properties=("area",), assign_class_ID=True)
    return sorted((int(found.properties["class_id"]), int(found.properties["area"])) for found in objects)


print("number and pixels of each object:", areas(frames))
assert areas(frames) == [(1, 36), (2, 36), (3, 16), (3, 16)]
EOF
