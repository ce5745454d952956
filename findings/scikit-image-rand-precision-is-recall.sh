#!/usr/bin/env bash
# scikit-image 0.26.0: `skimage.metrics.adapted_rand_error(truth, prediction)` gives (error, precision, recall).
#
# Guess: an object that the prediction cuts in two costs recall, and two objects that it joins cost precision. The
#   docstring agrees: precision is the share of the pixel pairs joined in the prediction that are joined in the truth.
# Happens: the two come out the other way round. A reader of "precision 1.0" looks for the wrong kind of mistake.
# Seen: one true object of 36 pixels, predicted as two of 18: every predicted pair is true, and half of the true pairs
#   are found. scikit-image says precision 0.486, recall 1.0.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from skimage.metrics import adapted_rand_error

truth = np.zeros((10, 10), int)
truth[2:8, 2:8] = 1
prediction = truth.copy()
prediction[2:8, 5:8] = 2

object_pairs = 36 * 35 / 2
predicted_pairs = 2 * 18 * 17 / 2  # all of them lie inside the one true object
print("by hand: precision", predicted_pairs / predicted_pairs, "recall", round(predicted_pairs / object_pairs, 3))
_, precision, recall = adapted_rand_error(truth, prediction)
print("scikit-image: precision", round(precision, 3), "recall", round(recall, 3))
assert abs(precision - predicted_pairs / object_pairs) < 1e-9
assert abs(recall - 1) < 1e-9
EOF
