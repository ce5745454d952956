#!/usr/bin/env bash
# tifffile 2026.3.3: a photo or a mask that Pillow opened, given to `imwrite` as it is.
#
# Guess: what `numpy.asarray` makes of it is written: 8 bits stay 8 bits, and a label map of 16 bits stays one.
# Happens: what has no attribute `dtype` is taken for 64-bit floats. Values are the same, so reading it back and comparing
#   shows nothing, but the file is eight times as large, a label map is no integer image any more, and Pillow, which the
#   image came from, cannot open it. `imwrite(path, numpy.asarray(image))` is right.
# Seen: float64 for modes L, RGB and I;16, 6 MB for 0.8 MB of pixels; `UnidentifiedImageError` by Pillow; uint8 and uint16
#   for arrays.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tifffile==2026.3.3 pillow==12.3.0 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'EOF'
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

arrays = {
    "L": np.arange(256, dtype=np.uint8).reshape(16, 16),
    "RGB": np.full((512, 512, 3), 7, np.uint8),
    "I;16": np.arange(1000, 1256, dtype=np.uint16).reshape(16, 16),
}
for mode, array in arrays.items():
    image = Image.fromarray(array)
    tifffile.imwrite("image.tif", image)
    tifffile.imwrite("array.tif", np.asarray(image))
    image_back, array_back = tifffile.imread("image.tif"), tifffile.imread("array.tif")
    size = Path("image.tif").stat().st_size
    try:
        opened = Image.open("image.tif").mode
    except UnidentifiedImageError as error:
        opened = type(error).__name__
    print(image.mode, "image:", image_back.dtype, size, opened, "array:", array_back.dtype)
    assert (image.mode, image_back.dtype, opened) == (mode, np.float64, "UnidentifiedImageError")
    assert (image_back == array).all()
    assert size > 8 * array.size
    assert array_back.dtype == array.dtype
EOF
