#!/usr/bin/env bash
# nibabel 5.4.2: a label volume saved with the header of the volume that it belongs to.
#
# Guess: the array decides how ids are stored; the header gives geometry. Or: an id that does not fit raises.
# Happens: the header's data type wins. Ids beyond it are squeezed into it by a scale factor, so objects get fractional
#   ids, and ids that lie close become one. No warning is given, and the file opens as usual.
# Seen: ids 7, 14, ... 1008 in uint16 with a header of uint8: stored as uint8 with slope 3.925. Id 14 comes back as
#   14.851, and 1 of 144 ids survives. After `header.set_data_dtype("uint16")` all do.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 nibabel==5.4.2
cd "$folder"
venv/bin/python - <<'EOF'
import nibabel
import numpy as np

scan = nibabel.Nifti1Image(np.zeros((8, 9, 2), np.uint8), np.eye(4))
nibabel.save(scan, "scan.nii")
scan = nibabel.load("scan.nii")
ids = 7 * np.arange(1, 145, dtype=np.uint16).reshape(8, 9, 2)


def saved(header):
    nibabel.save(nibabel.Nifti1Image(ids, scan.affine, header), "labels.nii")
    return nibabel.load("labels.nii")


labels = saved(scan.header)
back = labels.get_fdata()
print(labels.get_data_dtype(), "slope", labels.dataobj.slope, "first ids", back.ravel()[:3].round(3))
print("ids that survive:", int((back == ids).sum()), "of", ids.size)
right = scan.header.copy()
right.set_data_dtype("uint16")
assert labels.get_data_dtype() == np.uint8
assert (back == ids).sum() < 10
assert (saved(right).get_fdata() == ids).all()
EOF
