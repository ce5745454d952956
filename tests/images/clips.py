"""Small videos, made by PyAV in the tests that read them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SIZE = (48, 64)


def scene(k: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return frame ``k``: a bright square that moves right by 3 pixels a frame, red on top, on grey."""
    pixels = np.full((*size, 3), 60, np.uint8)
    x = 4 + 3 * k % (size[1] - 20)
    pixels[12:28, x : x + 14] = 220
    pixels[12:16, x : x + 14] = (220, 30, 30)
    return pixels


def clip(
    path: Path,
    times: Sequence[float] = tuple(k / 10 for k in range(10)),
    codec: str = "ffv1",
    size: tuple[int, int] = SIZE,
    pixel_format: str | None = None,
    frames: Sequence[Any] | None = None,
    **options: str,
) -> Path:
    """Write a clip with frames at these times; ffv1 keeps the pixels exactly."""
    flags = {"movflags": options.pop("movflags")} if "movflags" in options else {}
    with av.open(str(path), "w", options=flags) as out:
        stream = out.add_stream(codec, rate=10, options=options)
        stream.width, stream.height = size[1], size[0]
        stream.pix_fmt = pixel_format or ("bgr0" if codec == "ffv1" else "yuv420p")
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for k, seconds in enumerate(times):
            frame = av.VideoFrame.from_ndarray(scene(k, size), format="rgb24") if frames is None else frames[k]
            frame.pts, frame.time_base = round(seconds * 1000), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path
