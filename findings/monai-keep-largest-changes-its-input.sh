#!/usr/bin/env bash
# monai 1.6.1 (torch 2.13.0): `KeepLargestConnectedComponent` as a function.
#
# Guess: like other transforms of its kind (`RemoveSmallObjects`, `FillHoles`, `LabelFilter`) it gives a new array.
# Happens: it writes into the array that it is given, a NumPy array as well as a tensor. The raw prediction, kept for
#   comparison or for a second setting, is gone, and a cached label map loses objects for good.
# Seen: a label map holds 36 pixels of id 1 and 40 of id 5 (one part of 36, one of 4). With independent=False the input
#   is left with 36 pixels of id 5: 40 of its pixels changed.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0 monai==1.6.1 scikit-image==0.26.0 scipy==1.17.1
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import torch
from monai.transforms import FillHoles, KeepLargestConnectedComponent, LabelFilter, RemoveSmallObjects


def changed(transform, convert):
    labels = np.zeros((1, 20, 20), np.float32)
    labels[0, 2:8, 2:8] = 1
    labels[0, 10:16, 10:16] = labels[0, 18:20, 0:2] = 5
    given = convert(labels.copy())
    transform(given)
    return int((np.asarray(given) != labels).sum())


keep = KeepLargestConnectedComponent(independent=False)
for transform in (keep, RemoveSmallObjects(min_size=10), FillHoles(), LabelFilter([5])):
    counts = changed(transform, np.asarray), changed(transform, torch.from_numpy)
    print(f"{type(transform).__name__}: pixels of the input changed, array and tensor:", counts)
    assert counts == ((40, 40) if transform is keep else (0, 0))
EOF
