#!/usr/bin/env bash
# Pillow 13.0.0: label masks of a video as an animated GIF, PNG or WebP, one frame for each frame of the video.
#
# Guess: as many frames come back as were written, so that frame 5 of the masks belongs to frame 5 of the video.
# Happens: a frame equal to the one before it is not written, and the other's duration grows. Wherever nothing moves, all
#   later masks slip to earlier frames. TIFF and AVIF keep every frame.
# Seen: six frames, of which the object is in frames 3 and 4: three frames come back, and the object is in frame 1.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 pillow==13.0.0
cd "$folder"
venv/bin/python - <<'EOF'
import numpy as np
from PIL import Image, ImageSequence

masks = np.zeros((6, 10, 12), np.uint8)
masks[3:5, 2:5, 2:5] = 255
frames = [Image.fromarray(mask) for mask in masks]
with_object = {}
for name in ("m.gif", "m.png", "m.webp", "m.avif", "m.tif"):
    options = {} if name.endswith("tif") else {"duration": 40}
    frames[0].save(name, save_all=True, append_images=frames[1:], **options)
    read = [np.asarray(frame.convert("L")).max() > 128 for frame in ImageSequence.Iterator(Image.open(name))]
    with_object[name] = (len(read), [k for k, there in enumerate(read) if there])
    print(name, "frames:", with_object[name][0], "object in:", with_object[name][1])
for name in ("m.gif", "m.png", "m.webp"):
    assert with_object[name] == (3, [1])
for name in ("m.avif", "m.tif"):
    assert with_object[name] == (6, [3, 4])
EOF
