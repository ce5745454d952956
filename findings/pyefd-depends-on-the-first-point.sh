#!/usr/bin/env bash
# pyefd 1.8.0: `elliptic_fourier_descriptors(contour, normalize=True)` of one outline, begun at different points.
#
# Guess: normalised descriptors are the same wherever the outline begins, so that shapes can be compared and clustered.
# Happens: half of the starting points give the shape turned by 180 degrees. The first coefficient is then -1 in place
#   of 1, and all coefficients of odd order have the other sign.
# Seen: one outline of 200 points, begun at each of its points: 91 give one set of descriptors and 109 the other. The
#   largest difference is 2, the largest coefficient 1.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.2.6 pyefd==1.8.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from pyefd import elliptic_fourier_descriptors

turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
radius = 10 + 3 * np.cos(3 * turn) + 2 * np.sin(2 * turn) + 1.5 * np.cos(turn)
outline = np.column_stack([2 * radius * np.cos(turn), radius * np.sin(turn)])


def descriptors(start):
    points = np.roll(outline, -start, axis=0)
    return elliptic_fourier_descriptors(np.vstack([points, points[:1]]), order=8, normalize=True)


first = descriptors(0)
apart = np.array([np.abs(descriptors(start) - first).max() for start in range(200)])
print("starting points with the descriptors of point 0:", int((apart < 1e-9).sum()))
print("starting points with others:", int((apart > 0.01).sum()), "largest difference", apart.max().round(3))
other = descriptors(int(apart.argmax()))
print("first coefficient:", first[0, 0].round(3), "or", other[0, 0].round(3))
assert np.allclose(other[::2], -first[::2]) and np.allclose(other[1::2], first[1::2])
assert (apart < 1e-9).sum() + (apart > 0.01).sum() == 200
assert 80 < (apart > 0.01).sum() < 120
EOF
