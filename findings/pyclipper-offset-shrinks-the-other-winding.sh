#!/usr/bin/env bash
# pyclipper 1.4.0: `PyclipperOffset.Execute` on outlines of both windings.
#
# Guess: each outline grows by the offset, whichever way round it runs; a single outline does, both ways round.
# Happens: where outlines of both windings are added, those of the second winding are taken for holes and shrink. A hole
#   outside every outline leaves scraps. Outlines of different tools often run different ways round.
# Seen: one square of 100 x 100, grown by 5, gives 110 x 110 = 12100 both ways round. Two squares apart, of opposite
#   windings, give 12100 for the first and four scraps of 5 x 5 at the corners of the second.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyclipper==1.4.0
cd "$folder"
venv/bin/python - <<'EOF'
import pyclipper

first = [(0, 0), (100, 0), (100, 100), (0, 100)]
second = [(200, 0), (300, 0), (300, 100), (200, 100)]


def grown(*outlines):
    offset = pyclipper.PyclipperOffset()
    for outline in outlines:
        offset.AddPath(outline, pyclipper.JT_MITER, pyclipper.ET_CLOSEDPOLYGON)
    return sorted(abs(pyclipper.Area(one)) for one in offset.Execute(5))


print("alone:", grown(second), "alone, the other way round:", grown(second[::-1]))
print("together, same way round:", grown(first, second))
print("together, opposite ways round:", grown(first, second[::-1]))
assert grown(second) == grown(second[::-1]) == [12100.0]
assert grown(first, second) == [12100.0, 12100.0]
assert grown(first, second[::-1]) == [25.0, 25.0, 25.0, 25.0, 12100.0]
EOF
