"""How values show themselves in notebooks: `core` says that they do, `draw` knows how, the front door joins the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

html: Callable[[Any], str]
png: Callable[[Any], bytes]
