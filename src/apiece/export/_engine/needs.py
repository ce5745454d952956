"""What a machine needs that predicts with an exported model and does nothing else, as files for pip."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution

import apiece

# apiece's own, without SciPy: 113 MB that `predict` does not import
_OWN = (
    "numpy", "opencv-python-headless", "imagecodecs", "pillow", "tifffile", "roifile", "pyyaml", "rich", "cyclopts",
)  # fmt: skip
_SERVE = ("scipy", "fastapi", "uvicorn", "python-multipart")  # a server measures, too


def requirements(package: str) -> dict[str, str]:
    """Return ``requirements.txt``, for `predict`, and ``requirements-serve.txt``, if what `serve` needs is here.

    They hold the versions that are installed here, in which parity was measured. ``package`` is the runtime's.
    """
    needed = _with_theirs([*_OWN, *([package] if package else [])])
    more = {name: version for name, version in _with_theirs(_SERVE).items() if name not in needed}
    first = [
        "# What predict needs on a machine without torch, in the versions that parity.json was measured with.",
        "# SciPy is left out: pip install --no-deps -r requirements.txt",
        f"apiece=={apiece.__version__}",
    ]
    files = {"requirements.txt": [*first, *_pinned(needed)]}
    if "fastapi" in more:
        files["requirements-serve.txt"] = ["-r requirements.txt", *_pinned(more)]
    return {name: "\n".join(lines) + "\n" for name, lines in files.items()}


def _pinned(versions: dict[str, str]) -> list[str]:
    return [f"{name}=={version}" for name, version in sorted(versions.items())]


def _with_theirs(names: Sequence[str]) -> dict[str, str]:
    """Return the versions of packages that are installed here, and of all that these need."""
    from packaging.requirements import Requirement  # comes with transformers

    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            there = distribution(name)
        except PackageNotFoundError:
            continue
        found[name] = there.version
        for line in there.requires or ():
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate({"extra": ""}):
                waiting.append(wanted.name)
    return found
