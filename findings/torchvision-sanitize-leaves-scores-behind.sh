#!/usr/bin/env bash
# torchvision 0.29.1 (torch 2.14.1): `transforms.v2.SanitizeBoundingBoxes` on a target with more than boxes and labels.
#
# Guess: it removes an object, so everything that has one row for each object loses that row.
# Happens: boxes, masks and labels do; `area`, `iscrowd`, `scores` and ids of annotations keep all their rows, as they
#   are plain tensors and only the labels are looked for by name. Row k is then another object's, and no length is
#   checked. `wrap_dataset_for_transforms_v2` hands over such targets.
# Seen: three objects, the first of which a crop has left without width: two boxes, masks and labels; three areas,
#   crowd flags and ids. With labels_getter naming all four they are filtered as well.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.14.1 torchvision==0.29.1
cd "$folder"
venv/bin/python - <<'EOF'
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

boxes = torch.tensor([[1, 1, 1, 4], [2, 2, 6, 6], [0, 3, 4, 8]])
target = {
    "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(8, 8)),
    "masks": tv_tensors.Mask(torch.zeros(3, 8, 8)),
    "labels": torch.tensor([5, 6, 7]),
    "area": torch.tensor([3, 16, 20]),
    "iscrowd": torch.tensor([0, 0, 1]),
    "ids": torch.tensor([100, 101, 102]),
}
plain = v2.SanitizeBoundingBoxes()(target)
named = v2.SanitizeBoundingBoxes(labels_getter=lambda t: (t["labels"], t["area"], t["iscrowd"], t["ids"]))(target)
print("rows:", {name: len(value) for name, value in plain.items()})
print("rows with a getter for all:", {name: len(value) for name, value in named.items()})
assert [len(plain[name]) for name in ("boxes", "masks", "labels")] == [2, 2, 2]
assert [len(plain[name]) for name in ("area", "iscrowd", "ids")] == [3, 3, 3]
assert all(len(value) == 2 for value in named.values())
EOF
