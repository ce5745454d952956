"""What the process of a job does: predict on a slide or follow the objects of a video, then put the result in place."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from apiece.errors import ApieceError, FormatError, ImageError
from apiece.images import MAX_PIXELS, VideoOptions, page_count
from apiece.predict import OUTPUTS, Model, load, predict_to
from apiece.predict.footage import footage, ref_of
from apiece.predict.tracks import TRACKS, Frame, track_to
from apiece.serve.answers import as_one_file
from apiece.serve.jobs.store import Job
from apiece.track import start

__all__ = ["work"]

_NICE = 10  # requests go first
Step = Callable[[int, int | None], None]


def work(folder: Path, job: Job, model: str, device: str, line: Connection) -> None:
    """Do a job in a process of its own, and put its result into its folder, whole or not at all.

    Parameters
    ----------
    folder : of the job.
    model, device : as for `apiece.load`.
    line : takes ``(done, total)`` while it runs, and a text if it fails. The job ends when the other side is gone.
    """
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(_NICE)
    out = folder / "work"
    out.mkdir(exist_ok=True)
    try:
        with _alone(out / "lock"):
            made = _DO[job.kind](load(model, device), folder / "input", out, job, lambda *done: line.send(done))
            one = as_one_file(made, out)
            with one.open("rb+") as file:
                os.fsync(file.fileno())
            one.rename(folder / f"result{one.suffix}")
    except (ImageError, FormatError) as error:
        line.send(error.reason)  # the path is nobody's
    except ApieceError as error:
        line.send(str(error))
    except OSError as error:
        line.send(error.strerror or "the disk could not be written")


def _image(model: Model, input: Path, out: Path, job: Job, step: Step) -> Path:
    """Return where the objects of a slide or a large image were written; tiles that are there already are taken."""
    predict_to(
        model, input, out, (job.format,), conf=job.conf, tile=job.tile, pixel_size=job.pixel_size, overwrite=True,
        resume=True, progress=lambda done, total, name: step(done, total),
    )  # fmt: skip
    return out / OUTPUTS[job.format]


def _video(model: Model, input: Path, out: Path, job: Job, step: Step) -> Path:
    """Return where the tracks of a video or of a stack of frames were written."""
    film = out / f"film{_suffix(input)}"
    if not film.exists():
        os.link(input, film)
    conf = job.conf if job.conf is not None else min(model.loaded.thresholds or (0.5,))
    sure: dict[str, float | int] = {"sure": conf}

    def frames() -> Iterator[Frame]:
        read = footage([film], VideoOptions(every=job.every))
        found_on = model.results(read, 1, model.options(0.2 * conf), MAX_PIXELS, None)
        for k, (source, image, found) in enumerate(found_on, 1):
            yield ref_of(source, image.size), image, found
            step(k, None)

    track_to(
        frames(), out, lambda: start("masks", sure), (job.format,), classes=model.classes, overwrite=True,
    )  # fmt: skip
    return out / TRACKS[job.format]


_DO = {"image": _image, "video": _video}


def _suffix(input: Path) -> str:
    """Return the suffix by which frames are found: that of a stack of images, or of any video."""
    try:
        page_count(input)
    except ImageError:
        return ".mp4"  # the content decides which kind of video
    return ".tif"


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait until no other process is at the same job: one whose server was killed takes a moment to notice."""
    with path.open("a") as file:
        with contextlib.suppress(ImportError):
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _end_with(line: Connection) -> None:
    """End at once when the server is gone: the next one begins the job again."""
    with contextlib.suppress(EOFError, OSError):
        line.recv()
    os._exit(1)
