"""Instances as few bytes: a JSON header, then the runs of all masks as variable-length integers, gzipped.

Layout: a little-endian uint32, the length of the header; the header; four streams of LEB128 integers in a row:
runs of each mask, then of each run the column, the first row and the length. A column is told as its distance from the
run before. A first row and a length are told as their differences (zigzag) from the run before. The first run of
a mask follows on column 0, row 0 and length 0.

Of a large image all objects are told without their runs: the header has their ``count``, and the streams are keys,
classes, areas, left and upper sides (zigzag), widths, heights, and 10,000 times the scores if there are any. Keys and
sides are told as differences from the object before.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from apiece._arrays import Array, Int, UInt8
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import CHUNK, sums
from apiece.serve.studio.large import Columns

__all__ = ["decode_masks", "encode", "encode_columns"]


def encode(instances: Instances, keys: Int, more: Mapping[str, Any]) -> bytes:
    """Return the instances for the page, gzipped.

    Parameters
    ----------
    keys : the number that each object keeps while it is worked on.
    more : what else the header says.
    """
    scores = instances.scores
    header = {
        **more,
        "size": instances.size,
        "keys": keys.tolist(),
        "labels": instances.labels.tolist(),
        "areas": instances.masks.area.tolist(),
        "scores": None if scores is None else scores.astype(np.float32).round(4).tolist(),
        "ids": None if instances.ids is None else instances.ids.tolist(),
        "crowd": np.flatnonzero(instances.crowd).tolist(),
    }
    return _told(header, _streams(instances.masks))


def encode_columns(columns: Columns, size: tuple[int, int], more: Mapping[str, Any]) -> bytes:
    """Return all objects of a large image for the page, without their masks, gzipped."""
    scores = columns.scores
    x0, y0, x1, y1 = columns.boxes.T
    steps: list[Callable[[], Array]] = [
        lambda: np.diff(columns.keys, prepend=0),
        lambda: columns.labels,
        lambda: columns.areas,
        lambda: _zigzag(np.diff(x0, prepend=0).astype(np.int64)),
        lambda: _zigzag(np.diff(y0, prepend=0).astype(np.int64)),
        lambda: x1 - x0,
        lambda: y1 - y0,
    ]
    if scores is not None:
        steps.append(lambda: (10_000 * scores).round())
    header = {**more, "size": size, "count": len(columns.keys), "scored": scores is not None}
    some = range(0, len(columns.keys), CHUNK // 16)  # a part at a time: memory for one, not for all
    parts = (
        _varints(values[k : k + CHUNK // 16].astype(np.int64)) for step in steps for values in [step()] for k in some
    )
    return _told(header, np.concatenate([np.zeros(0, np.uint8), *parts]))


def _told(header: Mapping[str, Any], streams: UInt8) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    return gzip.compress(struct.pack("<I", len(text)) + text + streams.tobytes(), 1)


def _streams(masks: Masks) -> UInt8:
    first = masks.offsets[:-1][np.diff(masks.offsets) > 0]
    columns, rows = (_steps(values, first) for values in (masks.x, masks.y0))
    lengths = _steps(masks.y1 - masks.y0, first)
    return _varints(np.concatenate([np.diff(masks.offsets), columns, _zigzag(rows), _zigzag(lengths)]))


def _steps(values: Array, first: Int) -> Int:
    """Return differences from the value before; a value at ``first`` as it is."""
    steps = np.diff(values, prepend=0).astype(np.int64)
    steps[first] = values[first]
    return steps


def _zigzag(values: Int) -> Int:
    return np.asarray((values << 1) ^ (values >> 63))


def _varints(values: Int) -> UInt8:
    """Return integers from 0 to 2^35 as LEB128: 7 bits a byte, the lowest first; the high bit says that more follow."""
    count = np.ones(len(values), np.int64)
    for k in range(1, 5):
        count += values >= 1 << 7 * k
    place = np.cumsum(count) - count
    out = np.zeros(int(count.sum()), np.uint8)
    for k in range(int(count.max(initial=0))):
        some = np.flatnonzero(count > k)
        more = np.where(count[some] > k + 1, 128, 0)
        out[place[some] + k] = ((values[some] >> 7 * k) & 127) | more
    return out


def decode_masks(data: bytes) -> tuple[dict[str, Any], Masks]:
    """Return header and masks of what `encode` gave."""
    raw = gzip.decompress(data)
    (length,) = struct.unpack_from("<I", raw)
    header: dict[str, Any] = json.loads(raw[4 : 4 + length])
    stream = np.frombuffer(raw, np.uint8, offset=4 + length).astype(np.int64)
    end = np.flatnonzero(stream < 128)
    begin = np.append(0, end + 1)[:-1]
    values = np.zeros(len(end), np.int64)
    for k in range(int((end - begin).max(initial=0)) + 1):
        some = begin + k <= end
        values[some] |= (stream[begin[some] + k] & 127) << 7 * k
    count = len(header["keys"])
    offsets = sums(values[:count])
    dx, dy, dn = values[count:].reshape(3, -1)
    first = np.repeat(offsets[:-1], values[:count])

    def summed(steps: Int) -> Int:
        total = np.cumsum(steps)
        return total - np.append(0, total)[first]

    y0 = summed((dy >> 1) ^ -(dy & 1))
    return header, Masks(tuple(header["size"]), summed(dx), y0, y0 + summed((dn >> 1) ^ -(dn & 1)), offsets)
