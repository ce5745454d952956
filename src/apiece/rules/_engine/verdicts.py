"""`judge`: pictures held against rules. What a rule reads off a picture becomes pass, fail or unsure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.conf import thresholds
from apiece.core.image import Image, PixelSize
from apiece.core.instances import Instances
from apiece.errors import ConfigError, DataError, Message, UnknownNameError
from apiece.images import read_image
from apiece.measurements.contract import Edges, edges
from apiece.rules._engine.file import Rule, RuleSet, measures
from apiece.rules._kit.scene import EDGE
from apiece.rules.contract import Outcome, Quantity, Readings, Scene

__all__ = ["Finding", "Verdict", "Verdicts", "judge", "judge_batch", "scene_of"]

_TRIED = 3  # doubtful objects of which each may be there or not: so many make 8 cases
_OUTCOMES: tuple[Outcome, ...] = ("pass", "unsure", "fail")  # from the best to the worst


@dataclass(frozen=True)
class Finding:
    """One number that a rule compared with its limits.

    Attributes
    ----------
    outcome : ``pass``, ``fail`` or ``unsure``.
    what, unit : what the number is (``feret_max``), and its unit.
    number, low, high : the number and its 95% interval; infinite where the thing is missing.
    least, most : the limits; infinite where there is none.
    objects : the objects it is of, by position.
    words : what it is about beyond its objects: ``R12 is missing``.
    spot : place in the picture, x and y in pixels, of what is not there; else None.
    """

    outcome: Outcome
    what: str
    unit: str
    number: float
    low: float
    high: float
    least: float
    most: float
    objects: tuple[int, ...] = ()
    words: str = ""
    spot: tuple[float, float] | None = None

    @property
    def text(self) -> str:
        """The finding in one line."""
        if not np.isfinite(self.number):
            return self.words
        unit = f" {self.unit}" if self.unit else ""
        said = f"{self.what} {self.number:.4g}{unit}"
        if self.low != self.high and np.isfinite([self.low, self.high]).all():
            said += f" ({self.low:.4g} to {self.high:.4g})"
        return f"{self.words}: {said}, {self.limit}" if self.words else f"{said}, {self.limit}"

    @property
    def limit(self) -> str:
        """The limits in words: ``at most 2 mm``."""
        unit = f" {self.unit}" if self.unit else ""
        if self.least == self.most:
            return f"should be {self.least:g}{unit}"
        if np.isinf(self.least):
            return f"at most {self.most:.4g}{unit}"
        if np.isinf(self.most):
            return f"at least {self.least:.4g}{unit}"
        return f"should be {self.least:.4g} to {self.most:.4g}{unit}"


@dataclass(frozen=True)
class Verdict:
    """What one rule says of one picture.

    Attributes
    ----------
    rule : its name.
    kind : its kind.
    outcome : the worst of its findings; ``pass`` where there is none.
    findings : what does not pass, the worst first; of a rule that passes, the number nearest to its limit.
    checked : how many numbers were compared.
    """

    rule: str
    kind: str
    outcome: Outcome
    findings: tuple[Finding, ...]
    checked: int

    def of(self, index: Int) -> Verdict:
        """Return the same verdict, with objects named by their position in ``index``, the objects it was made on."""
        found = (replace(one, objects=tuple(index[list(one.objects)].tolist())) for one in self.findings)
        return replace(self, findings=tuple(found))

    @property
    def text(self) -> str:
        """The first finding in one line, and how many more there are."""
        said = self.findings[0].text if self.findings else "nothing to be judged"
        more = len(self.findings) - 1
        return f"{said}; and {more} more" if more > 0 else said


@dataclass(frozen=True)
class Verdicts:
    """What all rules say of one picture.

    Attributes
    ----------
    image : its name.
    outcome : the worst of all.
    verdicts : one of each rule about pictures, in the order of the file.
    scene : what was judged; findings name objects by their position in ``scene.instances``.
    """

    image: str
    outcome: Outcome
    verdicts: tuple[Verdict, ...]
    scene: Scene = field(default_factory=lambda: Scene(Instances.empty((1, 1))), repr=False, compare=False)

    @property
    def reasons(self) -> list[str]:
        """What does not pass, in one line each, failures first."""
        bad = sorted((v for v in self.verdicts if v.outcome != "pass"), key=lambda v: v.outcome == "unsure")
        return [f"{v.rule}: {v.text}" for v in bad]


def scene_of(
    rules: RuleSet,
    instances: Instances,
    image: Image | Callable[[], Image] | None = None,
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
    image: Image | Callable[[], Image] | None = None,
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
    size = PixelSize.parse(pixel_size) if isinstance(pixel_size, str) else pixel_size
    where = name or "the picture"
    try:
        scene = scene_of(rules, instances, image, size, score, _reference(rules))
    except DataError as error:
        raise DataError(Message(f"{where}: ", error.message)) from None
    asked = [rule for rule in rules.rules if rule.kind.read is not None]
    try:
        verdicts = _settled(asked, scene, _judged(asked, scene, exact), exact)
    except DataError as error:
        raise DataError(Message(f"{where}, ", error.message)) from None
    return Verdicts(name, _worst(v.outcome for v in verdicts), verdicts, scene)


def _judged(rules: Sequence[Rule], scene: Scene, exact: bool = False) -> tuple[Verdict, ...]:
    read = []
    for rule in rules:
        assert rule.kind.read is not None
        try:
            read.append((rule, list(rule.kind.read(scene, rule.settings))))
        except (DataError, ConfigError) as error:
            raise DataError(Message(f"rule {rule.name!r} ({rule.path}, line {rule.line}): ", error.message)) from None
    return _verdicts(read, scene, exact)


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
        kept = ~scene.doubtful
        kept[doubtful] = there
        index = np.flatnonzero(kept)
        sure = np.ones(len(index), bool)
        part = replace(
            scene,
            instances=scene.instances[index],
            counted=sure,
            doubtful=~sure,
            edges=scene.edges.take(index),
            _kept={},
        )
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
                _worst(v.outcome for v in one.verdicts if v.rule in named) if named else one.outcome for one in pictures
            ]
            outcomes += ["unsure"] * refused
            read.append((rule, list(rule.kind.over(outcomes, rule.settings))))
    return _verdicts(read, None)


def _worst(outcomes: Iterable[Outcome]) -> Outcome:
    return max(outcomes, key=_OUTCOMES.index, default="pass")


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


def _verdicts(read: list[tuple[Rule, list[Readings]]], scene: Scene | None, exact: bool = False) -> tuple[Verdict, ...]:
    """Return what rules say. The numbers of all of them are compared at once: of each alone, calls would cost most."""
    every = [one for _, readings in read for one in readings]
    if exact:
        every = [one.exact() for one in every]
    compared = iter(_compared(every, scene))
    own = iter(every)
    return tuple(_verdict(rule, [(next(own), *next(compared)) for _ in readings]) for rule, readings in read)


def _verdict(rule: Rule, compared: list[tuple[Readings, Int, Float]]) -> Verdict:
    """Return what a rule says; only what is told becomes a `Finding`."""
    found: list[Finding] = []
    nearest: tuple[float, Readings, int] | None = None
    for one, outcome, beyond in compared:
        if outcome.any():
            bad = np.flatnonzero(outcome)
            order = bad[np.lexsort((-beyond[bad], -outcome[bad]))]
            found += [_finding(one, int(k), _OUTCOMES[outcome[k]]) for k in order]
        elif len(outcome) and not found:
            k = int(beyond.argmax())
            if nearest is None or beyond[k] > nearest[0]:
                nearest = (float(beyond[k]), one, k)
    if not found and nearest is not None:
        found = [_finding(nearest[1], nearest[2], "pass")]
    told = found if len(found) == 1 else sorted(found, key=lambda one: -_OUTCOMES.index(one.outcome))
    checked = sum(len(one.values) for one, _, _ in compared)
    return Verdict(rule.name, rule.kind_name, told[0].outcome if told else "pass", tuple(told), checked)


def _compared(readings: list[Readings], scene: Scene | None) -> Iterator[tuple[Int, Float]]:
    """Yield of each reading 0 for pass, 1 for unsure, 2 for fail, and how far each number is beyond its nearer limit.

    Inside the limits it is negative; of NaN it is as far as can be.
    """
    if not readings:
        return
    columns = zip(*((one.values, one.low, one.high, one.least, one.most) for one in readings), strict=True)
    values, low, high, least, most = (np.concatenate(column) for column in columns)
    inside = (low >= least) & (high <= most)
    outside = (high < least) | (low > most)
    outcomes = np.where(inside, 0, np.where(outside, 2, 1))
    beyond = np.maximum(least - values, values - most)
    beyond[np.isnan(beyond)] = np.inf
    some = scene is not None and bool(scene.doubtful.any())
    begin = 0
    for one in readings:
        part = slice(begin, begin + len(one.values))
        outcome = outcomes[part]
        if some and scene is not None and not one.settled:
            doubtful = np.append(scene.doubtful, False)[one.objects]
            # what only a doubtful object breaks, or what hangs on a doubtful neighbour, is for a person to decide
            outcome = np.where(doubtful[:, 0] & (outcome == 2) | doubtful[:, 1:].any(1), 1, outcome)
        yield outcome, beyond[part]
        begin = part.stop


def _finding(one: Readings, k: int, outcome: Outcome) -> Finding:
    objects = one.objects[k]
    words = one.words[k] if len(one.words) else ""
    spot = None if one.spots is None or one.objects[k, 0] >= 0 else (float(one.spots[k, 0]), float(one.spots[k, 1]))
    number, low, high, least, most = (float(a[k]) for a in (one.values, one.low, one.high, one.least, one.most))
    shown = tuple(objects[objects >= 0].tolist())
    return Finding(outcome, one.what, one.unit, number, low, high, least, most, shown, words, spot)
