"""Classes of features, as QuPath states them, and as other programs do."""

from __future__ import annotations

from typing import Any

_JOINT = ": "  # between the names of a derived class


def named_class(feature: dict[str, Any]) -> tuple[str | None, Any]:
    """Return a feature's class and its color, where it has them."""
    properties = feature.get("properties")
    if type(properties) is not dict:
        return None, None
    given = properties.get("classification")
    if type(given) is dict:
        return _path(given), color_of(given)
    texts = (given, properties.get("class"), properties.get("label"))
    return next((text for text in texts if type(text) is str), None), None


def _path(given: dict[str, Any]) -> str | None:
    """Return a class's name; that of a derived class, ``names``, as QuPath shows it: ``Tumor: Positive``."""
    names = given.get("names", [given.get("name")])
    return _JOINT.join(names) if type(names) is list and names and all(type(n) is str for n in names) else None


def color_of(given: dict[str, Any]) -> Any:
    """Return the color, as QuPath has written it since 0.3: red, green, blue; before, they were bytes of an integer."""
    packed = given.get("colorRGB")
    if "color" in given or type(packed) is not int:
        return given.get("color")
    return [packed >> shift & 255 for shift in (16, 8, 0)]


def classification(name: str, color: Any) -> dict[str, Any]:
    """Return a class as QuPath writes it: a derived one by the names on the way to it."""
    names = name.split(_JOINT)
    derived = len(names) > 1 and all(n and n == n.strip() for n in names)
    return ({"names": names} if derived else {"name": name}) | {"color": color}
