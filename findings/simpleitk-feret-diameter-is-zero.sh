#!/usr/bin/env bash
# SimpleITK 2.5.7: `LabelShapeStatisticsImageFilter`, the measurements of each object.
#
# Guess: a getter gives its value, or an error where the value was not computed.
# Happens: the filter computes Feret's diameter and the oriented bounding box only after `ComputeFeretDiameterOn()` and
#   `ComputeOrientedBoundingBoxOn()`. Without these calls their getters give 0.
# Seen: an object of 10 x 6 pixels: Feret's diameter 0.0, size of the oriented box (0.0, 0.0), but perimeter 29.2 and
#   roundness 0.94. After the two calls 10.3 and (6, 10).
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 simpleitk==2.5.7
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import SimpleITK

labels = np.zeros((20, 30), np.uint8)
labels[12:18, 12:22] = 3
image = SimpleITK.GetImageFromArray(labels)


def measured(asked):
    shapes = SimpleITK.LabelShapeStatisticsImageFilter()
    if asked:
        shapes.ComputeFeretDiameterOn()
        shapes.ComputeOrientedBoundingBoxOn()
    shapes.Execute(image)
    print("perimeter", round(shapes.GetPerimeter(3), 2), "roundness", round(shapes.GetRoundness(3), 2), end=" ")
    print("Feret", round(shapes.GetFeretDiameter(3), 2), "oriented box", shapes.GetOrientedBoundingBoxSize(3))
    return shapes.GetFeretDiameter(3), sorted(round(side, 6) for side in shapes.GetOrientedBoundingBoxSize(3))


assert measured(asked=False) == (0, [0, 0])
feret, sides = measured(asked=True)
assert feret > 9 and sides == [6, 10]
EOF
