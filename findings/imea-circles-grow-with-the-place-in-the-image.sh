#!/usr/bin/env bash
# imea 0.3.5: `shape_measurements_2d(mask)`, sizes of particles, in particular the circumscribing and inscribing circle.
#
# Guess: a size does not depend on where in the image the particle lies.
# Happens: `diameter_circumscribing_circle` and `diameter_inscribing_circle` grow with the distance from the upper left
#   corner of the image. The other sizes stay as they are.
# Seen: a square of 20 x 20 pixels: 41 and 9 near the corner, 197 and 143 at (60, 60); true are 28 and 20. The neighbours
#   `diameter_min_enclosing_circle` and `feret_max` are 26.9 and 28 in both places.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==1.26.4 scipy==1.17.1 scikit-image==0.26.0 pandas==2.3.3 opencv-python-headless==4.11.0.86
"$folder/venv/bin/pip" install -q --no-deps imea==0.3.5
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import imea
import numpy as np

names = ["circumscribing_circle", "inscribing_circle", "min_enclosing_circle"]
rows = {}
for corner in (5, 60):
    mask = np.zeros((120, 120), bool)
    mask[corner : corner + 20, corner : corner + 20] = True
    measured = imea.shape_measurements_2d(mask).iloc[0]
    rows[corner] = [round(float(measured[f"diameter_{name}"]), 1) for name in names] + [float(measured["feret_max"])]
    print(f"square of 20 x 20 at ({corner}, {corner}):", dict(zip([*names, "feret_max"], rows[corner])))
assert rows[5] == [41.0, 9.1, 26.9, 28.0]
assert rows[60] == [196.6, 142.8, 26.9, 28.0]
EOF
