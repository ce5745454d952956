"""Serve: what apiece does, over HTTP; and the studio, a page on this machine to look at labels and to correct them.

Nothing here draws HTML: a service answers JSON and bytes, and the studio's page is built from ``/studio``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy

if TYPE_CHECKING:
    from apiece.serve.app import new_app, run
    from apiece.serve.client import Client, ServerError
    from apiece.serve.deploy import dockerfile, systemd_unit
    from apiece.serve.guards import Guard
    from apiece.serve.limits import Limits
    from apiece.serve.service import new_service
    from apiece.serve.studio.routes import studio_app

__all__ = [
    "Client",
    "Guard",
    "Limits",
    "ServerError",
    "dockerfile",
    "new_app",
    "new_service",
    "run",
    "studio_app",
    "systemd_unit",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.serve.app": "new_app run",
            "apiece.serve.client": "Client ServerError",
            "apiece.serve.deploy": "dockerfile systemd_unit",
            "apiece.serve.guards": "Guard",
            "apiece.serve.limits": "Limits",
            "apiece.serve.service": "new_service",
            "apiece.serve.studio.routes": "studio_app",
        },
    )
