"""`learn`: rules that good examples suggest, as a commented file for a person to edit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from apiece.core.image import PixelSize
from apiece.core.instances import Instances
from apiece.errors import DataError
from apiece.rules._engine.file import _properties
from apiece.rules._kit.layout import Layout
from apiece.rules.contract import ROOM, Scene
from apiece.rules.layout import Learned, learned

__all__ = ["learn"]

_WANTED = frozenset({"feret_max", "area", "perimeter", "orientation", "major_axis", "minor_axis"})
_WIDER = 1.3  # times what good examples show
_TURN = 3.0  # degrees that the direction of a small part may be off


def learn(pictures: Iterable[Instances], pixel_size: PixelSize | str | None = None) -> str:
    """Return the text of a rule file that good examples suggest: each rule with a comment on what it rests on.

    Counts are those seen, dimensions reach four standard deviations to both sides, and places are medians. A person
    who knows the part edits the limits.

    Parameters
    ----------
    pictures : the objects of good pictures, all of the same classes; from labels or from a model.
    pixel_size : then lengths are in its unit.

    Raises
    ------
    DataError
        if there is no picture, or none shows an object.

    Examples
    --------
    >>> from apiece.rules import learn
    >>> good = [apiece.Instances(apiece.Masks.from_boxes([[0, 0, 4, 4]], (8, 8)), [0], ("bolt",))] * 3
    >>> print(learn(good).partition("rules:")[2].splitlines()[2].strip())
    - count: bolt
    """
    size = PixelSize.parse(pixel_size) if isinstance(pixel_size, str) else pixel_size
    scenes = [_scene(found, size) for found in pictures]
    if not any(len(scene.instances) for scene in scenes):
        raise DataError("there is no good example to learn rules from: no picture shows an object")
    scenes = [scene for scene in scenes if len(scene.instances)]
    lines = [
        f"# Proposed from {len(scenes)} good pictures. Edit the limits: examples show what was, not what may be.",
        "# The kinds of rules and their keys, for editors: apiece inspect --schema rules.schema.json",
    ]
    if size is not None:
        lines += ["", f"pixel_size: {size}"]
    placed = learned(scenes)
    if placed is not None:
        lines += ["", *_layout_lines(placed.layout)]
    lines += ["", "rules:"]
    for name in ROOM.names():
        kind = ROOM.load(name)
        for proposal in kind.propose(scenes) if kind.propose is not None else ():
            lines += _rule_lines(proposal.keys, proposal.why)
    if placed is not None:
        lines += _layout_rule(placed, scenes[0])
    return "\n".join(lines) + "\n"


def _scene(found: Instances, size: PixelSize | None) -> Scene:
    all_of, none = np.ones(len(found), bool), np.zeros(len(found), bool)
    return Scene(found, None, size, all_of, none, wanted=_WANTED, dimensions=_properties())


def _layout_rule(placed: Learned, scene: Scene) -> list[str]:
    """Return the rule about the layout: what good examples show, and a third more."""
    parts = list(dict.fromkeys(place.part for place in placed.layout.places))
    within = (_WIDER * placed.far + placed.spread) * scene.scale
    keys: dict[str, Any] = {"layout": parts, "within": f"{within:.3g} {scene.unit}"}
    why = f"parts lie up to {placed.far * scene.scale:.3g} {scene.unit} from their usual place"
    if any(place.angle is not None for place in placed.layout.places):
        keys["turn"] = f"{_WIDER * placed.turn + _TURN:.3g} deg"
        why += f", turned by up to {placed.turn:.2g} deg"
    smallest = min(place.area or 1.0 for place in placed.layout.places)
    edge = 4 * scene.edge / np.sqrt(smallest)  # what an outline that is off makes of the smallest part
    keys["size"] = f"{100 * (_WIDER * placed.size + edge):.2g} %"
    return _rule_lines(keys, f"{why}, areas off by up to {placed.size:.0%}")


def _layout_lines(layout: Layout) -> list[str]:
    lines = [
        "layout:",
        f"  size: [{layout.size[0]:g}, {layout.size[1]:g}]",
        "  register: parts  # the layout is found by its parts, wherever it lies; or `none`, or `image`",
        "  places:",
    ]
    for place in layout.places:
        angle = "" if place.angle is None else f", angle: {place.angle.value:g} deg"
        at = f"at: [{place.at[0]:g}, {place.at[1]:g}]{angle}, area: {place.area:g}"
        lines.append(f"    - {{name: {_word(place.name)}, part: {_word(place.part)}, {at}}}")
    return lines


def _rule_lines(keys: dict[str, Any], why: str) -> list[str]:
    lines = [f"  # {why}"]
    for k, (name, value) in enumerate(keys.items()):
        lines.append(f"  {'-' if k == 0 else ' '} {name}: {_word(value)}")
    return lines


def _word(value: Any) -> str:
    """Return a value as YAML that reads back as the same value."""
    import yaml

    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_word, value)) + "]"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = yaml.safe_dump(value, allow_unicode=True, width=10**6, default_flow_style=True)
    return str(text).removesuffix("...\n").strip()
