#!/usr/bin/env bash
# torchvision 0.29.1 (torch 2.14.1): boxes from `ops.masks_to_boxes`, then transformed beside their masks.
#
# Guess: the box around a mask stays the box around the mask when both are flipped.
# Happens: `masks_to_boxes` gives the last pixel's number as x2 and y2; `transforms.v2` takes the sides of a box for the
#   places between pixels. So the box is a pixel short, and each flip moves it by a pixel against its mask; an empty
#   mask gets the box of a mask of the single pixel 0, 0.
# Seen: columns 20 to 80 of 101: the box 20 to 80 becomes 21 to 81 where the flipped mask gives 20 to 80. An object one
#   pixel wide has a box without width, which `SanitizeBoundingBoxes` removes. With x2 and y2 plus 1 all agree.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.14.1 torchvision==0.29.1
cd "$folder"
venv/bin/python - <<'EOF'
import torch
from torchvision import tv_tensors
from torchvision.ops import masks_to_boxes
from torchvision.transforms import v2


def flipped(boxes):
    boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(101, 101))
    return v2.functional.horizontal_flip(boxes)[0].tolist()


masks = torch.zeros(1, 101, 101, dtype=torch.uint8)
masks[0, 40:61, 20:81] = 1
box, after = masks_to_boxes(masks), masks_to_boxes(v2.functional.horizontal_flip(tv_tensors.Mask(masks)))[0].tolist()
print("box flipped:", flipped(box), "box of the flipped mask:", after)
assert flipped(box) == [21, 40, 81, 60] and after == [20, 40, 80, 60]
assert flipped(box + torch.tensor([0, 0, 1, 1])) == [20, 40, 81, 61]

line, nothing = torch.zeros(1, 101, 101), torch.zeros(1, 101, 101)
line[0, 10:50, 30] = 1
target = {"boxes": tv_tensors.BoundingBoxes(masks_to_boxes(line), format="XYXY", canvas_size=(101, 101)), "labels": [1]}
left = v2.SanitizeBoundingBoxes(labels_getter=None)({"boxes": target["boxes"]})
print("box of a line:", masks_to_boxes(line)[0].tolist(), "boxes left:", len(left["boxes"]))
assert len(left["boxes"]) == 0 and masks_to_boxes(nothing)[0].tolist() == [0, 0, 0, 0]
EOF
