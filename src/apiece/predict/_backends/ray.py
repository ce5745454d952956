"""A Ray cluster, or Ray on this machine (https://docs.ray.io). Ray computes a task again whose process is ended.

Shards are tasks, not actors: a task gives its CPU back, so shards wait for one another and for whatever else the
cluster does, where an actor for each CPU would leave none. Each reads its own pixels, by the path that this process
knows; models and answers travel through Ray. Nothing is told to Ray's makers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from apiece._extras import extras
from apiece.errors import ConfigError, Option
from apiece.predict.predictor import Model
from apiece.predict.shards import TRIES, Answer, Shard, packed, too_often, unpacked

__all__ = ["cluster"]


@contextmanager
def cluster(model: Model, workers: int | None, address: str) -> Iterator[_Cluster]:
    """Yield a backend of a cluster's CPUs; a cluster to which this process is connected already stays so."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with extras():
        import ray
    connected = ray.is_initialized()
    if not connected:
        bare: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        try:
            ray.init(address, log_to_driver=False, configure_logging=False, **bare)
        except Exception as error:  # Ray raises the base class where a cluster does not start in time
            reason = str(error).splitlines()[0]
            raise ConfigError("no Ray cluster answers at " + Option("ray", address) + f": {reason}") from error
    try:
        yield _Cluster(ray, packed(model), workers, str(model.device))
    finally:
        if not connected:
            ray.shutdown()


class _Cluster:
    """Keep as many tasks under way as there are to be workers."""

    def __init__(self, ray: Any, model: bytes, workers: int | None, device: str) -> None:
        self.room = workers or max(int(ray.cluster_resources().get("CPU", 1)), 1)
        self._ray, self._model = ray, ray.put(model)
        self._task = ray.remote(num_cpus=1, num_gpus=int(device.startswith("cuda")), max_retries=TRIES - 1)(_answers)
        self._under_way: dict[Any, tuple[int, Shard]] = {}

    def begin(self, number: int, shard: Shard) -> None:
        # a list keeps Ray from sending the model with each task
        self._under_way[self._task.remote([self._model], shard)] = number, shard

    def done(self) -> tuple[int, list[Answer]]:
        (ready,), _ = self._ray.wait(list(self._under_way), num_returns=1)
        number, shard = self._under_way.pop(ready)
        try:
            return number, self._ray.get(ready)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except (self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.OutOfMemoryError) as error:
            raise too_often(shard, f"{type(error).__name__}, probably for lack of memory") from error


_opened: tuple[Any, Model, ExitStack] | None = None
"""In a process of the cluster: the last model, and what it came from."""


def _answers(models: list[Any], shard: Shard) -> list[Answer]:
    """Compute a shard in a process of the cluster."""
    global _opened
    if _opened is None or _opened[0] != models[0]:
        import ray

        if _opened is not None:
            _opened[2].close()
        _opened, stack = None, ExitStack()
        _opened = models[0], stack.enter_context(unpacked(ray.get(models[0]))), stack
    return shard.answers(_opened[1])
