#!/usr/bin/env bash
# SciPy 1.17.1 and edt 3.1.2: the distance to the background in a crop that one object fills.
#
# Guess: the distance to the edge of the crop, or infinity everywhere.
# Happens: SciPy measures from a pixel that does not exist, above the upper left corner. The values look like distances
#   and peak at the lower right, where a watershed then puts its seed. edt gives infinity, its black_border=True
#   the distance to the edge.
# Seen: a crop of 5 x 6: SciPy 1 at the upper left to 7.07 at the lower right, distances to the pixel (-1, 0); edt inf.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 edt==3.1.2
cd "$folder"
venv/bin/python - <<'EOF'
import edt
import numpy as np
from scipy import ndimage

crop = np.ones((5, 6), bool)
distance = ndimage.distance_transform_edt(crop)
print(distance.round(2))
print("edt:", edt.edt(crop).max(), "with black_border=True:", edt.edt(crop, black_border=True).max())
rows, columns = np.indices(crop.shape)
assert np.allclose(distance, np.hypot(rows + 1, columns))
assert np.isinf(edt.edt(crop)).all()
assert edt.edt(crop, black_border=True).max() == 3
EOF
