"""The embedding model: its targets by hand, and decoding of maps made to measure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, UnknownNameError
from apiece.models import embedding
from apiece.models._decode import embedding as embedding_decoder
from apiece.models.contract import DecodeOptions, Frame, ModelInput
from apiece.models.embedding import EmbeddingConfig, decode, edge_distance, encode


def ideal(label_map: np.ndarray, classes: int = 1, labels: np.ndarray | None = None) -> dict[str, Tensor]:
    """What a perfect network would say of a label map (0 is background)."""
    height, width = label_map.shape
    y, x = np.mgrid[:height, :width] + 0.5
    size = np.maximum(np.bincount(label_map.ravel()), 1)
    cx, cy = (np.bincount(label_map.ravel(), v.ravel()) / size for v in (x, y))
    inside = label_map > 0
    offset = np.where(inside, [cx[label_map] - x, cy[label_map] - y], 0.0)
    peak = np.where(inside, 8 * edge_distance(label_map.astype(np.int32)) - 4, -8.0)
    seed = np.full((classes, height, width), -8.0)
    of = np.zeros(label_map.max() + 1, int) if labels is None else np.concatenate([[0], labels])
    for c in range(classes):
        seed[c] = np.where(of[label_map] == c, peak, -8.0)
    maps = {
        "seed": seed,
        "offset": offset,
        "bandwidth": np.full((2, height, width), 1.5),
        "reach": np.where(inside, 1.5, -1.5)[None],
    }
    return {k: torch.from_numpy(v[None]).float() for k, v in maps.items()}


def test_edge_distance_by_hand() -> None:
    a = np.zeros((7, 9), np.int32)
    a[1:6, 1:6] = 1  # 5 x 5: rings of depth 1, 2, 3
    a[1:6, 6] = 2  # touches it: one pixel wide
    got = edge_distance(a)
    assert got[3, 1:6] == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3, 1 / 3], abs=0.05)
    assert (got[1:6, 6] == 1).all()
    assert (got[a == 0] == 0).all()


def test_an_object_cut_by_the_border_is_deepest_there() -> None:
    a = np.zeros((9, 6), np.int32)
    a[:, :3] = 1
    assert edge_distance(a)[4] == pytest.approx([1, 2 / 3, 1 / 3, 0, 0, 0], abs=0.05)


def test_edge_distance_where_nothing_is() -> None:
    assert not edge_distance(np.zeros((3, 4), np.int32)).any()
    assert not edge_distance(np.full((3, 4), -1, np.int32)).any()


def test_targets_by_hand() -> None:
    dense = np.zeros((4, 8, 10), bool)
    dense[0, 1:7, 1:9] = True  # large, below
    dense[1, 2:4, 2:4] = True  # small, on top of it
    dense[3, 0, :] = True  # a crowd
    instances = Instances(
        Masks.from_dense(dense), np.array([1, 0, 1, 0]), ("a", "b"), crowd=np.array([False, False, False, True])
    )
    got = encode(instances, EmbeddingConfig())
    want = np.zeros((8, 10), int)
    want[0] = -1
    want[1:7, 1:9] = 1
    want[2:4, 2:4] = 2
    assert got["map"].tolist() == want.tolist()
    assert got["labels"].tolist() == [1, 0, 1]
    assert got["area"].tolist() == [44, 4, 0]
    assert got["windows"].tolist() == [[0, 0, 10, 8], [0, 0, 8, 8], [0, 0, 0, 0]]


def test_decode_gives_back_what_perfect_maps_say() -> None:
    a = np.zeros((60, 90), np.int64)
    a[5:25, 5:25] = 1
    a[5:25, 25:33] = 2  # touching
    a[30:58, 3:80] = 3  # long
    a[0:3, 60:63] = 4  # small, at the border
    a[40, 85] = 5  # one pixel
    found = decode(ideal(a), [Frame((60, 90), (60, 90))], ("x",), DecodeOptions())[0]
    got = found.masks.to_label_map()
    assert len(found) == 5
    assert ((got > 0) == (a > 0)).all()
    assert all(len(np.unique(got[a == i])) == 1 for i in range(1, 6))


def test_decode_names_classes_and_obeys_a_threshold_per_class() -> None:
    a = np.zeros((40, 60), np.int64)
    a[5:20, 5:20], a[5:20, 30:45], a[25:38, 10:50] = 1, 2, 3
    out = ideal(a, classes=3, labels=np.array([2, 0, 1]))
    frame = Frame((40, 60), (40, 60))
    found = decode(out, [frame], ("x", "y", "z"), DecodeOptions())[0]
    assert dict(zip(found.names, found.masks.area.tolist(), strict=True)) == {"z": 225, "x": 225, "y": 520}
    strict = decode(out, [frame], ("x", "y", "z"), DecodeOptions(conf=(0.5, 0.999, 0.5)))[0]
    assert sorted(strict.names) == ["x", "z"]


def test_two_peaks_that_vote_for_one_centre_are_one_object() -> None:
    a = np.zeros((30, 80), np.int64)
    a[5:20, 5:70] = 1
    out = ideal(a)
    out["seed"][0, 0, 12, 20] = 9
    out["seed"][0, 0, 12, 55] = 8
    found = decode(out, [Frame((30, 80), (30, 80))], ("x",), DecodeOptions())[0]
    assert found.masks.area.tolist() == [15 * 65]
    assert found.scores is not None
    assert found.scores[0] == pytest.approx(1 / (1 + np.exp(-9)))


@pytest.mark.parametrize("scale", [2.0, 0.5, 3.3])
def test_decode_at_another_size_is_smooth_and_right(scale: float) -> None:
    y, x = np.mgrid[:96, :120] + 0.5
    a = np.zeros((96, 120), np.int64)
    a[(x - 40) ** 2 + (y - 50) ** 2 < 30**2] = 1
    a[(x - 95) ** 2 + (y - 40) ** 2 < 20**2] = 2
    size = (round(96 * scale), round(120 * scale))
    found = decode(ideal(a), [Frame(size, (96, 120))], ("x",), DecodeOptions())[0]
    assert found.size == size
    yy, xx = np.mgrid[: size[0], : size[1]] + 0.5
    sx, sy = size[1] / 120, size[0] / 96
    found = found[np.argsort(-found.masks.area)]
    for (cx, cy, r), mask in zip(((40, 50, 30), (95, 40, 20)), found.masks.to_dense(), strict=True):
        truth = (xx / sx - cx) ** 2 + (yy / sy - cy) ** 2 < r**2
        assert (mask & truth).sum() / (mask | truth).sum() > 0.93


def test_decode_ignores_the_padding() -> None:
    a = np.zeros((64, 64), np.int64)
    a[5:20, 5:20], a[40:60, 40:60] = 1, 2
    found = decode(ideal(a), [Frame((30, 30), (30, 30))], ("x",), DecodeOptions())[0]
    assert found.masks.area.tolist() == [225]
    assert found.size == (30, 30)


def test_tiles_give_what_one_piece_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    a = np.zeros((70, 90), np.int64)
    a[5:60, 5:40], a[10:65, 45:85] = 1, 2
    frames = [Frame((70, 90), (70, 90)), Frame((99, 150), (70, 90))]
    whole = [decode(ideal(a), [f], ("x",), DecodeOptions())[0] for f in frames]
    monkeypatch.setattr(embedding_decoder, "_TILE", 17)
    assert [decode(ideal(a), [f], ("x",), DecodeOptions())[0] for f in frames] == whole


def test_nothing_found_is_an_empty_scored_set() -> None:
    found = decode(ideal(np.zeros((8, 9), np.int64)), [Frame((8, 9), (8, 9))], ("x",), DecodeOptions())[0]
    assert len(found) == 0
    assert found.scores is not None


def test_settings_that_cannot_be_are_refused() -> None:
    for bad in ({"widths": (32,)}, {"widths": (32, 4)}, {"dropout": 1.0}, {"window": 3}, {"norm": "none"}):
        with pytest.raises(ConfigError):
            EmbeddingConfig(**bad)
    with pytest.raises(UnknownNameError, match="resnet18"):
        embedding.Embedding(EmbeddingConfig(backbone="resnet81"), ModelInput(), 1)
    with pytest.raises(ConfigError, match="no pretrained weights"):
        embedding.Embedding(EmbeddingConfig(weights="timm"), ModelInput(), 1)


def test_a_timm_encoder_serves_too() -> None:
    channels = 7
    module = embedding.Embedding(
        EmbeddingConfig(backbone="resnet10t"), ModelInput(channels, mean=(0,) * channels, std=(1,) * channels), 2
    )
    out = module(torch.zeros(1, channels, 64, 96))
    assert {k: tuple(v.shape) for k, v in out.items()} == {
        "seed": (1, 2, 64, 96),
        "offset": (1, 2, 64, 96),
        "bandwidth": (1, 2, 64, 96),
        "reach": (1, 1, 64, 96),
    }
