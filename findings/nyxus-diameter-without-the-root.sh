#!/usr/bin/env bash
# nyxus 0.11.0: the feature DIAMETER_EQUAL_AREA, the diameter of a circle of the object's area.
#
# Guess: the square root of 4 area / pi, in pixels.
# Happens: 4 area / pi, without the root. The name is that of a length, the number grows with the area.
# Seen: a square of 20 x 20: 509.3 in place of 22.6. Twice the side gives four times the diameter.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 nyxus==0.11.0
cd "$folder"
venv/bin/python - <<'EOF'
import math

import numpy as np
from nyxus import Nyxus

labels = np.zeros((80, 80), np.uint32)
labels[5:25, 5:25], labels[30:70, 30:70] = 1, 2
image = np.full(labels.shape, 100, np.uint16)
features = Nyxus(["DIAMETER_EQUAL_AREA", "AREA_PIXELS_COUNT"], n_feature_calc_threads=1).featurize(image, labels)
for area, given in zip(features["AREA_PIXELS_COUNT"], features["DIAMETER_EQUAL_AREA"]):
    print(f"area {area:.0f}: given {given:.1f}, true {math.sqrt(4 * area / math.pi):.1f}")
    assert math.isclose(given, 4 * area / math.pi, rel_tol=1e-6)
assert features["AREA_PIXELS_COUNT"].tolist() == [400, 1600]
EOF
