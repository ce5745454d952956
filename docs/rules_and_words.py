"""Draw the pictures of "Inspect an assembly", "Find by words", "Count pills" and "Grip from a bin".

``python docs/rules_and_words.py``
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from apiece._arrays import UInt8
from apiece.datasets import SceneConfig, scene
from apiece.draw import overlay
from apiece.grasps import Gripper, draw_grasps, plan_grasps
from apiece.language import find
from apiece.rules import draw_verdicts, judge, learn, read_rules

PICTURES = Path(__file__).with_name("pictures")
sys.path[:0] = [str(Path(__file__).parents[1] / folder) for folder in ("benchmarks", "tests/docs")]

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


def counted() -> None:
    """Draw a tray of pills that touch, and its masks with a number on each."""
    config = SceneConfig(seed=5, classes=("pill",), objects=(30, 36), radius=(10.0, 15.0), overlap=0.0)
    one = scene(config, 3)
    numbered = one.visible.replace(ids=np.arange(1, len(one.visible) + 1))
    save("count-pills", np.concatenate([one.image.pixels, overlay(one.image, numbered, names=False, ids=True)], 1), 2.0)


def gripped() -> None:
    """Draw the bin, its depth, and how its parts are gripped."""
    from bin_parts import CAMERA, bin_scene

    image, depth, parts = bin_scene()
    shown = np.nan_to_num((0.62 - depth) / 0.12 * 255).clip(0, 255).astype(np.uint8)
    grasps = plan_grasps(parts, depth=depth, intrinsics=CAMERA, gripper=Gripper(opening="75 mm", cup="20 mm"))
    panels = [image.pixels, cv2.cvtColor(shown, cv2.COLOR_GRAY2RGB), draw_grasps(grasps, image)]
    save("grip-from-a-bin", np.concatenate(panels, 1), 1.5)


def save(name: str, pixels: UInt8, factor: float) -> None:
    """Write a picture of a page."""
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    small = cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=way)
    cv2.imwrite(str(PICTURES / f"{name}.jpg"), small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    inspected()
    found()
    counted()
    gripped()
