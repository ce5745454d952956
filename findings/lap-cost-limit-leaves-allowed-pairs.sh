#!/usr/bin/env bash
# lap 0.5.13, and lapx 0.11.1: `lap.lapjv(cost, extend_cost=True, cost_limit=limit)`, the assignment of many trackers.
#
# Guess: `cost_limit` forbids pairs that cost more than it, and of the allowed pairs as many as possible are made.
# Happens: it is also the price of leaving two objects without a partner. An allowed pair is dropped where that is
#   cheaper, so a track ends and a new one begins although the detection was within the limit.
# Seen: with limit 0.8, both pairs on the diagonal cost 0.7 (IoU 0.3). lap makes one pair that costs 0.05 and leaves a
#   track and a detection alone: rows [-1, 0]. ByteTrack and trackers like it match in this way.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 lap==0.5.13
cd "$folder"
venv/bin/python - <<'EOF'
import lap
import numpy as np

limit = 0.8
cost = np.array([[0.70, 1.00], [0.05, 0.70]])  # 1 - IoU of two tracks and two detections
total, rows, columns = lap.lapjv(cost, extend_cost=True, cost_limit=limit)
print("detection of each track:", rows.tolist(), "total cost", total)
print("allowed: track 0 with detection 0, track 1 with detection 1:", np.all(np.diag(cost) < limit))
assert rows.tolist() == [-1, 0]
assert columns.tolist() == [1, -1]
EOF
