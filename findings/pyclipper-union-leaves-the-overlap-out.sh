#!/usr/bin/env bash
# pyclipper 1.4.0: `Execute(CT_UNION)` on two overlapping outlines.
#
# Guess: the union covers both.
# Happens: the default fill rule is even-odd. What two subjects cover is covered an even number of times, so it is outside. A
#   subject and a clip are joined as one expects, so whether it works depends on how the outlines were added.
# Seen: squares of area 100 that overlap in 25: two pieces of 75 each in place of 175. With PFT_NONZERO, or as subject and
#   clip, 175. `SimplifyPolygons` has the same default.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyclipper==1.4.0
cd "$folder"
venv/bin/python - <<'EOF'
import pyclipper

first = [[0, 0], [10, 0], [10, 10], [0, 10]]
second = [[5, 5], [15, 5], [15, 15], [5, 15]]


def areas(subjects, clips, *rules):
    clipper = pyclipper.Pyclipper()
    clipper.AddPaths(subjects, pyclipper.PT_SUBJECT, True)
    if clips:
        clipper.AddPaths(clips, pyclipper.PT_CLIP, True)
    return [pyclipper.Area(path) for path in clipper.Execute(pyclipper.CT_UNION, *rules)]


two_subjects = areas([first, second], [])
told = areas([first, second], [], pyclipper.PFT_NONZERO, pyclipper.PFT_NONZERO)
print("two subjects:", two_subjects, "nonzero:", told, "subject and clip:", areas([first], [second]))
print("SimplifyPolygons:", [pyclipper.Area(path) for path in pyclipper.SimplifyPolygons([first, second])])
assert two_subjects == [75, 75]
assert told == areas([first], [second]) == [175]
EOF
