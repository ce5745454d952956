#!/usr/bin/env bash
# rasterio 1.4.4: a label map written as a cloud-optimised GeoTIFF (driver "COG"), and a smaller copy of it read with
# `resampling=Resampling.nearest`.
#
# Guess: "nearest" gives ids of the file.
# Happens: the driver builds overviews by cubic interpolation unless the file has a palette, and a smaller copy is read from
#   them. "Nearest" only picks among what the overview holds. The full resolution is right, so nothing shows there.
# Seen: 59 objects on 2000 x 2000, read at 500 x 500: thousands of ids, more than a tenth of the pixels an id of no object.
#   `overview_resampling="nearest"` when writing mends it.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 rasterio==1.4.4
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import numpy as np
import rasterio
from rasterio.enums import Resampling

labels = np.zeros((2000, 2000), np.uint16)
corners = np.random.default_rng(0).integers(0, 1960, (300, 2))
for k, (row, column) in enumerate(corners, 1):
    labels[row : row + 37, column : column + 37] = 1000 * (k % 59 + 1)


def small_copy(name, **options):
    with rasterio.open(name, "w", driver="COG", width=2000, height=2000, count=1, dtype="uint16", **options) as file:
        file.write(labels, 1)
    with rasterio.open(name) as file:
        assert (file.read(1) == labels).all()
        return file.read(1, out_shape=(500, 500), resampling=Resampling.nearest)


plain, told = small_copy("plain.tif"), small_copy("told.tif", overview_resampling="nearest")
wrong = 1 - float(np.isin(plain, labels).mean())
print("ids:", len(np.unique(labels)) - 1, "in the small copy:", len(np.unique(plain)) - 1, f"wrong pixels: {wrong:.3f}")
print("with overview_resampling:", len(np.unique(told)) - 1)
assert len(np.unique(plain)) > 2000 and wrong > 0.1
assert np.isin(told, labels).all()
EOF
