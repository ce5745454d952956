"""``apiece pick``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from apiece.cli._options import GROUP, LIST, Data, Json, Overwrite
from apiece.cli._output import check_new, check_writable, note, plain, print_json, print_table
from apiece.cli._seen import Seen
from apiece.cli._world import World
from apiece.errors import ApieceError, DataError, Message, UnknownNameError

if TYPE_CHECKING:
    from apiece._arrays import Float
    from apiece.calibration import Calibration, Intrinsics
    from apiece.cli._inspected import Picture
    from apiece.grasps import Grasps, Gripper

_WAYS = ("json", "overlay")


@dataclass(frozen=True)
class _Limits:
    """What the gripper can do; lengths such as `12 mm`, or `40 px`."""

    opening: Annotated[str | None, Parameter(help="Widest opening between the fingers. By default any.")] = None
    finger: Annotated[
        str | None, Parameter(help="Width of a finger. By default half of the width of each object's widest place.")
    ] = None
    thickness: Annotated[str, Parameter(help="Thickness of a finger: room that it needs beside an object.")] = "2 px"
    clearance: Annotated[str, Parameter(help="Least room that stays free behind each finger.")] = "2 px"
    insert: Annotated[
        str | None,
        Parameter(
            help="How far fingers reach below the grasp point, with depth. By default half of the opening, and at most "
            "half way to the floor."
        ),
    ] = None
    cup: Annotated[str | None, Parameter(help="Diameter of the suction cup. By default the widest that fits.")] = None
    reach: Annotated[
        str | None,
        Parameter(
            help="Box in which the gripper may grip: two corners, as `x,y x,y` in pixels, or `x,y,z x,y,z mm` in the "
            "frame of the camera. Write `--reach=` before a number below 0."
        ),
    ] = None

    def gripper(self) -> Gripper:
        """Return them as a gripper."""
        from apiece.grasps import Gripper, Reach

        reach = None if self.reach is None else Reach.parse(self.reach)
        return Gripper(self.opening, self.finger, self.thickness, self.clearance, self.insert, self.cup, reach)


def pick(
    data: Data,
    *,
    seen: Annotated[Seen, GROUP] = Seen(),
    world: Annotated[World, GROUP] = World(),
    calibration: Path | None = None,
    limits: Annotated[_Limits, GROUP] = _Limits(),
    save: Annotated[tuple[str, ...], LIST] = (),
    out: Path = Path("picks"),
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Say where a gripper takes hold of each object, and in which order: grasp point, angle, opening, suction point.

    Fingers close at the deepest point of the visible mask, across its outline. A suction cup sits where the surface is
    flat. What nothing lies on comes first, then what has the freest outline; what cannot be gripped comes last.

    ```
    apiece pick bin.png --model runs/parts --depth bin-depth.tif --save json,overlay
    apiece pick bin.png --model runs/parts --depth bin-depth.tif --intrinsics camera.json --opening "60 mm" --json
    apiece pick predictions.json --calibration cam.json --clearance "3 mm"
    ```

    Parameters
    ----------
    calibration
        File of `apiece calibrate`: the plane on which objects lie. With depth, it also tells the camera, where the
        board was tilted.
    save
        What to save: `json` (picks.json), `overlay` (a picture of each photo).
    out
        Folder for what `--save` names.
    """
    from apiece._atomic import staged, take_place
    from apiece.calibration import Calibration

    for way in save:
        if way not in _WAYS:
            raise UnknownNameError("thing to save", way, _WAYS)
    if save:
        check_new(out, overwrite)
    check_writable(out / "picks.json" if save else None)
    gripper, camera = limits.gripper(), world.camera()
    plane = None if calibration is None else Calibration.load(calibration)
    pictures = seen.pictures(data)
    read = world.depths(pictures.count)
    planned = []
    for one in pictures.each(seen.conf):
        if one.found is not None:
            planned.append((one, _planned(one, read(one.name, one.found.size), camera, plane, gripper)))
    told = {"pictures": [{"image": one.name, "picks": grasps.to_dicts()} for one, grasps in planned]}
    if save:
        with staged(out.parent, "apiece") as stage:
            folder = stage / out.name
            folder.mkdir()
            _save(folder, save, planned, told)
            take_place(folder, out, stage)
        note(f"wrote {out}")
    if json:
        print_json(told)
    else:
        _print(planned)


def _planned(
    one: Picture, depth: Float | None, camera: Intrinsics | None, plane: Calibration | None, gripper: Gripper
) -> Grasps:
    from apiece.grasps import plan_grasps

    assert one.found is not None
    try:
        return plan_grasps(one.found, depth=depth, intrinsics=camera, calibration=plane, gripper=gripper)
    except ApieceError as error:
        raise DataError(Message(f"{one.name}: ", error.message)) from None


def _save(folder: Path, save: tuple[str, ...], planned: list[tuple[Picture, Grasps]], told: dict[str, Any]) -> None:
    """Write what was planned into a folder."""
    from apiece._strict_json import dump
    from apiece.grasps import draw_grasps
    from apiece.images import write_image

    if "json" in save:
        (folder / "picks.json").write_text(dump(plain(told)), encoding="utf-8")
    for one, grasps in planned if "overlay" in save else ():
        path = (folder / one.name).with_suffix(".png")
        if not path.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"the image name {one.name!r} leads out of the folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, draw_grasps(grasps, None if one.read is None else one.read()))


def _print(planned: list[tuple[Picture, Grasps]]) -> None:
    """Print a row for each object of one photo, or a row for each of several photos."""
    if len(planned) == 1:
        _, grasps = planned[0]
        heads = ("pick", "class", "#", "x", "y", "angle", "opening", "fingers", "cup", "why not")
        rows = [
            (d["rank"], d["class"], d["index"], *_numbers(d["grasp"]), d["grasp"]["fits"], d["suction"]["sticks"],
             "; ".join(d["reasons"]))
            for d in grasps.to_dicts()
        ]  # fmt: skip
        print_table("", heads, rows)
        return
    columns = ("picture", "objects", "by fingers", "by cup", "first")
    print_table("", columns, [
        (one.name, len(g.order), int(g.fits.sum()), int(g.sticks.sum()), int(g.order[0]) if len(g.order) else "-")
        for one, g in planned
    ])  # fmt: skip


def _numbers(grasp: dict[str, Any]) -> tuple[Any, ...]:
    return tuple("-" if v is None else round(v, 1) for v in (*grasp["place"], grasp["angle"], grasp["opening"]))
