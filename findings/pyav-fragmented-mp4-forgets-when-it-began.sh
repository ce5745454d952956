#!/usr/bin/env bash
# av (PyAV) 18.1.0: a fragmented MP4, as written by what must stay readable when the power goes, whose first frame is not at 0.
#
# Guess: frames written at 3.0, 3.1, 3.2 ... s are read back at these times; movflags decide how the file is laid out.
# Happens: with `empty_moov`, which most recipes for fragmented files name, the times begin at 0: the start is lost. With
#   `delay_moov` in its place the file is fragmented as well, and the times are those that were written.
# Seen: first time read back 0.0 with empty_moov, 3.0 with delay_moov.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 av==18.1.0
cd "$folder"
venv/bin/python - <<'EOF'
from fractions import Fraction

import av
import numpy as np


def first_time(flags):
    with av.open("clip.mp4", "w", options={"movflags": flags}) as out:
        stream = out.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for k in range(20):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * k, np.uint8), format="rgb24")
            frame.pts, frame.time_base = 3000 + 100 * k, Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    with av.open("clip.mp4") as file:
        return float(next(file.decode(video=0)).time)


empty = first_time("frag_keyframe+empty_moov+default_base_moof")
delayed = first_time("frag_keyframe+delay_moov+default_base_moof")
print("the first frame was written at 3.0 s; read back with empty_moov:", empty, "with delay_moov:", delayed)
assert empty == 0.0
assert abs(delayed - 3.0) < 0.01
EOF
