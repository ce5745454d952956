#!/usr/bin/env bash
# scikit-image 0.26.0: `feature.peak_local_max(distance, min_distance=10)`, the usual seeds of a watershed.
#
# Guess: `min_distance` is the distance between peaks; an object near the border has its peak where it is highest.
# Happens: `exclude_border=True` drops all peaks within `min_distance` of the border, so whole objects get no seed. With
#   `labels=` the peak is searched in what is left of the object, and lies beside the true one.
# Seen: three squares of 10 x 10, two of them near the border: one seed of three. With `labels`: three seeds, two of them
#   near the object's edge, where the distance is 2 and not 5. `exclude_border=False` gives three seeds of 5.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from scipy import ndimage
from skimage.feature import peak_local_max

mask = np.zeros((60, 60), bool)
mask[2:12, 2:12] = mask[30:40, 30:40] = mask[20:30, 48:58] = True
distance, labels = ndimage.distance_transform_edt(mask), ndimage.label(mask)[0]


def seeds(**options):
    return {tuple(map(int, at)): float(distance[tuple(at)]) for at in peak_local_max(distance, min_distance=10, **options)}


plain, labelled, everywhere = seeds(), seeds(labels=labels), seeds(exclude_border=False)
print("seeds and their distance:", plain)
print("with labels:", labelled)
print("exclude_border=False:", everywhere)
assert len(plain) == 1 and len(everywhere) == 3
assert all(height == 5 for height in everywhere.values())
assert sorted(labelled.values()) == [2, 2, 5]
EOF
