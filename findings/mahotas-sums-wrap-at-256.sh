#!/usr/bin/env bash
# mahotas 1.4.19: `mahotas.labeled.labeled_sum(image, labels)`, the brightness of each object.
#
# Guess: sums are made in a wide type, as NumPy and SciPy do it.
# Happens: the sum has the type of the image. On an 8-bit image it wraps at 256, on a mask it is True or False.
# Seen: an object of 9 pixels of brightness 200: 8 in place of 1800. The area by a mask: True in place of 9.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.2.6 mahotas==1.4.19
cd "$folder"
venv/bin/python - <<'EOF'
import mahotas
import numpy as np

labels = np.zeros((10, 12), np.int32)
labels[1:4, 1:4], labels[6:9, 6:9] = 1, 2
image = np.full(labels.shape, 200, np.uint8)
sums = mahotas.labeled.labeled_sum(image, labels)
areas = mahotas.labeled.labeled_sum(labels > 0, labels)
print("brightness:", sums, sums.dtype, "areas:", areas, areas.dtype)
print("after astype(float):", mahotas.labeled.labeled_sum(image.astype(float), labels))
assert sums[1] == sums[2] == 1800 % 256
assert areas.dtype == bool
assert mahotas.labeled.labeled_sum(image.astype(float), labels)[1] == 1800
EOF
