#!/usr/bin/env bash
# supervision 0.31.2: `supervision.metrics.Precision`, `F1Score` and `Recall`.
#
# Guess: precision is TP / (TP + FP), as its docstring says, over all predictions.
# Happens: the default averages over classes by the number of true objects of each. False predictions of a class that
#   the ground truth lacks have weight 0: a model may invent as many as it likes. With MACRO they lower recall too.
# Seen: 2 true bolts found, 7 nuts invented with higher scores. Default: precision 1.0, F1 1.0. MACRO: precision 0.5,
#   recall 0.5. MICRO: precision 0.222, recall 1.0, as counted by hand.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q supervision==0.31.2 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import supervision as sv
from supervision.metrics import AveragingMethod, F1Score, Precision, Recall


def row(count, class_id, y):
    boxes = np.array([[20 * one + 3, y, 20 * one + 18, y + 15] for one in range(count)], float)
    return sv.Detections(xyxy=boxes, class_id=np.full(count, class_id), confidence=np.full(count, 0.5 + 0.2 * class_id))


truth = row(2, class_id=0, y=0)
found = sv.Detections.merge([row(2, class_id=0, y=0), row(7, class_id=1, y=50)])


def scores(**options):
    values = []
    for metric, name in ((Precision, "precision_at_50"), (F1Score, "f1_50"), (Recall, "recall_at_50")):
        result = metric(**options).update([found], [truth]).compute()
        values.append(round(float(getattr(result, name)), 3))
    return values


macro = scores(averaging_method=AveragingMethod.MACRO)
micro = scores(averaging_method=AveragingMethod.MICRO)
print("precision, F1, recall by default:", scores(), "MACRO:", macro, "MICRO:", micro)
assert scores() == [1.0, 1.0, 1.0]
assert macro == [0.5, 0.5, 0.5]
assert micro == [round(2 / 9, 3), round(4 / 11, 3), 1.0]
EOF
