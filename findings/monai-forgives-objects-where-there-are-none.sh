#!/usr/bin/env bash
# monai 1.6.1 (torch 2.13.0): `DiceMetric`, `MeanIoU` and `compute_panoptic_quality` of images without objects.
#
# Guess: what a model finds in an image whose truth is empty lowers the mean; an empty answer to an empty image does not.
# Happens: `DiceMetric` and `MeanIoU` leave out every image whose truth is empty (`ignore_empty` is on by default),
#   whatever was found there. `compute_panoptic_quality` does the opposite: nothing found where nothing is gives 0.
# Seen: one image right, and one empty image in which half of all pixels are found: mean Dice and IoU 1.0. With
#   ignore_empty=False 0.5. Panoptic quality of an empty answer to an empty image: 0.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0 monai==1.6.1
cd "$folder"
venv/bin/python - 2>/dev/null <<'EOF'
import torch
from monai.metrics import DiceMetric, MeanIoU
from monai.metrics.panoptic_quality import compute_panoptic_quality

truth, found = torch.zeros(2, 1, 20, 20), torch.zeros(2, 1, 20, 20)
truth[0, :, 2:8, 2:8] = found[0, :, 2:8, 2:8] = 1
found[1, :, :10] = 1  # half of an image in which there is nothing


def mean(metric):
    metric(found, truth)
    return float(metric.aggregate())


plain = [mean(kind()) for kind in (DiceMetric, MeanIoU)]
counted = [mean(kind(ignore_empty=False)) for kind in (DiceMetric, MeanIoU)]
nothing = torch.zeros(20, 20, dtype=torch.int64)
quality = float(compute_panoptic_quality(nothing, nothing))
print("mean Dice and IoU:", plain, "with ignore_empty=False:", counted, "panoptic quality of nothing:", quality)
assert plain == [1.0, 1.0] and counted == [0.5, 0.5] and quality == 0
EOF
