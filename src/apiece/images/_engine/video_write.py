"""Write videos that are valid up to their last second, however the program ends."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from apiece._arrays import UInt8
from apiece._extras import extras
from apiece.errors import ImageError

if TYPE_CHECKING:
    import av

__all__ = ["VideoWriter"]

_TICKS = 90_000  # a second, as in broadcasts: holds the times of all usual frame rates
_CODECS: tuple[tuple[str, dict[str, str]], ...] = (
    ("libx264", {"preset": "veryfast", "crf": "20", "tune": "zerolatency"}),
    ("libopenh264", {}),
    ("mpeg4", {}),
)
_GROUP = 30  # frames from one that stands alone to the next; what is lost if the program is killed


class VideoWriter:
    """Write frames with their times as a fragmented MP4, H.264 where PyAV has an encoder for it.

    Each fragment is complete as soon as it is written, so a video that was cut short plays up to there.

    Parameters
    ----------
    path : the file; it is replaced.

    Examples
    --------
    >>> with VideoWriter("out.mp4") as video:  # doctest: +SKIP
    ...     video.write(np.zeros((48, 64, 3), np.uint8), seconds=0.0)
    """

    def __init__(self, path: Path | str) -> None:
        with extras():
            import av
        self.path = Path(path)
        self._av = av
        self._container: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._size = (0, 0)
        self._last = -1

    def write(self, pixels: UInt8, seconds: float) -> None:
        """Write a frame, uint8 RGB (height, width, 3), shown from ``seconds`` on; times rise, sizes stay.

        Raises
        ------
        ImageError
            If the size changes, or the file cannot be written.
        """
        if self._stream is None:
            self._open(pixels.shape[0], pixels.shape[1])
        if pixels.shape[:2] != self._size:
            message = f"a frame of {pixels.shape[:2]} (height, width) follows frames of {self._size}"
            raise ImageError(self.path, message + "; a video has one size")
        even = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
        frame.time_base = Fraction(1, _TICKS)
        self._last = frame.pts = max(round(seconds * _TICKS), self._last + 1)
        self._put(frame)

    def _open(self, height: int, width: int) -> None:
        av = self._av
        self.path.parent.mkdir(parents=True, exist_ok=True)
        options = {"movflags": "frag_keyframe+delay_moov+default_base_moof", "flush_packets": "1"}
        try:
            self._container = av.open(f"file:{self.path}", "w", format="mp4", options=options)
        except (av.error.FFmpegError, OSError) as error:
            raise ImageError(self.path, f"cannot be written: {error.strerror}") from error
        name, options = next(each for each in _CODECS if _can_encode(each[0]))
        stream = self._container.add_stream(name, rate=30, options=options)
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = stream.time_base = Fraction(1, _TICKS)
        context.gop_size, context.max_b_frames = _GROUP, 0
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = 1, 1, 1, 1  # BT.709
        self._stream, self._size = stream, (height, width)

    def _put(self, frame: av.VideoFrame | None) -> None:
        assert self._stream is not None
        assert self._container is not None
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except (self._av.error.FFmpegError, OSError) as error:
            raise ImageError(self.path, f"cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """End the video."""
        if self._container is None:
            return
        container, self._container = self._container, self._container
        try:
            self._put(None)
        finally:
            self._container = None
            container.close()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _can_encode(name: str) -> bool:
    import av

    try:
        av.codec.Codec(name, "w")
    except av.error.FFmpegError:
        return False
    except ValueError:
        return False
    return True
