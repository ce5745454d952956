#!/usr/bin/env bash
# kornia 0.9.0 (torch 2.13.0): `kornia.contrib.connected_components(mask)`.
#
# Guess: one label for each connected region, however large it is.
# Happens: labels travel a pixel a step, and the default makes 100 steps. A region longer than that falls into pieces:
#   all pixels that the highest label has not reached keep numbers of their own. There is no warning.
# Seen: one square of 200 x 200 pixels gives 10,000 components, one of 90 x 90 gives 1. With num_iterations=500 both
#   give 1. A thin object that winds needs as many steps as it is long.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 torch==2.13.0 kornia==0.9.0
cd "$folder"
venv/bin/python - <<'EOF'
import torch
from kornia.contrib import connected_components


def count(side, **options):
    mask = torch.zeros(1, 1, 300, 300)
    mask[..., 20 : 20 + side, 20 : 20 + side] = 1
    return len(connected_components(mask, **options).unique()) - 1  # without the background


print("components of one square of 90, 200 pixels a side:", count(90), count(200))
print("the same with num_iterations=500:", count(90, num_iterations=500), count(200, num_iterations=500))
assert count(90) == count(90, num_iterations=500) == count(200, num_iterations=500) == 1
assert count(200) == 10_000
EOF
