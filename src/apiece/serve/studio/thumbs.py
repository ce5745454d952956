"""`Thumbs`: small pictures of images, made ahead of the person who scrolls, and kept on the disk."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from apiece.core.image import ImageRef
from apiece.errors import ApieceError

__all__ = ["Thumbs"]

_AHEAD = 2000  # images on either side of the image that was asked for last


class Thumbs:
    """Keep small pictures in one file, each until its image is written anew.

    Parameters
    ----------
    file : where they are kept; in memory, if it cannot be written.
    find : gives the image of a number.
    count : how many images there are.
    make : gives the small picture of an image by its number, as a JPEG.
    """

    def __init__(
        self, file: Path, find: Callable[[int], ImageRef], count: Callable[[], int], make: Callable[[int], bytes]
    ) -> None:
        self._find, self._count, self._make = find, count, make
        self._lock = threading.Lock()  # of the database
        self._asked, self._near = threading.Event(), 0
        self._maker: threading.Thread | None = None
        try:
            self._kept = self._open(str(file))
        except sqlite3.Error:
            self._kept = self._open(":memory:")

    @staticmethod
    def _open(place: str) -> sqlite3.Connection:
        kept = sqlite3.connect(place, check_same_thread=False, isolation_level=None)
        kept.execute("PRAGMA synchronous=OFF")  # what a power cut destroys is made again
        kept.execute("PRAGMA journal_mode=MEMORY")
        kept.execute("CREATE TABLE IF NOT EXISTS thumbs (name TEXT PRIMARY KEY, stamp TEXT, jpeg BLOB)")
        return kept

    def get(self, number: int) -> bytes:
        """Return the small picture of an image; its neighbours are made next, in the background."""
        self._near = number
        self._asked.set()
        with self._lock:
            if self._maker is None:
                self._maker = threading.Thread(target=self._make_ahead, daemon=True)
                self._maker.start()
        return self._made(number)

    def _made(self, number: int) -> bytes:
        ref = self._find(number)
        name, stamp = f"{ref.path}|{ref.page}", _stamp(ref)
        with self._lock, suppress(sqlite3.Error):  # of a damaged file nothing is read; the picture is made again
            row = self._kept.execute("SELECT jpeg FROM thumbs WHERE name = ? AND stamp = ?", (name, stamp)).fetchone()
            if row is not None:
                return bytes(row[0])
        data = self._make(number)
        with self._lock, suppress(sqlite3.Error):  # of a full disk another request will tell
            self._kept.execute("INSERT OR REPLACE INTO thumbs VALUES (?, ?, ?)", (name, stamp, data))
        return data

    def _make_ahead(self) -> None:
        if sys.platform == "linux":  # elsewhere a thread has no priority of its own, and its number may be a process's
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        while self._asked.wait():
            self._asked.clear()
            near = self._near
            for number in _around(near, self._count()):
                with suppress(ApieceError, OSError):  # the page tells it where it is shown
                    self._made(number)
                if abs(self._near - near) > 100:  # the person has jumped
                    self._asked.set()
                    break


def _around(near: int, count: int) -> Iterator[int]:
    """Yield the numbers around one, from the nearest on, twice as many after it as before it."""
    for step in range(1, _AHEAD):
        yield from (n for n in (near + 2 * step - 1, near + 2 * step, near - step) if 0 <= n < count)


def _stamp(ref: ImageRef) -> str:
    with suppress(OSError):  # whoever reads the image says that it is gone
        state = os.stat(ref.path)
        return f"{state.st_mtime_ns} {state.st_size}"
    return ""
