"""Serve: what apiece does, over HTTP; and the studio, a page on this machine to look at labels and to correct them.

Nothing here draws HTML: a service answers JSON and bytes, and the studio's page is built from ``/studio``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy

if TYPE_CHECKING:
    from apiece.serve.app import new_app, run
    from apiece.serve.guards import Guard

__all__ = ["Guard", "new_app", "run"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.serve.app": "new_app run",
            "apiece.serve.guards": "Guard",
        },
    )
