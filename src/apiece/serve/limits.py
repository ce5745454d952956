"""What one request may cost, and how much may wait."""

from __future__ import annotations

from dataclasses import dataclass

from apiece.errors import ConfigError, Option

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """Bound what a service does at once.

    Attributes
    ----------
    batch : images that go through the network together, at most.
    queue : images that wait, at most; further ones are answered with 503.
    timeout : seconds until an answer must be there (else 504), and a request must have arrived (else 408).
    image_pixels : largest image, height times width; a larger one is refused before it is decoded.
    images : images in one request.
    instances : objects of one image in an answer; the best are kept.

    Raises
    ------
    ConfigError
        If one of them allows nothing.

    Examples
    --------
    >>> from apiece.serve import Limits
    >>> Limits(queue=16).batch
    4
    """

    batch: int = 4
    queue: int = 64
    timeout: float = 60.0
    image_pixels: int = 64_000_000
    images: int = 16
    instances: int = 10_000

    def __post_init__(self) -> None:
        for name in ("batch", "queue", "image_pixels", "images", "instances"):
            if getattr(self, name) < 1:
                raise ConfigError(Option(name, getattr(self, name)) + " must be at least 1")
        if not self.timeout > 0:
            raise ConfigError(Option("timeout", self.timeout) + " must be above 0")
