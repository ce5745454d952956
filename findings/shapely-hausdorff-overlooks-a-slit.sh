#!/usr/bin/env bash
# shapely 2.2.0: `hausdorff_distance` of two outlines of one object.
#
# Guess: the largest distance from a point of either outline to the other outline.
# Happens: only corner points are looked at. What lies far away from the middle of a long side is overlooked, so outlines
#   with few corners look better than they are. `densify` looks in between.
# Seen: a square of side 100, and the same with a wide notch cut down to 1 above the base: 1.0 without `densify`, 45.5 with
#   `densify=0.001`.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 shapely==2.2.0
cd "$folder"
venv/bin/python - <<'EOF'
import shapely

square = shapely.box(0, 0, 100, 100)
notched = shapely.Polygon([(0, 0), (100, 0), (100, 100), (60, 100), (50, 1), (40, 100), (0, 100)])
corners, densified = square.hausdorff_distance(notched), shapely.hausdorff_distance(square, notched, densify=0.001)
points = shapely.segmentize(notched.exterior, 0.01)
checked = max(shapely.distance(shapely.points(shapely.get_coordinates(points)), square.exterior))
print("plain:", corners, "densified:", round(densified, 2), "by points along the outline:", round(checked, 2))
assert corners == 1.0
assert 45 < densified < 46 and abs(checked - densified) < 0.5
EOF
