"""Images that stay open for a while, to be asked about with points and boxes as often as a person clicks."""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException

from apiece.core.image import Image
from apiece.predict import Prompter, Session
from apiece.serve.batching import FullError

__all__ = ["Sessions"]


@dataclass
class _Open:
    session: Session
    used: float = field(default_factory=time.monotonic)


class Sessions:
    """Keep sessions by a name that cannot be guessed; a session without requests is closed.

    Parameters
    ----------
    prompter : opens sessions; its backend is opened at the first question.
    most : how many sessions there may be.
    idle : seconds without a question after which a session is closed.
    """

    def __init__(self, prompter: Prompter, most: int, idle: float) -> None:
        self._prompter, self._most, self.idle = prompter, most, idle
        self._open: dict[str, _Open] = {}
        self._lock = threading.Lock()

    def open(self, image: Image) -> str:
        """Open a session on an image, and return its name.

        Raises
        ------
        FullError
            If all sessions are in use.
        """
        with self._lock:
            self._expire()
            if len(self._open) >= self._most:
                raise FullError
            name = secrets.token_urlsafe(16)
            self._open[name] = _Open(self._prompter.session(image))
            return name

    def get(self, name: str) -> Session:
        """Return a session, which counts as asked.

        Raises
        ------
        HTTPException
            If there is none of this name, or it was closed.
        """
        with self._lock:
            self._expire()
            if name not in self._open:
                raise HTTPException(
                    404, "there is no such session any more; open the image again with POST /v1/sessions"
                )
            self._open[name].used = time.monotonic()
            return self._open[name].session

    def close(self, name: str) -> None:
        """Close a session."""
        self.get(name)
        with self._lock:
            self._open.pop(name, None)

    def _expire(self) -> None:
        oldest = time.monotonic() - self.idle
        self._open = {name: one for name, one in self._open.items() if one.used > oldest}
