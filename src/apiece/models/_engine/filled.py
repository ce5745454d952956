"""A graph of ONNX without its tensors, and the file of the tensors: together they are a network, without torch.

So the model that comes with apiece has its weights once, for torch and for the runtimes that do without it.
"""

from __future__ import annotations

import numpy as np

from apiece._arrays import Array
from apiece._tensors import tensors_of

_FLOAT = 1  # ONNX's number for float32


def filled(graph: bytes, tensors: bytes) -> bytes:
    """Return a graph of ONNX with the tensors of a safetensors file, by name, in float32.

    Bytes of protobuf may be followed by more of the same message, which are joined: the tensors go behind the graph.
    """
    numbers = {name: values for name, values in tensors_of(tensors)[0].items() if values.dtype.kind == "f"}
    behind = b"".join(_field(5, _tensor(name, values)) for name, values in numbers.items())
    return graph + _field(7, behind)  # ModelProto.graph, and GraphProto.initializer within


def _tensor(name: str, values: Array) -> bytes:
    """Return a TensorProto: dims, data_type, name, raw_data."""
    dims = b"".join(b"\x08" + _varint(side) for side in values.shape)
    raw = np.ascontiguousarray(values, "<f4").tobytes()
    return dims + b"\x10" + _varint(_FLOAT) + _field(8, name.encode()) + _field(9, raw)


def _field(number: int, content: bytes) -> bytes:
    """Return a field whose length stands before it."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    """Return a number in groups of 7 bits, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
