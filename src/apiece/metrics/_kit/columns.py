"""Dataclasses of arrays, kept batch by batch and put end to end when all are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from apiece.core.runs import sums

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    T = TypeVar("T", bound=DataclassInstance)


def joined(parts: Sequence[T], offsets: Sequence[str] = ()) -> T:
    """Return one or more parts as one: arrays end to end, other fields as the first part has them.

    ``offsets`` names the fields that say where each image's rows begin and end.
    """
    made: dict[str, Any] = {}
    for field in fields(parts[0]):
        columns = [getattr(part, field.name) for part in parts]
        if field.name in offsets:
            made[field.name] = sums(np.concatenate([np.diff(c) for c in columns]))
        elif isinstance(columns[0], np.ndarray):
            made[field.name] = np.concatenate(columns)
    return replace(parts[0], **made)
