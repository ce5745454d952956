"""Files of rules are read strictly: each mistake is told with its line and the nearest right word."""

# ruff: noqa: E501 (a case and what is said of it stand on one line)

from __future__ import annotations

from pathlib import Path

import pytest

from apiece.errors import FormatError
from apiece.rules import read_rules, schema

from .drawn import CLASSES

GOOD = "zones:\n  socket: {box: [0, 0, 9, 9]}\nrules:\n  - count: screw\n    equals: 4\n"

MISTAKES = {
    "a tab": (GOOD.replace("    equals", "\tequals"), "line 5: begins with a tab"),
    "an unknown class": (GOOD.replace("screw", "scerw"), "line 4: no class named 'scerw'. Did you mean 'screw'?"),
    "an unknown kind": (GOOD.replace("count", "cuont"), "line 4: no kind of rule named 'cuont'. Did you mean 'count'?"),
    "an unknown key": (GOOD.replace("equals", "equal"), "line 5: no key of a rule `count` named 'equal'. Did you mean"),
    "an unknown zone": (GOOD + "    zone: sokcet\n", "line 6: zone: no zone named 'sokcet'. Did you mean 'socket'?"),
    "an unknown measure": (
        GOOD + "  - dimension: screw\n    of: ferret_max\n    max: 1 px\n",
        "line 7: of: no measure named 'ferret_max'. Did you mean 'feret_max'?",
    ),
    "a unit of mass": (
        GOOD + "  - distance: screw\n    min: 5 kg\n", "line 7: min: '5 kg' is no length: there is no unit 'kg'; use px",
    ),
    "a misspelled unit": (GOOD + "  - distance: screw\n    min: 5 milimeter\n", "line 7: min: '5 milimeter' is no length"),
    "an area for a length": (
        GOOD + "  - dimension: screw\n    of: feret_max\n    max: 5 mm2\n", "line 6: feret_max is a length, and 5 mm2 is not",
    ),
    "a number without a unit": (
        GOOD + "  - dimension: screw\n    of: feret_max\n    max: 5\n", "line 6: feret_max has a unit: write 5 with one",
    ),
    "a decimal comma": (GOOD + "  - distance: screw\n    min: 5,5 mm\n", "line 7: min: '5,5 mm' is no number with a unit; write it as 5.5 mm"),
    "no rule": ("rules: []\n", "line 1: there is no rule"),
    "no rules": ("zones: {}\n", "line 1: a rule file has a list `rules`"),
    "a list": ("- count: screw\n", "line 1: a rule file is a group of keys"),
    "an unknown section": (GOOD.replace("zones", "zone"), "line 1: no key of a rule file named 'zone'. Did you mean 'zones'?"),
    "no number": (GOOD.replace("equals: 4", "equals: four"), "line 5: equals: is a whole number, 0 or more, not 'four'"),
    "less than nothing": (GOOD.replace("equals: 4", "equals: -1"), "line 5: equals: is a whole number"),
    "a rule without limits": (GOOD.replace("equals: 4", "name: x"), "line 4: a rule `count`: give equals, or min and max"),
    "two kinds": (GOOD + "    presence: screw\n", "line 4: a rule is of one kind, and this one has count and presence"),
    "a key twice": (GOOD + "    equals: 5\n", "line 6: the key 'equals' stands twice, first on line 5"),
    "a rule twice": (GOOD + "  - count: screw\n    max: 5\n", "line 6: two rules are called 'count screw', the first on line 4"),
    "an anchor": (GOOD.replace("[0, 0, 9, 9]", "&a [0, 0, 9, 9]"), "line 2: an anchor"),
    "a tag": (GOOD.replace("equals: 4", "equals: !!python/name:os.system 4"), "line 5: "),
    "a zone inside out": (GOOD.replace("[0, 0, 9, 9]", "[9, 0, 0, 9]"), "line 2: zone 'socket': a zone: the left edge lies left"),
    "a line as zone": (GOOD.replace("box: [0, 0, 9, 9]", "polygon: [[0, 0], [5, 5], [9, 9]]"), "line 2: zone 'socket': a zone: a polygon"),
    "two zones in one": (GOOD.replace("box: [0, 0, 9, 9]", "box: [0, 0, 9, 9], objects: chip"), "give one of box, share"),
    "three corners": (GOOD.replace("[0, 0, 9, 9]", "[0, 0, 9]"), "line 2: zone 'socket': box: is a list of 4 values"),
    "an unknown colour": (GOOD + "  - colour: screw\n    expected: gren\n", "line 7: expected: no colour named 'gren'. Did you mean 'green'?"),
    "a layout that is not there": (GOOD + "  - layout: any\n    within: 2 px\n", "line 6: the rule `layout` needs the file's section `layout`"),
    "an unknown rule": (GOOD + "  - batch: fail\n    accept: 1\n    rules: [count screws]\n", "line 6: no rule named 'count screws'. Did you mean 'count screw'?"),
    "no pixel size": ("pixel_size: 5 kg\n" + GOOD, "line 1: pixel_size: unknown unit of length 'kg'"),
    "no YAML": ("rules: [\n", "line 2: "),
    "limits the wrong way round": (
        GOOD + "  - dimension: screw\n    of: feret_max\n    min: 5 mm\n    max: 2 mm\n", "line 6: a rule `dimension`: min 5 mm is above max 2 mm",
    ),
    "the wrong way round in two units": (
        GOOD + "  - distance: screw\n    min: 0.5 in\n    max: 10 mm\n", "line 6: a rule `distance`: min 0.5 in is above max 10 mm",
    ),
    "nothing": ("", "is empty"),
    "too deep": ("rules: " + "[" * 300 + "]" * 300, "is nested too deep"),
    "far too deep": ("rules: " + "[" * 20000, "line 1: "),
}  # fmt: skip


def test_the_file_without_mistakes_is_read(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(GOOD)
    found = read_rules(tmp_path / "rules.yaml", CLASSES)
    assert [(rule.name, rule.line, rule.settings.equals) for rule in found.rules] == [("count screw", 4, 4)]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, mistake: str) -> None:
    text, said = MISTAKES[mistake]
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(FormatError) as caught:
        read_rules(path, CLASSES)
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_bytes_that_are_no_text_and_no_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_bytes(b"rules: \xff\xfe")
    with pytest.raises(FormatError, match="is not UTF-8"):
        read_rules(path)
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_rules(tmp_path / "none.yaml")


def test_the_schema_knows_every_key() -> None:
    found = schema()
    kinds = {one["title"]: one for one in found["properties"]["rules"]["items"]["oneOf"]}
    assert set(kinds["count"]["properties"]) == {"count", "equals", "min", "max", "zone", "name"}
    assert kinds["layout"]["required"] == ["layout", "within"]
    assert all(key["description"] for one in kinds.values() for key in one["properties"].values())
    assert set(found["properties"]) == {"pixel_size", "score", "doubt", "edge", "layout", "zones", "rules"}
