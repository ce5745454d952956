"""`Store`: jobs as folders. A job is there with all of its upload, and its result is there whole, or it is not there.

A folder holds ``job.json``, ``input`` until the job ends, ``work`` while it runs, and ``result...`` once it is done.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from apiece._atomic import hold, write_text
from apiece.errors import ConfigError, DataError, Option
from apiece.serve.batching import FullError

__all__ = ["Job", "Kind", "State", "Store"]

Kind: TypeAlias = Literal["image", "video"]
State: TypeAlias = Literal["waiting", "running", "done", "failed", "cancelled"]
_INPUT, _NOTE, _PART = "input", "job.json", ".part"


@dataclass(frozen=True)
class Job:
    """What is known of a job.

    Attributes
    ----------
    id : its name.
    kind, format, conf, tile, pixel_size, every : what to do.
    created, ended : when, in seconds since 1970; ``ended`` is None until then.
    state : where it stands.
    message : why it failed.
    """

    id: str
    kind: Kind
    format: str
    conf: float | None = None
    tile: int | None = None
    pixel_size: str | None = None
    every: int = 1
    created: float = 0.0
    ended: float | None = None
    state: State = "waiting"
    message: str = ""


class Store:
    """Keep jobs in a folder, each for a while after its end.

    Parameters
    ----------
    folder : made if needed. No other server may use it.
    most : jobs that may wait or run.
    keep : seconds that a job and its result are kept after its end.

    Raises
    ------
    ConfigError
        If jobs cannot be written there, or another server has the folder.
    """

    def __init__(self, folder: Path, most: int, keep: float) -> None:
        self.folder, self._most, self._keep = folder, most, keep
        self._uploads = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / "lock").open("a")
        except OSError as error:
            raise ConfigError(Option("jobs", folder) + f" cannot be written to: {error.strerror}") from None
        for _ in range(20):  # the worker before this one may still be ending
            if hold(self._lock):
                break
            time.sleep(0.1)
        else:
            raise ConfigError(Option("jobs", folder) + " belongs to another server that runs; name another folder")
        for part in folder.glob(f"*{_PART}"):  # uploads that were cut short
            shutil.rmtree(part, ignore_errors=True)
        self._jobs = {job.id: job for job in map(self._read, sorted(folder.glob("*/" + _NOTE))) if job is not None}

    def jobs(self) -> list[Job]:
        """Return all jobs, the oldest first; the time of some is over, and these are removed."""
        for job in list(self._jobs.values()):
            if job.ended is not None and job.ended + self._keep < time.time():
                self.remove(job.id)
        return sorted(self._jobs.values(), key=lambda job: (job.created, job.id))

    def get(self, id: str) -> Job | None:
        """Return a job, if there is one of this name."""
        return next((job for job in self.jobs() if job.id == id), None)

    @contextlib.contextmanager
    def upload(self, job: Job) -> Iterator[Path]:
        """Give the file to write a job's input to; the job is there when the block ends well.

        Raises
        ------
        FullError
            If too many jobs wait already.
        """
        if self._uploads + sum(one.ended is None for one in self.jobs()) >= self._most:
            raise FullError
        self._uploads += 1
        part = self.folder / f"{job.id}{_PART}"
        try:
            part.mkdir()
            yield part / _INPUT
            _write(part, job)
            part.rename(self.folder / job.id)
            self._jobs[job.id] = job
        finally:
            self._uploads -= 1
            shutil.rmtree(part, ignore_errors=True)

    def new_id(self) -> str:
        """Return a name that cannot be guessed."""
        return secrets.token_hex(16)

    def update(self, job: Job) -> None:
        """Write how a job stands; after its end, nothing but its result stays."""
        folder = self.folder / job.id
        _write(folder, job)
        self._jobs[job.id] = job
        if job.ended is not None:
            (folder / _INPUT).unlink(missing_ok=True)
            shutil.rmtree(folder / "work", ignore_errors=True)

    def result(self, id: str) -> Path | None:
        """Return the result of a job, if it is there."""
        return next((self.folder / id).glob("result.*"), None)

    def remove(self, id: str) -> None:
        """Forget a job that does not run."""
        self._jobs.pop(id, None)
        gone = self.folder / f"{id}{_PART}"
        with contextlib.suppress(OSError):
            (self.folder / id).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def _read(self, note: Path) -> Job | None:
        """Return a job that an earlier server left. A job that ran is done if its result is there; else it waits."""
        try:
            job = Job(**json.loads(note.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{note} is no job: {error}; remove its folder") from None
        if job.state == "running":
            done = self.result(job.id) is not None
            job = replace(job, state="done", ended=time.time()) if done else replace(job, state="waiting")
        return job


def _write(folder: Path, job: Job) -> None:
    write_text(folder / _NOTE, json.dumps(asdict(job)) + "\n")
