#!/usr/bin/env bash
# Pillow 13.0.0: a palette PNG of classes with the usual label 255 for "ignore", and a palette that names only the classes.
#
# Guess: the pixel values are kept, or an index beyond the palette is refused.
# Happens: the number of bits is chosen by the length of the palette, and the pixel values are cut to it. "Ignore" becomes
#   another class, without a word. It needs 17 colours or more for 8 bits.
# Seen: 255 comes back as 1 with a palette of two colours, 3 with three or four, 15 with five to sixteen, and 255 with
#   seventeen.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 pillow==13.0.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from PIL import Image

labels = np.zeros((8, 10), np.uint8)
labels[1:3], labels[5:] = 1, 255
came_back = {}
for colours in (2, 3, 4, 5, 16, 17):
    image = Image.fromarray(labels).convert("P")
    image.putpalette([value for k in range(colours) for value in (9 * k, 14 * k, 5 * k)])
    assert (np.asarray(image) == labels).all()
    image.save("labels.png")
    came_back[colours] = np.unique(np.asarray(Image.open("labels.png"))).tolist()
print("values that come back, by colours in the palette:", came_back)
assert [values[-1] for values in came_back.values()] == [1, 3, 3, 15, 15, 255]
EOF
