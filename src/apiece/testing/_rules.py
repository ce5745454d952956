"""What every kind of rule promises."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import FormatError
from apiece.rules import Verdicts, judge, judge_batch, judge_many, read_rules, schema
from apiece.rules.contract import ROOM, RuleKind
from apiece.testing._promises import expect, refused

_SIZE = (60, 80)
_LAYOUT = "layout: {size: [80, 60], register: none, places: [{part: PART, at: [20, 15]}]}"


def _name(kind: RuleKind) -> str:
    return dataclasses.fields(kind.settings)[0].name


def _file(kind: RuleKind, folder: Path, more: str = "") -> Path:
    """Write the kind's example as a file of rules."""
    lines = "\n".join(f"    {line}" for line in (kind.example + more).splitlines())
    path = folder / "rules.yaml"
    path.write_text(f"pixel_size: 1 mm\n{_LAYOUT}\nrules:\n  -\n{lines}\n", encoding="utf-8")
    return path


def _classes(kind: RuleKind, folder: Path) -> tuple[str, ...]:
    return tuple(name for name in read_rules(_file(kind, folder)).class_lines if name != "any")


def _found(classes: tuple[str, ...], count: int) -> Instances:
    boxes = np.array([[10 + 9 * k, 10 + 5 * k, 30 + 9 * k, 20 + 5 * k] for k in range(count)], np.float64).reshape(
        -1, 4
    )
    labels = np.arange(count) % len(classes)
    return Instances(Masks.from_boxes(boxes, _SIZE), labels, classes, np.linspace(0.9, 0.1, count))


def _judged(kind: RuleKind, folder: Path, found: Instances) -> Verdicts:
    image = Image(np.full((*_SIZE, 3), 90, np.uint8))
    rules = read_rules(_file(kind, folder), found.classes)
    judged = judge(rules, found, image, name="a.png")
    if kind.over is not None:
        return dataclasses.replace(judged, verdicts=judge_batch(rules, [judged] * 3))
    return judged


def description(kind: RuleKind, folder: Path) -> None:
    """It and its keys are described in one line each, and its first key has its name."""
    expect(kind.summary and "\n" not in kind.summary, f"no description in one line: {kind.summary!r}")
    known = [name for name, one in ROOM.load_all().items() if one is kind]
    expect(not known or known == [_name(kind)], f"its first key is {_name(kind)!r}, its name {known}")
    for field in dataclasses.fields(kind.settings):
        expect(field.metadata.get("help"), f"the key {field.name} is not described; make it with `key`")
    expect((kind.read is None) != (kind.over is None), "it has `read` or `over`")


def example(kind: RuleKind, folder: Path) -> None:
    """Its example is read, and a key that it does not have is refused with the line."""
    rules = read_rules(_file(kind, folder))
    expect(rules.rules[0].kind is ROOM.load(rules.rules[0].kind_name), "its example is of another kind")
    path = _file(kind, folder, "\nno_such_key: 1")
    with refused(FormatError, r"line \d+: no key of a rule", "a key that it does not have"):
        read_rules(path)


def judges(kind: RuleKind, folder: Path) -> None:
    """It judges no object, one and many: outcomes, texts and objects that exist, the same each time."""
    classes = _classes(kind, folder) or ("part",)
    for count in (0, 1, 5):
        found = _found(classes, count)
        judged, again = (_judged(kind, folder, found) for _ in range(2))
        expect(repr(judged) == repr(again), "the same picture has another verdict the second time")
        for verdict in judged.verdicts:
            expect(verdict.outcome in ("pass", "fail", "unsure"), f"no such outcome: {verdict.outcome!r}")
            expect(verdict.text, f"{verdict.outcome} without a text")
            for finding in verdict.findings:
                expect(finding.text, f"a finding without a text: {finding}")
                expect(all(k < count for k in finding.objects), f"no such objects: {finding.objects}")


def judges_together(kind: RuleKind, folder: Path) -> None:
    """A picture has the same verdict whichever pictures are judged beside it."""
    if kind.read is None:
        return
    classes = _classes(kind, folder) or ("part",)
    image = Image(np.full((*_SIZE, 3), 90, np.uint8))
    rules = read_rules(_file(kind, folder), classes)
    pictures = [(f"{count}.png", _found(classes, count), image) for count in (5, 0, 1, 3)]
    for one, picture in zip(judge_many(rules, pictures), pictures, strict=True):
        alone = judge(rules, *picture[1:], name=picture[0])
        expect(repr(one) == repr(alone), f"{picture[0]}: beside others it is {one}, and alone {alone}")


def in_schema(kind: RuleKind, folder: Path) -> None:
    """The JSON schema, from which editors complete rules, knows its keys."""
    titles = {one["title"]: one for one in schema()["properties"]["rules"]["items"]["oneOf"]}
    if _name(kind) in titles:
        keys = {field.name for field in dataclasses.fields(kind.settings)}
        expect(keys <= set(titles[_name(kind)]["properties"]), "the schema lacks keys")


PROMISES = (description, example, judges, judges_together, in_schema)
