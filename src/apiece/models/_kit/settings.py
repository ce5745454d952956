"""Settings that most architectures have, and the checks that all of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from apiece.errors import ConfigError
from apiece.models._kit.blocks import NORMS


@dataclass(frozen=True)
class Settings:
    """Set up any architecture.

    Attributes
    ----------
    dropout : chance, from 0 to below 1, of dropping a value or a whole feature map in training.
    class_weights : weight of each class in the losses; empty: all 1.
    """

    dropout: float = 0.0
    class_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        self._tuples(float, "class_weights")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be from 0 to below 1, got {self.dropout}")

    def _tuples(self, kind: Callable[[Any], object], *names: str) -> None:
        """Turn these settings, which may be lists (of lists), into tuples of one type."""
        for name in names:
            object.__setattr__(self, name, _tuple(getattr(self, name), kind))

    def _at_least(self, least: float, *names: str) -> None:
        """Refuse a value below ``least``."""
        for name in names:
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)}")

    def _one_of(self, name: str, known: tuple[Any, ...]) -> None:
        """Refuse a value that is not among the known ones."""
        if getattr(self, name) not in known:
            raise ConfigError(f"{name} must be one of {', '.join(map(str, known))}, got {getattr(self, name)!r}")


@dataclass(frozen=True)
class BackboneSettings(Settings):
    """Set up an architecture on an encoder, beyond `Settings`.

    Attributes
    ----------
    backbone : a timm model that gives features at several strides, or ``"unet"``, a compact encoder of apiece's own.
    weights : ``"none"``, or timm's weights of ``backbone``, see `TimmBackbone`.
    norm : normalisation, ``"batch"`` or ``"group"``, in the encoder and in most layers beyond it.
    """

    norms: ClassVar[tuple[str, ...]] = NORMS
    backbone: str = "resnet10t"
    weights: str = "none"
    norm: str = "batch"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("norm", self.norms)


def check_anchors(anchors: tuple[tuple[float, ...], ...], aspects: tuple[float, ...], levels: tuple[int, ...]) -> None:
    """Refuse anchors that are not as many positive sides at each of ``levels`` strides, or aspects of 0 or less."""
    if len(anchors) not in levels or any(not sides or min(sides) <= 0 for sides in anchors):
        strides = " or ".join(map(str, levels))
        raise ConfigError(f"anchors needs the sides for {strides} strides, each above 0, got {anchors}")
    if len({len(sides) for sides in anchors}) > 1:
        raise ConfigError(f"anchors needs the same number of sides at each stride, got {anchors}")
    if not aspects or min(aspects) <= 0:
        raise ConfigError(f"aspects must be above 0, got {aspects}")


def _tuple(value: Any, kind: Callable[[Any], object]) -> object:
    return tuple(_tuple(v, kind) for v in value) if isinstance(value, list | tuple) else kind(value)
