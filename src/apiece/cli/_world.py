"""The options of a depth image and its camera."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from apiece.errors import ConfigError, DataError, Option

if TYPE_CHECKING:
    from apiece._arrays import Float
    from apiece.calibration import Intrinsics


@dataclass(frozen=True)
class World:
    """What is known of the world behind the pixels."""

    depth: Annotated[
        Path | None,
        Parameter(
            help="Depth image of the photo, registered to it; for several photos a folder with files of the same names."
        ),
    ] = None
    depth_unit: Annotated[
        str | None,
        Parameter(
            help="Unit of the depth image's values. By default whole numbers are millimetres and floats are metres."
        ),
    ] = None
    intrinsics: Annotated[
        Path | None,
        Parameter(
            help="JSON file of the depth camera: width, height, fx, fy, cx, cy, or Open3D's; or of `apiece calibrate` "
            "with a tilted board."
        ),
    ] = None

    def camera(self) -> Intrinsics | None:
        """Return the camera, if one is named."""
        from apiece.calibration import Intrinsics

        for name, given in {"intrinsics": self.intrinsics, "depth_unit": self.depth_unit}.items():
            if given is not None and self.depth is None:
                raise ConfigError(Option(name) + " needs a depth image; name it with " + Option("depth", ...))
        return None if self.intrinsics is None else Intrinsics.load(self.intrinsics)

    def depths(self, count: int) -> Callable[[str, tuple[int, int]], Float | None]:
        """Return what reads the depth of a photo by its name and its size (height, width)."""
        from apiece.calibration import read_depth

        if self.depth is None:
            return lambda name, size: None
        if self.depth.is_dir():
            files = {path.stem: path for path in sorted(self.depth.iterdir())}
        elif count > 1:
            raise ConfigError(
                f"there are {count:,} photos; name a folder with the depth of each, by " + Option("depth")
            )
        else:
            files = {}

        def read(name: str, size: tuple[int, int]) -> Float | None:
            assert self.depth is not None
            path = files.get(Path(name).stem) if self.depth.is_dir() else self.depth
            if path is None:
                raise DataError(f"{self.depth} has no depth image for {name}; it would be called {Path(name).stem}.tif")
            return read_depth(path, size, self.depth_unit)

        return read
