"""Objects pasted over others, so that what is hidden is known."""

import numpy as np
import pytest

from apiece import Instances, Masks
from apiece.errors import ConfigError
from apiece.transforms import Occlude, Sample
from apiece.transforms.occlude import PASTED

SIZE = (40, 50)


def sample(boxes: list[list[int]], value: int, full: bool = False) -> Sample:
    """Boxes of one value on black ground."""
    masks = Masks.from_boxes(boxes, SIZE)
    image = np.zeros((*SIZE, 1), np.uint8)
    image[masks.union().to_dense()[0]] = value
    return Sample(image, Instances(masks, full=masks if full else None))


TWO = sample([[5, 5, 20, 20], [25, 10, 45, 30]], 100)
OTHER = sample([[0, 0, 8, 6]], 200)


@pytest.mark.parametrize("seed", range(20))
def test_full_masks_stay_and_visible_ones_lose_what_is_covered(seed: int) -> None:
    result = Occlude(lambda rng: OTHER, share=(1, 1), p=1.0)(TWO, np.random.default_rng(seed))
    found = result.instances
    pasted = found.attributes[PASTED]
    assert found.full is not None
    front = found.masks[pasted].union().to_dense()[0]
    below, whole = found[~pasted], TWO.instances.masks
    at = {tuple(box): k for k, box in enumerate(whole.boxes.tolist())}
    for mask, full in zip(below.masks, below.full or [], strict=True):
        original = whole[[at[tuple(full.boxes[0].tolist())]]]
        assert full == original
        assert (mask.to_dense()[0] == original.to_dense()[0] & ~front).all()
    assert (result.image[front, 0] == 200).all()
    assert (result.image[~front] == TWO.image[~front]).all()
    assert (found.full.area >= found.masks.area).all()
    # the later one lies before the earlier one
    assert found.masks.union().area == found.masks.area.sum()


def test_what_is_known_of_what_lies_behind() -> None:
    rng = np.random.default_rng(0)
    assert Occlude(lambda rng: OTHER, p=0.0)(TWO, rng).instances.attributes[PASTED].tolist() == [False, False]
    known = sample([[5, 5, 20, 20], [25, 10, 45, 30]], 100, full=True)
    assert Occlude(lambda rng: OTHER, p=0.0)(known, rng).instances.attributes[PASTED].tolist() == [True, True]
    empty = Sample(TWO.image, Instances.empty(SIZE))
    assert len(Occlude(lambda rng: OTHER, p=1.0)(empty, rng).instances) == 0
    none = Sample(OTHER.image, Instances.empty(SIZE))
    assert Occlude(lambda rng: none, p=1.0)(TWO, rng).instances.masks == TWO.instances.masks


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="share must be at most 1"):
        Occlude(lambda rng: OTHER, share=(0.5, 1.5))
