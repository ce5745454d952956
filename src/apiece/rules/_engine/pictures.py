"""A judged picture: what fails is outlined in red, what a person has to look at in orange."""

from __future__ import annotations

import cv2
import numpy as np

from apiece._arrays import UInt8
from apiece.core.image import Image
from apiece.draw import overlay
from apiece.rules._engine.file import RuleSet
from apiece.rules._engine.verdicts import Verdicts

__all__ = ["COLOURS", "draw_verdicts"]

COLOURS = {"pass": (130, 130, 130), "unsure": (255, 160, 0), "fail": (235, 30, 45)}
"""RGB of each outcome."""
_GROUND = 235  # grey of a picture that is not there
_WHOLE = 0.5  # an object that fills as much of the picture is outlined, not filled


def draw_verdicts(rules: RuleSet, judged: Verdicts, image: Image | None) -> UInt8:
    """Return the picture, uint8 RGB (H, W, 3), with the objects and zones of what does not pass.

    A cross marks the place of a part that is missing.
    """
    found = judged.scene.instances
    bad: dict[int, str] = {}
    crosses: list[tuple[float, float, str]] = []
    zones: dict[str, str] = {}
    settings = {rule.name: rule.settings for rule in rules.rules}
    for verdict in sorted(judged.verdicts, key=lambda one: one.outcome == "fail"):  # failures are drawn last
        if verdict.outcome == "pass":
            continue
        zone = getattr(settings[verdict.rule], "zone", "")
        if zone:
            zones[zone] = verdict.outcome
        for finding in reversed(verdict.findings):
            bad |= dict.fromkeys(finding.objects, finding.outcome)
            if finding.spot is not None:
                crosses.append((*finding.spot, finding.outcome))
    ground = Image(np.full((*found.size, 3), _GROUND, np.uint8)) if image is None else image
    colours = np.array([COLOURS[bad.get(k, "pass")] for k in range(len(found))], np.uint8).reshape(-1, 3)
    canvas = overlay(ground, found, fill=False, names=False, colours=colours)
    chosen = np.array([k for k in bad if found.masks.area[k] < _WHOLE * np.prod(found.size)], np.int64)
    if len(chosen):
        canvas = overlay(Image(canvas), found[chosen], colours=colours[chosen], alpha=0.3)
    width = max(round(max(found.size) / 400), 1)
    for name, outcome in zones.items():
        corners = _corners(judged, name)
        if corners is not None:
            cv2.polylines(canvas, [np.rint(corners).astype(np.int32)], True, COLOURS[outcome], width)
    for x, y, outcome in crosses:
        cv2.drawMarker(
            canvas, (round(x), round(y)), COLOURS[outcome], cv2.MARKER_TILTED_CROSS, 16 * width, 2 * width
        )  # fmt: skip
    return canvas


def _corners(judged: Verdicts, name: str) -> UInt8 | None:
    """Return the corners of a zone in the picture; None of a zone that is an object's."""
    zone, scene = judged.scene.zones[name], judged.scene
    if zone.objects is not None:
        return None
    corners = zone.outline(scene.instances.size)
    moved = scene.layout is not None and zone.moves and zone.share is None
    placement = scene.placement if moved else None
    return corners if placement is None else placement(corners)  # type: ignore[return-value]
