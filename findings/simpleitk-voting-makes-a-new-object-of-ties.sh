#!/usr/bin/env bash
# SimpleITK 2.5.7: `LabelVoting` and `MultiLabelSTAPLE` on the label maps of several annotators.
#
# Guess: where the annotators disagree evenly, one of their labels or the background wins.
# Happens: an undecided pixel gets the largest label plus one, which looks like one more object or class.
# Seen: three annotators call one object 1, 2 and 3: the result is an object 4.
#   `LabelVoting(images, 0)` makes background of it.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 SimpleITK==2.5.7
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import SimpleITK as sitk

annotators = []
for label in (1, 2, 3):
    drawn = np.zeros((6, 8), np.uint8)
    drawn[1:4, 1:5] = label
    annotators.append(sitk.GetImageFromArray(drawn))


def labels(image):
    return np.unique(sitk.GetArrayFromImage(image)).tolist()


voted, staple = labels(sitk.LabelVoting(annotators)), labels(sitk.MultiLabelSTAPLE(annotators))
print("voting of 1, 2 and 3:", voted, "STAPLE of 1, 2 and 3:", staple)
print("told what to do:", labels(sitk.LabelVoting(annotators, 0)))
assert voted == [0, 4]
assert labels(sitk.LabelVoting(annotators, 0)) == [0]
EOF
