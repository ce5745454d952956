"""Counts of what a server did, in the text form of Prometheus."""

from __future__ import annotations

import bisect
import threading
from collections import Counter

_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Counters:
    """Count requests, images and objects."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._buckets = [0] * (len(_BOUNDS) + 1)
        self._seconds = 0.0
        self._totals: Counter[str] = Counter()

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request by the path of its route; the status 0 is that of a client that left."""
        with self._lock:
            self._requests[path, status] += 1
            self._buckets[bisect.bisect_left(_BOUNDS, seconds)] += 1
            self._seconds += seconds

    def add(self, **counts: int) -> None:
        """Add to totals: ``images``, ``instances``, ``batches``."""
        with self._lock:
            self._totals.update(counts)

    def text(self, waiting: int) -> str:
        """Return all counts; ``waiting``: images in the queue."""
        with self._lock:
            lines = ["# TYPE apiece_requests_total counter"]
            lines += [
                f'apiece_requests_total{{path="{path}",status="{status}"}} {count}'
                for (path, status), count in sorted(self._requests.items())
            ]
            lines.append("# TYPE apiece_request_seconds histogram")
            below = 0
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._buckets, strict=True):
                below += count
                lines.append(f'apiece_request_seconds_bucket{{le="{bound}"}} {below}')
            lines += [f"apiece_request_seconds_sum {self._seconds:.6f}", f"apiece_request_seconds_count {below}"]
            for name in ("images", "instances", "batches"):
                lines += [f"# TYPE apiece_{name}_total counter", f"apiece_{name}_total {self._totals[name]}"]
            lines += ["# TYPE apiece_waiting_images gauge", f"apiece_waiting_images {waiting}"]
        return "\n".join(lines) + "\n"
