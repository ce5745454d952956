"""Processes on this machine. A process that is ended is replaced, and its shard is computed again."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

from apiece.predict.predictor import Model
from apiece.predict.shards import TRIES, Answer, Shard, packed, too_often, unpacked

__all__ = ["processes"]

_GONE = (EOFError, OSError)  # the other end of a pipe


@contextmanager
def processes(model: Model, workers: int) -> Iterator[_Processes]:
    """Yield a backend of several processes, each with the model; they end with the block."""
    # new processes instead of forked ones: a fork inherits the locks of torch's and OpenCV's threads
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        torch = ["apiece.predict._runtimes.pytorch"] if "torch" in sys.modules else []  # an exported model needs none
        context.set_forkserver_preload([__name__, *torch])
    made = _Processes(packed(model), workers, context)
    try:
        yield made
    finally:
        made.end()


@dataclass(eq=False)
class _Worker:
    """A process, this end of the pipe to it, and the shard it computes."""

    process: BaseProcess
    pipe: Connection
    task: tuple[int, Shard] | None = None
    fresh: bool = True  # it has no model yet


class _Processes:
    """Hand each free process one shard; one at a time, so that no two ends of a pipe write and wait."""

    def __init__(self, model: bytes, workers: int, context: BaseContext) -> None:
        self.room, self._model, self._context = workers, model, context
        self._ended: Counter[int] = Counter()
        self._workers = [self._started() for _ in range(workers)]

    def begin(self, number: int, shard: Shard) -> None:
        self._hand(next(worker for worker in self._workers if worker.task is None), number, shard)

    def done(self) -> tuple[int, list[Answer]]:
        while True:
            busy = {worker.pipe: worker for worker in self._workers if worker.task is not None}
            for pipe in wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                assert worker.task is not None
                number, shard = worker.task
                try:
                    answer = pickle.loads(worker.pipe.recv_bytes())
                except _GONE:
                    self._hand(worker, number, shard, gone=True)
                    continue
                worker.task = None
                if isinstance(answer, BaseException):
                    raise answer
                return number, answer

    def _hand(self, worker: _Worker, number: int, shard: Shard, gone: bool = False) -> None:
        """Give a shard to a process, or to a new one if the process is gone."""
        task = pickle.dumps(shard)
        while True:
            if gone:
                self._workers.remove(worker)
                worker.pipe.close()
                worker.process.join()
                self._ended[number] += 1
                if self._ended[number] == TRIES:
                    raise too_often(shard, _ending(worker.process.exitcode))
                worker = self._started()
                self._workers.append(worker)
            worker.task = number, shard
            try:
                if worker.fresh:
                    worker.pipe.send_bytes(self._model)
                worker.pipe.send_bytes(task)
            except _GONE:
                gone = True
            else:
                worker.fresh = False
                return

    def _started(self) -> _Worker:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there,), daemon=True)  # type: ignore[attr-defined]
        process.start()
        there.close()  # or its end would never be seen here
        return _Worker(process, here)

    def end(self) -> None:
        """End all processes; a process that computes is not waited for."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()


def _ending(code: int | None) -> str:
    if code is not None and code > 0:
        return f"exit code {code}; its own message stands above. A script needs the line: if __name__ == '__main__'"
    return f"exit code {code}, probably for lack of memory"


def _serve(pipe: Connection) -> None:
    """Take a model and compute shards until the other end of the pipe is closed, by the parent or by its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends this one
    with unpacked(pipe.recv_bytes()) as opened:
        while True:
            try:
                shard = pickle.loads(pipe.recv_bytes())
            except _GONE:
                return
            try:
                answer = pickle.dumps(shard.answers(opened))
            except Exception as error:  # raised where the run is, as if it had happened there
                answer = pickle.dumps(error)
            try:
                pipe.send_bytes(answer)
            except _GONE:
                return
