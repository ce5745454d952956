"""Stuff beside objects, the same for every model: settings, targets, a branch with a class per pixel, its segments.

Stuff are classes without objects, such as sky: one segment per class and image. Models of boxes or points learn it by a
`SemanticBranch` on their features, as in A. Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019 (arXiv
1901.02446): a class for each pixel, "no stuff" among them. Models of queries learn each segment of stuff as one mask
more. Segments of stuff may overlap objects, as objects may overlap each other; `apiece.ops.flattened` gives each pixel
one owner, by one rule for all models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from apiece._strict_json import LATER
from apiece.core.instances import Instances
from apiece.core.masks import Masks, label_map_values
from apiece.errors import ConfigError
from apiece.models._kit import class_map, losses
from apiece.models._kit.pyramid import climb, climbs
from apiece.models._kit.settings import Settings
from apiece.models.contract import Targets


@dataclass(frozen=True)
class StuffSettings(Settings):
    """Set up stuff, beyond `Settings`.

    Attributes
    ----------
    stuff : indices of the classes that are stuff: one segment per image each, without objects. ``--stuff`` takes them
        from the data.
    smallest : fewest pixels of the image that a segment of stuff needs.
    """

    stuff: tuple[int, ...] = field(default=(), metadata=LATER)
    smallest: int = field(default=256, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(1, "smallest")
        object.__setattr__(self, "stuff", tuple(sorted(int(c) for c in self.stuff)))
        if len(set(self.stuff)) < len(self.stuff) or min(self.stuff, default=0) < 0:
            raise ConfigError(f"stuff needs distinct indices of classes, from 0 on, got {self.stuff}")


@dataclass(frozen=True)
class SemanticSettings(StuffSettings):
    """Set up the semantic branch, beyond `StuffSettings`; without stuff there is no branch.

    Attributes
    ----------
    semantic_width : channels of the semantic branch.
    semantic_weight : weight of the semantic branch's loss.
    """

    semantic_width: int = field(default=64, metadata=LATER)
    semantic_weight: float = field(default=0.5, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(8, "semantic_width")
        self._at_least(0, "semantic_weight")


def things_among(classes: int, stuff: Sequence[int]) -> list[int]:
    """Return the classes of objects; stuff beyond the classes, or nothing but stuff, is refused."""
    things = [c for c in range(classes) if c not in stuff]
    if max(stuff, default=0) >= classes or not things:
        raise ConfigError(
            f"stuff needs indices below {classes}, the number of classes, and leaves one or more things; got "
            f"{tuple(stuff)} (with stuff alone, use the architecture 'semantic')"
        )
    return things


def stuff_answer(config: StuffSettings, batch: Tensor) -> dict[str, Tensor]:
    """Return what decoding needs to know of the settings: ``stuff`` int64 (B, S), the classes, and ``smallest`` int64
    (B,), on the CPU; nothing without stuff. ``batch`` has B rows."""
    if not config.stuff:
        return {}
    stuff = torch.tensor(config.stuff, device=batch.device).expand(batch.shape[0], -1)
    return {"stuff": stuff, "smallest": torch.full((batch.shape[0],), config.smallest)}


# --- the branch and what it learns ------------------------------------------------------------------------------------


class SemanticBranch(nn.Module):
    """Turn features, stride 4 first, into logits ``(B, 1 + classes, H / 4, W / 4)`` of each cell, "no stuff" first.

    Parameters
    ----------
    inputs, levels : channels of the features, and how many strides there are from 4 on.
    painted : the classes of the branch, out of ``classes``.
    """

    weights: Tensor  # of "no stuff" and of each class of the branch in the loss

    def __init__(
        self, config: SemanticSettings, inputs: int, norm: str, classes: int, painted: Sequence[int], levels: int = 4
    ) -> None:
        super().__init__()
        self.config = config
        self.climbs = climbs(inputs, config.semantic_width, norm, levels)
        self.drop = nn.Dropout2d(config.dropout)
        self.last = nn.Conv2d(config.semantic_width, 1 + len(painted), 1)
        weights = losses.class_weights(config.class_weights, classes)[list(painted)]
        self.register_buffer("weights", torch.cat([torch.ones(1), weights]), persistent=False)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        logits: Tensor = self.last(self.drop(climb(self.climbs, features))).float()
        return logits

    def answer(self, features: Sequence[Tensor]) -> dict[str, Tensor]:
        """Return what `with_stuff` reads: ``semantic``, logits of the branch, and `stuff_answer`."""
        logits = self(features)
        return {"semantic": logits, **stuff_answer(self.config, logits)}

    def loss(self, logits: Tensor, targets: Sequence[Targets], size: tuple[int, int]) -> Tensor:
        """Return the weighted cross-entropy of the branch's own logits, at the pixels of inputs of ``size``."""
        pixels = functional.interpolate(logits, size=size, mode="bilinear")
        target = class_map.stack_maps([t["semantic"] for t in targets], size, pixels.device)
        return self.config.semantic_weight * class_map.cross_entropy(pixels, target, self.weights)


def things_of(instances: Instances, stuff: Sequence[int]) -> Instances:
    """Return the objects; every crowd stays, as nothing is learned where it lies."""
    return instances[~np.isin(instances.labels, stuff) | instances.crowd] if stuff else instances


def visible_things(instances: Instances, stuff: Sequence[int]) -> Instances:
    """Return what shows of each object (the smallest lies on top), and every crowd; classes are numbered among the
    objects' own."""
    single = np.flatnonzero(~instances.crowd)
    label_map = instances.masks[single].to_label_map(dtype=np.int32, overlap="smallest")
    shown = single[label_map_values(label_map) - 1]
    visible = instances[shown].replace(masks=Masks.from_label_map(label_map))
    things = things_of(Instances.concatenate([visible, instances[instances.crowd]]), stuff)
    return things.replace(labels=things.labels - np.searchsorted(np.array(stuff, np.int64), things.labels))


def encode_stuff(instances: Instances, stuff: Sequence[int]) -> Targets:
    """Return ``semantic``, int16 (H, W): 1 + index into the ascending ``stuff`` of what each pixel shows, 0 on all
    else, -1 where only a crowd lies."""
    is_stuff = np.isin(instances.labels, stuff)
    painted = np.where(is_stuff, np.searchsorted(np.array(stuff, np.int64), instances.labels) + 1, 0)
    return {"semantic": class_map.paint_classes(instances, painted)}
