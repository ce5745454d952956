#!/usr/bin/env bash
# tifffile 2026.3.3: a microscope image of four channels, written with `imwrite` as an array (height, width, 4).
#
# Guess: four channels of which nothing is said are written as four samples of unknown meaning.
# Happens: the file says RGB with unassociated alpha (ExtraSamples 2), for 8 and 16 bits. Programs that honour the tag
#   (Pillow, QGIS, viewers) take the fourth channel for transparency, and where it is dark the other three vanish.
#   `photometric="minisblack"` alone makes as many pages as the image has rows; with `planarconfig="contig"` it is right.
# Seen: RGB with UNASSALPHA, opened by Pillow as RGBA; 9 pages of 8 x 4 for `photometric="minisblack"`; one page of
#   unspecified samples with `planarconfig="contig"` beside it.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q tifffile==2026.3.3 pillow==12.3.0 numpy==2.2.6
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import tifffile
from PIL import Image

cells = np.zeros((9, 8, 4), np.uint8)
ways = {"plain": {}, "minisblack": {"photometric": "minisblack"}}
ways["contig"] = ways["minisblack"] | {"planarconfig": "contig"}
found = {}
for name, options in ways.items():
    tifffile.imwrite(f"{name}.tif", cells, **options)
    with tifffile.TiffFile(f"{name}.tif") as file:
        page = file.pages[0]
        found[name] = (len(file.pages), page.shape, page.photometric.name, [e.name for e in page.extrasamples])
    print(name, *found[name])
tifffile.imwrite("deep.tif", cells.astype(np.uint16))
with tifffile.TiffFile("deep.tif") as file:
    deep = file.pages[0].extrasamples[0].name
mode = Image.open("plain.tif").mode
print("Pillow:", mode, "16 bits:", deep)
assert found["plain"] == (1, (9, 8, 4), "RGB", ["UNASSALPHA"])
assert (mode, deep) == ("RGBA", "UNASSALPHA")
assert found["minisblack"][:2] == (9, (8, 4))
assert found["contig"][0] == 1 and "UNASSALPHA" not in found["contig"][3]
EOF
