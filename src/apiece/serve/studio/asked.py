"""What every route asks of a request: the opened set, and who asks."""

from __future__ import annotations

from urllib.parse import unquote

from fastapi import Request

from apiece.serve.studio.workspace import Workspace

__all__ = ["by_of", "space_of"]


def space_of(request: Request) -> Workspace:
    """Return the opened set."""
    workspace: Workspace = request.app.state.workspace
    return workspace


def by_of(request: Request) -> str:
    """Return the name that the person gave; percent-encoded, since a header is ASCII."""
    return unquote(request.headers.get("x-by", ""))[:100].strip()
