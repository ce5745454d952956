"""Optional dependencies: the extra that brings each, and the error that says how to install it.

A base install reads, writes, checks, measures, evaluates and draws. What needs more is imported when it is first
used: by a room's front (`apiece._lazy`), as a plugin (`apiece._plugins`), by a backend of prompts or by a command. All
use `extras`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from apiece.errors import MissingExtraError

_BROUGHT_BY = {
    **dict.fromkeys(("huggingface_hub", "safetensors", "timm", "torch", "torchvision", "transformers"), "models"),
    **dict.fromkeys(("lightning", "matplotlib", "tensorboard"), "train"),
    "zarr": "zarr",
    "rasterio": "geo",
    "openslide": "slides",
    "onnxruntime": "onnx",
    "av": "video",
    "ray": "ray",
    **dict.fromkeys(("pyarrow", "xlsxwriter"), "tables"),
    **dict.fromkeys(("fastapi", "multipart", "pydantic", "python_multipart", "starlette", "uvicorn"), "serve"),
    "openvino": "openvino",
    **dict.fromkeys(("onnx", "onnxscript"), "export"),
    "scipy": "",  # of the base install, left out on a line PC
}
_LEARNERS = ("apiece.benchmark", "apiece.cli.demo", "apiece.training")  # need ``train``, whatever is missed first


@contextmanager
def extras() -> Iterator[None]:
    """Raise `MissingExtraError` where an optional dependency is absent.

    Every other `ImportError` passes, such as that of a package that is installed and broken.
    """
    try:
        yield
    except (ModuleNotFoundError, MissingExtraError) as error:
        extra = _BROUGHT_BY.get(error.name or "")
        if extra is None:
            raise
        if isinstance(error, MissingExtraError):
            extra = error.extra  # what a room further in has found
        if _passed(error.__traceback__, _LEARNERS):
            extra = "train"
        elif extra in ("models", "onnx") and _passed(error.__traceback__, ("apiece.export",)):
            extra = "export"
        raise MissingExtraError(str(error.name), extra) from None


def _passed(trace: TracebackType | None, rooms: tuple[str, ...]) -> bool:
    """Whether an error came by way of one of these rooms."""
    while trace is not None:
        module = f"{trace.tb_frame.f_globals.get('__name__')}."
        if module.startswith(tuple(f"{room}." for room in rooms)):
            return True
        trace = trace.tb_next
    return False
