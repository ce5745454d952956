#!/usr/bin/env bash
# geopandas 1.2.0 with pyogrio 0.13.0: annotations in GeoJSON, read and written again.
#
# Guess: properties come back as they were: false stays false, a list stays a list, the id of a feature stays its id.
# Happens: the id of a feature becomes a property. false and true become 0.0 and 1.0 where one feature lacks the
#   property. A list of texts becomes one text, as NumPy prints an array. A nested object survives.
# Seen: {"isLocked": false, "tags": ["a", "b"]} is written as {"isLocked": 0.0, "tags": "['a' 'b']"}.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 geopandas==1.2.0 pyogrio==0.13.0 shapely==2.2.0
cd "$folder"
venv/bin/python - <<'EOF'
import json

import geopandas

square = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]}
properties = {"isLocked": False, "tags": ["a", "b"], "classification": {"name": "Tumor"}}
features = [
    {"type": "Feature", "id": "first", "geometry": square, "properties": properties},
    {"type": "Feature", "id": "second", "geometry": square, "properties": {}},
]
with open("before.geojson", "w") as file:
    json.dump({"type": "FeatureCollection", "features": features}, file)
geopandas.read_file("before.geojson").to_file("after.geojson")

after = json.load(open("after.geojson"))
first = after["features"][0]
print("before:", properties)
print("after:", first["properties"])
assert "id" not in first and first["properties"]["id"] == "first"
assert first["properties"]["isLocked"] == 0.0 and first["properties"]["isLocked"] is not False
assert first["properties"]["tags"] == "['a' 'b']"
assert first["properties"]["classification"] == {"name": "Tumor"}
EOF
