"""Instances as few bytes: a JSON header, then the runs of all masks as variable-length integers, gzipped.

Layout: a little-endian uint32, the length of the header; the header; four streams of LEB128 integers in a row:
runs of each mask, then of each run the column, the first row and the length. A column is told as its distance from the
run before. A first row and a length are told as their differences (zigzag) from the run before. The first run of
a mask follows on column 0, row 0 and length 0.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from apiece._arrays import Array, Int, UInt8
from apiece.core.instances import Instances
from apiece.core.masks import Masks

__all__ = ["decode_masks", "encode"]


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
    text = json.dumps(header, separators=(",", ":")).encode()
    return gzip.compress(struct.pack("<I", len(text)) + text + _streams(instances.masks).tobytes(), 1)


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
    offsets = np.append(0, np.cumsum(values[:count]))
    dx, dy, dn = values[count:].reshape(3, -1)
    first = np.repeat(offsets[:-1], np.diff(offsets))

    def summed(steps: Int) -> Int:
        total = np.cumsum(steps)
        return total - np.append(0, total)[first]

    y0 = summed((dy >> 1) ^ -(dy & 1))
    return header, Masks(tuple(header["size"]), summed(dx), y0, y0 + summed((dn >> 1) ^ -(dn & 1)), offsets)
