"""Areas of whole objects, and how much others hide."""

import numpy as np
import pytest

import apiece
from apiece import Instances, Masks
from apiece.draw import overlay
from apiece.errors import ConfigError

SEEN = Masks.from_boxes([[0, 0, 2, 4], [2, 0, 6, 4]], (8, 8))
FULL = Masks.from_boxes([[0, 0, 8, 4], [2, 0, 6, 4]], (8, 8))


def test_by_hand() -> None:
    table = apiece.measure(
        Instances(SEEN, full=FULL), pixel_size="0.5 um", properties=["area", "full_area", "occlusion"]
    )
    assert table["area"].tolist() == [2, 4]
    assert table["full_area"].tolist() == [8, 4]
    assert table["occlusion"].tolist() == [0.75, 0]
    assert table.units["full_area"] == "um2"


def test_only_where_there_are_full_masks() -> None:
    assert "occlusion" in apiece.measure(Instances(SEEN, full=FULL)).columns
    assert "occlusion" not in apiece.measure(Instances(SEEN)).columns
    with pytest.raises(ConfigError, match="'occlusion' is measured on full masks, which these instances lack"):
        apiece.measure(Instances(SEEN), properties=["occlusion"])


def test_the_picture_has_dashes_where_something_is_hidden() -> None:
    image = apiece.Image(np.zeros((8, 8), np.uint8))
    colours = np.array([[200, 0, 0], [0, 200, 0]], np.uint8)
    options = {"fill": False, "names": False, "colours": colours}
    plain = overlay(image, Instances(SEEN), **options)
    drawn = overlay(image, Instances(SEEN, full=FULL), **options)
    changed = (plain != drawn).any(2)
    hidden = FULL[[0]].to_dense()[0] & ~SEEN[[0]].to_dense()[0]
    assert changed.any()
    assert not (changed & ~hidden).any()
    # its outer side, one dash of four pixels in eight
    assert [tuple(v) for v in drawn[:, 7]] == [
        (200, 0, 0) if (y + 7) // 4 % 2 == 0 and y < 4 else (0, 0, 0) for y in range(8)
    ]
