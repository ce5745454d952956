"""Put weights into a module without a gap: each tensor into the one of its name, nothing left over, and nothing missing
except a branch that the weights lack."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from apiece._strict_json import LATER
from apiece.errors import ModelFileError
from apiece.models._kit.shapes import shapes_only
from apiece.models.contract import Architecture, ModelInput

log = logging.getLogger("apiece")


@dataclass(frozen=True)
class Dependent:
    """Names of the tensors that depend on something that differs between data sets or runs."""

    classes: frozenset[str] = frozenset()  # on the number of classes
    channels: frozenset[str] = frozenset()  # on the input's channels
    slots: frozenset[str] = frozenset()  # on `Architecture.slots`, how many objects an image may hold
    branches: frozenset[str] = frozenset()  # on a branch that the settings add, such as for whole objects or stuff


def _shapes(architecture: Architecture, config: Any, channels: int, classes: int) -> dict[str, torch.Size]:
    """Build the network, without memory and whatever it begins with, and return its tensors' shapes by name."""
    plain = {f.name: f.default for f in dataclasses.fields(config) if f.name in ("weights", "class_weights")}
    spec = ModelInput(channels, mean=(0.0,) * channels, std=(1.0,) * channels)
    with shapes_only():
        module = architecture.build(dataclasses.replace(config, **plain), spec, classes)
        return {k: v.shape for k, v in module.state_dict().items()}


def dependent(architecture: Architecture, config: Any, input: ModelInput, classes: int) -> Dependent:
    """Find the names of `Dependent` by building the network a few times, without memory."""

    def shapes(channels: int, count: int, config: Any = config) -> dict[str, torch.Size]:
        return _shapes(architecture, config, channels, count)

    here = shapes(input.channels, classes)

    def varying(other: dict[str, torch.Size]) -> frozenset[str]:
        return frozenset(name for name in here if here[name] != other.get(name))

    bare = {f.name: f.default for f in dataclasses.fields(config) if f.metadata == LATER}
    slots = {name: getattr(config, name) + 1 for name in [architecture.slots] if name}
    return Dependent(
        classes=varying(shapes(input.channels, classes + 1)),
        channels=varying(shapes(input.channels % 12 + 1, classes)),
        slots=varying(shapes(input.channels, classes, dataclasses.replace(config, **slots))),
        branches=frozenset(here.keys() - shapes(input.channels, classes, dataclasses.replace(config, **bare)).keys()),
    )


def has_place(architecture: Architecture, config: Any, classes: int, tensors: Mapping[str, Tensor]) -> bool:
    """Return whether a network for colour images takes all ``tensors`` but those that depend on the classes, and lacks
    none but a branch."""
    own = _shapes(architecture, config, 3, classes)
    names = dependent(architecture, config, ModelInput(3, mean=(0.0,) * 3, std=(1.0,) * 3), classes)
    fits = all(k in own and (own[k] == v.shape or k in names.classes) for k, v in tensors.items())
    return fits and own.keys() - tensors.keys() <= names.branches


def fill(
    module: nn.Module, tensors: Mapping[str, Tensor], source: str, varying: Dependent = Dependent()
) -> tuple[str, ...]:
    """Put ``tensors`` into ``module``, each into the one of its name; return (and log) the names that stayed random.

    Parameters
    ----------
    source : where they come from, for messages.
    varying : what may differ. A tensor that depends on the classes stays random where its shape differs, and one of a
        branch where the weights lack it. The channels of one that depends on the input's are summed for a single
        channel, else repeated and scaled so that their sum stays. Of one that depends on the slots, as many rows as
        both have are taken.

    Raises
    ------
    ModelFileError
        naming tensors that are missing, unknown or of another shape.
    """
    own = module.state_dict()
    wrong: list[str] = []
    lacking = own.keys() - tensors.keys()
    for what, names in (("lacks", lacking - varying.branches), ("has unknown", tensors.keys() - own.keys())):
        if names:
            wrong.append(f"{what} {_some(names)}")
    chosen, left, misfits = {}, sorted(lacking), []
    for name in own.keys() & tensors.keys():
        given = _fitted(name, tensors[name], own[name], varying)
        if given.shape == own[name].shape:
            chosen[name] = given
        elif name in varying.classes:
            left.append(name)
        else:
            misfits.append(f"{name} (is {list(given.shape)}, should be {list(own[name].shape)})")
    if misfits:
        wrong.append(f"has other shapes of {_some(misfits)}")
    if wrong:
        raise ModelFileError(
            source,
            f"does not fit this model: it {'; it '.join(wrong)}. Use weights made for it, or change its settings",
        )
    module.load_state_dict(chosen, strict=False)
    if left:
        log.info(
            "weights: made for other classes or tasks, so these begin with random values: %s", ", ".join(sorted(left))
        )
    return tuple(sorted(left))


def _fitted(name: str, given: Tensor, own: Tensor, varying: Dependent) -> Tensor:
    if given.ndim != own.ndim:
        return given
    if name in varying.channels and given.ndim > 1 and given.shape[1] != own.shape[1]:
        return _fit_channels(given, own.shape[1])
    if name in varying.slots and given.shape[0] != own.shape[0] and given.shape[1:] == own.shape[1:]:
        rows = min(len(given), len(own))
        return torch.cat([given[:rows].to(own), own[rows:]])
    return given


def _fit_channels(weight: Tensor, channels: int) -> Tensor:
    """Return a first layer (out, in, ...) for another number of input channels."""
    if channels == 1:
        return weight.sum(1, keepdim=True)
    before = weight.shape[1]
    return weight[:, torch.arange(channels) % before] * (before / channels)


def _some(names: Collection[str], most: int = 6) -> str:
    shown = sorted(names)[:most]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown) + more
