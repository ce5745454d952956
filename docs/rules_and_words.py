"""Draw the pictures of "Inspect an assembly" and "Find by words": ``python docs/rules_and_words.py``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from apiece._arrays import UInt8
from apiece.datasets import SceneConfig, scene
from apiece.draw import overlay
from apiece.language import find
from apiece.rules import draw_verdicts, judge, learn, read_rules

PICTURES = Path(__file__).with_name("pictures")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

SENTENCES = ("the third pill from the left", "the largest washer", "all screws that touch a pill")


def inspected() -> None:
    """Draw three boards: one good, one with a missing part and one with a bridge between two pins."""
    from _boards import CLASSES, PIXEL, board, instances, picture

    extra = "  - distance: pin\n    min: 0.25 mm\n    name: pins apart\n"
    drawn = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text(learn([instances(board(k)) for k in range(20)], PIXEL) + extra)
        rules = read_rules(path, CLASSES)
        for seed, fault in ((100, ""), (101, "missing"), (104, "bridged")):
            parts = board(seed, fault)
            image = picture(np.random.default_rng(seed), parts)
            judged = judge(rules, instances(parts), image, name=fault or "good")
            drawn.append(draw_verdicts(rules, judged, image))
    save("inspect", np.concatenate(drawn, 1), 0.6)


def found() -> None:
    """Draw a scene three times, each with what a sentence finds."""
    config = SceneConfig(seed=8, classes=("washer", "pill", "screw"), objects=(9, 12), radius=(16.0, 34.0), overlap=0.1)
    drawn = []
    for index in range(200):
        one = scene(config, index)
        answers = [find(one.visible, sentence) for sentence in SENTENCES]
        if all(answer.status == "found" for answer in answers):
            drawn = [overlay(one.image, answer.found) for answer in answers]
            break
    save("find-by-words", np.concatenate(drawn, 1), 1.0)


def save(name: str, pixels: UInt8, factor: float) -> None:
    """Write a picture of a page."""
    small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(PICTURES / f"{name}.jpg"), small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    inspected()
    found()
