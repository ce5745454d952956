#!/usr/bin/env bash
# tifffile 2026.3.3 with imagecodecs 2026.3.6: label maps of uint32 in TIFF with `compression="jpeg2000"`.
#
# Guess: JPEG 2000 is lossless by default here, as it is for uint8, uint16 and int32; what it cannot hold raises.
# Happens: uint32 is written and read back without an error, and part of the pixels hold other ids, small ids too.
# Seen: an image of 64 x 64 pixels with ids 0 to 99: int32 comes back whole, uint32 with 559 pixels wrong by up to
#   67,108,863 (2^26 - 1). "lerc" and "zlib" keep both.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 tifffile==2026.3.3 imagecodecs==2026.3.6
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import tifffile

ids = np.random.default_rng(0).integers(0, 100, (8, 8)).repeat(8, axis=0).repeat(8, axis=1)


def wrong(dtype, compression):
    tifffile.imwrite("labels.tif", ids.astype(dtype), compression=compression)
    difference = np.abs(tifffile.imread("labels.tif").astype(np.int64) - ids)
    return int((difference > 0).sum()), int(difference.max())


for compression in ("jpeg2000", "lerc", "zlib"):
    for dtype in ("uint16", "int32", "uint32"):
        print(compression, dtype, "pixels wrong, largest error:", *wrong(dtype, compression))
assert wrong("uint16", "jpeg2000") == wrong("int32", "jpeg2000") == (0, 0)
assert wrong("uint32", "lerc") == wrong("uint32", "zlib") == (0, 0)
assert wrong("uint32", "jpeg2000")[0] > 100
EOF
