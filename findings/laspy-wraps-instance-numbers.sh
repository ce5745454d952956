#!/usr/bin/env bash
# laspy 2.7.0: numbers that do not fit, in the fields of LAS points that hold classes and instances of point clouds.
#
# Guess: every field refuses them alike, since `classification` does.
# Happens: fields of a part of a byte raise OverflowError; fields of whole bytes wrap around without a word.
# Seen: class 40 in point format 3 (5 bits) raises; instance 70000 as `point_source_id` (16 bits) is stored as 4464, and 256
#   as `user_data` (8 bits) as 0: instance 256 becomes "none".
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 laspy==2.7.0
cd "$folder"
venv/bin/python - <<'EOF'
import laspy
import numpy as np

cloud = laspy.create(point_format=3, file_version="1.2")
cloud.x = cloud.y = cloud.z = np.arange(4.0)
try:
    cloud.classification = np.array([1, 2, 31, 40], np.uint8)
    refused = False
except OverflowError as error:
    refused = True
    print("classification:", error)
cloud.point_source_id = np.array([1, 255, 65535, 70000])
cloud.user_data = np.array([1, 2, 255, 256])
cloud.write("cloud.las")
read = laspy.read("cloud.las")
print("point_source_id:", np.array(read.point_source_id), "user_data:", np.array(read.user_data))
assert refused
assert np.array(read.point_source_id).tolist() == [1, 255, 65535, 4464]
assert np.array(read.user_data).tolist() == [1, 2, 255, 0]
EOF
