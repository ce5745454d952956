#!/usr/bin/env bash
# nyxus 0.11.0: `featurize(image, labels)` on float images.
#
# Guess: the brightness features of a NumPy array are those of its values, as with scikit-image.
# Happens: the image is turned into whole numbers first. Values of 0 to 1, as normalised images have, become 0, and from an
#   image with negative values the smallest is taken away. No warning.
# Seen: noise of 0 to 1: mean, median and sum are 0 for every object. Noise of mean 0 and deviation 10: mean 33.8.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 nyxus==0.11.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from nyxus import Nyxus

labels = np.zeros((60, 60), np.uint32)
labels[5:25, 5:25], labels[30:50, 30:50] = 1, 2
random = np.random.default_rng(0)


def means(image):
    features = Nyxus(["MEAN", "INTEGRATED_INTENSITY"], n_feature_calc_threads=1).featurize(image, labels)
    return features["MEAN"].tolist(), [float(image[labels == label].mean()) for label in (1, 2)]


for name, image in {
    "uint8": random.integers(0, 256, labels.shape, dtype=np.uint8),
    "0 to 1": random.random(labels.shape),
    "deviation 10": random.normal(0, 10, labels.shape),
}.items():
    given, true = means(image)
    print(f"{name}: given {np.round(given, 3)}, true {np.round(true, 3)}")
    if name == "uint8":
        assert np.allclose(given, true)
    elif name == "0 to 1":
        assert given == [0, 0]
    else:
        assert min(given) > 25
EOF
