"""A network of torch as one graph of ONNX, for images of any size where that can be, and held against the network."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from apiece._arrays import Float32
from apiece.errors import ConfigError, Message, Option
from apiece.models import LoadedModel, decoder_names, threads
from apiece.models.contract import Part
from apiece.predict.runtime import MAIN

_ANY = ("batch", "height", "width")
_FREE: tuple[tuple[str, ...], ...] = (_ANY, ("batch",), ())
"""What is left free in a graph, the most first."""
_MOST = 1 << 16  # pixels along a side
_NEAR = 1e-3  # largest difference of an output, as a share of its largest value


@dataclass(frozen=True, eq=False)
class Traced:
    """A network as a graph.

    Attributes
    ----------
    graphs : ONNX files by name; ``model`` takes images.
    outputs : names of what each gives.
    size : (height, width) that it takes; None: any multiples of the stride.
    alone : whether it takes one image at a time.
    why : why it takes one size only; empty where it takes any.
    """

    graphs: Mapping[str, bytes]
    outputs: Mapping[str, tuple[str, ...]]
    size: tuple[int, int] | None
    alone: bool
    why: str = ""


def trace(model: LoadedModel) -> Traced:
    """Return the network as a graph of ONNX.

    Raises
    ------
    ConfigError
        if its outputs cannot be decoded without torch, torch cannot make a graph of it, or the graph answers otherwise.
    """
    if model.name not in decoder_names():
        raise ConfigError(
            f"{model.name} cannot be exported: its answers are decoded by torch; architectures that can be are "
            f"{', '.join(decoder_names())}"
        )
    parts = (
        {MAIN: Part(model.module, {}, {})}
        if model.architecture.parts is None
        else model.architecture.parts(model.module)
    )
    why = ""
    for free in _FREE:
        try:
            found = _traced(model, parts[MAIN].module, free, why)
            break
        except _NoGraphError as error:
            why = why or str(error)  # of the most that was tried
    else:
        raise ConfigError(f"{model.name} cannot be exported: {why}")
    try:
        more = {name: _traced_part(part) for name, part in parts.items() if name != MAIN}
    except _NoGraphError as error:
        raise ConfigError(f"{model.name} cannot be exported: {error}") from error
    graphs = {name: data for name, (data, _) in more.items()}
    outputs = {name: given for name, (_, given) in more.items()}
    return replace(found, graphs={**found.graphs, **graphs}, outputs={**found.outputs, **outputs})


class _NoGraphError(Exception):
    """Why there is no graph."""


def _traced(model: LoadedModel, module: nn.Module, free: Collection[str], why: str) -> Traced:
    """Return the graph that leaves some of batch and size free; checked on other images than it was traced with."""
    step, channels = model.input.step(model.stride), model.input.channels
    dims = {name: torch.export.Dim(name, min=1, max=_MOST if name == "batch" else _MOST // step) for name in _ANY}
    shapes: dict[int, Any] = {0: dims["batch"]} if "batch" in free else {}
    count, size = 2 if "batch" in free else 1, None if "height" in free else _fixed_size(model)
    if size is None:
        # the units differ from each other, so that none is taken for another
        example = torch.rand(count, channels, step * max(6, 96 // step), step * max(10, 160 // step))
        shapes |= {2: step * dims["height"], 3: step * dims["width"]}
        few, more = step * max(2, 67 // step), step * max(3, 101 // step)
        checks = [(1, channels, few, more), (3, channels, more, few)]
    else:
        example = torch.rand(count, channels, *size)
        checks = [(1, channels, *size)]
    data, outputs = _graph(module, {"images": example}, {"images": shapes})
    draw = torch.Generator().manual_seed(0)
    for shape in checks:
        _check(module, data, {"images": torch.rand(shape, generator=draw)})
    return Traced({MAIN: data}, {MAIN: outputs}, size, "batch" not in free, why)


def _traced_part(part: Part) -> tuple[bytes, tuple[str, ...]]:
    """Return the graph of a further part, checked on other inputs than it was traced with, and its outputs."""
    names = sorted({name for axes in part.free.values() for name in axes.values()})
    dims = {name: torch.export.Dim(name, min=1, max=_MOST) for name in names}
    shapes = {name: {k: dims[d] for k, d in axes.items()} for name, axes in part.free.items()}
    made = _graph(part.module, part.example, shapes)
    _check(part.module, made[0], part.other)
    return made


def _graph(
    module: nn.Module, example: Mapping[str, Tensor], shapes: Mapping[str, Mapping[int, Any]]
) -> tuple[bytes, tuple[str, ...]]:
    """Return the graph of a module in evaluation, and the names of its outputs."""
    with torch.inference_mode():
        outputs = tuple(module.eval()(*example.values()))
    try:
        with _quiet(), _Linspace():
            program = torch.onnx.export(
                module, tuple(example.values()), dynamo=True, dynamic_shapes=tuple(shapes[name] for name in example),
                input_names=list(example), output_names=list(outputs), verbose=False, external_data=False,
            )  # fmt: skip
        assert program is not None
        return program.model_proto.SerializeToString(), outputs
    except Exception as error:  # of torch's compiler, of many types
        raise _NoGraphError(f"torch makes no graph of it ({_first_line(error)})") from error


class _Linspace(TorchFunctionMode):
    """Let graphs count the values of `torch.linspace`: torch writes down how many there are while it traces."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not torch.linspace:
            return func(*args, **(kwargs or {}))
        start, end, steps = args
        return torch.arange(steps, **(kwargs or {})) * ((end - start) / torch.sym_max(steps - 1, 1)) + start


def _fixed_size(model: LoadedModel) -> tuple[int, int]:
    """Return the one size that holds every image which the model's input makes."""
    spec, step = model.input, model.input.step(model.stride)
    if spec.fit is not None and spec.fit.exact is not None:
        size = spec.fit.size(spec.fit.exact)
    elif spec.imgsz is not None:
        size = (spec.imgsz, spec.imgsz)
    else:
        raise ConfigError(
            Message(f"{model.name} can be exported for one size of image only; say which with ") + Option("imgsz", ...)
        )
    return math.ceil(size[0] / step) * step, math.ceil(size[1] / step) * step


def _check(module: nn.Module, data: bytes, inputs: Mapping[str, Tensor]) -> None:
    """Hold the graph against the network: torch may write a graph that holds for one size alone."""
    with torch.inference_mode():
        wanted = {k: v.float().numpy() for k, v in module(*inputs.values()).items()}
    try:
        found = session(data).run(list(wanted), {name: values.numpy() for name, values in inputs.items()})
    except Exception as error:  # of a dozen types of its own
        raise _NoGraphError(f"its graph fails on other sizes ({_first_line(error)})") from error
    for (name, value), got in zip(wanted.items(), found, strict=True):
        if got.shape != value.shape or _apart(value, got.astype(np.float32)) > _NEAR:
            size = " x ".join(map(str, next(iter(inputs.values())).shape))
            raise _NoGraphError(f"its graph gives other {name} than the network on an input of {size}")


def _apart(a: Float32, b: Float32) -> float:
    return float(np.abs(a - b).max(initial=0) / (np.abs(a).max(initial=0) + 1e-6))


def session(data: bytes) -> onnxruntime.InferenceSession:
    """Return what computes a graph on the CPU."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads(), 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _first_line(error: Exception) -> str:
    """Return what an error, or its cause, says first."""
    cause = error.__cause__ or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return (lines[0] if lines else type(cause).__name__)[:160]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's notes on its own work from people who can do nothing about them."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
