#!/usr/bin/env bash
# laptrack 0.17.1: `LapTrack(gap_closing_max_frame_count=n)`, which joins the parts of a track that was lost for some frames.
#
# Guess: n is the number of frames in which the object may be missing.
# Happens: n is the distance between the frame before the gap and the frame after it. So 1 closes no gap at all, and the
#   default of 2 closes a gap of a single missing frame.
# Seen: a steady object that misses one frame is one track with n = 2 and two tracks with n = 1, without a warning. Two
#   missing frames need n = 3.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q numpy==2.4.6 laptrack==0.17.1
cd "$folder"
venv/bin/python -W ignore - <<'EOF'
import pandas
from laptrack import LapTrack


def tracks(count, missing):
    frames = [frame for frame in range(10) if not 3 <= frame < 3 + missing]
    points = pandas.DataFrame({"frame": frames, "x": [10.0 + frame for frame in frames], "y": 20.0})
    tracker = LapTrack(gap_closing_max_frame_count=count)
    return tracker.predict_dataframe(points, ["x", "y"], frame_col="frame")[0]["track_id"].nunique()


table = {(count, missing): tracks(count, missing) for count in (1, 2, 3) for missing in (1, 2, 3)}
for (count, missing), found in table.items():
    print(f"gap_closing_max_frame_count={count}, missing frames {missing}: {found} tracks")
    assert found == (1 if missing < count else 2)
EOF
