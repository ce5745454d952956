#!/usr/bin/env bash
# trackeval 1.3.0: HOTA and its parts on a sequence in which the tracker finds nothing.
#
# Guess: all parts are 0, or those that cannot be computed are left out.
# Happens: LocA, the overlap of what was matched, is 1 wherever nothing is matched. Averaged over classes, a class never
#   found lifts the mean. Within a sequence each threshold that nothing passes counts as 1 as well.
# Seen: nothing found: LocA 1.0. All found with an overlap of 0.6: LocA 0.747. The mean of these two classes: 0.874.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 scipy==1.17.1 trackeval==1.3.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from trackeval.metrics import HOTA


def evaluated(found, overlap):
    frames = 4
    none = np.zeros(0, int)
    return HOTA().eval_sequence(
        {
            "gt_ids": [np.zeros(1, int)] * frames,
            "tracker_ids": [np.zeros(1, int) if found else none] * frames,
            "similarity_scores": [np.full((1, int(found)), overlap)] * frames,
            "num_gt_ids": 1,
            "num_tracker_ids": int(found),
            "num_gt_dets": frames,
            "num_tracker_dets": frames * found,
            "num_timesteps": frames,
        }
    )


def means(result):
    return {name: round(float(np.mean(result[name])), 3) for name in ("HOTA", "DetA", "AssA", "LocA")}


right, half, nothing = evaluated(True, 1.0), evaluated(True, 0.6), evaluated(False, 0.0)
both = HOTA().combine_classes_class_averaged({"nut": half, "bolt": nothing}, ignore_empty_classes=True)
print("found, exact:", means(right))
print("found, overlap 0.6:", means(half))
print("nothing found:", means(nothing))
print("average of the last two as classes:", means(both))
assert means(nothing) == {"HOTA": 0, "DetA": 0, "AssA": 0, "LocA": 1}
assert means(half)["LocA"] == 0.747 and means(both)["LocA"] == 0.874
EOF
