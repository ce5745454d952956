"""Networks built for the shapes of their tensors alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class _Unfilled(TorchFunctionMode):
    """Let `torch.nn.init` do nothing: on tensors without memory it first imports torch's compiler, for a second."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == torch.nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Make the networks of the block without memory and without values.

    >>> from torch import nn
    >>> with shapes_only():
    ...     layer = nn.Linear(3, 2)
    >>> layer.weight.shape, layer.weight.is_meta
    (torch.Size([2, 3]), True)
    """
    with torch.device("meta"), _Unfilled():
        yield
