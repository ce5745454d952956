"""Show the sections of docstrings as they are meant: an extension of griffe that mkdocs.yml gives to mkdocstrings.

The docstrings say ``name : description`` on one line, and leave the types to the signature. numpydoc takes what follows
the colon for a type. So each description goes to a line of its own, and types come from the signature. Examples outside
a section are marked as code.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_NAMED = ("Parameters", "Other Parameters", "Attributes")
_UNNAMED = ("Returns", "Yields")
_ITEM = re.compile(r"^((?:\*{0,2}\w+)(?:, \*{0,2}\w+)*) : (.+)$")


class OneLineItems(griffe.Extension):
    """Rewrites every docstring before griffe parses it."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = spread(obj.docstring.value)


def spread(text: str) -> str:
    """Return a docstring whose items have their description on the line below, and whose examples are code."""
    lines, section, example = [], "", False
    rows = text.splitlines()
    for number, line in enumerate(rows):
        following = rows[number + 1] if number + 1 < len(rows) else ""
        if not section and line.startswith(">>>") and not example:
            lines.append("```pycon")
            example = True
        elif example and not line:
            lines.append("```")
            example = False
        if re.fullmatch(r"-{3,}", following):
            section = line
        elif re.fullmatch(r"-{3,}", line) or not line or line.startswith(" "):
            pass
        elif section in _NAMED and (item := _ITEM.match(line)):
            lines += [item[1], f"    {item[2]}"]
            continue
        elif section in _UNNAMED and not following.startswith(" "):
            lines += [":", f"    {line}"]
            continue
        lines.append(line)
    return "\n".join([*lines, *["```"] * example])
