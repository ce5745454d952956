#!/usr/bin/env bash
# imageio 2.38.1 with PyAV 18.1.0: label frames as video in FFV1, which is a lossless codec.
#
# Guess: `codec="ffv1"` gives every pixel back.
# Happens: the pixel format stays yuv420p, whatever the codec. Ids are scaled to 16..235 and back, and colours are averaged
#   over 2 x 2 pixels. Only the codec is lossless. The FFMPEG plugin does the same.
# Seen: a frame of the 256 grey values: 220 are left, half of the pixels are changed. With `out_pixel_format="gray"` (PyAV)
#   or `pixelformat="gray"` (FFMPEG) all come back.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 imageio==2.38.1 av==18.1.0 imageio-ffmpeg==0.8.1
cd "$folder"
venv/bin/python - <<'EOF'
import imageio.v3 as imageio
import numpy as np

ids = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(4, 0).repeat(4, 1)
frames = np.stack([ids] * 3)


def come_back(frames, plugin, **options):
    imageio.imwrite("ids.mkv", frames, plugin=plugin, fps=25, codec="ffv1", **options)
    read = imageio.imread("ids.mkv", plugin=plugin)[0, ..., 0]
    return len(np.unique(read)), round(float((read != ids).mean()), 3)


seen = {
    "PyAV": come_back(np.stack([frames] * 3, -1), "pyav"),
    "PyAV, grey": come_back(frames, "pyav", in_pixel_format="gray", out_pixel_format="gray"),
    "FFMPEG": come_back(frames, "FFMPEG"),
    "FFMPEG, grey": come_back(frames, "FFMPEG", pixelformat="gray"),
}
for name, (values, changed) in seen.items():
    print(f"{name}: {values} ids of 256, share of changed pixels {changed}")
assert seen["PyAV"][0] == seen["FFMPEG"][0] == 220
assert min(seen["PyAV"][1], seen["FFMPEG"][1]) > 0.4
assert seen["PyAV, grey"] == seen["FFMPEG, grey"] == (256, 0)
EOF
