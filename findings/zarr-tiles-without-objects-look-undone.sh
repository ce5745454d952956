#!/usr/bin/env bash
# zarr 3.1.6 (numpy 2.4.6): label tiles written one by one, and the chunks that are there as the record of what is done.
#
# Guess: a chunk that was written is there, so `nchunks_initialized`, or the files, tell which tiles are done.
# Happens: a chunk of nothing but the fill value is not stored (`write_empty_chunks` is off by default), and one that
#   becomes so is deleted. A tile without objects looks like one that nobody has seen; erasing the last object of a tile
#   takes its file away.
# Seen: two of four tiles written, one of them all background: one chunk is initialised; after the other tile's object
#   is erased, none. With write_empty_chunks both stay.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 zarr==3.1.6
cd "$folder"
venv/bin/python - <<'EOF'
import zarr


def counts(name, **options):
    labels = zarr.create_array(name, shape=(4, 4), chunks=(2, 2), dtype="uint16", fill_value=0, **options)
    labels[:2, :2] = 0  # a tile without objects
    labels[2:, 2:] = 5
    written = labels.nchunks_initialized
    labels[2:, 2:] = 0
    return written, labels.nchunks_initialized


plain, kept = counts("plain.zarr"), counts("kept.zarr", config={"write_empty_chunks": True})
print("tiles there after two were written, and after an object was erased:", plain, "with write_empty_chunks:", kept)
assert plain == (1, 0) and kept == (2, 2)
EOF
