"""A client of the server, with the standard library alone."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apiece import formats
from apiece.core.instances import Instances
from apiece.errors import ApieceError

__all__ = ["Client", "ServerError"]


class ServerError(ApieceError):
    """Hold why a server did not answer.

    Attributes
    ----------
    status : of the answer, such as 503 when too much waits; 0 if no server is there.
    """

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"the server answers {status}: {said}" if status else said)
        self.status = status


class Client:
    """Ask a server that ``apiece serve`` started.

    Parameters
    ----------
    url : where it listens, such as ``"http://localhost:8000"``.
    key : the server's key, if it has one.
    timeout : seconds to wait for an answer.

    Examples
    --------
    >>> client = Client("http://localhost:8000")
    >>> client.predict("photo.jpg")  # doctest: +SKIP
    Instances(12 on 480 x 640: 9 bolt, 3 nut)
    """

    def __init__(self, url: str, key: str | None = None, timeout: float = 120.0) -> None:
        self.url, self.timeout = url.rstrip("/"), timeout
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def predict(self, image: str | os.PathLike[str] | bytes, *, conf: float | None = None) -> Instances:
        """Return the instances of an image file, or of its bytes.

        Raises
        ------
        ServerError
            If the server refuses it (with the reason), or is not there.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "predictions.json"
            path.write_bytes(self.answer([image], format="coco", conf=conf))
            ((_, found),) = formats.read(path, "coco")
            return found

    def answer(
        self, images: Sequence[str | os.PathLike[str] | bytes], *, format: str = "coco", conf: float | None = None
    ) -> bytes:
        """Return the answer to several images as it comes: a file of ``format``, or a zip archive of them."""
        query = {"format": format} | ({} if conf is None else {"conf": f"{conf:g}"})
        body, kind = _form([image if isinstance(image, bytes) else Path(image).read_bytes() for image in images])
        return self._ask(f"/v1/predict?{urllib.parse.urlencode(query)}", body, kind)

    def measure(
        self, image: str | os.PathLike[str] | bytes, *, conf: float | None = None, pixel_size: str | None = None
    ) -> dict[str, Any]:
        """Return a row of measurements for each object of an image, and units: ``{"rows": [...], "units": {...}}``."""
        asked = {"conf": None if conf is None else f"{conf:g}", "pixel_size": pixel_size}
        query = urllib.parse.urlencode({key: value for key, value in asked.items() if value is not None})
        body, kind = _form([image if isinstance(image, bytes) else Path(image).read_bytes()])
        found: dict[str, Any] = json.loads(self._ask(f"/v1/measure?{query}", body, kind))
        return found

    def model(self) -> dict[str, Any]:
        """Return what the server says of its model."""
        found: dict[str, Any] = json.loads(self._ask("/v1/model"))
        return found

    def _ask(self, path: str, body: bytes | None = None, kind: str = "") -> bytes:
        headers = self._headers | ({"Content-Type": kind} if kind else {})
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                found: bytes = answer.read()
                return found
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                said = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                said = text[:200]
            raise ServerError(error.code, said) from error
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            raise ServerError(0, f"no server answers at {self.url}: {error}") from error


def _form(files: Sequence[bytes]) -> tuple[bytes, str]:
    """Return files as a form, and its media type (RFC 7578)."""
    mark = secrets.token_hex(16)
    parts = [
        f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{i}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + data
        + b"\r\n"
        for i, data in enumerate(files)
    ]
    return b"".join(parts) + f"--{mark}--\r\n".encode(), f"multipart/form-data; boundary={mark}"
