#!/usr/bin/env bash
# read-roi 1.6.0: an ImageJ outline with fractions of pixels, as ImageJ's own sub-pixel tools and many exporters write it.
#
# Guess: the coordinates are those of the file.
# Happens: the fractions are read if "sub-pixel" is the file's only option. Beside any other option, such as the labels of
#   overlays, which roifile sets by default, the whole numbers are read, which the file holds for old readers.
# Seen: a square from 1.75 to 5.75: read as it is with option 128, as 2 to 6 with options 128 + 8. roifile 2026.2.10 and the
#   fractions in the file are the same in both.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 roifile==2026.2.10 read-roi==1.6.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import read_roi
import roifile

square = np.array([[1.75, 1.75], [5.75, 1.75], [5.75, 5.75], [1.75, 5.75]])
corners = {}
for options in (128, 128 + 8):
    roi = roifile.ImagejRoi.frompoints(square, name="nut")
    roi.options = roifile.ROI_OPTIONS(options)
    roi.tofile("nut.roi")
    corners[options] = read_roi.read_roi_file("nut.roi")["nut"]["x"]
    print(f"options {options}: read_roi", corners[options])
    assert (roifile.ImagejRoi.fromfile("nut.roi").coordinates() == square).all()
default = int(roifile.ImagejRoi.frompoints(square).options)
print("options that roifile sets by default:", default)
assert corners == {128: [1.75, 5.75, 5.75, 1.75], 136: [2, 6, 6, 2]}
assert default != 128
EOF
