"""`plan_grasps`: how to grip every object of a picture, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int
from apiece.calibration import Calibration, Intrinsics, check_depth
from apiece.core.image import PixelSize
from apiece.core.instances import Instances
from apiece.errors import ConfigError, Option
from apiece.grasps.cups import Cups, cups
from apiece.grasps.field import MARGIN, Field
from apiece.grasps.gripper import Gripper
from apiece.grasps.jaws import HALF, Jaws, Wanted, jaws
from apiece.grasps.order import covers, free_share, layers
from apiece.grasps.surface import Surface
from apiece.ops.sheets import sheets

__all__ = ["Grasps", "plan_grasps"]

_BEND = 0.05  # of the radius of a cup: a surface that is less plane leaks
_TILT = 45.0  # degrees; from a steeper surface a cup slips


@dataclass(frozen=True, eq=False)
class Grasps:
    """How N objects can be gripped, in the order of the objects; ``order`` says which first.

    Places are pixels (x, y; edges of pixels at whole numbers). What does not exist is NaN.

    Attributes
    ----------
    instances : the objects.
    order : int64 (N,), the objects from the first to be taken to the last.
    jaws : places between two fingers, angle, opening and room.
    cups : places of a suction cup.
    fits, sticks : bool (N,), whether the fingers, and the cup, can hold the object.
    reasons : of each object why not, or nothing.
    layer : int64 (N,), 0 where nothing lies on the object.
    covered_by : of each object the ones that lie on it.
    free : (N,), share of the outline beyond which no other object stands in the way of a finger.
    depth : (N,), metres to the camera at the grasp point.
    surface : the world behind the picture.
    """

    instances: Instances
    order: Int
    jaws: Jaws
    cups: Cups
    fits: Bool
    sticks: Bool
    reasons: tuple[tuple[str, ...], ...]
    layer: Int
    covered_by: tuple[tuple[int, ...], ...]
    free: Float
    depth: Float
    surface: Surface = field(repr=False)

    @property
    def fingers(self) -> Float:
        """Where the two fingers touch: (N, 2, 2)."""
        turn = np.radians(self.jaws.angle)
        half = np.stack((np.cos(turn), np.sin(turn)), 1) * (self.jaws.opening / 2)[:, None]
        return np.stack((self.jaws.places - half, self.jaws.places + half), 1)

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return one dictionary for each object, in the order in which they can be taken; NaN becomes None."""
        found, world = self.instances, self.surface
        scale = None if world.pixels_per_metre is None else 1 / world.pixels_per_metre
        frame = "camera" if world.unit == "m" else "plane"
        fingers = self.fingers
        places = {
            "grasp": world.world(self.jaws.places, self.depth),
            "suction": world.world(self.cups.places),
            "left": world.world(fingers[:, 0], self.depth),
            "right": world.world(fingers[:, 1], self.depth),
        }
        per_unit = 1.0 if world.unit == "px" else PixelSize(1.0, 1.0, "m").to(world.unit).x
        out = []
        for rank, k in enumerate(self.order.tolist()):
            grasp = {"place": _plain(self.jaws.places[k]), "angle": _plain(self.jaws.angle[k]),
                     "opening": _plain(self.jaws.opening[k]), "fingers": _plain(fingers[k]),
                     "room": _plain(self.jaws.room[k]), "fits": bool(self.fits[k])}  # fmt: skip
            suction = {"place": _plain(self.cups.places[k]), "room": _plain(self.cups.room[k]),
                       "bend": _plain(self.cups.bend[k]), "tilt": _plain(self.cups.tilt[k]),
                       "sticks": bool(self.sticks[k])}  # fmt: skip
            if places["grasp"] is not None and scale is not None:
                ends = [places[side][k] for side in ("left", "right")]  # type: ignore[index]
                grasp[frame] = {"unit": world.unit, "place": _plain(places["grasp"][k]), "fingers": _plain(ends),
                                "opening": _plain(self.jaws.opening[k] * scale[k] * per_unit)}  # fmt: skip
                suction[frame] = {"unit": world.unit, "place": _plain(places["suction"][k])}  # type: ignore[index]
                if frame == "camera":
                    suction[frame]["normal"] = _plain(self.cups.normal[k])
            out.append({
                "rank": rank + 1, "index": k, "id": None if found.ids is None else int(found.ids[k]),
                "class": found.classes[found.labels[k]],
                "score": None if found.scores is None else float(found.scores[k]),
                "layer": int(self.layer[k]), "covered_by": list(self.covered_by[k]), "free": _plain(self.free[k]),
                "depth": _plain(self.depth[k]), "grasp": grasp, "suction": suction, "reasons": list(self.reasons[k]),
            })  # fmt: skip
        return out


def plan_grasps(
    instances: Instances,
    *,
    depth: npt.ArrayLike | None = None,
    intrinsics: Intrinsics | None = None,
    calibration: Calibration | None = None,
    gripper: Gripper | None = None,
) -> Grasps:
    """Plan how to grip every object: where, at which angle, how wide; where a suction cup holds; and which one first.

    Fingers close at the deepest point of the visible mask, across its outline, where they have most room. A cup sits
    where the surface is flat and inside the outline; without depth, at the deepest point. Objects come first on which
    nothing lies (by depth, or by full masks), then those with the freest outline. An object that neither fingers nor
    a cup can hold comes last.

    Parameters
    ----------
    instances : the N objects.
    depth : (H, W) in metres, registered to the picture (`apiece.calibration.read_depth`).
    intrinsics : camera of the depth image; then places are told in its frame, too.
    calibration : of the plane that the objects lie on, for a camera without depth; with depth and without
        ``intrinsics`` it also tells the camera, where its board was tilted.
    gripper : limits of the gripper; by default thin fingers of any opening.

    Raises
    ------
    InvalidInstancesError
        If depth, intrinsics or calibration belong to a picture of another size, or there is no depth at all.
    ConfigError
        If lengths have a unit and nothing says how large pixels are, or intrinsics stand without depth.

    Examples
    --------
    >>> from apiece.grasps import plan_grasps
    >>> bar = apiece.Instances(apiece.Masks.from_boxes([[10, 20, 50, 30]], (60, 60)), [0], ("bar",))
    >>> found = plan_grasps(bar)
    >>> found.jaws.places.round(1).tolist(), found.jaws.angle.tolist(), found.jaws.opening.round(1).tolist()
    ([[30.0, 25.0]], [90.0], [10.0])
    """
    gripper = gripper or Gripper()
    surface = _surface(instances, depth, intrinsics, calibration)
    wanted, radius = _wanted(gripper, surface)
    grip, cup = _found(surface, wanted, radius)
    share = covers(surface)
    share_free = free_share(surface, np.maximum(wanted.room, 1.0))
    near = surface.local_depth(grip.places, np.maximum(0.3 * grip.depth, 1.0))
    fits, sticks, reasons = _judged(gripper, surface, wanted, radius, grip, cup, near)
    layer = layers(share)
    order = np.lexsort((np.where(np.isnan(near), np.inf, near), -share_free, layer, ~(fits | sticks)))
    by = share.tocsc()
    covered = tuple(tuple(sorted(by.indices[a:b].tolist())) for a, b in zip(by.indptr[:-1], by.indptr[1:], strict=True))
    return Grasps(instances, order, grip, cup, fits, sticks, reasons, layer, covered, share_free, near, surface)


def _surface(
    instances: Instances, depth: npt.ArrayLike | None, intrinsics: Intrinsics | None, calibration: Calibration | None
) -> Surface:
    known = None if depth is None else check_depth(depth, instances.size)
    if intrinsics is not None and known is None:
        raise ConfigError(Option("intrinsics") + " say where a pixel's ray goes, not how far; give " + Option("depth"))
    if calibration is not None:
        calibration.check(instances.size)
        if known is not None and intrinsics is None:
            intrinsics = Intrinsics.from_calibration(calibration)
    if intrinsics is not None:
        intrinsics.check(instances.size)
    return Surface(instances, known, intrinsics, calibration)


def _wanted(gripper: Gripper, surface: Surface) -> tuple[Wanted, Float]:
    """Return what the gripper needs at each object, and the radius of its cup, in pixels."""
    insert = gripper.pixels("insert", surface, np.nan)
    if gripper.insert is not None and surface.pixels_per_metre is not None:
        insert = insert / surface.pixels_per_metre
    elif gripper.insert is not None:
        raise ConfigError(Option("insert") + " needs depth and intrinsics")
    room = gripper.pixels("thickness", surface, 0.0) + gripper.pixels("clearance", surface, 0.0)
    opening, finger = gripper.pixels("opening", surface, np.inf), gripper.pixels("finger", surface, np.nan)
    # of an object without depth, nobody knows how large it is
    return Wanted(opening, finger, np.nan_to_num(room), insert), gripper.pixels("cup", surface, np.nan) / 2


def _found(surface: Surface, wanted: Wanted, radius: Float) -> tuple[Jaws, Cups]:
    """Return the best grasps of all objects; NaN for an empty mask."""
    count = surface.count
    grip = Jaws(*(np.full(shape, np.nan) for shape in ((count, 2), count, count, (count, 2), count)))
    cup = Cups(*(np.full(shape, np.nan) for shape in ((count, 2), count, count, count, (count, 3))))
    for sheet in sheets(surface.instances.masks, MARGIN):
        one = Field.of(sheet, surface.instances.masks)
        for whole, part in ((grip, jaws(one, surface, wanted)), (cup, cups(one, surface, radius))):
            for name, values in vars(part).items():
                getattr(whole, name)[one.masks] = values
    return grip, cup


def _judged(
    gripper: Gripper, surface: Surface, wanted: Wanted, radius: Float, grip: Jaws, cup: Cups, near: Float
) -> tuple[Bool, Bool, tuple[tuple[str, ...], ...]]:
    """Return which objects fingers and cup can hold, and why not."""
    empty = np.isnan(grip.opening)
    wide, tight = ~(grip.opening <= wanted.opening), ~(grip.room.min(1) >= wanted.room - HALF)
    per_metre = surface.pixels_per_metre
    size = np.where(np.isnan(radius), cup.room, radius) / (1.0 if per_metre is None else per_metre)
    bent, steep = cup.bend > _BEND * size, cup.tilt > _TILT
    small = cup.room < np.where(np.isnan(radius), 0.0, radius) - HALF
    out = np.zeros((2, surface.count), bool)
    if gripper.reach is not None:
        out = np.stack([~gripper.reach.holds(places, surface) for places in (grip.places, cup.places)])
    blind = np.isnan(near) & (surface.depth is not None)
    fits = ~(empty | wide | tight | out[0] | blind)
    unknown = np.isnan(cup.bend) & (surface.depth is not None)
    sticks = ~(empty | small | bent | steep | unknown | out[1])
    # only what does not hold has something to be said, and no picture has many such objects' worth of text
    told: list[tuple[str, ...]] = []
    for k in range(surface.count):
        said = (
            ("its mask is empty", empty[k]),
            ("no depth is known at the grasp point", blind[k] and not empty[k]),
            (f"fingers open {grip.opening[k]:.1f} px, and the gripper {wanted.opening[k]:.1f} px", wide[k]),
            (f"a finger has {grip.room[k].min():.1f} px of room, and needs {wanted.room[k]:.1f} px", tight[k]),
            ("the grasp point is out of reach", out[0, k]),
            (f"the cup has room for a radius of {cup.room[k]:.1f} px, and needs {radius[k]:.1f} px", small[k]),
            ("the depth under the cup is not known", unknown[k]),
            (f"the surface under the cup bends by {1000 * cup.bend[k]:.2f} mm", bent[k]),
            (f"the surface under the cup is tilted by {cup.tilt[k]:.0f} degrees", steep[k]),
            ("the suction point is out of reach", out[1, k]),
        )  # fmt: skip
        told.append(tuple(text for text, holds in said if holds and (not empty[k] or text.endswith("empty"))))
    return fits, sticks, tuple(told)


def _plain(values: Any) -> Any:
    """Return numbers as JSON has them, rounded to a millionth; NaN becomes None."""
    array = np.asarray(values, np.float64)
    if array.ndim:
        return [_plain(one) for one in array]
    return round(float(array), 6) if np.isfinite(array) else None
