#!/usr/bin/env bash
# tifffile 2026.3.3: `imwrite(name, labels, append=True)`, one label map after the other, as in a loop over frames.
#
# Guess: `imread(name)` gives the whole stack, as it does for a file written at once.
# Happens: every call writes a description of its own shape, so each page becomes a series of its own, and `imread` reads the
#   first series. The later masks are in the file, and nobody sees them. `TiffWriter.write` in a loop does the same.
# Seen: three maps appended: `imread` gives (10, 12), one map. With `metadata=None` it gives (3, 10, 12).
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 tifffile==2026.3.3
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
import tifffile

maps = np.ones((3, 10, 12), np.uint16) * np.arange(1, 4, dtype=np.uint16)[:, None, None]
for labels in maps:
    tifffile.imwrite("appended.tif", labels, append=True)
    tifffile.imwrite("plain.tif", labels, append=True, metadata=None)
with tifffile.TiffWriter("looped.tif") as file:
    for labels in maps:
        file.write(labels)
shapes = {name: tifffile.imread(f"{name}.tif").shape for name in ("appended", "looped", "plain")}
with tifffile.TiffFile("appended.tif") as file:
    print("read:", shapes, "pages in the first file:", len(file.pages), "series:", len(file.series))
    assert len(file.pages) == len(file.series) == 3
assert shapes == {"appended": (10, 12), "looped": (10, 12), "plain": (3, 10, 12)}
EOF
