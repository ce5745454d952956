#!/usr/bin/env bash
# safetensors 0.8.0: masks decoded by pycocotools 2.0.11, saved with `safetensors.numpy.save_file` and loaded again.
#
# Guess: what was saved comes back, or an array in another memory order is refused (the torch side refuses those).
# Happens: `pycocotools.mask.decode` returns arrays in Fortran order. `save_file` writes their bytes as they lie in
#   memory and the shape beside them, and `load_file` reads them in C order. The same number of pixels comes back, at
#   other places.
# Seen: a rectangle of 8 pixels on 4 x 6 has 8 wrong pixels after the way there and back; after
#   `numpy.ascontiguousarray` it has none.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q safetensors==0.8.0 pycocotools==2.0.11 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from pycocotools import mask
from safetensors.numpy import load_file, save_file

drawn = np.zeros((4, 6), np.uint8, order="F")
drawn[1:3, 2:6] = 1
decoded = mask.decode(mask.encode(drawn))
assert (decoded == drawn).all()
wrong = {}
for name, array in (("as decoded", decoded), ("contiguous", np.ascontiguousarray(decoded))):
    save_file({"mask": array}, "masks.safetensors")
    back = load_file("masks.safetensors")["mask"]
    assert back.shape == drawn.shape and back.sum() == drawn.sum()
    wrong[name] = int((back != drawn).sum())
print("wrong pixels:", wrong)
assert wrong == {"as decoded": 8, "contiguous": 0}
EOF
