#!/usr/bin/env bash
# pycocotools 2.0.11: `mask.iou` and `mask.merge` on masks of images of different size.
#
# Guess: an error, as with arrays that cannot be compared.
# Happens: the IoU is -1, and the union is a mask of size 0 x 0. Neither says a word. A search for the best match, or for
#   duplicates above a threshold, then finds nothing, as if the masks did not touch.
# Seen: a full mask of 10 x 10 with a full mask of 10 x 12: IoU -1.0, union {'size': [0, 0], 'counts': b''}. The union of no
#   masks is the same 0 x 0.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 pycocotools==2.0.11
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from pycocotools import mask

small = mask.encode(np.ones((10, 10), np.uint8, order="F"))
wide = mask.encode(np.ones((10, 12), np.uint8, order="F"))
print("IoU:", mask.iou([small], [wide], [0]), "as crowd:", mask.iou([small], [wide], [1]))
print("union:", mask.merge([small, wide]), "intersection:", mask.merge([small, wide], intersect=True))
assert mask.iou([small], [wide], [0]).tolist() == [[-1]]
assert mask.iou([small], [wide], [1]).tolist() == [[-1]]
assert mask.merge([small, wide]) == mask.merge([]) == {"size": [0, 0], "counts": b""}
EOF
