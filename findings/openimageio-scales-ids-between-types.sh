#!/usr/bin/env bash
# OpenImageIO 3.2.2.0: instance ids of renderings through `ImageBuf`.
#
# Guess: an integer stays that integer where the type is wide enough, and what does not fit is refused or cut.
# Happens: every type is a scale from 0 to 1, and the full range of one is mapped to the full range of the other. uint32 ids
#   written as PNG become 0 (in 8 bits, though PNG has 16), and 16-bit ids read as uint32 are multiplied by 65537. In RGBA
#   files colours are multiplied by alpha on reading, so ids in four bytes are lost as well.
# Seen: ids 0, 1, 300, 70000: all 0 in the PNG. Id 2000 of a 16-bit PNG read as UINT32: 131074000. Id 70000 in RGBA: 0.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 OpenImageIO==3.2.2.0 pillow==13.0.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import OpenImageIO as oiio
from PIL import Image

rendered = oiio.ImageBuf(oiio.ImageSpec(4, 1, 1, oiio.UINT32))
rendered.set_pixels(oiio.ROI(), np.array([[[0], [1], [300], [70000]]], np.uint32))
assert rendered.write("ids.png") and rendered.write("ids.tif")
as_png, as_tiff = np.asarray(Image.open("ids.png")), oiio.ImageBuf("ids.tif").get_pixels(oiio.UINT32)
print("PNG of uint32:", as_png.dtype, as_png.ravel(), "TIFF:", as_tiff.ravel())
Image.fromarray(np.full((4, 5), 2000, np.uint16)).save("grey.png")
wide = oiio.ImageBuf("grey.png").get_pixels(oiio.UINT32)
print("16-bit id 2000 as UINT16:", np.unique(oiio.ImageBuf("grey.png").get_pixels(oiio.UINT16)), "UINT32:", np.unique(wide))
Image.fromarray(np.full((4, 5), 70000, np.uint32).view(np.uint8).reshape(4, 5, 4)).save("rgba.png")
packed = np.ascontiguousarray(oiio.ImageBuf("rgba.png").get_pixels(oiio.UINT8)).view(np.uint32)
print("id 70000 in RGBA:", np.unique(packed))
assert as_png.dtype == np.uint8 and not as_png.any() and as_tiff.ravel().tolist() == [0, 1, 300, 70000]
assert (wide == 2000 * 65537).all()
assert not packed.any()
EOF
