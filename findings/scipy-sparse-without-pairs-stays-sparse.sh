#!/usr/bin/env bash
# SciPy 1.17.1: values of pairs from a sparse matrix, `table[i, j]`, where there are no pairs.
#
# Guess: `table[i, j]` with two arrays of indices gives a dense array of as many values, none for none, as NumPy does. So
#   trackers and metrics look up the overlap of those pairs that passed a gate.
# Happens: for one pair or more it is a dense array. For none it is a sparse array of length 0, by coordinates, and
#   `np.asarray` of it is one object, not an empty array: what follows fails, or counts one.
# Seen: one pair: ndarray of shape (1,); no pair: coo_array of shape (0,), `np.asarray(...)` of shape () and dtype object.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import scipy.sparse as sp

table = sp.csr_array(np.eye(3))
one, none = np.array([1]), np.zeros(0, np.int64)
found, nothing = table[one, one], table[none, none]
print("one pair:", type(found).__name__, found.shape, "no pair:", type(nothing).__name__, nothing.shape)
print("as an array:", np.asarray(nothing).shape, np.asarray(nothing).dtype)
assert isinstance(found, np.ndarray) and found.shape == (1,)
assert type(nothing).__name__ == "coo_array" and nothing.shape == (0,)
assert np.asarray(nothing).shape == () and np.asarray(nothing).dtype == object
assert np.eye(3)[none, none].shape == (0,)
EOF
