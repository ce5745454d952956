"""A client of the server, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import tempfile
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any, Literal, Self, TypeAlias, TypedDict

import numpy as np

from apiece import formats
from apiece._atomic import atomic
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.prompts import Prompts
from apiece.errors import ApieceError, ConfigError

__all__ = ["Client", "ClientJob", "ClientSession", "ImageVerdict", "JobState", "MeasuredRows", "ServerError"]

One: TypeAlias = str | os.PathLike[str] | bytes
AnswerFormat: TypeAlias = Literal["coco", "geojson", "labelmap", "overlay", "csv"]


class ServerError(ApieceError):
    """Hold why a server did not answer.

    Attributes
    ----------
    status : of the answer, such as 503 when too much waits; 0 if no server is there.
    """

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"the server answers {status}: {said}" if status else said)
        self.status = status


class MeasuredRows(TypedDict):
    """What is measured: a row for each object, and the unit of each column."""

    rows: list[dict[str, Any]]
    units: dict[str, str]


class ImageVerdict(TypedDict):
    """The verdict on an image, what speaks against it, and every rule with its numbers."""

    verdict: Literal["pass", "unsure", "fail"]
    reasons: list[str]
    rules: list[dict[str, Any]]


class Client:
    """Ask a server that ``apiece serve`` started.

    Parameters
    ----------
    url : where it listens, such as ``"http://localhost:8000"``.
    key : the server's key, if it has one.
    timeout : seconds to wait for an answer.

    Raises
    ------
    ConfigError
        If ``url`` is no address that begins with ``http://`` or ``https://``.

    Examples
    --------
    >>> client = Client("http://localhost:8000")
    >>> client.predict("photo.jpg")  # doctest: +SKIP
    Instances(12 on 480 x 640: 9 bolt, 3 nut)
    """

    def __init__(self, url: str, key: str | None = None, timeout: float = 120.0) -> None:
        to = urllib.parse.urlsplit(url)
        if to.scheme not in ("http", "https") or not to.netloc:
            raise ConfigError(f"{url!r} is no address of a server; write it as 'http://localhost:8000'")
        self.url, self.timeout = url.rstrip("/"), timeout
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    def predict(self, image: One, *, conf: float | None = None) -> Instances:
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

    def answer(self, images: Sequence[One], *, format: AnswerFormat = "coco", conf: float | None = None) -> bytes:
        """Return the answer to several images as it comes: a file of ``format``, or a zip archive of them."""
        asked = _query({"format": format, "conf": _text(conf)})
        return self._ask(f"/v1/predict{asked}", *_form([_bytes(image) for image in images]))

    def measure(self, image: One, *, conf: float | None = None, pixel_size: str | None = None) -> MeasuredRows:
        """Return a row of measurements for each object of an image, and their units."""
        asked = {"conf": _text(conf), "pixel_size": pixel_size}
        found: MeasuredRows = json.loads(self._ask(f"/v1/measure{_query(asked)}", *_form([_bytes(image)])))
        return found

    def inspect(self, image: One, *, pixel_size: str | None = None) -> ImageVerdict:
        """Return the verdict on an image by the rules of the server, with its reasons."""
        asked = _query({"pixel_size": pixel_size})
        found: ImageVerdict = json.loads(self._ask(f"/v1/inspect{asked}", *_form([_bytes(image)])))
        return found

    def session(self, image: One) -> ClientSession:
        """Send an image once, to ask about it often with points and boxes.

        Examples
        --------
        >>> with Client("http://localhost:8000").session("photo.png") as session:  # doctest: +SKIP
        ...     found = session.ask(Prompts.of([(7, 5)]))
        """
        opened = json.loads(self._ask("/v1/sessions", *_form([_bytes(image)])))
        return ClientSession(self, opened["session"], (opened["size"][0], opened["size"][1]))

    def job(
        self, path: str | os.PathLike[str], *, kind: Literal["image", "video"] = "image", format: str = "coco",
        conf: float | None = None, tile: int | None = None, pixel_size: str | None = None, every: int = 1,
    ) -> ClientJob:  # fmt: skip
        """Send a slide or a video, and begin to work on it; parameters as at `/v1/jobs`.

        Examples
        --------
        >>> job = Client("http://localhost:8000").job("slide.tif", format="geojson")  # doctest: +SKIP
        >>> job.wait().result("slide.zip")  # doctest: +SKIP
        """
        asked = {"kind": kind, "format": format, "conf": _text(conf), "tile": _text(tile), "every": str(every)}
        asked["pixel_size"] = pixel_size
        with Path(path).open("rb") as file:
            told = json.loads(self._ask(f"/v1/jobs{_query(asked)}", file, "application/octet-stream"))
        return ClientJob(self, told["id"])

    def model(self) -> dict[str, Any]:
        """Return what the server says of its model."""
        found: dict[str, Any] = json.loads(self._ask("/v1/model"))
        return found

    def _ask(
        self, path: str, body: bytes | IO[bytes] | None = None, kind: str = "", method: str | None = None
    ) -> bytes:
        headers = self._headers | ({"Content-Type": kind} if kind else {})
        to = urllib.parse.urlsplit(self.url)
        connect = http.client.HTTPSConnection if to.scheme == "https" else http.client.HTTPConnection
        try:
            with closing(connect(to.netloc, timeout=self.timeout)) as connection:
                # a server that refuses answers before it has read all, and hangs up: the answer is there none the less
                with suppress(BrokenPipeError, ConnectionResetError):
                    connection.request(method or ("GET" if body is None else "POST"), to.path + path, body, headers)
                answer = connection.getresponse()
                found = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(0, f"no server answers at {self.url}: {error}") from error
        if answer.status >= 300:
            text = found.decode(errors="replace")
            try:
                said = json.loads(text)["message"]
            except (ValueError, KeyError, TypeError):
                said = text[:200]
            raise ServerError(answer.status, said)
        return found


class JobState(TypedDict):
    """How a job stands; ``total`` is None where it is not known."""

    id: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    done: int
    total: int | None
    message: str


class ClientJob:
    """A job of the server; `Client.job` begins it.

    Attributes
    ----------
    id : its name.
    """

    def __init__(self, client: Client, id: str) -> None:
        self.id, self._client = id, client

    def state(self) -> JobState:
        """Return how it stands."""
        told: JobState = json.loads(self._client._ask(f"/v1/jobs/{self.id}"))
        return told

    def wait(self, every: float = 1.0) -> Self:
        """Return when it has ended; the server is asked again after so many seconds."""
        while self.state()["state"] in ("waiting", "running"):
            time.sleep(every)
        return self

    def result(self, path: str | os.PathLike[str]) -> None:
        """Write its result to a file, whole or not at all.

        Raises
        ------
        ServerError
            If it is not done (409), or no longer there (404).
        """
        data = self._client._ask(f"/v1/jobs/{self.id}/result")
        with atomic(Path(path)) as temporary:
            temporary.write_bytes(data)

    def cancel(self) -> None:
        """End it; or let the server forget its result."""
        self._client._ask(f"/v1/jobs/{self.id}", method="DELETE")


class ClientSession:
    """An image that the server holds, to be asked about; `Client.session` opens it.

    Attributes
    ----------
    size : (height, width) of the image.
    """

    def __init__(self, client: Client, name: str, size: tuple[int, int]) -> None:
        self.size, self._client, self._path = size, client, f"/v1/sessions/{name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, prompts: Prompts) -> Instances:
        """Return one instance for each object that is asked for, as `apiece.predict.Session.ask` does.

        Raises
        ------
        ServerError
            If a prompt does not fit the image, or the session has ended (404).
        """
        body = json.dumps({"prompts": prompts.to_json()}).encode()
        found = json.loads(self._client._ask(f"{self._path}/segment", body, "application/json"))["objects"]
        scores = [one["score"] for one in found]
        scored = None if None in scores else np.array(scores, np.float64)
        return Instances(Masks.from_coco([one["mask"] for one in found], self.size), scores=scored)

    def close(self) -> None:
        """Let the server forget the image."""
        self._client._ask(self._path, method="DELETE")


def _bytes(image: One) -> bytes:
    return image if isinstance(image, bytes) else Path(image).read_bytes()


def _text(number: float | None) -> str | None:
    return None if number is None else str(number)  # the server checks it


def _query(asked: Mapping[str, str | None]) -> str:
    given = {key: value for key, value in asked.items() if value is not None}
    return f"?{urllib.parse.urlencode(given)}" if given else ""


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
