"""`Jobs`: one job after another, each in a process of its own, which can be stopped at any moment."""

from __future__ import annotations

import multiprocessing
import threading
import time
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from apiece.serve.jobs.store import Job, Store
from apiece.serve.jobs.work import work

__all__ = ["Jobs"]

_POLL = 0.5  # seconds between looks at whether the job at work was cancelled


class Jobs:
    """Run the jobs of a store.

    Parameters
    ----------
    store : keeps them.
    model, device : as for `apiece.load`; each job reads the model as it stands when the job begins.
    """

    def __init__(self, store: Store, model: str, device: str) -> None:
        self.store, self._model, self._device = store, model, device
        methods = multiprocessing.get_all_start_methods()
        self._context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
        self._progress: dict[str, tuple[int, int | None]] = {}
        self._at_work = ""
        self._cancelled: set[str] = set()
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._run, name="apiece-jobs", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Look for new jobs now."""
        with self._changed:
            self._changed.notify()

    def progress(self, id: str) -> tuple[int, int | None]:
        """Return how many steps of a job are done, and how many there are, if that is known."""
        return self._progress.get(id, (0, None))

    def cancel(self, job: Job) -> None:
        """End a job that waits or runs; forget a job that has ended, and its result."""
        if job.ended is not None:
            self.store.remove(job.id)
            return
        with self._changed:
            if job.id == self._at_work:
                self._cancelled.add(job.id)
            else:
                self.store.update(replace(job, state="cancelled", ended=time.time()))

    def close(self) -> None:
        """Stop. The job at work waits for the next server."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            ended = self._done(job)
            with self._changed:
                self._at_work = ""
                there = {one.id for one in self.store.jobs()}  # those that have ended say how far they came
                self._progress = {id: steps for id, steps in self._progress.items() if id in there}
                self._cancelled.discard(job.id)
                self.store.update(ended)

    def _next(self) -> Job | None:
        """Return the oldest job that waits, which runs now; None when the runner is closed."""
        with self._changed:
            while self._open:
                for job in self.store.jobs():
                    if job.state == "waiting":
                        self._at_work = job.id
                        self.store.update(job := replace(job, state="running"))
                        return job
                self._changed.wait(60)
        return None

    def _done(self, job: Job) -> Job:
        """Run a job, and return it as it stands afterwards."""
        line, theirs = self._context.Pipe()
        args = (self.store.folder / job.id, job, self._model, self._device, theirs)
        process = self._context.Process(target=work, args=args)
        process.start()
        theirs.close()
        try:
            message = self._followed(job, process, line)
        finally:
            process.kill()
            process.join()
            line.close()
        if not self._open and not message and self.store.result(job.id) is None:
            return replace(job, state="waiting")
        if self.store.result(job.id) is not None:
            return replace(job, state="done", ended=time.time())
        if job.id in self._cancelled:
            return replace(job, state="cancelled", ended=time.time())
        said = message or f"its process died (exit code {process.exitcode}); the memory may be too small for it"
        return replace(job, state="failed", ended=time.time(), message=said)

    def _followed(self, job: Job, process: BaseProcess, line: Connection) -> str:
        """Note a job's progress until it ends or is cancelled; return why it failed, if it did."""
        message = ""
        while True:
            wait([line, process.sentinel], _POLL)
            if not self._open or job.id in self._cancelled:
                return message
            try:
                while line.poll():
                    told = line.recv()
                    if isinstance(told, str):
                        message = told
                    else:
                        self._progress[job.id] = told
            except (EOFError, OSError):
                return message
