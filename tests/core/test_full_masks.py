"""Full masks beside visible ones: what is refused, and what carries both."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import apiece
from apiece import Image, Instances, Masks
from apiece.errors import InvalidInstancesError
from apiece.ops import hidden, occluders
from apiece.transforms import AffineCrop, CopyPaste, Crop, Flip, Mosaic, QuarterTurn, Rotate, Sample, Scale, Translate


def pair(rng: np.random.Generator, count: int = 4, size: tuple[int, int] = (24, 30)) -> Instances:
    """Random full masks, and the visible part of each under a pile of the others."""
    full = np.zeros((count, *size), bool)
    for k in range(count):
        y, x = rng.integers(0, size[0] - 6), rng.integers(0, size[1] - 6)
        full[k, y : y + rng.integers(3, 12), x : x + rng.integers(3, 12)] = True
    above = np.cumsum(full[::-1], 0)[::-1] - full
    return Instances(Masks.from_dense(full & (above == 0)), full=Masks.from_dense(full))


@given(st.integers(0, 2**32))
def test_hidden_and_occluders_against_dense(seed: int) -> None:
    instances = pair(np.random.default_rng(seed))
    assert instances.full is not None
    full, seen = instances.full.to_dense(), instances.masks.to_dense()
    assert (hidden(instances).to_dense() == (full & ~seen)).all()
    shared = np.einsum("ihw,jhw->ij", seen.astype(int), (full & ~seen).astype(int))
    assert (occluders(instances).toarray() == shared).all()
    assert instances.occlusion == pytest.approx(1 - seen.sum((1, 2)) / full.sum((1, 2)))


@pytest.mark.parametrize(
    "transform",
    [
        Flip(p=1.0), Flip("vertical", p=1.0), QuarterTurn((1,)), QuarterTurn((2,)), QuarterTurn((3,)), Rotate(),
        Scale((0.4, 2.5)), Translate((-0.5, 0.5), (-0.5, 0.5)), Crop((20, 20)), AffineCrop((20, 20)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("seed", range(5))
def test_transforms_change_both_alike(transform: apiece.transforms.Transform, seed: int) -> None:
    instances = pair(np.random.default_rng(seed))
    assert instances.full is not None
    image = np.zeros((*instances.size, 1), np.uint8)
    both = transform(Sample(image, instances), np.random.default_rng(seed)).instances
    # the same change of the full masks alone
    alone = Instances(instances.full)
    if hasattr(transform, "keep_empty"):
        transform = type(transform)(**{**vars(transform), "keep_empty": True})
    whole = transform(Sample(image, alone), np.random.default_rng(seed)).instances.masks
    seen = transform(Sample(image, Instances(instances.masks)), np.random.default_rng(seed)).instances.masks
    if getattr(transform, "centred", 0.0) == 0.0:  # a window around an object depends on which objects are seen
        left = seen.area > 0
        kept = "keep_empty" in vars(transform)
        assert both.full == (whole[left] if kept else whole)
        assert both.masks == (seen[left] if kept else seen)


def test_what_is_pasted_over_stays_in_the_full_mask() -> None:
    box = Masks.from_boxes([[2, 2, 10, 10]], (16, 16))
    other = Masks.from_boxes([[6, 2, 14, 10]], (16, 16))
    ground = np.zeros((16, 16, 1), np.uint8)
    paste = CopyPaste(lambda rng: Sample(ground, Instances(other, full=other)), share=(1, 1), p=1.0)
    result = paste(Sample(ground, Instances(box, full=box)), np.random.default_rng(0)).instances
    assert result.full == Masks.concatenate([box, other])
    assert result.masks.area.tolist() == [32, 64]
    assert np.asarray(result.occlusion).tolist() == [0.5, 0.0]
    joined = Mosaic(lambda rng: Sample(ground, Instances(other, full=other)), p=1.0)(
        Sample(ground, Instances(box, full=box)), np.random.default_rng(0)
    )
    assert joined.instances.full == joined.instances.masks


def test_it_is_carried_by_indexing_joining_replacing_and_pickle() -> None:
    instances = pair(np.random.default_rng(0))
    assert instances.full is not None
    assert instances[[2, 0]].full == instances.full[[2, 0]]
    assert Instances.concatenate([instances, instances[:0]]).full == instances.full
    assert Instances.concatenate([instances, Instances.empty(instances.size)]).full == instances.full
    assert Instances.concatenate([instances, instances.replace(full=None)]).full is None
    again = pickle.loads(pickle.dumps(instances))
    assert again == instances
    assert again != instances.replace(full=None)
    assert instances.replace(full=None).occlusion is None


def test_what_cannot_be_is_refused() -> None:
    seen = Masks.from_boxes([[0, 0, 4, 4], [2, 2, 6, 6]], (8, 8))
    with pytest.raises(InvalidInstancesError, match=r"mask 1: full must contain what is visible: .* 12 visible pixels"):
        Instances(seen, full=Masks.from_boxes([[0, 0, 4, 4], [2, 2, 6, 3]], (8, 8)))
    with pytest.raises(InvalidInstancesError, match=r"2 of \(8, 8\) \(height, width\); got 1 of \(8, 8\)"):
        Instances(seen, full=seen[:1])
    with pytest.raises(InvalidInstancesError, match=r"full must be apiece\.Masks, got ndarray"):
        Instances(seen, full=seen.to_dense())  # type: ignore[arg-type]
    with pytest.raises(InvalidInstancesError, match="no full masks"):
        hidden(Instances(seen))


def test_pictures_show_instances_with_full_masks() -> None:
    from apiece.draw.page import scaled

    instances = pair(np.random.default_rng(3))
    assert instances._repr_html_()
    for factor in (0.3, 0.77, 1.9):
        _, small = scaled(Image(np.zeros((*instances.size, 3), np.uint8)), instances, factor)
        assert (small.occlusion >= 0).all()
