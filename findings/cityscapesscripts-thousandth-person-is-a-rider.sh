#!/usr/bin/env bash
# cityscapesscripts 2.3.0: `createInstanceImage`, which draws outlines as instance ids, on an image of many small objects.
#
# Guess: ids of one class stay apart from those of the next, or an image with too many objects is refused.
# Happens: an id is class * 1000 + number, and the number is not held below 1000. Object 1000 of class 24 (person) is object 0
#   of class 25 (rider), and merges with it where there is one.
# Seen: 1,100 persons: ids 24000 to 25099, so 1,000 persons and 100 riders. With 50 true riders besides, 50 ids are shared.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==1.26.4 pillow==13.0.0 pyquaternion==0.9.9
"$folder/venv/bin/pip" install -q --no-deps cityscapesscripts==2.3.0
cd "$folder"
venv/bin/python - <<'EOF'
import json

import numpy as np
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage


def outline(k):
    left, top = 3 * (k % 60), 3 * (k // 60)
    return [[left, top], [left + 1, top], [left + 1, top + 1], [left, top + 1]]


def drawn(persons, riders):
    objects = [
        {"label": "person" if k < persons else "rider", "polygon": outline(k)} for k in range(persons + riders)
    ]
    with open("people.json", "w") as file:
        json.dump({"imgHeight": 80, "imgWidth": 200, "objects": objects}, file)
    annotation = Annotation()
    annotation.fromJsonFile("people.json")
    ids = np.unique(np.asarray(createInstanceImage(annotation, "ids")))
    return ids[ids >= 24000]


ids, with_riders = drawn(1100, 0), drawn(1100, 50)
classes, counts = np.unique(ids // 1000, return_counts=True)
print("1,100 persons give", dict(zip(classes.tolist(), counts.tolist())), "objects by class; ids", ids.min(), "to", ids.max())
print("1,100 persons and 50 riders:", len(with_riders), "different ids")
assert dict(zip(classes.tolist(), counts.tolist())) == {24: 1000, 25: 100}
assert len(with_riders) == 1100
EOF
