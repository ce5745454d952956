#!/usr/bin/env bash
# scikit-image 0.26.0: `skimage.transform.resize(labels, size, order=0, preserve_range=True)` on a label map of floats,
#   as a tensor, an ImageJ TIFF or an HDF5 file may give it.
#
# Guess: order=0 is nearest neighbour, so no new ids, whatever the data type.
# Happens: integers are sampled. Floats are blurred by a Gaussian before, because anti-aliasing is on by default for
#   them, with order=0 too.
# Seen: ids 0, 7 and 12, halved in size: int32 keeps the three. float32 has 33 values, such as 0.67, 1.14 and 2.03. With
#   anti_aliasing=False it keeps the three.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 scikit-image==0.26.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from skimage.transform import resize

ids = np.zeros((40, 40), np.int32)
ids[5:25, 5:25], ids[20:35, 26:38] = 7, 12


def values(labels, **options):
    return np.unique(resize(labels, (20, 20), order=0, preserve_range=True, **options)).tolist()


floats = ids.astype(np.float32)
print("int32:", values(ids), "float32:", len(values(floats)), "values, such as", np.round(values(floats)[10:26:5], 2))
assert values(ids) == values(floats, anti_aliasing=False) == [0, 7, 12]
assert len(values(floats)) > 10
EOF
