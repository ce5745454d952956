#!/usr/bin/env bash
# geopandas 1.2.0 with pyogrio 0.13.0: instance ids in a column named "fid", written to GeoPackage.
#
# Guess: the column comes back as it was written, and rows keep their order. It does in GeoJSON.
# Happens: the column becomes the table's key. Reading gives neither the column nor an index of its values, and the
#   rows are in the order of the ids: row 0 is now another object. A column named "id" survives.
# Seen: ids [17, 5] with areas [1, 100]: columns ["geometry"], areas [100, 1].
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 geopandas==1.2.0 pyogrio==0.13.0 shapely==2.2.0
cd "$folder"
venv/bin/python - <<'EOF'
import geopandas
import shapely

shapes = [shapely.box(0, 0, 1, 1), shapely.box(20, 0, 30, 10)]


def back(column, path):
    geopandas.GeoDataFrame({column: [17, 5]}, geometry=shapes, crs=32632).to_file(path)
    return geopandas.read_file(path)


swallowed, kept, other = back("fid", "a.gpkg"), back("id", "b.gpkg"), back("fid", "c.geojson")
print("GeoPackage, fid:", list(swallowed.columns), "index", list(swallowed.index), "areas", list(swallowed.area))
print("GeoPackage, id:", list(kept.columns), "areas", list(kept.area))
assert list(swallowed.columns) == ["geometry"]
assert list(swallowed.index) == [0, 1] and list(swallowed.area) == [100, 1]
assert list(kept.id) == list(other.fid) == [17, 5] and list(kept.area) == [1, 100]
EOF
