#!/usr/bin/env bash
# stardist 0.9.2: `stardist.matching.matching` and `matching_dataset` on images without objects.
#
# Guess: an image without objects, in which the model finds none, is right: it scores 1, or it does not count.
# Happens: it scores 0 for precision, recall, F1, accuracy and panoptic quality. With `by_image=True` these zeros go
#   into the mean, so that every empty field of view costs as much as a complete failure.
# Seen: perfect predictions for one image with two objects and one without: by_image=True gives f1 0.5 and panoptic
#   quality 0.5, by_image=False gives 1.0 for both.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q \
  numpy==2.2.6 scipy==1.17.1 scikit-image==0.26.0 numba==0.68.1 stardist==0.9.2 csbdeep==0.8.2
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from stardist.matching import matching, matching_dataset

cells = np.zeros((40, 40), np.uint16)
cells[2:12, 2:12], cells[20:30, 20:30] = 1, 2
empty = np.zeros_like(cells)
images = [cells, empty]
print("empty image alone: f1", matching(empty, empty).f1)
scores = {}
for by_image in (False, True):
    one = matching_dataset(images, images, thresh=0.5, by_image=by_image, show_progress=False)
    scores[by_image] = float(one.f1), float(one.panoptic_quality)
    print(f"by_image={by_image}: f1, panoptic quality:", scores[by_image])
assert matching(empty, empty).f1 == 0
assert scores == {False: (1.0, 1.0), True: (0.5, 0.5)}
EOF
