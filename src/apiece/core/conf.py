"""The lowest score that counts, as every command and function takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float
from apiece.errors import ConfigError, Option, UnknownNameError

__all__ = ["Conf", "thresholds"]

Conf: TypeAlias = float | Mapping[str, float] | Sequence[float] | Float
"""One number for all classes, a mapping from class names, or one number for each class in order."""


def thresholds(conf: Conf | None, classes: Sequence[str], default: npt.ArrayLike = 0.0) -> Float:
    """Return the lowest score that counts of each class.

    Parameters
    ----------
    conf : as above; None: ``default``.
    classes : K class names.
    default : one number, or one for each class: of the classes that a mapping does not name.

    Returns
    -------
    float64 (K,).

    Raises
    ------
    ConfigError
        if there are several numbers, but not one for each class.
    UnknownNameError
        if a mapping names a class that is not among ``classes``.

    Examples
    --------
    >>> thresholds({"nut": 0.7}, ("bolt", "nut"), default=0.5).tolist()
    [0.5, 0.7]
    """
    values = np.array(np.broadcast_to(np.asarray(default, np.float64), (len(classes),)))
    if isinstance(conf, Mapping):
        for name, value in conf.items():
            if name not in classes:
                raise UnknownNameError("class", name, classes)
            values[classes.index(name)] = value
    elif conf is not None:
        if np.ndim(conf) and np.shape(conf) != values.shape:
            raise ConfigError(
                Option("conf") + f" needs one number or {len(classes)}, one per class; got {np.size(conf)}"
            )
        values[:] = conf
    return values
