"""`measure_depth`: how far objects are from a depth camera, and how much room they take above their ground."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float
from apiece.calibration import Intrinsics, check_depth
from apiece.core.instances import Instances
from apiece.core.runs import expand, owners
from apiece.measurements._engine.table import Table

__all__ = ["measure_depth"]

_MM = 1000.0
_GROUND = 200  # pixels beside all objects from which a ground can be told
_MOST = 50_000  # such pixels that are used
_ROUNDS = 20
_TRIED, _SOME = 200, 1000  # planes through three pixels, and pixels on which they are tried


def measure_depth(instances: Instances, depth: npt.ArrayLike, intrinsics: Intrinsics | None = None) -> Table:
    """Measure the depth inside every mask, and with intrinsics the volume above the ground.

    The ground is the plane that fits the depths beside all objects. A pixel's volume is the part of its pyramid between
    the surface and the ground, so perspective is right at any distance; hollows that the camera cannot see count in.

    Parameters
    ----------
    instances : the N instances.
    depth : (H, W) in metres, registered to the image (`apiece.calibration.read_depth`).
    intrinsics : of the depth camera.

    Returns
    -------
    A table of N rows: ``depth_mean``, ``depth_min``, ``depth_max`` and ``depth_std`` in mm, ``depth_known`` (share of
    the mask whose depth was measured), and ``volume`` in mm3. NaN where nothing was measured; the volume is NaN where
    fewer than 200 pixels show the ground. The part of a mask without depth counts as thick as the rest.

    Raises
    ------
    InvalidInstancesError
        If the depth image or the camera belongs to an image of another size, or there is no depth at all.

    Examples
    --------
    >>> from apiece.calibration import Intrinsics
    >>> from apiece.measurements import measure_depth
    >>> box = apiece.Instances(apiece.Masks.from_boxes([[10, 10, 20, 30]], (40, 60)), [0], ("box",))
    >>> depth = np.where(box.masks.to_dense()[0], 0.9, 1.0)
    >>> table = measure_depth(box, depth, Intrinsics((40, 60), 100.0, 100.0, 29.5, 19.5))
    >>> table["depth_mean"].round().tolist(), table["volume"].round().tolist()  # 200 * (1000**3 - 900**3) / 30,000
    ([900.0], [1806667.0])
    """
    known = check_depth(depth, instances.size)
    runs, width = instances.masks.runs, instances.size[1]
    count = (runs.y1 - runs.y0).astype(np.int64)
    at = expand(runs.y0.astype(np.int64), count) * width + np.repeat(runs.x.astype(np.int64), count)
    owner = np.repeat(owners(runs.offsets), count)
    z = known.reshape(-1)[at]
    seen = np.isfinite(z)
    at, owner, z = at[seen], owner[seen], z[seen]
    number, area = np.bincount(owner, minlength=len(instances)), instances.masks.area
    some = np.where(number > 0, number, np.nan)
    mean = np.bincount(owner, z, len(instances)) / some
    spread = np.sqrt(np.bincount(owner, (z - mean[owner]) ** 2, len(instances)) / some)
    low, high = np.full(len(instances), np.inf), np.full(len(instances), -np.inf)
    np.minimum.at(low, owner, z)
    np.maximum.at(high, owner, z)
    columns = {
        "depth_mean": mean * _MM, "depth_min": np.where(number > 0, low, np.nan) * _MM,
        "depth_max": np.where(number > 0, high, np.nan) * _MM, "depth_std": spread * _MM,
        "depth_known": number / np.where(area > 0, area, np.nan),
    }  # fmt: skip
    units = {name: "" if name == "depth_known" else "mm" for name in columns}
    if intrinsics is not None:
        intrinsics.check(instances.size)
        ground = _ground(known, at, instances)
        cubes = np.bincount(owner, (ground(at) ** 3 - z**3), len(instances)) if ground is not None else np.nan
        columns["volume"] = cubes / (3 * intrinsics.fx * intrinsics.fy) * area / some * _MM**3
        units["volume"] = "mm3"
    ids = np.arange(len(instances)) if instances.ids is None else instances.ids
    names = np.array(instances.classes, np.str_)[instances.labels]
    return Table({"id": ids, "class": names, **columns}, units, {"class": instances.classes})


class _Ground:
    """A plane: in a pinhole camera the inverse of its depth is linear in the place of the pixel."""

    def __init__(self, slope: Float, width: int) -> None:
        self.slope, self.width = slope, width

    def __call__(self, at: npt.NDArray[np.int64]) -> Float:
        """Return the depth of the ground in metres at pixels, index into the flat image."""
        return np.asarray(1 / (_places(at, self.width) @ self.slope))


def _places(at: npt.NDArray[np.int64], width: int) -> Float:
    y, x = np.divmod(at, width)
    return np.stack((x / width, y / width, np.ones(len(at))), 1)


def _ground(depth: Float, at: npt.NDArray[np.int64], instances: Instances) -> _Ground | None:
    """Return the plane beside all objects, by least squares whose weights leave out what lies off it (Tukey)."""
    free = np.isfinite(depth.reshape(-1))
    free[at] = False
    index = np.flatnonzero(free)
    if len(index) < _GROUND:
        return None
    index = index[:: max(len(index) // _MOST, 1)]
    places, inverse = _places(index, instances.size[1]), 1 / depth.reshape(-1)[index]
    slope = _rough(places, inverse)
    for _ in range(_ROUNDS):
        off = np.abs(inverse - places @ slope)
        limit = max(4.685 * 1.4826 * float(np.median(off)), 1e-9)
        weight = np.where(off < limit, (1 - (off / limit) ** 2) ** 2, 0.0)
        root = np.sqrt(weight)[:, None]
        slope = np.asarray(np.linalg.lstsq(places * root, inverse * root[:, 0], rcond=None)[0], np.float64)
    return _Ground(slope, instances.size[1])


def _rough(places: Float, inverse: Float) -> Float:
    """Return the plane through three pixels that lies nearest to half of all: walls of a bin do not move it."""
    rng = np.random.default_rng(0)
    chosen = rng.integers(len(inverse), size=(_TRIED, 3))
    square = places[chosen]
    good = np.abs(np.linalg.det(square)) > 1e-6
    if not good.any():  # all of them on one line: level ground
        return np.array([0.0, 0.0, float(np.median(inverse))])
    slopes = np.linalg.solve(square[good], inverse[chosen[good]][..., None])[..., 0]
    some = rng.integers(len(inverse), size=_SOME)
    off = np.median(np.abs(inverse[some, None] - places[some] @ slopes.T), axis=0)
    return np.asarray(slopes[off.argmin()], np.float64)
