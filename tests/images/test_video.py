"""Videos: times, turns, colours, damage, streams; and videos that are written."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from tests.images.clips import SIZE, clip, scene

from apiece._ahead import Dropped, ahead, newest
from apiece.errors import ConfigError, ImageError
from apiece.images import Moment, VideoOptions, VideoWriter, is_stream, open_video, page_count, read_image, write_image

FFMPEG = shutil.which("ffmpeg")


def times(moments: Iterator[Moment]) -> list[float]:
    return [round(moment.seconds, 3) for moment in moments]


def test_pixels_and_times_are_those_of_the_file(tmp_path: Path) -> None:
    wanted = [0.5, 0.6, 0.9, 2.0, 2.04]
    found = list(open_video(clip(tmp_path / "a.mkv", wanted)))
    assert times(iter(found)) == wanted
    assert [moment.number for moment in found] == [0, 1, 2, 3, 4]
    for k, moment in enumerate(found):
        assert (moment.image.pixels == scene(k)).all()


def test_a_choice_of_frames_keeps_numbers_and_times(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv")
    assert [(m.number, round(m.seconds, 2)) for m in open_video(path, VideoOptions(every=4))] == [
        (0, 0.0), (4, 0.4), (8, 0.8)
    ]  # fmt: skip
    assert times(open_video(path, VideoOptions(duration=0.35))) == [0.0, 0.1, 0.2, 0.3]


def test_a_raw_stream_without_times_has_those_of_its_rate(tmp_path: Path) -> None:
    found = times(open_video(clip(tmp_path / "a.h264", codec="libx264")))
    assert len(found) == 10
    steps = np.diff(found)
    assert steps.min() > 0
    assert np.allclose(steps, steps[0], atol=2e-3)


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),
        ((0, -1, 1, 0), lambda a: np.rot90(a, 1)),
        ((-1, 0, 0, -1), lambda a: np.rot90(a, 2)),
        ((-1, 0, 0, 1), lambda a: a[:, ::-1]),
    ],
)
def test_a_turned_recording_stands_upright(
    tmp_path: Path, matrix: tuple[int, ...], turn: Callable[[np.ndarray], np.ndarray]
) -> None:
    path = clip(tmp_path / "a.mp4", codec="mpeg4", qmin="1", qmax="1")
    plain = next(open_video(path)).image.pixels
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44  # the matrix of the track header, 16.16 fixed point
    a, b, c, d = (value * 65536 for value in matrix)
    data[at : at + 36] = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data)
    assert (next(open_video(path)).image.pixels == turn(plain)).all()


# luma's share of red and blue
MATRICES = {"bt709": (1, 0.2126, 0.0722), "bt601": (5, 0.299, 0.114), "bt2020": (9, 0.2627, 0.0593)}


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("name", MATRICES)
def test_colours_go_by_the_matrix_and_range_of_the_file(tmp_path: Path, name: str, full: bool) -> None:
    code, red, blue = MATRICES[name]
    wanted = np.array([[200, 40, 60], [30, 180, 90], [20, 60, 210], [128, 128, 128], [250, 250, 250]], float)
    luma = wanted @ [red, 1 - red - blue, blue]
    cb, cr = (wanted[:, 2] - luma) / (2 - 2 * blue), (wanted[:, 0] - luma) / (2 - 2 * red)
    y = luma if full else 16 + luma * 219 / 255
    scale = 1 if full else 224 / 255
    planes = np.rint([y, 128 + cb * scale, 128 + cr * scale]).astype(np.uint8)
    bars = planes.repeat(16, 1)[:, None, :].repeat(32, 1)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(bars), format="yuv444p")
    frame.colorspace, frame.color_range = code, 2 if full else 1
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 80, 32, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = code, 2 if full else 1
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    found = next(open_video(path)).image.pixels[8, 8::16].astype(float)
    assert np.abs(found - wanted).max() <= 3


def test_ten_bits_are_not_worse_than_eight(tmp_path: Path) -> None:
    deep = [av.VideoFrame.from_ndarray(scene(0), format="rgb24").reformat(format="yuv420p10le")]
    path = clip(tmp_path / "a.mkv", [0.0], pixel_format="yuv420p10le", frames=deep)
    found = next(open_video(path)).image.pixels.astype(int)
    eight = av.VideoFrame.from_ndarray(scene(0), format="rgb24").reformat(format="yuv420p").to_ndarray(format="rgb24")
    assert np.abs(found - eight).max() <= 4


@pytest.mark.parametrize(("form", "dtype", "top"), [("gray", np.uint8, 255), ("gray16le", np.uint16, 65535)])
def test_grey_stays_grey(tmp_path: Path, form: str, dtype: type, top: int) -> None:
    pixels = np.linspace(0, top, 48 * 64).reshape(SIZE).astype(dtype)
    frames = [av.VideoFrame.from_ndarray(pixels, format=form)]
    found = next(open_video(clip(tmp_path / "a.mkv", [0.0], pixel_format=form, frames=frames))).image.pixels
    assert found.dtype == dtype
    assert (found[..., 0] == pixels).all()


@pytest.mark.skipif(FFMPEG is None, reason="needs the program ffmpeg")
@pytest.mark.parametrize(("codec", "form"), [("libx264", "yuv420p"), ("mjpeg", "yuvj420p"), ("libx264", "yuv444p")])
def test_pixels_are_those_of_ffmpeg(tmp_path: Path, codec: str, form: str) -> None:
    path = clip(tmp_path / "a.mkv", codec=codec, pixel_format=form)
    command = [str(FFMPEG), "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    theirs = raw.reshape(-1, *SIZE, 3)
    ours = np.stack([moment.image.pixels for moment in open_video(path)])
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).max() <= 2


# --- damage -----------------------------------------------------------------------------------------------------------


def test_damaged_frames_are_named_or_left_out(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.ts", [k / 10 for k in range(30)], codec="libx264", g="10")
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for at in rng.integers(len(data) // 2, len(data) * 3 // 4, 30):
        data[at] ^= 0xFF
    path.write_bytes(data)
    bad: list[ImageError] = []
    good = list(open_video(path, on_bad=bad.append))
    assert 10 <= len(good) < 30
    assert bad
    assert all("damaged" in str(error) for error in bad)
    with pytest.raises(ImageError, match=r"a\.ts: the (frame|packet) at .* s is damaged.*skip_bad"):
        list(open_video(path))


def test_a_cut_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = clip(tmp_path / "a.mp4", codec="libx264")
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ImageError, match="is no video that can be read"):
        list(open_video(path))
    clip(tmp_path / "b.mp4", [k / 10 for k in range(40)], codec="mpeg4", movflags="faststart")
    whole = (tmp_path / "b.mp4").read_bytes()
    (tmp_path / "b.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    bad: list[ImageError] = []
    assert 10 < len(list(open_video(tmp_path / "b.mp4", on_bad=bad.append))) < 40
    assert bad or "ends at" in caplog.text


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: p.write_text("no video at all, just words\n" * 50), "is no video that can be read"),
        (lambda p: p.write_bytes(b""), "is no video that can be read"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: None, "does not exist"),
    ],
)
def test_what_is_no_video_is_named(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    path = tmp_path / "a.mp4"
    make(path)
    with pytest.raises(ImageError, match=rf"a\.mp4: {reason}"):
        list(open_video(path))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 48_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(ImageError, match="has no video in it; it holds audio"):
        list(open_video(tmp_path / "a.mp4"))


def test_time_that_runs_back_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = clip(tmp_path / "a.ts", codec="libx264").read_bytes()
    (tmp_path / "b.ts").write_bytes(data + data)
    found = times(open_video(tmp_path / "b.ts"))
    assert len(found) == 20
    assert np.allclose(np.diff(found), 0.1, atol=0.005)
    assert "time runs back" in caplog.text


def test_a_video_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a video, not an image"):
        read_image(clip(tmp_path / "a.mkv"))
    write_image(tmp_path / "a.png", scene(0))
    assert page_count(tmp_path / "a.png") == 1


# --- streams ----------------------------------------------------------------------------------------------------------


class Server:
    """Sends the same bytes to everyone who connects, then closes or goes silent."""

    def __init__(self, data: bytes, answers: int, pause: float = 0.0) -> None:
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen()
        self.data, self.answers, self.pause = data, answers, pause
        self.held: list[socket.socket] = []
        threading.Thread(target=self.run, daemon=True).start()

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.socket.getsockname()[1]}"

    def run(self) -> None:
        for k in range(self.answers + 1):
            try:
                one, _ = self.socket.accept()
                if k == self.answers:
                    self.held.append(one)  # silence
                    return
                for at in range(0, len(self.data), 2048):
                    one.sendall(self.data[at : at + 2048])
                    time.sleep(self.pause)
                one.close()
            except OSError:
                return


@pytest.fixture
def stream(tmp_path: Path) -> bytes:
    return clip(tmp_path / "s.ts", [k / 10 for k in range(20)], codec="libx264", g="5").read_bytes()


def received(server: Server, options: VideoOptions) -> tuple[list[Moment], str]:
    """Return the frames of a stream, and what it ended with."""
    found: list[Moment] = []
    try:
        for moment in open_video(server.address, options):
            found.append(moment)
    except ImageError as error:
        return found, str(error)
    return found, ""


def test_a_stream_that_is_lost_is_opened_again(stream: bytes, caplog: pytest.LogCaptureFixture) -> None:
    found, said = received(Server(stream, answers=2), VideoOptions(timeout=1, reconnect=0.5))
    assert len(found) == 20
    assert "has ended" in said
    found, said = received(Server(stream, answers=2), VideoOptions(timeout=1, reconnect=2))
    assert "does not answer within 1 seconds" in said
    assert [moment.number for moment in found] == list(range(40))
    assert found[0].seconds == 0
    assert (np.diff(times(iter(found))) > 0).all()
    assert "is back after" in caplog.text


def test_a_stream_ends_in_time(stream: bytes) -> None:
    server = Server(stream, answers=5)
    begin = time.monotonic()
    found = list(open_video(server.address, VideoOptions(timeout=2, duration=1.0)))
    assert 5 <= len(found) <= 40
    assert time.monotonic() - begin < 10


def test_the_newest_frame_and_how_many_were_dropped(stream: bytes) -> None:
    server = Server(stream, answers=1, pause=0.01)
    dropped: list[int] = []
    options = VideoOptions(latest=True, timeout=2, reconnect=0)
    numbers = []
    for moment in open_video(server.address, options, dropped=dropped.append):
        numbers.append(moment.number)
        time.sleep(0.05)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 19
    assert dropped[-1] == 20 - len(numbers) > 0
    with pytest.raises(ConfigError, match="is a file, of which every frame waits"):
        open_video("a.mp4", options)


@pytest.mark.parametrize("address", ["tcp://user:secret@127.0.0.1:1", "rtsp://user:secret@127.0.0.1:1/live"])
def test_a_stream_that_is_not_there_is_named_without_its_password(address: str) -> None:
    assert is_stream(address)
    with pytest.raises(ImageError, match=r"127\.0\.0\.1:1.* cannot be opened") as caught:
        list(open_video(address, VideoOptions(timeout=1)))
    assert "secret" not in str(caught.value)


def test_settings_out_of_range() -> None:
    for name, value in (("every", 0), ("timeout", 0), ("reconnect", -1), ("duration", 0)):
        with pytest.raises(ConfigError, match=name):
            VideoOptions(**{name: value})


# --- threads ----------------------------------------------------------------------------------------------------------


def test_items_that_are_made_ahead_come_in_order_and_errors_at_their_place() -> None:
    def broken() -> Iterator[int]:
        yield from range(5)
        raise KeyError("here")

    items = ahead(broken(), 2)
    assert [next(items) for _ in range(5)] == list(range(5))
    with pytest.raises(KeyError):
        next(items)


def test_closing_ends_the_thread_and_the_iterator() -> None:
    closed = []

    def endless() -> Iterator[int]:
        try:
            yield from iter(int, 1)
        finally:
            closed.append(True)

    items = ahead(endless(), 2)
    assert next(items) == 0
    items.close()
    assert closed == [True]
    assert not any(thread.name == "apiece-ahead" for thread in threading.enumerate())


def test_only_the_newest() -> None:
    taken, made = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 0
        taken.wait(5)
        yield from range(1, 10)
        made.set()

    found = newest(items())
    assert next(found) == 0
    taken.set()
    made.wait(5)
    assert list(found) == [Dropped(8), 9]


# --- writing ----------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_at_the_same_times(tmp_path: Path) -> None:
    wanted = [0.08, 0.1, 0.5, 3.0, 3.0]  # equal times move on by a tick
    with VideoWriter(tmp_path / "v" / "a.mp4") as video:
        for k, seconds in enumerate(wanted):
            video.write(scene(k)[:47, :63], seconds)
    found = list(open_video(tmp_path / "v" / "a.mp4"))
    assert np.allclose(times(iter(found)), wanted, atol=0.001)
    assert found[0].image.size == SIZE  # even sides
    assert np.abs(found[2].image.pixels[:46, :62].astype(int) - scene(2)[:46, :62]).mean() < 6
    with VideoWriter(tmp_path / "b.mp4") as video:
        video.write(scene(0), 0)
        with pytest.raises(ImageError, match="a video has one size"):
            video.write(scene(0)[:20], 1)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9")
def test_a_video_survives_kill_9(tmp_path: Path) -> None:
    code = f"""
import os, numpy as np
from apiece.images import VideoWriter
video = VideoWriter({str(tmp_path / "a.mp4")!r})
for k in range(100):
    video.write(np.full((48, 64, 3), 2 * k, np.uint8), k / 10)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(open_video(tmp_path / "a.mp4"))) >= 60
