import numpy as np
from scipy import ndimage

from apiece.ops.distances import distances


def test_distances_are_exact_and_the_same_bits_each_time() -> None:
    rng = np.random.default_rng(0)
    y, x = np.indices((90, 97))
    drawn = np.zeros((90, 97), np.uint8)
    for cy, cx, r in rng.uniform((0, 0, 2), (90, 97, 25), (12, 3)):
        drawn |= (np.hypot(y - cy, x - cx) < r).astype(np.uint8)
    truth = ndimage.distance_transform_edt(drawn).astype(np.float32)
    for size in rng.integers(1, 9000, 50):
        other = np.ones(size, np.float32)  # so that arrays lie elsewhere in memory
        assert np.array_equal(distances(drawn.copy()), truth), other[0]
