"""How label files of all machines spell the names of images, as one form that can be looked for."""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from apiece.formats._kit.checks import BadEntryError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_DRIVE = re.compile(r"[A-Za-z]:")
_UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")
"""What Label Studio puts before the name of an image that was uploaded."""


def spelled(stated: str) -> str:
    """Return the name of an image as a path with slashes and without ``..``.

    A name that leaves its folder (of a drive, a server, an address, or above the label file) gets a slash before it:
    it is a place on another machine, of which only the last parts can be found again.

    >>> [spelled(name) for name in ("a.png", "sub\\\\a.png", "D:\\\\x\\\\a.png", "../x/a.png", "file:///x/a%20b.png")]
    ['a.png', 'sub/a.png', '/x/a.png', '/x/a.png', '/x/a b.png']
    """
    if stated and stated.isprintable() and not ("\\" in stated or ".." in stated or ":" in stated or stated[0] == "/"):
        return stated  # nearly every name, and files have hundreds of thousands
    if not stated:
        raise BadEntryError("is empty")
    if "\0" in stated or any(0xD800 <= ord(c) < 0xE000 for c in stated):
        raise BadEntryError(f"{stated!r} is no file name")
    text, elsewhere = _without_address(stated)
    text = text.replace("\\", "/")
    if _DRIVE.match(text):
        text, elsewhere = text[2:], True
    whole = posixpath.normpath(text)
    parts = [part for part in whole.split("/") if part not in ("", ".", "..")]
    if not parts:
        raise BadEntryError(f"{stated!r} is no file name")
    return ("/" if elsewhere or whole.startswith(("/", "../")) else "") + "/".join(parts)


def all_plain(names: Sequence[str]) -> bool:
    """Return whether `spelled` would change none of the names; quick, and False where it is not sure."""
    text = "|".join(names)
    return (
        all(names)
        and text.isprintable()
        and not any(sign in text for sign in ("\\", "..", ":", "|/"))
        and text[:1] != "/"
    )


def _without_address(stated: str) -> tuple[str, bool]:
    """Return the path in an address, and whether there was an address."""
    scheme = _SCHEME.match(stated) is not None
    if not scheme and "?d=" not in stated:
        return stated, False
    try:
        parts = urlsplit(stated)
        local = parse_qs(parts.query).get("d")
    except ValueError:
        raise BadEntryError(f"{stated[:100]!r} is no address") from None
    if "/local-files/" in stated and local:
        return local[0], False  # relative to the root that Label Studio serves
    return (unquote(parts.path), True) if scheme else (stated, False)


def called(names: Sequence[str]) -> Sequence[str]:
    """Return what images are called, by the names of a label file that `spelled` made.

    An image of another machine is called by the last part of its path; by the whole where two images share that part.

    >>> called(["sub/a.png", "/x/b.png", "/x/c.png", "/y/c.png"])
    ['sub/a.png', 'b.png', 'x/c.png', 'y/c.png']
    """
    if not any(name.startswith("/") for name in names):
        return names
    here = {name for name in names if not name.startswith("/")}
    uses = Counter(name.rpartition("/")[2] for name in names)

    def short(name: str) -> str:
        whole, last = name[1:], name.rpartition("/")[2]
        return last if uses[last] == 1 else f"elsewhere/{whole}" if whole in here else whole

    return [short(name) if name.startswith("/") else name for name in names]


def variants(name: str) -> Iterator[str]:
    """Yield a name, the name without ``%20`` and the like, and without what Label Studio puts before it."""
    yield name
    if "%" in name:
        yield unquote(name)
    folder, slash, last = name.rpartition("/")
    if _UPLOADED.match(last):
        yield folder + slash + _UPLOADED.sub("", last, count=1)


def folded(name: str) -> str:
    """Return a name such that spellings of it are equal which some file systems take for the same."""
    return name if name.isascii() and name.islower() else unicodedata.normalize("NFC", name).casefold()


def common_tail(name: str, other: str) -> int:
    """Return how many parts two paths have in common at their ends.

    >>> common_tail("/data/photos/sub/a.png", "set/photos/sub/A.png")
    3
    """
    count = 0
    for a, b in zip(reversed(folded(name).split("/")), reversed(folded(other).split("/")), strict=False):
        if a != b or not a:
            break
        count += 1
    return count
