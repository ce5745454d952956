#!/usr/bin/env bash
# PyAV 18.1.0: grey label frames in H.264 with qp 0, its lossless mode, and in three other lossless codecs.
#
# Guess: luma is grey, so a lossless codec with a luma plane keeps 256 ids; "gray" as pixel format is safest.
# Happens: luma in video has the range 16..235, and the conversion from "gray" squeezes 256 values into it before the codec
#   sees them. Asked for "gray", libx264 writes a file that is read as yuv420p, and nearly every pixel changes.
# Seen: H.264 (yuv420p) and VP9 lossless: 220 ids are left. H.264 (gray): 220, and 97% of the pixels differ, by up to 20.
#   HEVC lossless (gray), FFV1 (gray) and H.264 as libx264rgb keep all 256.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 av==18.1.0
cd "$folder"
venv/bin/python - 2>/dev/null <<'EOF'
import av
import numpy as np

ids = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(4, 0).repeat(4, 1)


def come_back(codec, pixels, **options):
    colours = pixels == "rgb24"
    frame_format, drawn = ("rgb24", np.stack([ids] * 3, -1)) if colours else ("gray", ids)
    with av.open("ids.mkv", "w") as file:
        stream = file.add_stream(codec, rate=25, options={name.replace("_", "-"): value for name, value in options.items()})
        stream.width = stream.height = 64
        stream.pix_fmt = pixels
        file.mux(stream.encode(av.VideoFrame.from_ndarray(drawn, format=frame_format)))
        file.mux(stream.encode())
    with av.open("ids.mkv") as file:
        frame = next(file.decode(video=0))
        read = frame.to_ndarray(format=frame_format)
    read = read[..., 0] if colours else read
    changed, apart = float((read != ids).mean()), int(np.abs(read.astype(int) - ids).max())
    kept = len(np.unique(read))
    print(f"{codec} {pixels}: {kept} ids, changed {changed:.3f}, at most by {apart}, read as {frame.format.name}")
    return kept, changed


assert come_back("libx264", "yuv420p", qp="0")[0] == 220
values, changed = come_back("libx264", "gray", qp="0")
assert values == 220 and changed > 0.9
assert come_back("libvpx-vp9", "yuv420p", lossless="1")[0] == 220
for codec, pixels, options in (
    ("libx265", "gray", {"x265_params": "lossless=1:log-level=none"}),
    ("ffv1", "gray", {}),
    ("libx264rgb", "rgb24", {"qp": "0"}),
):
    assert come_back(codec, pixels, **options) == (256, 0)
EOF
