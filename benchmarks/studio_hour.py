"""Label images in the studio as a person would, in Chromium, and tell how long it takes.

    python benchmarks/studio_hour.py [--data DATA/many/corn-kernels] [--images 50]

Images are taken from val and then from train, without their labels; the labels are what the person has in mind. The
person clicks into the middle of each object with the tool ``Click``. While the answer's IoU with the label is below
0.85, the person clicks again, with Shift where something is missing and with Alt where there is too much, in the
middle of the larger error, up to five clicks in all; then the answer stays. Digit keys choose the classes.

The pauses are those of the keystroke-level model (S. Card, T. Moran, A. Newell, CACM 23(7), 1980): 1.35 s to decide or
to judge an answer, 1.1 s to point, 0.2 s to press and let go of a button, 0.28 s for a key; and 3 s to look at each new
image. They are added up, not waited for. What the page takes is measured: from key or click to the frame behind it.

Needs node, Chromium and the page built.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from clicks import AIM, next_click
from studio import STUDIO, running

from apiece import Instances, formats
from apiece.core.image import ImageRef
from apiece.serve.studio.wire import decode_masks

DECIDE, POINT, BUTTON, KEY, LOOK = 1.35, 1.1, 0.2, 0.28, 3.0
MOST = 5
Hand = Callable[..., dict[str, Any]]


class Person:
    """Labels images, and adds up seconds."""

    def __init__(self, address: str, hand: Hand, classes: tuple[str, ...]) -> None:
        self.address, self.hand, self.classes = address, hand, classes
        self.seconds: Counter[str] = Counter()
        self.label, self.ious, self.clicks = classes[0], list[float](), list[int]()
        self.answers: list[float] = []

    def label_image(self, number: int, truth: Instances) -> None:
        """Label every object of an image."""
        self.seconds["page"] += self.hand(open=number, size=truth.size)["ms"] / 1000
        self.seconds["person"] += LOOK + (KEY if number else 0)
        self.hand(key="c")
        self.seconds["person"] += KEY
        for k in np.argsort(truth.boxes[:, 1], kind="stable").tolist():
            if self.label != truth.names[k]:
                self.label = truth.names[k]
                self.hand(key=str(1 + self.classes.index(self.label)))
                self.seconds["person"] += KEY
            self.label_object(number, truth.masks[k].to_dense()[0])

    def label_object(self, number: int, want: np.ndarray) -> None:
        """Click until the answer is good enough."""
        found, iou, clicks = np.zeros_like(want), 0.0, 0
        while iou < AIM and clicks < MOST:
            (x, y), on = next_click(want, found)
            held = {} if not found.any() else {"with": "Shift" if on else "Alt"}
            told = self.hand(x=x + 0.5, y=y + 0.5, **held)
            clicks += 1
            self.answers.append(told["ms"])
            self.seconds["page"] += told["ms"] / 1000
            self.seconds["person"] += DECIDE + POINT + BUTTON + (KEY if held else 0)
            if "refused" in told:
                break
            found = self.newest(number)
            iou = float((found & want).sum() / (found | want).sum())
        self.seconds["person"] += DECIDE  # the last answer is good enough, or as good as it gets
        self.ious.append(iou)
        self.clicks.append(clicks)

    def newest(self, number: int) -> np.ndarray:
        """Return the object that was found last."""
        with urllib.request.urlopen(f"{self.address}api/images/{number}/objects", timeout=60) as answer:
            header, masks = decode_masks(answer.read())
        return np.asarray(masks[int(np.argmax(header["keys"]))].to_dense()[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    place = Path(os.environ.get("APIECE_DATA", ".")) / "many" / "corn-kernels"
    parser.add_argument("--data", type=Path, default=place)
    parser.add_argument("--images", type=int, default=50)
    options = parser.parse_args()
    sets = [formats.read(options.data / f"{name}.json") for name in ("val", "train")]
    records = [record for one in sets for record in one][: options.images]
    began = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        refs = [ImageRef(ref.path, f"{n:04d}{ref.path.suffix}", found.size) for n, (ref, found) in enumerate(records)]
        nothing = [(ref, found[:0]) for ref, (_, found) in zip(refs, records, strict=True)]
        formats.write(nothing, data / "labels.json", "coco")
        for ref in refs:
            (data / ref.name).symlink_to(ref.path.resolve())
        with running(data / "labels.json", data / "work", "--images", folder) as (address, _):
            words = ["node", "browser/hand.mjs", address]
            with subprocess.Popen(words, cwd=STUDIO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
                person = Person(address, lambda **asked: _done(child, asked), sets[0].classes)
                for number, (_, truth) in enumerate(records):
                    person.label_image(number, truth[~truth.crowd])
                assert child.stdin is not None
                child.stdin.close()
    clicks, ious = np.array(person.clicks), np.array(person.ious)
    told = {
        "data": options.data.name,
        "images": len(records),
        "objects": len(clicks),
        "minutes": sum(person.seconds.values()) / 60,
        "minutes_of": {name: seconds / 60 for name, seconds in person.seconds.items()},
        "images_an_hour": 3600 * len(records) / sum(person.seconds.values()),
        "clicks_an_object": clicks.mean(),
        "one_click_enough": (clicks[ious >= AIM] == 1).sum() / len(clicks),
        "iou": {"median": median(person.ious), "at_least_0.85": (ious >= AIM).mean(), "below_0.5": (ious < 0.5).mean()},
        "click_ms": [float(np.percentile(person.answers, p)) for p in (50, 95)],
        "load": [round(began, 1), round(os.getloadavg()[0], 1)],
    }
    print(json.dumps(told, indent=1, default=float))


def _done(child: subprocess.Popen[str], asked: dict[str, Any]) -> dict[str, Any]:
    assert child.stdin is not None
    assert child.stdout is not None
    print(json.dumps(asked), file=child.stdin, flush=True)
    told: dict[str, Any] = json.loads(child.stdout.readline())
    return told


if __name__ == "__main__":
    main()
