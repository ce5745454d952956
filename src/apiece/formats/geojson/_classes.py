"""Classes of features, as QuPath states them, and as other programs do."""

from __future__ import annotations

from typing import Any

_JOINT = ": "  # between the names of a derived class


def class_named(feature: dict[str, Any]) -> str | None:
    """Return a feature's class, where it has one."""
    properties = feature.get("properties")
    if type(properties) is not dict:
        return None
    given = properties.get("classification")
    if type(given) is dict:
        return _path(given)
    texts = (given, properties.get("class"), properties.get("label"))
    return next((text for text in texts if type(text) is str), None)


def _path(given: dict[str, Any]) -> str | None:
    """Return a class's name; that of a derived class, ``names``, as QuPath shows it: ``Tumor: Positive``."""
    if "names" not in given:
        name = given.get("name")
        return name if type(name) is str else None
    names = given["names"]
    return _JOINT.join(names) if type(names) is list and names and all(type(n) is str for n in names) else None


def color_of(feature: dict[str, Any]) -> Any:
    """Return the color of a feature's class.

    QuPath writes red, green, blue since version 0.3; before, they were bytes of an integer.
    """
    properties = feature.get("properties")
    given = properties.get("classification") if type(properties) is dict else None
    if type(given) is not dict:
        return None
    packed = given.get("colorRGB")
    if "color" in given or type(packed) is not int:
        return given.get("color")
    return [packed >> shift & 255 for shift in (16, 8, 0)]


def classification(name: str, color: Any) -> dict[str, Any]:
    """Return a class as QuPath writes it: a derived one by the names on the way to it."""
    names = name.split(_JOINT)
    derived = len(names) > 1 and all(n and n == n.strip() for n in names)
    return ({"names": names} if derived else {"name": name}) | {"color": color}
