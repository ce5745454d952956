"""What one request may cost, and how much may wait."""

from __future__ import annotations

from dataclasses import dataclass, fields

from apiece.errors import ConfigError, Option

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Bound what a service does at once.

    Attributes
    ----------
    batch : images that go through the network together, at most; None: 1 on a CPU, which gains nothing by more, else 4.
    queue : images that wait, at most; further ones are answered with 503.
    timeout : seconds until an answer must be there (else 504), and a request must have arrived (else 408).
    image_pixels : largest image, height times width; a larger one is refused before it is decoded.
    images : images in one request.
    instances : objects of one image in an answer; the best are kept.
    sessions : images that are open to be asked about with points and boxes.
    idle : seconds without a request after which the server closes a session.
    jobs : jobs that may wait or run.
    job_bytes : largest slide or video of a job.
    keep : hours that the result of a job is kept.

    Raises
    ------
    ConfigError
        If one of them allows nothing.

    Examples
    --------
    >>> from apiece.serve import Limits
    >>> Limits(queue=16).timeout
    60.0
    """

    batch: int | None = None
    queue: int = 64
    timeout: float = 60.0
    image_pixels: int = 64_000_000
    images: int = 16
    instances: int = 10_000
    sessions: int = 16
    idle: float = 600.0
    jobs: int = 16
    job_bytes: int = 4 << 30
    keep: float = 24.0

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if value is None:
                continue
            if isinstance(value, int) and value < 1:
                raise ConfigError(Option(one.name, value) + " must be at least 1")
            if not value > 0:
                raise ConfigError(Option(one.name, value) + " must be above 0")
