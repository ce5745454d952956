"""AJI and AJI+ against the papers' formulas on dense masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.metrics import evaluate


def parts(truth: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shared and joined pixels of all pairs of label maps."""
    a, b = ([m == v for v in range(1, m.max() + 1)] for m in (truth, found))
    shared = np.array([[(x & y).sum() for y in b] for x in a]).reshape(len(a), len(b))
    joined = np.array([[(x | y).sum() for y in b] for x in a]).reshape(len(a), len(b))
    return shared, joined


def areas(label_map: np.ndarray) -> np.ndarray:
    return np.bincount(label_map.ravel(), minlength=label_map.max() + 1)[1:]


def kumar(truth: np.ndarray, found: np.ndarray) -> tuple[int, int]:
    """Algorithm 1 of Kumar et al. 2017: each truth takes the prediction of highest IoU."""
    shared, joined = parts(truth, found)
    below, above, used = 0, 0, set()
    for i, area in enumerate(areas(truth)):
        if not shared[i].any():
            below += area
            continue
        j = int(np.argmax(shared[i] / joined[i]))
        above, below = above + shared[i, j], below + joined[i, j]
        used.add(j)
    return above, below + sum(area for j, area in enumerate(areas(found)) if j not in used)


def plus(truth: np.ndarray, found: np.ndarray) -> tuple[int, int]:
    """As Graham et al. 2019: one-to-one, largest total IoU."""
    shared, joined = parts(truth, found)
    i, j = linear_sum_assignment(-(shared / np.maximum(joined, 1)))
    met = shared[i, j] > 0
    i, j = i[met], j[met]
    alone = np.delete(areas(truth), i).sum() + np.delete(areas(found), j).sum()
    return shared[i, j].sum(), joined[i, j].sum() + alone


def blobs(rng: np.random.Generator, size: tuple[int, int], like: np.ndarray | None = None) -> np.ndarray:
    """Discs that later ones cut; some of them near those of ``like``."""
    out = np.zeros(size, int)
    yy, xx = np.mgrid[: size[0], : size[1]]
    for k in range(1, int(rng.integers(1, 9))):
        y, x = rng.uniform(0, size[0]), rng.uniform(0, size[1])
        if like is not None and like.any() and rng.random() < 0.8:
            place = np.argwhere(like == rng.choice(like[like > 0]))
            y, x = place.mean(0) + rng.normal(0, 1.5, 2)
        out[(yy - y) ** 2 + (xx - x) ** 2 < rng.uniform(2, 7) ** 2] = k
    return np.unique(out, return_inverse=True)[1].reshape(size) if (out == 0).any() else out * 0


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_equal_to_the_papers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = []
    for _ in range(3):
        truth = blobs(rng, (31, 37))
        maps.append((truth, blobs(rng, (31, 37), truth)))
    result = evaluate([tuple(map(Instances.from_label_map, pair)) for pair in maps], metrics=["aji"])
    for key, formula in (("aji", kumar), ("aji_plus", plus)):
        each = np.array([formula(*pair) for pair in maps])
        total = each.sum(0)
        assert result[key] == pytest.approx(total[0] / total[1] if total[1] else np.nan, nan_ok=True)
        each = each[each[:, 1] > 0]
        mean = (each[:, 0] / each[:, 1]).mean() if len(each) else np.nan
        assert result[f"{key}_image"] == pytest.approx(mean, nan_ok=True)


def test_classes_crowds_and_thresholds() -> None:
    boxes = Masks.from_boxes([[0, 0, 4, 4], [6, 0, 10, 4], [0, 6, 10, 10]], (12, 12))
    truth = Instances(boxes, [0, 1, 0], ("a", "b"), crowd=[False, False, True])
    mine = Masks.from_boxes([[0, 0, 4, 3], [6, 0, 10, 4], [0, 6, 5, 10], [0, 10, 2, 12], [4, 10, 6, 12]], (12, 12))
    found = Instances(mine, [0, 0, 0, 0, 0], ("a", "b"), scores=[0.9, 0.9, 0.9, 0.9, 0.1])
    result = evaluate([(truth, found)], metrics=["aji"], conf=0.5)
    # of the wrong class: 16 pixels; within the crowd: nothing; outside it: 4; below the threshold: nothing
    assert result.per_class["a"]["aji"] == 12 / (16 + 16 + 4)
    assert result.per_class["b"]["aji_plus"] == 0
    assert result["aji"] == result["aji_image"] == 12 / (16 + 16 + 4 + 16)
    nothing = Instances.empty((3, 3))
    assert np.isnan(evaluate([(nothing, nothing)], metrics=["aji"])["aji"])


@pytest.mark.slow
def test_equal_on_real_images(shared_data: Path) -> None:
    from apiece.formats import read

    rng = np.random.default_rng(1)
    for _, truth in list(read(shared_data / "nuclei" / "val.json"))[:3]:
        truth = truth[:25]
        found = truth.replace(masks=truth.masks.shift(*rng.integers(-3, 4, 2).tolist()))[rng.random(len(truth)) < 0.9]
        maps = [side.masks.to_label_map(dtype=np.int32, overlap="last") for side in (truth, found)]
        maps = [np.unique(m, return_inverse=True)[1].reshape(m.shape) for m in maps]
        result = evaluate([tuple(map(Instances.from_label_map, maps))], metrics=["aji"])
        for key, formula in (("aji", kumar), ("aji_plus", plus)):
            above, below = formula(*maps)
            assert result[key] == pytest.approx(above / below)
