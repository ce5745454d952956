#!/usr/bin/env bash
# SciPy 1.17.1: measurements of `scipy.ndimage` for a label that is absent (an id lost in a crop or a filter).
#
# Guess: nan for all of them, as `mean` gives, or an error.
# Happens: `median` gives the value of a pixel that belongs to the background or to another object, `maximum` and
#   `minimum` give 0, and their positions are (0, 0). None of them warns.
# Seen: labels 1 and 3 on brightness 20 to 39, and label 2 asked for: mean nan, median 22, maximum 0, minimum 0,
#   maximum_position (0, 0). The median of label 2 in the table looks like any other.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1
cd "$folder"
venv/bin/python - <<'EOF'
import warnings

import numpy as np
from scipy import ndimage

brightness = np.arange(20, 40).reshape(4, 5)
labels = np.zeros((4, 5), int)
labels[0, :2], labels[3, 3:] = 1, 3


def measured(function):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mean divides by 0
        return function(brightness, labels, [1, 2, 3])


for function in (ndimage.mean, ndimage.median, ndimage.maximum, ndimage.minimum, ndimage.maximum_position):
    print(f"{function.__name__}:", list(measured(function)))
assert np.isnan(measured(ndimage.mean)[1])
assert measured(ndimage.median)[1] == 22
assert measured(ndimage.maximum)[1] == measured(ndimage.minimum)[1] == 0
assert measured(ndimage.maximum_position)[1] == (0, 0)
EOF
