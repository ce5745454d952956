"""UPSNet's own parts: the panoptic head against the paper's, written out on dense maps; unknown; decoding by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.models.contract import DecodeOptions, Frame
from apiece.models.upsnet import (
    DeformableLayer,
    UPSNetConfig,
    cells_of,
    decode,
    encode,
    panoptic_loss,
    unknown_logits,
    values_at,
)

CLASSES = ("sky", "bolt", "wall", "nut")
STUFF = torch.tensor([False, True, False, True, False])
CONFIG = UPSNetConfig(stuff=(0, 2))


def truth() -> Instances:
    """A bolt and a nut that overlap on a wall, below the sky; a crowd."""
    boxes = [[0, 0, 32, 12], [0, 12, 32, 32], [4, 6, 14, 22], [10, 14, 26, 26], [20, 26, 32, 40]]
    crowd = [False, False, False, False, True]
    return Instances(Masks.from_boxes(np.array(boxes), (40, 32)), [0, 2, 1, 3, 1], CLASSES, crowd=crowd)


def dense_loss(semantic: Tensor, masks: Tensor, kept: Tensor, target: dict[str, Tensor]) -> Tensor:
    """The paper's head: a channel for each thing, its logits inside its box; here no candidate outside."""
    height, width = semantic.shape[1:]
    y, x = torch.meshgrid(torch.arange(height) * 4 + 2.0, torch.arange(width) * 4 + 2.0, indexing="ij")
    channels, own = [semantic[:1], semantic[STUFF]], [torch.zeros(height, width)]
    for k in torch.nonzero(kept).flatten().tolist():
        x0, y0, x1, y1 = target["boxes"][k]
        grid = torch.stack([(x - x0) / (x1 - x0), (y - y0) / (y1 - y0)], -1) * 2 - 1
        drawn = functional.grid_sample(masks[k][None, None], grid[None], padding_mode="border", align_corners=False)
        inside = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
        mine = semantic[1 + target["classes"][k]]
        own.append(torch.where(inside, mine, torch.zeros(())))
        channels.append(torch.where(inside, mine + drawn[0, 0], -torch.inf)[None])
    channels.append((semantic[[2, 4]].amax(0) - torch.stack(own).amax(0))[None])
    z, wanted = torch.cat(channels), torch.full((height, width), -100)
    rank = kept.long().cumsum(0) - 1
    for i in range(height):
        for j in range(width):
            shown, owner = int(target["cells"][i, j]), int(target["owner"][i, j])
            if owner:
                wanted[i, j] = 3 + rank[owner - 1] if kept[owner - 1] else len(z) - 1
            elif shown >= 0:
                wanted[i, j] = {0: 0, 1: 1, 3: 2}[shown]
    return functional.cross_entropy(z[None], wanted[None], reduction="sum")


@pytest.mark.parametrize("kept", [(True, True), (True, False), (False, True), (False, False)])
def test_the_head_equals_the_dense_one(kept: tuple[bool, bool]) -> None:
    torch.manual_seed(0)
    target = encode(truth(), CONFIG)
    assert target["classes"].tolist() == [1, 3]
    semantic = torch.randn(5, 10, 8, requires_grad=True)
    masks = (torch.randn(2, 28, 28) * 2).requires_grad_()
    ours = panoptic_loss(semantic, STUFF, masks, torch.tensor(kept), target)
    dense = dense_loss(semantic, masks, torch.tensor(kept), target)
    assert ours.item() == pytest.approx(dense.item(), rel=1e-5)
    mine, theirs = (torch.autograd.grad(v, (semantic, masks), allow_unused=True) for v in (ours, dense))
    assert torch.allclose(mine[0], theirs[0], atol=1e-5)
    if any(kept):
        assert torch.allclose(mine[1], theirs[1], atol=1e-5)


def test_targets_at_the_centres_of_cells() -> None:
    target = encode(truth(), CONFIG)
    assert target["owner"].shape == target["cells"].shape == (10, 8)
    assert target["owner"].unique().tolist() == [0, 1, 2]
    assert (target["cells"][0, 0], target["cells"][7, 0], target["cells"][9, 7]) == (1, 3, -1)
    # the nut, the smaller by its pixels, lies on top: the bolt is what shows of it
    bolt = Masks.from_boxes(np.array([[4, 6, 14, 22], [10, 14, 26, 26]]), (40, 32)).to_dense()
    small = 0 if bolt[0].sum() <= bolt[1].sum() else 1
    assert int(target["owner"][4, 2]) == small + 1


def test_unknown_is_what_classes_of_things_say_beyond_the_things() -> None:
    semantic = torch.zeros(5, 4, 4)
    semantic[2] = 5.0  # bolts everywhere
    near = cells_of(torch.tensor([[0.0, 0, 8, 16]]), (4, 4))
    unknown, own = unknown_logits(semantic, STUFF, torch.tensor([1]), near)
    assert unknown[:, :2].eq(0).all()
    assert unknown[:, 2:].eq(5).all()
    assert own.tolist() == [5.0] * 8


def test_values_between_cells() -> None:
    torch.manual_seed(0)
    maps, places = torch.randn(3, 5, 7), torch.rand(40, 2) * 9 - 1
    index = torch.randint(3, (40,))
    grid = (places + 0.5) / torch.tensor([7.0, 5.0]) * 2 - 1
    expected = functional.grid_sample(
        maps[index][:, None], grid[:, None, None], padding_mode="border", align_corners=False
    )
    assert torch.allclose(values_at(maps, index, *places.T), expected.flatten(), atol=1e-5)


def test_decoding_by_hand() -> None:
    """A bolt in its box; bolts that were not found elsewhere are unknown, and belong to nothing."""
    semantic = torch.full((1, 5, 8, 8), -5.0)
    semantic[0, 1, :4] = 5  # sky
    semantic[0, 3, 4:] = 5  # wall
    semantic[0, 2, 2:6, :2] = 9  # a bolt ...
    semantic[0, 2, 2:6, 6:] = 9  # ... and one that has no box
    out = {
        "boxes": [torch.tensor([[0.0, 8, 8, 24]])], "scores": [torch.tensor([0.9])], "labels": [torch.tensor([1])],
        "masks": [torch.full((1, 28, 28), 3.0)], "semantic": semantic, "is_stuff": STUFF[None],
        "remain": torch.tensor([0.5], dtype=torch.float64), "smallest": torch.tensor([1]),
    }  # fmt: skip
    (found,) = decode(out, [Frame((32, 32), (32, 32))], CLASSES, DecodeOptions())
    assert sorted(found.names) == ["bolt", "sky", "wall"]
    dense = dict(zip(found.names, found.masks.to_dense(), strict=True))
    assert dense["bolt"][9:23, :7].all()
    assert not dense["bolt"][:, 9:].any()
    assert not any(mask[10:22, 26:].any() for mask in dense.values())  # unknown
    assert dense["sky"][2, 2]
    assert dense["wall"][30, 30]
    assert int(found.masks.union().area[0]) == found.masks.area.sum()


def test_deformable_layers_begin_as_plain_convolutions() -> None:
    torch.manual_seed(0)
    layer, x = DeformableLayer(4, 8, "group"), torch.randn(2, 4, 6, 5)
    plain = functional.relu(layer.norm(functional.conv2d(x, layer.conv.weight, padding=1)))
    assert torch.allclose(layer(x), plain, atol=1e-5)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("semantic_layers", 0), ("panoptic_weight", -1.0), ("unknown", 1.5), ("remain", -0.1), ("stuff", (1, 1))],
)
def test_the_config_names_what_is_wrong(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=setting):
        UPSNetConfig(**{setting: value})  # type: ignore[arg-type]
