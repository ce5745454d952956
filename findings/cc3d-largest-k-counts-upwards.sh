#!/usr/bin/env bash
# connected-components-3d 4.1.1 (cc3d): the three largest objects of a mask by `largest_k`.
#
# Guess: they are numbered by rank: 1 is the largest, as the first of the "largest k" would be.
# Happens: the numbers rise with the size: k is the largest, 1 the smallest of those kept. Where there are no more than k
#   objects, they are not sorted at all, but numbered from the top left. So `largest_k(mask, k) == 1` is the largest object
#   for certain with k=1 only.
# Seen: squares of 1, 4, 25 and 49 pixels: with k=3 the ids 1, 2, 3 have 4, 25 and 49 pixels; with k=9 the ids 1 to 4 have
#   4, 1, 25 and 49.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 connected-components-3d==4.1.1
cd "$folder"
venv/bin/python - <<'END'
import cc3d
import numpy as np

mask = np.zeros((20, 20), np.uint8)
mask[12:19, 12:19] = 1
mask[1:3, 1:3] = 1
mask[5:10, 5:10] = 1
mask[1, 15] = 1
areas = {}
for k in (1, 2, 3, 9):
    kept = cc3d.largest_k(mask, k, connectivity=8)
    areas[k] = np.bincount(kept.ravel())[1:].tolist()
print("areas of the ids 1, 2, ... by k:", areas)
assert areas == {1: [49], 2: [25, 49], 3: [4, 25, 49], 9: [4, 1, 25, 49]}
END
