#!/usr/bin/env bash
# geopandas 1.2.0 with pyogrio 0.13.0 (its GDAL): outlines of objects written as FlatGeobuf.
#
# Guess: the features come back in the order in which they were written, as from GeoJSON, GeoPackage and Shapefile. So
#   row k still belongs to object k of a table of measurements beside it.
# Happens: GDAL adds a spatial index by default, and sorts the features along a Hilbert curve for it. Nothing is lost
#   and nothing warns; the index of the table read back is 0, 1, 2 ... again.
# Seen: 20 squares numbered 0 to 19 come back in another order; with SPATIAL_INDEX="NO" and as GeoJSON in their own.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 shapely==2.2.0 pandas==2.3.3 geopandas==1.2.0 pyogrio==0.13.0
cd "$folder"
venv/bin/python - <<'EOF'
import geopandas
import numpy as np
import shapely

corners = np.random.default_rng(0).integers(0, 1000, (20, 2))
objects = geopandas.GeoDataFrame(
    {"object": range(20)}, geometry=[shapely.box(x, y, x + 5, y + 5) for x, y in corners], crs="EPSG:3857"
)


def back(name, **options):
    objects.to_file(name, **options)
    found = geopandas.read_file(name)
    assert found.index.tolist() == list(range(20))
    return found["object"].tolist()


print("FlatGeobuf:", back("indexed.fgb", driver="FlatGeobuf"))
print("without an index:", back("plain.fgb", driver="FlatGeobuf", SPATIAL_INDEX="NO"))
assert back("indexed.fgb", driver="FlatGeobuf") != list(range(20))
assert sorted(back("indexed.fgb", driver="FlatGeobuf")) == list(range(20))
assert back("plain.fgb", driver="FlatGeobuf", SPATIAL_INDEX="NO") == list(range(20))
assert back("plain.geojson", driver="GeoJSON") == list(range(20))
EOF
