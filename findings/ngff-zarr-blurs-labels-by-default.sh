#!/usr/bin/env bash
# ngff-zarr 0.50.0: `to_multiscales` on a label map.
#
# Guess: integer images are sampled, or a mean is taken only on demand.
# Happens: the default, and every method with "GAUSSIAN" or "BIN_SHRINK" in its name, averages ids. Coarse levels hold
#   ids that exist nowhere, and objects of those ids.
# Seen: ids 0, 3 and 900. The default's level 1 has ids like 10, 84 and 723. ITKWASM_LABEL_IMAGE keeps 0, 3 and 900.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.2.6 'ngff-zarr[dask-image]==0.50.0' dask==2026.8.0 itkwasm-downsample==2.0.2
cd "$folder"
venv/bin/python - <<'EOF'
import ngff_zarr
import numpy as np

ids = np.zeros((128, 128), np.uint16)
ids[10:60, 10:60], ids[60:100, 60:120] = 3, 900
image = ngff_zarr.to_ngff_image(ids, dims=["y", "x"])


def invented(**options):
    levels = ngff_zarr.to_multiscales(image, scale_factors=[2, 4], chunks=64, **options).images
    return [sorted(set(np.unique(level.data.compute()).tolist()) - {0, 3, 900}) for level in levels]


by_default = invented()
print("ids that no object has, by level:", by_default)
print("ITKWASM_BIN_SHRINK:", invented(method=ngff_zarr.Methods.ITKWASM_BIN_SHRINK))
print("ITKWASM_LABEL_IMAGE:", invented(method=ngff_zarr.Methods.ITKWASM_LABEL_IMAGE))
assert by_default[0] == [] and len(by_default[1]) > 3 and len(by_default[2]) > 3
assert any(invented(method=ngff_zarr.Methods.ITKWASM_BIN_SHRINK))
assert not any(invented(method=ngff_zarr.Methods.ITKWASM_LABEL_IMAGE))
EOF
