"""`Depthwise`: convolutions in groups in float32, for training in bfloat16 on a CPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class Depthwise(TorchFunctionMode):
    """Inside of this context, convolutions in groups take and give float32, whatever autocast says.

    In bfloat16 their gradients take 2 to 40 times as long on a CPU as in float32 (torch 2.15, channels last), since
    oneDNN has no fast code for them; they were seven tenths of a training step of an EfficientNet.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        groups = args[6] if len(args) > 6 else kwargs.get("groups", 1)
        if func is not torch.conv2d or groups == 1:
            return func(*args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return func(args[0].float(), *args[1:], **kwargs)
