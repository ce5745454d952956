#!/usr/bin/env bash
# scikit-image 0.26.0 (imageio 2.38.1, tifffile 2026.3.3): `io.imread` of a TIFF of label maps, a page a slice or frame.
#
# Guess: a file of n pages gives an array (n, height, width), whatever n is.
# Happens: an array whose first axis has 3 or 4 entries is taken for colours that lie in planes, and the axis is moved
#   to the end, although the file says minisblack and holds pages. A loop over the first axis then goes over rows.
# Seen: pages of 20 x 30 come back as (20, 30, 3) for three pages, (20, 30, 4) for four, (5, 20, 30) for five, and
#   (2, 20, 30) for two. `imageio.v3.imread` and `tifffile.imread` keep the pages in front.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 imageio==2.38.1 tifffile==2026.3.3 scikit-image==0.26.0
cd "$folder"
venv/bin/python - <<'EOF'
import imageio.v3
import numpy as np
import tifffile
from skimage import io

for pages in (2, 3, 4, 5):
    labels = np.arange(pages * 600, dtype=np.uint16).reshape(pages, 20, 30)
    tifffile.imwrite("labels.tif", labels, photometric="minisblack")
    print(pages, "pages:", io.imread("labels.tif").shape, imageio.v3.imread("labels.tif").shape)
    assert imageio.v3.imread("labels.tif").shape == tifffile.imread("labels.tif").shape == labels.shape
    assert io.imread("labels.tif").shape == ((20, 30, pages) if pages in (3, 4) else labels.shape)
EOF
