"""What moves before a fixed camera, in a file and in a stream; and the pictures of two pages of docs/how-to.

python docs/pedestrians.py find vtest.avi moving.json
python docs/pedestrians.py draw vtest.avi counted/tracks.json
python docs/pedestrians.py send vtest.avi udp://127.0.0.1:5000
python docs/pedestrians.py watch udp://127.0.0.1:5000 live.npz
"""

from __future__ import annotations

import itertools
import resource
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

import apiece
from apiece import ImageRef, Instances, Masks
from apiece.draw import overlay
from apiece.images import Moment, VideoOptions, open_video, write_image
from apiece.predict.track_state import KeptTracker
from apiece.track import Counter, Line

PICTURE = Path(__file__).parent / "pictures" / "count-on-a-line.png"
LINE, FRAME, CUT = "path: 340,180 340,340", 688, (100, 470, 130, 690)  # y0, y1, x0, x1


class Moving:
    """Finds what differs from the usual picture, shadows aside; 250 pixels or more."""

    def __init__(self, video: str) -> None:
        self.usual = cv2.createBackgroundSubtractorMOG2(history=400, varThreshold=30)
        for moment in open_video(video):
            self.usual.apply(moment.image.pixels)

    def find(self, moment: Moment) -> Instances:
        differs = self.usual.apply(moment.image.pixels, learningRate=0.0005) == 255
        solid = cv2.medianBlur(differs.astype(np.uint8), 3)
        solid = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((9, 3), np.uint8))
        solid = cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
        masks = Masks.from_label_map(cv2.connectedComponents(solid)[1])
        masks = masks[masks.area >= 250]
        return Instances(masks, scores=np.ones(len(masks)), classes=("moving",))


def moving(video: str) -> Iterator[tuple[ImageRef, Instances]]:
    """Yield each frame and what moves there."""
    finder = Moving(video)
    for moment in open_video(video):
        found = finder.find(moment)
        name = f"{Path(video).name}/{moment.number:06d}.png"
        yield ImageRef(Path(video), name, found.size, attributes={"seconds": moment.seconds}), found


def send(video: str, address: str) -> None:
    """Send the video as a live stream, over and over, at its own rate."""
    with av.open(address, "w", format="mpegts") as sink:
        stream = sink.add_stream("h264", rate=10, options={"tune": "zerolatency", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 768, 576, "yuv420p", 10
        begin = time.monotonic()
        for k, moment in enumerate(itertools.chain.from_iterable(open_video(video) for _ in itertools.count())):
            time.sleep(max(0.0, begin + k / 10 - time.monotonic()))
            frame = av.VideoFrame.from_ndarray(moment.image.pixels, format="rgb24")
            frame.pts, frame.time_base = k, Fraction(1, 10)
            sink.mux(stream.encode(frame))


def watch(address: str, state: str) -> None:
    """Follow what moves in a stream, and tell who crosses the line; goes on with the ids of the last run."""
    finder, counter = Moving("vtest.avi"), Counter([Line.parse(LINE, "path")])
    with KeptTracker(Path(state), "masks", classes=("moving",)) as kept:
        tracker = kept.begin()
        for moment in open_video(address, VideoOptions(latest=True)):
            found = tracker.update(finder.find(moment), moment.image)
            for event in counter.update(found, moment.seconds):
                used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
                sys.stdout.write(f"{event.seconds:.1f} s: {event.what} {event.id} ({used} MB)\n")
                sys.stdout.flush()
                save(Path(state).with_suffix(".png"), finder, found, counter)


def draw(video: str, tracks: str) -> None:
    """Draw one frame's masks over the empty scene, with the line and its counts so far."""
    counter = Counter([Line.parse(LINE, "path")])
    for k, (_, found) in enumerate(apiece.read(tracks)):
        counter.update(found, k / 10)
        if k == FRAME:
            break
    save(PICTURE, Moving(video), found, counter)


def save(path: Path, finder: Moving, found: Instances, counter: Counter) -> None:
    ground = np.ascontiguousarray(finder.usual.getBackgroundImage())
    picture = overlay(ground, found, names=False, ids=True, alpha=0.9)
    cv2.line(picture, (340, 180), (340, 340), (255, 255, 255), 2)
    counts = counter.summary()["lines"]["path"]
    for text, x in ((f"<- {counts['right']}", 290), (f"{counts['left']} ->", 348)):
        cv2.putText(picture, text, (x, 362), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (255, 255, 255), 2, cv2.LINE_AA)
    top, bottom, left, right = CUT
    write_image(path, picture[top:bottom, left:right])


if __name__ == "__main__":
    what, first, second = sys.argv[1:]
    if what == "find":
        apiece.write(moving(first), second, format="coco")
    else:
        {"draw": draw, "send": send, "watch": watch}[what](first, second)
