#!/usr/bin/env bash
# torchmetrics 1.9.0 (torch 2.14.1, pycocotools 2.0.11): `MeanAveragePrecision` of boxes and masks in one call.
#
# Guess: `iou_type=("bbox", "segm")` gives for boxes what `iou_type="bbox"` gives.
# Happens: whether an object is small, medium or large comes from its mask's area as soon as masks are asked for, for
#   boxes as well. `map_small`, `map_medium`, `map_large` and `mar_...` of boxes change; `map` does not.
# Seen: a thin diagonal crack of 600 pixels in a box of 154 x 150. Boxes alone: map_large 1.0, no small object. Boxes
#   beside masks: bbox_map_small 1.0, no large object.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.14.1 torchvision==0.29.1 pycocotools==2.0.11 torchmetrics==1.9.0
cd "$folder"
venv/bin/python - <<'EOF'
import torch
from torchmetrics.detection import MeanAveragePrecision

mask = torch.zeros(1, 200, 200, dtype=torch.bool)
for row in range(150):
    mask[0, row + 10, row + 10 : row + 14] = True
truth = [{"masks": mask, "boxes": torch.tensor([[10.0, 10.0, 164.0, 160.0]]), "labels": torch.tensor([0])}]
found = [truth[0] | {"scores": torch.tensor([0.9])}]


def sizes(types, before=""):
    metric = MeanAveragePrecision(iou_type=types)
    metric.update(found, truth)
    numbers = metric.compute()
    return {size: float(numbers[f"{before}map_{size}"]) for size in ("small", "medium", "large")}


print("boxes alone:", sizes("bbox"))
print("boxes beside masks:", sizes(("bbox", "segm"), "bbox_"))
assert sizes("bbox") == {"small": -1.0, "medium": -1.0, "large": 1.0}
assert sizes(("bbox", "segm"), "bbox_") == {"small": 1.0, "medium": -1.0, "large": -1.0}
EOF
