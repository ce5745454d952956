"""`known_query`: a request may say only what its address takes, and each thing once."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError

__all__ = ["known_query"]

_KEY = "key"  # of the guard


def known_query(request: Request) -> None:
    """Refuse values in the query that the route does not know, or that stand there twice; FastAPI leaves them unread.

    Raises
    ------
    RequestValidationError
        naming each of them, and the nearest right name.
    """
    known = [*_named(request.scope["route"].dependant)]
    wrong = []
    for name, count in Counter(key for key, _ in request.query_params.multi_items()).items():
        if name not in (*known, _KEY):
            near = difflib.get_close_matches(name, known, n=1)
            guess = f" Did you mean {near[0]!r}?" if near else ""
            wrong.append((name, f"is not known here.{guess} There are: {', '.join(known) or 'none'}."))
        elif count > 1:
            wrong.append((name, f"stands {count} times in the query; give it once"))
    if wrong:
        raise RequestValidationError([{"loc": ("query", name), "msg": why} for name, why in wrong])


def _named(route: Dependant) -> Iterator[str]:
    """Yield the names that a route and what it depends on take from the query."""
    yield from (field.alias for field in route.query_params)
    for each in route.dependencies:
        yield from _named(each)
