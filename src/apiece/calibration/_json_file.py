"""Reading the files of cameras."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apiece._strict_json import StrictError, parse
from apiece.errors import ConfigError, FormatError

__all__ = ["json_file"]


@contextmanager
def json_file(path: Path) -> Iterator[Any]:
    """Give the content of a JSON file; what is found wrong with it becomes a `FormatError` that names the file."""
    try:
        yield parse(path.read_bytes())
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}") from None
    except (StrictError, ConfigError) as error:
        raise FormatError(path, str(error)) from None
