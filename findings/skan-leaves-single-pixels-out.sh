#!/usr/bin/env bash
# skan 0.13.1 (scikit-image 0.26.0): lengths of skeletons, of fibres, roots and cracks.
#
# Guess: `summarize(Skeleton(image))` has at least one row for every skeleton; a compact object, whose skeleton is one
#   pixel, has a length of 0 or 1.
# Happens: one pixel has no branch, so it has no row. `skeleton_id` still counts it: the ids have a gap, and rows do not
#   pair with objects by position. Of labelled skeletons only `mean_pixel_value` tells whose row it is.
# Seen: three labelled skeletons of 15, 1 and 5 pixels: two rows, with the skeleton ids 0 and 2 and the labels 1 and 3.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 pandas==2.3.3 scikit-image==0.26.0 skan==0.13.1
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from skan import Skeleton, summarize

labels = np.zeros((30, 60), int)
labels[5, 5:20], labels[10, 10], labels[20, 30:35] = 1, 2, 3
rows = summarize(Skeleton(labels), separator="_")[["skeleton_id", "mean_pixel_value", "branch_distance"]]
print(rows.to_string())
assert rows["skeleton_id"].tolist() == [0, 2]
assert rows["mean_pixel_value"].tolist() == [1, 3] and rows["branch_distance"].tolist() == [14, 4]
EOF
