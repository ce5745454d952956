"""Serve: what apiece does, over HTTP; and the studio, a page on this machine to look at labels and to correct them.

Nothing here draws HTML: a service answers JSON and bytes, and the studio's page is built from ``/studio``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy

if TYPE_CHECKING:
    from apiece.serve.app import new_app, run
    from apiece.serve.client import Client, ClientJob, ClientSession, ServerError
    from apiece.serve.deploy import dockerfile, systemd_unit
    from apiece.serve.guards import Guard
    from apiece.serve.kept import run_kept
    from apiece.serve.limits import Limits
    from apiece.serve.logs import start_log
    from apiece.serve.recipe import ServiceRecipe
    from apiece.serve.service import new_service
    from apiece.serve.studio.routes import studio_app

__all__ = [
    "Client",
    "ClientJob",
    "ClientSession",
    "Guard",
    "Limits",
    "ServerError",
    "ServiceRecipe",
    "dockerfile",
    "new_app",
    "new_service",
    "run",
    "run_kept",
    "start_log",
    "studio_app",
    "systemd_unit",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.serve.app": "new_app run",
            "apiece.serve.client": "Client ClientJob ClientSession ServerError",
            "apiece.serve.deploy": "dockerfile systemd_unit",
            "apiece.serve.guards": "Guard",
            "apiece.serve.kept": "run_kept",
            "apiece.serve.limits": "Limits",
            "apiece.serve.logs": "start_log",
            "apiece.serve.recipe": "ServiceRecipe",
            "apiece.serve.service": "new_service",
            "apiece.serve.studio.routes": "studio_app",
        },
    )
