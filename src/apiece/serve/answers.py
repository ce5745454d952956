"""Uploads to images, and instances to the bytes of an answer."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from apiece._atomic import fleeting
from apiece._strict_json import plain
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.errors import ImageError, LossyFormatError
from apiece.images import image_size, read_image
from apiece.predict import OUTPUTS, Source
from apiece.predict.writing import Run, write_results
from apiece.serve.limits import Limits

__all__ = ["MEDIA_TYPES", "answer_files", "as_one_file", "json_bytes", "media_type", "read_upload"]

_TYPES = {".json": "application/json", ".geojson": "application/geo+json", ".csv": "text/csv", ".png": "image/png",
          ".tif": "image/tiff", ".jpg": "image/jpeg", ".zip": "application/zip", ".jsonl": "application/x-ndjson",
          ".mp4": "video/mp4"}  # fmt: skip
MEDIA_TYPES = (*_TYPES.values(), "application/octet-stream")
"""What an answer to images may be."""


def read_upload(data: bytes, index: int, limits: Limits) -> Image:
    """Return the image that some bytes are; its header is looked at before it is decoded.

    Raises
    ------
    HTTPException
        If they are no image, or one that is too large.
    """
    with tempfile.TemporaryDirectory(prefix="apiece-") as folder:
        path = Path(folder) / "image"  # what the upload is called plays no part
        path.write_bytes(data)
        try:
            height, width = image_size(path)
            if height * width > limits.image_pixels:
                raise HTTPException(
                    413, f"image {index} has {height} x {width} pixels; {limits.image_pixels:,} are allowed"
                )
            image = read_image(path, max_pixels=limits.image_pixels)
        except ImageError as error:
            raise HTTPException(422, f"image {index} {error.reason}") from error
    return replace(image, path=None)


def answer_files(
    images: Sequence[Image], found: Sequence[Instances], classes: tuple[str, ...], format: str
) -> tuple[bytes, str]:
    """Return an answer and its media type: one file, or a zip archive where each image has a file of its own.

    Raises
    ------
    HTTPException
        If a label map cannot hold masks that overlap.
    """

    def results(run: Run) -> Generator[tuple[Source, Image, Instances]]:
        yield from zip(run.sources, images, found, strict=True)

    with tempfile.TemporaryDirectory(prefix="apiece-") as folder, fleeting():
        try:
            write_results(results, classes, "predicted by apiece", list(images), folder, (format,))
        except LossyFormatError as error:
            raise HTTPException(422, f"{error.reason}; ask for another format") from error
        one = as_one_file(Path(folder) / OUTPUTS[format], Path(folder))
        return one.read_bytes(), media_type(one)


def as_one_file(path: Path, folder: Path) -> Path:
    """Return a file, the only file of a folder, or a new zip archive in ``folder`` of all files of one."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    if len(files) == 1:
        return files[0]
    archive = folder / "results.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for file in files:
            packed.write(file, file.relative_to(path))
    return archive


def media_type(path: Path) -> str:
    """Return what a file of an answer is."""
    return _TYPES.get(path.suffix, "application/octet-stream")


def json_bytes(value: Any) -> bytes:
    """Return JSON in which what is no number is null."""
    return json.dumps(plain(value), allow_nan=False).encode()
