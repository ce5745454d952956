#!/usr/bin/env bash
# geojson 3.3.0 on Python 3.11: outlines in degrees, of objects in an image from a drone or a microscope stage.
#
# Guess: a geometry object holds the coordinates that it was given.
# Happens: the constructor rounds every coordinate to 6 decimals (`DEFAULT_PRECISION`), when the object is made and not
#   when it is written. A millionth of a degree is 11 cm, many pixels of a drone's image; nothing warns.
# Seen: the four corners of a leaf of 5 cm a side become one point; with precision=12 it stays. Degrees and metres alike are cut.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q geojson==3.3.0
cd "$folder"
venv/bin/python - <<'EOF'
import geojson

side = 4.5e-7  # degrees: 5 cm on a meridian
x, y = 7.1234560, 50.7654320
ring = [(x, y), (x + side, y), (x + side, y + side), (x, y + side), (x, y)]


def corners(geometry):
    return {tuple(point) for point in geometry["coordinates"][0]}


rounded, kept = geojson.Polygon([ring]), geojson.Polygon([ring], precision=12)
print("corners that differ:", len(corners(rounded)), "and with precision=12:", len(corners(kept)))
assert len(corners(rounded)) == 1 and len(corners(kept)) == 4
EOF
