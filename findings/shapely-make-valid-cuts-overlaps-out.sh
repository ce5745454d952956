#!/usr/bin/env bash
# shapely 2.2.0: outlines drawn by hand that run over themselves, repaired by `make_valid`, as data sets are cleaned.
#
# Guess: the repaired object covers everything that the outline went around, as `buffer(0)` and filling its pixels do.
# Happens: the default method, "linework", takes by turns: where an outline lies over itself the object gets a hole, and an
#   object whose second part lies in the first gets one, too. `method="structure"` and `buffer(0)` keep both.
# Seen: a hook that runs over its own end: area 100, with "structure" 112. A square with a smaller one in it, as two parts:
#   91, with "structure" 100. Nothing warns.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 shapely==2.2.0
cd "$folder"
venv/bin/python - <<'END'
import shapely
from shapely import box, make_valid

hook = shapely.Polygon([(0, 0), (10, 0), (10, 10), (4, 10), (4, 4), (6, 4), (6, 12), (0, 12)])
within = shapely.multipolygons([box(0, 0, 10, 10), box(3, 3, 6, 6)])
assert not hook.is_valid
assert not within.is_valid
middle = shapely.Point(5, 7)  # the outline goes around it twice
areas = {
    name: [make_valid(shape).area, make_valid(shape, method="structure", keep_collapsed=False).area, shape.buffer(0).area]
    for name, shape in (("hook", hook), ("part within a part", within))
}
print("areas by linework, structure, buffer(0):", areas)
assert areas == {"hook": [100, 112, 112], "part within a part": [91, 100, 100]}
assert not make_valid(hook).contains(middle)
assert hook.buffer(0).contains(middle)
END
