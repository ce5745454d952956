"""Frames of video files, cameras and network streams, by PyAV: true times, upright, right colours, damage named.

- Times are those of the file (presentation times, edit lists applied), never a count over a frame rate. A raw stream
  without times has its frame rate's. Where times run backwards (joined recordings), they go on from there.
- A recording that a phone turned is turned upright, as players and FFmpeg do.
- Colours go by the matrix and range that the file states, to 8-bit RGB. Colours of more than 8 bits are first reduced
  to 8: swscale's direct way from 10 bits to RGB spoils edges. Grey stays grey, and keeps 16 bits.
- A packet that cannot be decoded, and a frame that the decoder had to make up, are named; they end the video, or are
  left out where ``on_bad`` takes their errors.
- A stream that stalls for ``timeout`` seconds or ends is opened again, for up to ``reconnect`` seconds.
"""

from __future__ import annotations

import logging
import math
import re
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apiece._ahead import Dropped, ahead, newest
from apiece._extras import extras
from apiece.core.image import Image
from apiece.errors import ConfigError, ImageError, Message, Option
from apiece.images._engine.video_pixels import pixels_of
from apiece.images.contract import MAX_PIXELS, check_size

if TYPE_CHECKING:
    import av

__all__ = ["VIDEO_SUFFIXES", "Moment", "VideoOptions", "is_stream", "open_video"]

_log = logging.getLogger("apiece")

VIDEO_SUFFIXES = (
    ".3gp", ".avi", ".flv", ".h264", ".h265", ".hevc", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".webm", ".wmv",
)  # fmt: skip
"""What is taken for a video in a folder; a file named by itself may be called anything."""

_LIVE = ("rtsp", "rtsps", "rtp", "udp", "tcp", "srt", "rtmp", "rtmps", "mms")
_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_CAMERA = re.compile(r"camera:(.+)")
_AHEAD = 4  # frames decoded before they are asked for
_PAUSE = 30.0  # seconds between two tries to reach a stream, at most
_EARLY = 1.5  # steps of time by which a video may end before its header says

OnBad = Callable[[ImageError], None]


@dataclass(frozen=True, eq=False)
class Moment:
    """Hold one frame of a video.

    Attributes
    ----------
    image : its pixels, upright: uint8 RGB, or grey of 8 or 16 bits.
    number : its number in the video, from 0, frames that were left out counted.
    seconds : when it is shown, on the clock of the file; of a stream since its first frame.
    """

    image: Image
    number: int
    seconds: float


@dataclass(frozen=True)
class VideoOptions:
    """How to read a video.

    Attributes
    ----------
    every : take one of so many frames (default 1).
    latest : of a stream, take always the newest frame and drop what came meanwhile.
    timeout : seconds after which a stream that sends nothing is opened again (default 10).
    reconnect : seconds for which a lost stream is tried again (default for as long as it takes); 0 ends with it.
    duration : seconds after which to end: of a file's own time, of a stream's on the clock (default none).
    """

    every: int = 1
    latest: bool = False
    timeout: float = 10.0
    reconnect: float = math.inf
    duration: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ConfigError(Option("every") + f" takes one of 1 or more frames, got {self.every}")
        if not self.timeout > 0:
            raise ConfigError(Option("timeout") + f" is more than 0 seconds, got {self.timeout:g}")
        if not self.reconnect >= 0:
            raise ConfigError(Option("reconnect") + f" is 0 or more seconds, got {self.reconnect:g}")
        if self.duration is not None and not self.duration > 0:
            raise ConfigError(Option("duration", flag="--for") + f" is more than 0 seconds, got {self.duration:g}")


def is_stream(source: str) -> bool:
    """Return whether a source is a camera or an address on the network, not a file.

    >>> is_stream("rtsp://10.0.0.7/live"), is_stream("camera:0"), is_stream("/dev/video0"), is_stream("line.mp4")
    (True, True, True, False)
    """
    return bool(_URL.match(source) or _CAMERA.fullmatch(source) or source.startswith("/dev/video"))


def open_video(
    source: Path | str,
    options: VideoOptions | None = None,
    *,
    on_bad: OnBad | None = None,
    dropped: Callable[[int], None] = lambda count: None,
) -> Generator[Moment]:
    """Yield the frames of a video in constant memory; the next ones are decoded meanwhile.

    Parameters
    ----------
    source : a video file; ``rtsp://``, ``udp://``, ``tcp://``, ``http://`` ...; ``camera:0`` or ``/dev/video0``.
    options : see `VideoOptions`.
    on_bad : called with the error of each packet or frame that is damaged, and left out; without it the first raises.
    dropped : called with the number of frames dropped so far, where ``latest`` drops some.

    Yields
    ------
    Each `Moment`, in order of time. Closing the iterator closes the video.

    Raises
    ------
    ImageError
        If there is no video, its codec is not known, it is damaged or truncated, or a stream does not answer.
    MissingExtraError
        If PyAV is not installed (``apiece[video]``).
    ConfigError
        If ``latest`` is asked for of a file.

    Examples
    --------
    >>> for moment in open_video("line.mp4", VideoOptions(every=5)):  # doctest: +SKIP
    ...     print(moment.number, moment.seconds, moment.image.size)
    """
    options = options or VideoOptions()
    with extras():
        import av  # noqa: F401
    if not is_stream(str(source)) and options.latest:
        raise ConfigError(
            Option("latest", True)
            + f" drops frames of a camera or stream that runs on; {source} is a file, of which every frame waits"
        )
    return _moments(str(source), options, on_bad, dropped)


def _moments(
    source: str, options: VideoOptions, on_bad: OnBad | None, dropped: Callable[[int], None]
) -> Generator[Moment]:
    frames = _live(source, options, on_bad) if is_stream(source) else _file(source, on_bad)
    with closing(frames):
        chosen = _chosen(frames, options)
        if options.latest:
            for item in newest(chosen):
                if isinstance(item, Dropped):
                    dropped(item.count)
                else:
                    yield item
        else:
            with closing(ahead(chosen, _AHEAD)) as read:
                yield from read


def _chosen(frames: Iterator[tuple[Any, int, float]], options: VideoOptions) -> Iterator[Moment]:
    """Turn the frames that are wanted into pixels."""
    first: float | None = None
    for frame, number, seconds in frames:
        first = seconds if first is None else first
        if options.duration is not None and seconds - first >= options.duration:
            return
        if number % options.every == 0:
            yield Moment(Image(pixels_of(frame)), number, seconds)


# --- a file, a stream -------------------------------------------------------------------------------------------------


def _file(source: str, on_bad: OnBad | None) -> Generator[tuple[Any, int, float]]:
    """Yield frames with their number and time."""
    path = Path(source)
    if not path.is_file():
        raise ImageError(path, "is a folder, not a video" if path.is_dir() else "does not exist")
    with _Opened(path, f"file:{path}", {"protocol_whitelist": "file,crypto,data"}, None, None) as opened:
        for number, (frame, seconds) in enumerate(opened.frames(on_bad)):
            yield frame, number, seconds
        last, end = opened.last, opened.end
        if last is None:
            raise ImageError(path, "holds no frame that can be decoded")
        if end is not None and last + _EARLY * opened.step < end:
            message = f"ends at {last:.2f} s, and its header says {end:.2f} s: it may be truncated"
            _log.warning("%s: %s", path, message)


def _live(source: str, options: VideoOptions, on_bad: OnBad | None) -> Generator[tuple[Any, int, float]]:
    """Yield frames of a stream, opened again where it is lost; times are since the first frame."""
    address, kind = _device(source)
    begin, lost_at, number, pause, last = None, None, 0, 1.0, -math.inf
    wanted = {"rtsp_transport": "tcp"} if address.lower().startswith("rtsp") else {}
    while True:
        try:
            with _Opened(_shown(source), address, wanted, kind, options.timeout) as opened:
                zero = None
                for frame, seconds in opened.frames(on_bad):
                    now = time.monotonic()
                    begin = now if begin is None else begin
                    if lost_at is not None:
                        _log.warning("%s: is back after %.0f s", _shown(source), now - lost_at)
                        lost_at, pause = None, 1.0
                    if zero is None:  # time goes on by the clock from one connection to the next
                        zero = seconds - max(now - begin, last + opened.step)
                    last = seconds - zero
                    yield frame, number, last
                    number += 1
            reason: Exception = ImageError(_shown(source), "has ended")
            if not opened.endless:
                return
        except ImageError as error:
            if begin is None or not options.reconnect:
                raise
            reason = error
        now = time.monotonic()
        if lost_at is None:
            lost_at = now
            _log.warning("%s; trying again", reason)
        over = options.duration is not None and begin is not None and now - begin + pause >= options.duration
        if over or begin is None or not options.reconnect:
            return
        if now - lost_at + pause > options.reconnect:
            raise reason
        time.sleep(pause)
        pause = min(2 * pause, _PAUSE)


def _device(source: str) -> tuple[str, str | None]:
    """Return what FFmpeg opens, and as what."""
    match = _CAMERA.fullmatch(source)
    if match is None:
        return source, "v4l2" if source.startswith("/dev/video") else None
    name = match[1]
    if sys.platform == "darwin":
        return name, "avfoundation"
    if sys.platform == "win32":
        return f"video={name}", "dshow"
    return f"/dev/video{name}" if name.isdecimal() else name, "v4l2"


def _shown(source: str) -> str:
    """Return an address without a password, as messages and results may show it."""
    return re.sub(r"//[^/@]*@", "//", source)


class _Opened:
    """One video that PyAV has open; what PyAV raises becomes an `ImageError`."""

    def __init__(
        self, path: Path | str, address: str, options: dict[str, str], kind: str | None, timeout: float | None
    ) -> None:
        import av

        self.path, self.timeout = path, timeout
        self.last: float | None = None  # time of the frame decoded last
        try:
            self.container = av.open(address, format=kind, options=options, timeout=timeout)
        except av.error.ExitError:
            raise ImageError(path, f"does not answer within {timeout:g} seconds") from None
        except (av.error.FFmpegError, ValueError, OSError) as error:
            what = "is no video that can be read: " if timeout is None else "cannot be opened: "
            raise ImageError(path, what + _reason(error)) from error
        try:
            self.stream = self._video()
            self.stream.thread_type = "AUTO"
        except BaseException:
            self.container.close()
            raise
        # http may be a camera or a file; a file has a length
        self.endless = address.split(":")[0].lower() in _LIVE or kind is not None or self.container.duration is None
        rate = self.stream.average_rate or self.stream.guessed_rate
        self.step = 1 / float(rate) if rate else 0.04

    def __enter__(self) -> _Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def _video(self) -> av.VideoStream:
        streams = [s for s in self.container.streams.video if not s.disposition & s.disposition.attached_pic]
        if not streams:
            others = ", ".join(sorted({s.type for s in self.container.streams})) or "nothing"
            raise ImageError(self.path, f"has no video in it; it holds {others}")
        stream = max(streams, key=lambda s: bool(s.disposition & s.disposition.default))
        if getattr(stream, "codec_context", None) is None:
            raise ImageError(self.path, "is of a codec that PyAV's FFmpeg does not know; convert it to H.264")
        if stream.codec_context.width:
            check_size(Path(self.path), (stream.codec_context.height, stream.codec_context.width), 3, MAX_PIXELS)
        return stream

    @property
    def end(self) -> float | None:
        """Return when the video ends, as its header says; None where it does not."""
        stream = self.stream
        if stream.duration is None or stream.time_base is None:
            return None
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)

    def frames(self, on_bad: OnBad | None) -> Iterator[tuple[av.VideoFrame, float]]:
        """Yield frames with their times, which rise; damage raises, or goes to ``on_bad``."""
        offset = 0.0
        for frame in self._decoded(on_bad):
            seconds, last = frame.time, self.last
            if seconds is None:
                seconds = 0.0 if last is None else last + self.step
            else:
                seconds += offset
                if last is not None and seconds <= last:
                    _log.warning(
                        "%s: time runs back from %.2f s to %.2f s; it goes on from there", self.path, last, seconds
                    )
                    offset += last + self.step - seconds
                    seconds = last + self.step
            self.last = seconds
            if frame.is_corrupt:
                _refuse(ImageError(self.path, f"the frame at {seconds:.2f} s is damaged"), on_bad)
            else:
                yield frame, seconds

    def _decoded(self, on_bad: OnBad | None) -> Iterator[av.VideoFrame]:
        import av

        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.error.ExitError:
                raise ImageError(self.path, f"has sent nothing for {self.timeout:g} seconds") from None
            except (av.error.FFmpegError, OSError) as error:
                _refuse(ImageError(self.path, "cannot be read on from here: " + _reason(error)), on_bad)
                return
            try:
                frames = packet.decode()
            except (av.error.FFmpegError, ValueError) as error:
                where = "" if packet.pts is None else f" at {float(packet.pts * packet.time_base):.2f} s"
                _refuse(ImageError(self.path, f"the packet{where} is damaged: {_reason(error)}"), on_bad)
                continue
            yield from frames


def _refuse(error: ImageError, on_bad: OnBad | None) -> None:
    if on_bad is None:
        raise ImageError(error.path, Message(error.reason, "; leave it out with ", Option("skip_bad", True)))
    on_bad(error)


def _reason(error: Exception) -> str:
    """Return what FFmpeg says, without its number and the address, which may hold a password."""
    said = getattr(error, "strerror", None) or str(error)
    return " ".join(str(said).split())[:200] or type(error).__name__
