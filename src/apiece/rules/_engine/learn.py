"""`learn`: rules that good examples suggest, as a commented file for a person to edit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from apiece.core.conf import Conf, thresholds
from apiece.core.image import PixelSize
from apiece.core.instances import Instances
from apiece.errors import DataError
from apiece.measurements.contract import Edges
from apiece.rules._engine.file import measures
from apiece.rules._engine.gap_scores import gap_scores
from apiece.rules._kit.layout import Layout
from apiece.rules._kit.limits import room, stated
from apiece.rules._kit.scene import EDGE
from apiece.rules.contract import ROOM, Scene
from apiece.rules.layout import Learned, learned

__all__ = ["learn"]

_WANTED = frozenset({"feret_max", "area", "orientation"})


def learn(pictures: Iterable[Instances], pixel_size: PixelSize | str | None = None, score: Conf | None = None) -> str:
    """Return the text of a rule file that good examples suggest: each rule with a comment on what it rests on.

    Counts are those seen, dimensions reach four standard deviations to both sides, and places are medians. Where
    objects have scores, the lowest score of each class that counts lies in the gap between the objects that all
    pictures show and the next candidate. A person who knows the part edits the limits.

    Parameters
    ----------
    pictures : the objects of good pictures, all of the same classes; from labels or from a model.
        A model shows objects of low scores too, such as 0.05, so that gaps can be seen.
    pixel_size : then lengths are in its unit.
    score : the model's own thresholds, for classes whose scores have no gap. By default all their objects count.

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
    seen = list(pictures)
    scores = gap_scores(seen, score) if seen and all(one.scores is not None for one in seen) else {}
    scenes = [_scene(_counted(found, scores, score), size) for found in seen]
    if not any(len(scene.instances) for scene in scenes):
        raise DataError("there is no good example to learn rules from: no picture shows an object")
    number = (
        f"{len(scenes)} good pictures" if len(scenes) > 1 else "1 good picture, which shows nothing of how parts vary"
    )
    lines = [
        f"# Proposed from {number}. Edit the limits: examples show what was, not what may be.",
        "# The kinds of rules and their keys, for editors: apiece inspect --schema rules.schema.json",
    ]
    if size is not None:
        lines += ["", f"pixel_size: {size}"]
    lines += ["", f"edge: {EDGE:g} px  # how far outlines are off beyond what the limits below hold already"]
    if scores:
        lines += ["", "score:  # lowest score that counts: in the gap between what all pictures show and the next best"]
        lines += [f"  {_word(name)}: {lowest:g}" for name, lowest in scores.items()]
    placed = learned(scenes)
    if placed is not None:
        lines += ["", *_layout_lines(placed.layout)]
    lines += ["", "rules:"]
    for name in ROOM.names():
        kind = ROOM.load(name)
        for proposal in kind.propose(scenes) if kind.propose is not None else ():
            lines += _rule_lines(proposal.keys, proposal.why)
    if placed is not None:
        lines += _layout_rules(placed, scenes)
    return "\n".join(lines) + "\n"


def _counted(found: Instances, scores: Mapping[str, float], usual: Conf | None) -> Instances:
    """Return the objects whose scores count."""
    if found.scores is None:
        return found
    lowest = thresholds(scores, found.classes, default=thresholds(usual, found.classes))
    return found[found.scores >= lowest[found.labels]]


def _scene(found: Instances, size: PixelSize | None) -> Scene:
    all_of, none = np.ones(len(found), bool), np.zeros(len(found), bool)
    # how far a model's outlines are off shows in how good objects scatter: it must not count twice
    edge = np.full(len(found), EDGE)
    return Scene(found, None, size, all_of, none, Edges(edge, edge), wanted=_WANTED, properties=measures())


def _layout_rules(placed: Learned, scenes: Sequence[Scene]) -> Iterator[str]:
    """Yield the lines of a rule about the places of each class: a small part tells less than a large one."""
    parts, scene = np.array([place.part for place in placed.layout.places]), scenes[0]
    for part in dict.fromkeys(parts.tolist()):
        own = parts == part
        far, turn, size = (seen[:, own] for seen in (placed.far, placed.turn, placed.size))
        within = (room(far) + placed.far_off[own].max()) * scene.scale
        keys: dict[str, Any] = {"layout": part, "within": f"{stated(within)} {scene.unit}"}
        why = f"parts lie up to {np.nanmax(far) * scene.scale:.3g} {scene.unit} from their usual place"
        if np.isfinite(turn).any():
            known = np.isfinite(turn).any(0)
            keys["turn"] = f"{stated(room(turn) + placed.turn_off[own][known].max())} deg"
            why += f", turned by up to {np.nanmax(turn):.2g} deg"
        keys["size"] = f"{stated(100 * (room(size) + placed.size_off[own].max()))} %"
        if any(one.instances.names.count(part) > own.sum() for one in scenes):
            keys["extra"] = "allowed"
        yield from _rule_lines(keys, f"{why}, areas off by up to {np.nanmax(size):.0%}")


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
