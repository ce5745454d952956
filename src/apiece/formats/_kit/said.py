"""What a set of instances says besides its masks, instance by instance, for writers."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Int
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError


@dataclass(slots=True)
class Said:
    """What is known of one instance, as Python values."""

    label: int
    name: str
    id: int | None
    score: float | None
    crowd: bool
    attributes: dict[str, Any]
    """Without the ones that are None."""


def said_of(instances: Instances) -> list[Said]:
    """Return what is known of each instance."""
    nothing = [None] * len(instances)
    ids = nothing if instances.ids is None else instances.ids.tolist()
    scores = nothing if instances.scores is None else instances.scores.tolist()
    attributes: list[dict[str, Any]] = [{} for _ in nothing]
    for name, column in instances.attributes.items():
        for said, value in zip(attributes, column.tolist(), strict=True):
            if value is not None:
                said[name] = value
    rows = zip(
        instances.labels.tolist(), instances.names, ids, scores, instances.crowd.tolist(), attributes, strict=True
    )
    return [Said(*row) for row in rows]


def said_stuff(metadata: Mapping[str, Any], classes: Iterable[str]) -> tuple[str, ...]:
    """Return the classes that a set's metadata names as stuff, by ``isthing`` 0 in the categories of any format."""
    tables = (said.get("categories", ()) for said in metadata.values() if isinstance(said, Mapping))
    rows = [row for row in itertools.chain.from_iterable(tables) if isinstance(row, Mapping)]
    named = {row.get("name") for row in rows if row.get("isthing") == 0}
    return tuple(name for name in classes if name in named)


def numbered(instances: Instances) -> Int:
    """Return the ids, or 1, 2 ... where there are none: the pixel values of a label image."""
    return np.arange(1, len(instances) + 1) if instances.ids is None else instances.ids


def refuse_own(path: Path, where: str, instances: Instances, own: Container[str], owner: str) -> None:
    """Refuse attributes that have the name of a key of the format's own; ``where`` goes into the message."""
    for name in instances.attributes:
        if name in own:
            reason = f"{where}, attribute {name!r}: is a key of {owner}'s own; rename it"
            raise LossyFormatError(path, reason, "attributes")


def stated(path: Path, where: str, instances: Instances, name: str, shape: tuple[int, ...]) -> list[Any] | None:
    """Return the area or box that a file stated other than the masks do; None where the instances keep none."""
    values = instances.attributes.get(name)
    if values is None:
        return None
    expected = (len(instances), *shape)
    if values.shape != expected or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
        raise FormatError(path, f"{where}: attribute {name!r} must be finite numbers of shape {expected}")
    return list(values.tolist())
