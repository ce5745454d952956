"""`judge` and `judge_many`: pictures held against rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import Any, TypeAlias

import numpy as np

from apiece._arrays import keep_freed_memory
from apiece.core.conf import thresholds
from apiece.core.image import Image, PixelSize
from apiece.core.instances import Instances
from apiece.errors import ApieceError, ConfigError, DataError, ImageError, Message, UnknownNameError
from apiece.images import read_image
from apiece.measurements.contract import Edges, edges
from apiece.rules._engine.file import Rule, RuleSet, measures
from apiece.rules._engine.verdicts import Verdict, Verdicts, verdicts_of, worst
from apiece.rules._kit.scene import EDGE
from apiece.rules.contract import Outcome, Quantity, Scene

__all__ = ["judge", "judge_batch", "judge_many", "scene_of"]

_NAMELESS = "the picture"
_TRIED = 3  # doubtful objects of which each may be there or not: so many make 8 cases
# what is judged together: pictures, runs of their masks, and pixels, since pictures may be held in memory
_TOGETHER, _RUNS, _PIXELS = 16, 1 << 16, 1 << 25

Pixels: TypeAlias = Image | Callable[[], Image] | None
"""A picture's pixels, or what reads them."""
Picture: TypeAlias = tuple[str, Instances | ApieceError, Pixels]
"""A picture's name, its objects or the error in their place, and its pixels."""


def scene_of(
    rules: RuleSet,
    instances: Instances,
    image: Pixels = None,
    pixel_size: PixelSize | None = None,
    score: Any = None,
    reference: Image | None = None,
) -> Scene:
    """Return the picture as rules see it: objects whose score is far too low are left out.

    Parameters
    ----------
    image : the pixels, or what reads them; used if rules need them.
    pixel_size : in place of the file's, which stands in place of the image's.
    score : lowest scores that count of classes for which the file names none.
    """
    needs, head = rules.needs, rules.head
    if callable(image) and not isinstance(image, Image):
        image = image() if needs.image else None
    if needs.image and image is None:
        raise DataError("the rules look at pixels (colour, intensity or a layout's image), and the image is not there")
    layout = head.layout
    if layout is not None and layout.size != (float(instances.size[1]), float(instances.size[0])):
        raise DataError(
            f"the picture has {instances.size[1]} x {instances.size[0]} pixels, and the layout was made for "
            f"{layout.size[0]:g} x {layout.size[1]:g}"
        )
    size = pixel_size or head.pixel_size or (None if image is None else image.pixel_size)
    lowest, scores = np.zeros(len(instances)), instances.scores
    if scores is not None:
        try:
            usual = thresholds(score, instances.classes)
            lowest = thresholds(head.score, instances.classes, usual)[instances.labels]
        except UnknownNameError as error:
            raise DataError(f"score: {error}") from None
        kept = scores >= lowest - head.doubt * (lowest > 0)
        instances, lowest, scores = instances[kept], lowest[kept], scores[kept]
    counted = np.ones(len(instances), bool) if scores is None else scores >= lowest
    close = np.zeros(len(instances), bool)
    if scores is not None:
        close = (np.abs(scores - lowest) < head.doubt) & (lowest > 0)
    return Scene(
        instances, image, size, counted, close, _edges(head.edge, instances, size), rules.zones, layout, reference,
        needs.measures, needs.of, measures(),
    )  # fmt: skip


def _edges(stated: Quantity | None, instances: Instances, size: PixelSize | None) -> Edges:
    """Return how far outlines may be off: what the file states, else what the objects know."""
    if stated is None:
        return edges(instances, EDGE)
    side = 1.0 if size is None else float(np.sqrt(size.x * size.y))
    edge = np.full(len(instances), stated.within(size) / side)
    return Edges(edge, edge)


def judge(
    rules: RuleSet,
    instances: Instances,
    image: Pixels = None,
    *,
    name: str = "",
    pixel_size: PixelSize | str | None = None,
    score: Any = None,
    exact: bool = False,
) -> Verdicts:
    """Judge one picture: what every rule says of it, except rules about batches.

    Parameters
    ----------
    rules : from `read_rules`.
    instances : what is there, from labels or from a model. Their scores make objects doubtful that are close to the
        lowest score.
    image : the pixels, or a function that reads them; only read if a rule needs them.
    name : what verdicts call the picture.
    pixel_size : in place of that of the file and of the image.
    score : lowest score that counts, as `conf` of a model, of classes for which the file names none.
    exact : the objects are the truth: no number is off, so none straddles its limit.

    Raises
    ------
    DataError
        if the picture cannot be judged: a zone reaches beyond it, it has another size than the layout, its pixels or
        their size are not known. Names picture and rule.

    Examples
    --------
    >>> from pathlib import Path
    >>> from apiece.rules import judge, read_rules
    >>> _ = Path("rules.yaml").write_text("rules:\\n  - count: bolt\\n    equals: 2\\n")
    >>> found = apiece.Instances(apiece.Masks.from_boxes([[0, 0, 4, 4]], (8, 8)), [0], ("bolt",))
    >>> judge(read_rules("rules.yaml"), found, name="a.png").reasons
    ['count bolt: count 1, should be 2']
    """
    pictures = [(name, instances, image)]
    return next(judge_many(rules, pictures, pixel_size=pixel_size, score=score, exact=exact))


def judge_many(
    rules: RuleSet,
    pictures: Iterable[Picture],
    *,
    pixel_size: PixelSize | str | None = None,
    score: Any = None,
    exact: bool = False,
    on_bad: Callable[[str, ApieceError], None] | None = None,
) -> Iterator[Verdicts]:
    """Judge pictures: yield the verdicts on each, in order, as `judge` gives them.

    Up to 16 pictures are taken from ``pictures`` before the verdicts on the first of them come: objects of pictures of
    one size are measured together, in about half of the time that they take one picture after the other.

    Parameters
    ----------
    rules : from `read_rules`.
    pictures : name, objects, and pixels (or what reads them, or None) of each picture, as `judge` takes them. An error
        may stand in place of objects that could not be read.
    pixel_size, score, exact : as for `judge`.
    on_bad : called with the name and the error of each picture that cannot be judged, in its turn; the rest goes on.
        By default the first one is raised.

    Raises
    ------
    DataError
        as `judge`.
    ApieceError
        that stands in place of objects.

    Examples
    --------
    >>> from pathlib import Path
    >>> from apiece.rules import judge_many, read_rules
    >>> _ = Path("rules.yaml").write_text("rules:\\n  - count: bolt\\n    equals: 2\\n")
    >>> found = apiece.Instances(apiece.Masks.from_boxes([[0, 0, 4, 4]], (8, 8)), [0], ("bolt",))
    >>> [one.outcome for one in judge_many(read_rules("rules.yaml"), [("a.png", found, None), ("b.png", found, None)])]
    ['fail', 'fail']
    """
    size = PixelSize.parse(pixel_size) if isinstance(pixel_size, str) else pixel_size
    asked = [rule for rule in rules.rules if rule.kind.read is not None]
    for some in _ahead(pictures):
        if len(some) > 1:
            keep_freed_memory()
        scenes = [_scene_or_error(rules, *one, size, score) for one in some]
        alike: dict[Any, list[Scene]] = {}
        for scene in scenes:
            if isinstance(scene, Scene):
                alike.setdefault((scene.instances.size, scene.size), []).append(scene)
        for group in alike.values():
            for scene in group:
                scene.beside.extend(group)
        for (name, _, _), scene in zip(some, scenes, strict=True):
            judged = _judge(asked, scene, name, exact) if isinstance(scene, Scene) else scene
            if isinstance(judged, Verdicts):
                yield judged
            elif on_bad is not None:
                on_bad(name, judged)
            else:
                raise judged


def _judge(rules: Sequence[Rule], scene: Scene, name: str, exact: bool) -> Verdicts | DataError:
    """Return the verdicts on one picture, or why there are none. Who keeps it does not keep the pictures beside it."""
    try:
        verdicts = _settled(rules, scene, _judged(rules, scene, exact), exact)
    except DataError as error:
        return DataError(Message(f"{name or _NAMELESS}, ", error.message))
    finally:
        scene.beside.clear()
    return Verdicts(name, worst(v.outcome for v in verdicts), verdicts, scene)


def _ahead(pictures: Iterable[Picture]) -> Iterator[list[Picture]]:
    """Yield pictures that are judged together."""
    some: list[Picture] = []
    runs = pixels = 0
    for one in pictures:
        some.append(one)
        if isinstance(one[1], Instances):
            runs, pixels = runs + len(one[1].masks.x), pixels + one[1].size[0] * one[1].size[1]
        if len(some) == _TOGETHER or runs >= _RUNS or pixels >= _PIXELS:
            yield some
            some, runs, pixels = [], 0, 0
    if some:
        yield some


def _scene_or_error(
    rules: RuleSet, name: str, found: Instances | ApieceError, image: Pixels, size: PixelSize | None, score: Any
) -> Scene | ApieceError:
    if isinstance(found, ApieceError):
        return found
    try:
        return scene_of(rules, found, image, size, score, _reference(rules))
    except ImageError as error:  # it names the file
        return error
    except DataError as error:
        return DataError(Message(f"{name or _NAMELESS}: ", error.message))


def _judged(rules: Sequence[Rule], scene: Scene, exact: bool = False) -> tuple[Verdict, ...]:
    read = []
    for rule in rules:
        assert rule.kind.read is not None
        try:
            read.append((rule, list(rule.kind.read(scene, rule.settings))))
        except (DataError, ConfigError) as error:
            raise DataError(Message(f"rule {rule.name!r} ({rule.path}, line {rule.line}): ", error.message)) from None
    return verdicts_of(read, scene, exact)


def _settled(rules: Sequence[Rule], scene: Scene, verdicts: tuple[Verdict, ...], exact: bool) -> tuple[Verdict, ...]:
    """Return the verdicts, in which those rules fail that fail whichever of the doubtful objects are there.

    A part that is broken and has a low score fails: either it is too small, or it is missing.
    """
    doubtful = np.flatnonzero(scene.doubtful)
    unsure = [k for k, one in enumerate(verdicts) if one.outcome == "unsure"]
    if not 0 < len(doubtful) <= _TRIED or not unsure:
        return verdicts
    said = list(verdicts)
    for there in product((True, False), repeat=len(doubtful)):
        kept = scene.counted & ~scene.doubtful
        kept[doubtful] = there
        index = np.flatnonzero(kept)
        part = scene.part(index)
        tried = dict(zip(unsure, _judged([rules[k] for k in unsure], part, exact), strict=True))
        unsure = [k for k in unsure if tried[k].outcome == "fail"]
        if not unsure:
            return verdicts
        if (scene.counted[doubtful] == there).all():
            for k in unsure:
                said[k] = tried[k].of(index)
    return tuple(said[k] if k in unsure else one for k, one in enumerate(verdicts))


def judge_batch(rules: RuleSet, pictures: Sequence[Verdicts], refused: int = 0) -> tuple[Verdict, ...]:
    """Judge a batch: what rules about batches say of the verdicts on its pictures.

    Parameters
    ----------
    rules : of these, the rules about batches judge.
    pictures : the verdicts on the pictures.
    refused : number of pictures that could not be judged; each counts as unsure.

    Examples
    --------
    >>> from pathlib import Path
    >>> from apiece.rules import Verdicts, judge_batch, read_rules
    >>> _ = Path("rules.yaml").write_text("rules:\\n  - batch: fail\\n    accept: 0\\n")
    >>> judge_batch(read_rules("rules.yaml"), [Verdicts("a.png", "fail", ())])[0].outcome
    'fail'
    """
    read = []
    for rule in rules.rules:
        if rule.kind.over is not None:
            named = rule.settings.rules
            outcomes: list[Outcome] = [
                worst(v.outcome for v in one.verdicts if v.rule in named) if named else one.outcome for one in pictures
            ]
            outcomes += ["unsure"] * refused
            read.append((rule, list(rule.kind.over(outcomes, rule.settings))))
    return verdicts_of(read, None)


_references: dict[Any, Image] = {}


def _reference(rules: RuleSet) -> Image | None:
    """Return the picture of the layout, read once."""
    layout = rules.head.layout
    if layout is None or not layout.image:
        return None
    path = rules.path.parent / layout.image
    if path not in _references:
        _references.clear()
        _references[path] = read_image(path)
    return _references[path]
