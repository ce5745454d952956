#!/usr/bin/env bash
# Pillow 13.0.0: `save("ids.webp", lossless=True)` of 32-bit ids as the four bytes of RGBA pixels.
#
# Guess: lossless gives every byte back, as PNG does.
# Happens: colours of pixels with alpha 0 are thrown away unless `exact=True`. The fourth byte of an id below 2^24 is 0, so
#   every id vanishes.
# Seen: ids 0, 70000 and 1234567 come back as 0 alone. With `exact=True`, and as PNG, all come back.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 pillow==13.0.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from PIL import Image

ids = np.zeros((20, 30), np.uint32)
ids[3:8, 3:8], ids[10:15, 10:20] = 70000, 1234567
image = Image.fromarray(ids.view(np.uint8).reshape(20, 30, 4))


def come_back(name, **options):
    image.save(name, **options)
    return np.unique(np.array(Image.open(name).convert("RGBA")).view(np.uint32)).tolist()


lossless, exact = come_back("a.webp", lossless=True), come_back("b.webp", lossless=True, exact=True)
print("lossless:", lossless, "exact as well:", exact, "PNG:", come_back("c.png"))
assert lossless == [0]
assert exact == come_back("c.png") == [0, 70000, 1234567]
EOF
