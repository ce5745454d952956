#!/usr/bin/env bash
# SimpleITK 2.5.7: `LabelIntensityStatisticsImageFilter.GetMedian(label)` of an object in a float image.
#
# Guess: the median of the object's pixels.
# Happens: the middle of a bin of a histogram of 128 bins, which span the darkest to the brightest pixel of the whole image.
#   One hot pixel elsewhere makes the bins wide, and objects of different brightness get one median.
# Seen: objects with medians 100 and 103, a hot pixel of 65000 far away: both get the same, more than 100 off. Without the hot
#   pixel they are right within 1. `SetNumberOfBins` makes the bins smaller.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 SimpleITK==2.5.7
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import SimpleITK as sitk

labels = np.zeros((50, 60), np.uint8)
labels[5:20, 5:20], labels[30:40, 30:40] = 1, 2
image = np.random.default_rng(0).normal(100, 1, labels.shape).astype(np.float32)
image[labels == 2] += 3


def medians(image):
    measure = sitk.LabelIntensityStatisticsImageFilter()
    measure.Execute(sitk.GetImageFromArray(labels), sitk.GetImageFromArray(image))
    return [measure.GetMedian(label) for label in (1, 2)]


exact = [float(np.median(image[labels == label])) for label in (1, 2)]
before = medians(image)
image[0, 0] = 65000
after = medians(image)
print("true:", np.round(exact, 2), "given:", np.round(before, 2), "with one hot pixel elsewhere:", np.round(after, 2))
assert np.abs(np.subtract(exact, before)).max() < 1
assert after[0] == after[1] and abs(after[0] - exact[0]) > 100
EOF
