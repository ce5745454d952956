#!/usr/bin/env bash
# zarr 3.1.6 and tensorstore 0.1.86: a label array that is made smaller, and larger again.
#
# Guess: what was cut off is gone, and the new part holds the fill value, as in NumPy and HDF5.
# Happens: making it smaller removes whole chunks only. In a chunk that is cut in two, the old ids stay in the file and
#   come back when the array grows.
# Seen: 8 x 8 of id 7 in chunks of 4 x 4, resized to 6 x 6 and back: all 64 pixels are 7 again. h5py 3.16.0 gives 36.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 zarr==3.1.6 tensorstore==0.1.86 h5py==3.16.0
cd "$folder"
venv/bin/python - <<'EOF'
import h5py
import tensorstore
import zarr


def by_zarr(small):
    ids = zarr.create_array(f"{small}.zarr", shape=(8, 8), chunks=(4, 4), dtype="u2", fill_value=0)
    ids[:] = 7
    ids.resize((small, small))
    ids.resize((8, 8))
    return int((ids[:] == 7).sum())


def by_tensorstore(small):
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{small}.tensorstore"}}
    chunks = tensorstore.ChunkLayout(chunk_shape=[4, 4])
    ids = tensorstore.open(spec, create=True, shape=[8, 8], dtype=tensorstore.uint16, chunk_layout=chunks).result()
    ids[...] = 7
    ids = ids.resize(exclusive_max=[small, small]).result()
    ids = ids.resize(exclusive_max=[8, 8]).result()
    return int((ids.read().result() == 7).sum())


def by_h5py(small):
    with h5py.File("ids.h5", "w") as file:
        ids = file.create_dataset("ids", (8, 8), "u2", chunks=(4, 4), maxshape=(None, None))
        ids[:] = 7
        ids.resize((small, small))
        ids.resize((8, 8))
        return int((ids[:] == 7).sum())


for small in (6, 4):
    print(f"cut to {small} x {small} and back:", by_zarr(small), by_tensorstore(small), by_h5py(small), "pixels of id 7")
assert (by_zarr(5), by_tensorstore(5), by_h5py(5)) == (64, 64, 25)
assert (by_zarr(3), by_tensorstore(3), by_h5py(3)) == (16, 16, 9)
EOF
