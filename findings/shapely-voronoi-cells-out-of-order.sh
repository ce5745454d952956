#!/usr/bin/env bash
# shapely 2.2.0: Voronoi cells around the centroids of nuclei, as cell borders are estimated.
#
# Guess: there is one cell for each point, and the k-th cell is that of the k-th point, as in SciPy's `point_region`.
# Happens: there is one cell for each point, in another order. `ordered=True` gives the order of the points; it is off by
#   default. Where points repeat, there are fewer cells than points.
# Seen: of 200 points at most 5 lie in the cell of their own number; with `ordered=True` all 200.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 shapely==2.2.0
cd "$folder"
venv/bin/python - <<'END'
import numpy as np
import shapely

points = shapely.points(np.random.default_rng(0).random((200, 2)) * 1000)
together = shapely.multipoints(points)
own = {}
for ordered in (False, True):
    cells = shapely.get_parts(shapely.voronoi_polygons(together, ordered=ordered))
    assert len(cells) == 200
    own[ordered] = int(shapely.contains(cells, points).sum())
print("points that lie in the cell of their number, without and with ordered=True:", own)
assert own[False] <= 5
assert own[True] == 200
END
