#!/usr/bin/env bash
# centrosome 1.3.4 (numpy 2.4.6): `cpmorphology.fill_labeled_holes`, which CellProfiler builds on.
#
# Guess: background inside an object becomes the object's. Another object in there stays, as its pixels are no hole.
# Happens: what an object encloses becomes that object's, other objects too. They vanish without a warning: cells in
#   the lumen of a gland, a nucleus in a ring of cytoplasm, beads in a bubble.
# Seen: a ring with one object inside, with two, and with one that fills the hole to its border: the ring alone is
#   left, 400 pixels for 256. An object in a ring that is open by one pixel stays.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 centrosome==1.3.4
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from centrosome.cpmorphology import fill_labeled_holes


def ring(**inside):
    labels = np.zeros((40, 40), int)
    labels[5:25, 5:25] = 1
    labels[9:21, 9:21] = 0
    for place, value in inside.values():
        labels[place] = value
    return labels


def sizes(labels):
    return dict(zip(*(found.tolist() for found in np.unique(labels[labels > 0], return_counts=True))))


one = ring(a=(np.s_[13:17, 13:17], 2))
two = ring(a=(np.s_[13:17, 13:15], 2), b=(np.s_[13:17, 16:18], 3))
full = ring(a=(np.s_[9:21, 9:21], 2))
opened = ring(a=(np.s_[13:17, 13:17], 2), b=(np.s_[15, 5:9], 0))
for labels in (one, two, full, opened):
    print("pixels of each object before:", sizes(labels), "after:", sizes(fill_labeled_holes(labels)))
for labels in (one, two, full):
    assert sizes(fill_labeled_holes(labels)) == {1: 400}
assert sizes(fill_labeled_holes(opened))[2] == 16
EOF
