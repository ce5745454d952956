"""`read_rules`: a file of rules, read strictly; `schema`: what editors check it by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from apiece.core.image import PixelSize
from apiece.errors import ConfigError, FormatError
from apiece.measurements import families
from apiece.measurements.contract import Property
from apiece.rules._engine.yaml_nodes import read_nodes
from apiece.rules._kit.keys import (
    SHARE,
    TEXT,
    KeyType,
    Names,
    Node,
    WrongValueError,
    key,
    quantity,
    read_mapping,
    schema_of,
    unknown,
)
from apiece.rules._kit.layout import Layout
from apiece.rules._kit.quantities import Quantity
from apiece.rules._kit.zones import ZONE_TYPE, Zone
from apiece.rules.contract import ROOM, Needs, RuleKind

__all__ = ["Rule", "RuleSet", "measures", "read_rules", "schema"]

_UNITS = {"length": "length", "area": "area", "degree": "degree", "none": "none", "pixel": "none"}


@dataclass(frozen=True)
class Rule:
    """One rule of a file.

    Attributes
    ----------
    name : what reports call it.
    kind : its kind, and the name of that.
    settings : its keys.
    path, line : the file, and where it begins there.
    needs : what it needs to know of a picture.
    """

    name: str
    kind_name: str
    kind: RuleKind
    settings: Any
    path: Path
    line: int
    needs: Needs


def _pixel_size(node: Node, names: Names) -> PixelSize:
    try:
        return PixelSize.parse(str(node.plain))
    except ConfigError as error:
        raise WrongValueError(str(error), node.line) from None


def _score(node: Node, names: Names) -> float | dict[str, float]:
    if not isinstance(node.value, dict):
        return SHARE.read(node, names)
    for name, (line, _) in node.value.items():
        names.classes.setdefault(name, line)
    return {name: SHARE.read(item, names) for name, (_, item) in node.value.items()}


def _layout(node: Node, names: Names) -> Layout:
    return read_mapping(Layout, node, names, "layout")


_SCORES = {"oneOf": [SHARE.schema, {"type": "object", "additionalProperties": SHARE.schema}]}


@dataclass(frozen=True)
class Head:
    """What stands in a file beside zones and rules."""

    pixel_size: PixelSize | None = key(
        KeyType(_pixel_size, TEXT.schema), "size of a pixel, such as 0.1 mm. By default that of each image", None
    )
    score: float | dict[str, float] | None = key(
        KeyType(_score, _SCORES), "lowest score of an object that counts, for all classes or for each", None
    )
    doubt: float = key(SHARE, "a score this close to the lowest one makes an object doubtful", 0.05)
    edge: Quantity | None = key(
        quantity("length"),
        "how far outlines may be off (95 %). By default what the objects' attribute `edge` says, else 0.25 px",
        None,
    )
    layout: Layout | None = key(KeyType(_layout, schema_of(Layout)), "where every part belongs", None)


@dataclass(frozen=True)
class RuleSet:
    """All rules of a file.

    Attributes
    ----------
    path : the file.
    head : pixel size, scores, the layout.
    zones : by name.
    rules : in the order of the file.
    class_lines : each class that the file names, with its first line.
    """

    path: Path
    head: Head
    zones: Mapping[str, Zone]
    rules: tuple[Rule, ...]
    class_lines: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def needs(self) -> Needs:
        """What all rules together need to know of a picture."""
        every = [rule.needs for rule in self.rules if rule.needs.measures]
        measures, of = (frozenset[str]().union(*sets) for sets in ((n.measures for n in every), (n.of for n in every)))
        together = {p.name for f in families() if f.together for p in f.properties}
        if measures & together or not all(needs.of for needs in every):
            of = frozenset()
        placed = self.head.layout is not None and self.head.layout.register == "image"
        image = placed or any(rule.needs.image for rule in self.rules)
        image = image or bool(measures & {p.name for f in families() if f.needs_image for p in f.properties})
        return Needs(measures, of, image, self.head.layout is not None)

    def lowest_scores(self, own: Mapping[str, float]) -> dict[str, float]:
        """Return the lowest score of each class at which a model has to show objects, doubtful objects among them.

        Parameters
        ----------
        own : the model's thresholds, which hold for classes whose score the file does not state.
        """
        given = self.head.score
        stated = dict.fromkeys(own, given) if isinstance(given, float | int) else given or {}
        return {name: max(value - self.head.doubt, 0.0) for name, value in {**own, **stated}.items()}

    def check_classes(self, classes: Iterable[str]) -> None:
        """Refuse rules about a class that is not among ``classes``.

        Raises
        ------
        FormatError
            naming the line, the class and the nearest that there is.
        """
        known = [*classes, "any"]
        for name, line in self.class_lines.items():
            if name not in known:
                reason = unknown("class", name, known[:-1], line).reason
                raise FormatError(self.path, f"line {line}: {reason}")


def read_rules(path: Path | str, classes: Iterable[str] | None = None) -> RuleSet:
    """Read a file of rules, ``rules.yaml``.

    Parameters
    ----------
    path : the file.
    classes : classes of the model or of the labels, so that a rule about another class is an error now.

    Raises
    ------
    FormatError
        with the line, what is wrong there, and the nearest right word.

    Examples
    --------
    >>> from pathlib import Path
    >>> from apiece.rules import read_rules
    >>> _ = Path("rules.yaml").write_text("rules:\\n  - count: bolt\\n    equals: 1\\n")
    >>> read_rules("rules.yaml").rules[0].name
    'count bolt'
    """
    path = Path(path)
    names = Names(properties={p.name: _UNITS[p.dimension] for p in measures().values()})
    try:
        found = _read(path, read_nodes(path), names)
    except WrongValueError as error:
        raise FormatError(path, f"line {error.line}: {error.reason}") from None
    if classes is not None:
        found.check_classes(classes)
    return found


@cache
def measures() -> Mapping[str, Property]:
    """Return the measures that have one value for each object, by name."""
    return {p.name: p for f in families() for p in f.properties if not p.parts}


def _read(path: Path, node: Node, names: Names) -> RuleSet:
    own = ("zones", "rules")
    if isinstance(node.value, dict):
        fields = (*Head.__dataclass_fields__, *own)
        for name, (line, _) in node.value.items():
            if name not in fields:
                raise unknown("key of a rule file", name, fields, line)
    head = read_mapping(Head, node, names, "a rule file", own)
    zones = {}
    if "zones" in node.value:
        group = node.value["zones"][1]
        if not isinstance(group.value, dict):
            raise WrongValueError(f"zones is a group of names, not {group.kind}", group.line)
        zones = {name: _zone(name, item, names) for name, (_, item) in group.value.items()}
    names.zones = tuple(zones)
    if "rules" not in node.value or not isinstance(node.value["rules"][1].value, list):
        raise WrongValueError("a rule file has a list `rules`", node.line)
    items = node.value["rules"][1]
    rules = tuple(_rule(path, item, names, head) for item in items.value)
    if not rules:
        raise WrongValueError("there is no rule", items.line)
    _check_names(rules)
    return RuleSet(path, head, zones, rules, dict(names.classes))


def _zone(name: str, node: Node, names: Names) -> Zone:
    try:
        return ZONE_TYPE.read(node, names)
    except WrongValueError as error:
        raise WrongValueError(f"zone {name!r}: {error.reason}", error.line) from None


def _rule(path: Path, node: Node, names: Names, head: Head) -> Rule:
    kinds = ROOM.names()
    if not isinstance(node.value, dict):
        raise WrongValueError(f"a rule is a group of keys, such as `count: screw`, not {node.kind}", node.line)
    named = [name for name in node.value if name in kinds]
    if "defect" in named and "count" in named:
        named = ["defect"]  # a key of that kind has the name of another kind
    if len(named) != 1:
        first = next((name for name in node.value if name != "name"), "")
        if named:
            raise WrongValueError(f"a rule is of one kind, and this one has {' and '.join(named)}", node.line)
        raise unknown("kind of rule", first, kinds, node.value.get(first, (node.line, node))[0])
    kind = ROOM.load(named[0])
    settings = read_mapping(kind.settings, node, names, f"a rule `{named[0]}`", ("name",))
    try:
        _check_units(settings, names)
    except ValueError as error:
        raise WrongValueError(str(error), node.line) from None
    needs = kind.needs(settings)
    if needs.layout and head.layout is None:
        raise WrongValueError(f"the rule `{named[0]}` needs the file's section `layout`", node.line)
    name = TEXT.read(node.value["name"][1], names) if "name" in node.value else _name(named[0], settings)
    return Rule(name, named[0], kind, settings, path, node.line, needs)


def _check_units(settings: Any, names: Names) -> None:
    """Refuse limits in a unit that does not fit the measure."""
    dimension = names.properties.get(getattr(settings, "of", ""))
    for limit in getattr(settings, "limits", ()):
        if dimension is None or limit is None or limit.dimension == dimension:
            continue
        if limit.dimension == "none" and limit.unit == "":
            use = {"length": "mm or px", "area": "mm2 or px2", "degree": "deg"}[dimension]
            raise ValueError(f"{settings.of} has a unit: write {limit} with one, such as {use}")
        raise ValueError(f"{settings.of} is {_article(dimension)}, and {limit} is not")


def _article(dimension: str) -> str:
    return {"length": "a length", "area": "an area", "degree": "an angle", "none": "a plain number"}[dimension]


def _name(kind: str, settings: Any) -> str:
    head = getattr(settings, kind)
    words = [kind, " or ".join(head) if isinstance(head, tuple) else str(head)]
    words += [str(getattr(settings, "of", ""))] if hasattr(settings, "of") else []
    words += [f"in {settings.zone}"] if getattr(settings, "zone", "") else []
    return " ".join(words)


def _check_names(rules: tuple[Rule, ...]) -> None:
    """Refuse two rules of one name, and batch rules about a rule that is not there."""
    first: dict[str, int] = {}
    for rule in rules:
        if rule.name in first:
            raise WrongValueError(
                f"two rules are called {rule.name!r}, the first on line {first[rule.name]}; give one a `name`",
                rule.line,
            )
        first[rule.name] = rule.line
    for rule in rules:
        if rule.kind.over is not None:
            for name in rule.settings.rules:
                if name not in first:
                    raise unknown("rule", name, first, rule.line)


def schema() -> dict[str, Any]:
    """Return the JSON schema of rule files, for editors: made from the kinds' own descriptions of their keys.

    Examples
    --------
    >>> from apiece.rules import schema
    >>> schema()["properties"]["rules"]["type"]
    'array'
    """
    name = {"name": {"type": "string", "description": "what reports call the rule"}}
    kinds = {one: ROOM.load(one) for one in ROOM.names()}
    rules = [
        {**schema_of(kind.settings, name), "title": one, "description": kind.summary} for one, kind in kinds.items()
    ]
    head = schema_of(Head)
    zones = {"type": "object", "additionalProperties": dict(ZONE_TYPE.schema), "description": "parts of the picture"}
    head["properties"] |= {"zones": zones, "rules": {"type": "array", "items": {"oneOf": rules}, "minItems": 1}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "apiece rules",
        **head,
        "required": ["rules"],
    }
