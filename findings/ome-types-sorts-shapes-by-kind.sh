#!/usr/bin/env bash
# ome-types 0.7.0: the shapes of an ROI, a rectangle and a polygon by turns, through `to_xml` and `from_xml`.
#
# Guess: shapes keep their order, which tells the upper from the lower, or ties them to a table by position.
# Happens: they are sorted by kind, polygons before rectangles, in writing and in reading. Only the ids tell which is which.
# Seen: R0 P1 R2 P3 become P1 P3 R0 R2.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ome-types==0.7.0
cd "$folder"
venv/bin/python - <<'EOF'
import re

import ome_types
from ome_types.model import OME, ROI, Polygon, Rectangle

shapes = [
    Rectangle(id="Shape:0", x=1, y=2, width=30, height=4),
    Polygon(id="Shape:1", points="1,2 30,4 5,10"),
    Rectangle(id="Shape:2", x=5, y=2, width=3, height=40),
    Polygon(id="Shape:3", points="1,20 3,4 50,1"),
]
ome = OME(rois=[ROI(id="ROI:0", union=shapes)])
in_xml = re.findall(r'"(Shape:\d)"', ome.to_xml())
read = [shape.id for shape in ome_types.from_xml(ome.to_xml()).rois[0].union]
print("given:", [shape.id for shape in shapes], "in the XML:", in_xml, "read:", read)
assert read == in_xml == ["Shape:1", "Shape:3", "Shape:0", "Shape:2"]
by_hand = ome.to_xml()
rectangle = re.search(r"\s*<Rectangle ID=\"Shape:0\".*?/>", by_hand).group()
by_hand = by_hand.replace(rectangle, "").replace("<Union>", "<Union>" + rectangle)
order = re.findall(r'"(Shape:\d)"', by_hand)
read = [shape.id for shape in ome_types.from_xml(by_hand).rois[0].union]
print("in another XML:", order, "read:", read)
assert order == ["Shape:0", "Shape:1", "Shape:3", "Shape:2"] and read == ["Shape:1", "Shape:3", "Shape:0", "Shape:2"]
EOF
