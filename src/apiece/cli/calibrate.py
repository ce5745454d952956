"""``apiece calibrate``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from apiece.cli._options import Json, ModelName
from apiece.cli._output import check_writable, note, print_json
from apiece.errors import ConfigError, Option, UnknownNameError

if TYPE_CHECKING:
    from apiece.calibration import Calibration
    from apiece.core.image import Image

_POINTS = re.compile(r"\s*([-0-9.eE+]+)\s*,\s*([-0-9.eE+]+)\s+([-0-9.eE+]+)\s*,\s*([-0-9.eE+]+)\s*")


def calibrate(
    image: Path,
    *,
    checkerboard: str | None = None,
    charuco: str | None = None,
    aruco: str | None = None,
    square: str | None = None,
    marker: str | None = None,
    dictionary: str = "4x4_50",
    scale_bar: str | None = None,
    length: str | None = None,
    reference: str | None = None,
    model: ModelName | None = None,
    pixel_size: str | None = None,
    out: Path = Path("cam.json"),
    json: Json = False,
) -> None:
    """Find what the pixels of a camera are in millimetres, and write it to a file for `apiece measure`.

    A board also gives perspective and the distortion of the lens. It lies on the plane of the objects, and the camera
    does not move afterwards. Without any of these options, the photo's metadata (TIFF, OME) say how large its pixels
    are.

    ```
    apiece calibrate checker.jpg --checkerboard 9x6 --square "5 mm" --out cam.json
    apiece calibrate bench.png --scale-bar "102,40 318,44" --length "10 mm"
    apiece calibrate coin.jpg --reference "coin 23.25 mm" --model runs/coins
    ```

    Parameters
    ----------
    image
        A photo as the camera takes them.
    checkerboard
        Inner corners of a checkerboard, in a row and in a column: a board of 10 x 7 squares has 9x6. Needs `--square`.
    charuco
        Squares of a ChArUco board, in a row and in a column, such as 8x5. Needs `--square` and `--marker`.
    aruco
        Side of one ArUco marker, such as "20 mm".
    square
        Side of a square of the board, such as "5 mm".
    marker
        Side of a marker of the ChArUco board.
    dictionary
        Dictionary of the markers.
    scale_bar
        Two points in pixels that are `--length` apart, as "x,y x,y".
    length
        Length of the scale bar, such as "10 mm".
    reference
        Class and diameter of a round object in the photo, such as "coin 23.25 mm". Needs `--model`.
    model
        Model that finds the reference object.
    pixel_size
        Size of a pixel, if it is known, such as "0.5 um".
    out
        JSON file to write.
    """
    from apiece.calibration import from_aruco, from_charuco, from_checkerboard, from_pixel_size, from_scale_bar
    from apiece.images import read_image

    ways = ("checkerboard", "charuco", "aruco", "scale_bar", "reference", "pixel_size")
    values = (checkerboard, charuco, aruco, scale_bar, reference, pixel_size)
    chosen = [name for name, value in zip(ways, values, strict=True) if value is not None]
    if len(chosen) > 1:
        raise ConfigError(Option(chosen[0]) + " and " + Option(chosen[1]) + " are two ways to calibrate; choose one")
    for name, value in {"square": square, "marker": marker, "length": length, "model": model}.items():
        if value is not None and not set(_BELONGS[name]) & set(chosen):
            goes = " or ".join(str(Option(way).on_command_line) for way in _BELONGS[name])
            raise ConfigError(Option(name, value) + f" goes with {goes}")
    check_writable(out)
    photo = read_image(image)
    found: Calibration
    if checkerboard is not None:
        found = from_checkerboard(photo, _counts("checkerboard", checkerboard), _wanted("square", square))
    elif charuco is not None:
        sides = _wanted("square", square), _wanted("marker", marker)
        found = from_charuco(photo, _counts("charuco", charuco), *sides, dictionary)
    elif aruco is not None:
        found = from_aruco(photo, aruco, dictionary)
    elif scale_bar is not None:
        match = _POINTS.fullmatch(scale_bar)
        if match is None:
            raise ConfigError(Option("scale_bar", scale_bar) + ": write two points as 'x,y x,y'")
        x0, y0, x1, y1 = (float(v) for v in match.groups())
        found = from_scale_bar(photo.size, (x0, y0), (x1, y1), _wanted("length", length))
    elif reference is not None:
        found = _by_reference(photo, reference, model)
    elif pixel_size is not None or photo.pixel_size is not None:
        found = from_pixel_size(photo.size, pixel_size or photo.pixel_size or "")
    else:
        raise ConfigError(
            f"{image} does not state how large its pixels are; give "
            + Option("checkerboard", "9x6")
            + ", "
            + Option("scale_bar", "x,y x,y")
            + " or "
            + Option("pixel_size", "0.5 um")
        )  # fmt: skip
    found.save(out)
    _say(found, out, json)


_BELONGS = {
    "square": ("checkerboard", "charuco"), "marker": ("charuco",), "length": ("scale_bar",), "model": ("reference",),
}  # fmt: skip
"""The ways to calibrate that an option belongs to."""


def _say(found: Calibration, out: Path, json: bool) -> None:
    """Print what was found."""
    import numpy as np

    middle = np.array([found.size[::-1]]) / 2
    across = float(np.sqrt(abs(np.linalg.det(found.stretch(middle)[0]))))
    note(
        f"{found.method}: {across:.5g} {found.unit} a pixel in the middle, lengths known to "
        f"{2 * found.scale_error:.2%}, points off by {found.error:.2f} pixels; {out}"
    )
    if json:
        numbers = {"method": found.method, "unit": found.unit, "pixel": across}
        print_json(numbers | {"error_px": found.error, "scale_error": found.scale_error, "lens": found.lens})


def _wanted(name: str, value: str | None) -> str:
    if value is None:
        raise ConfigError(Option(name, "5 mm") + " is needed, too: how long is it?")
    return value


def _counts(name: str, text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)\s*[x×]\s*(\d+)", text.strip())
    if match is None:
        raise ConfigError(Option(name, text) + ": write two numbers, such as 9x6")
    return int(match[1]), int(match[2])


def _by_reference(photo: Image, reference: str, model: str | None) -> Calibration:
    """Calibrate by the objects of a class that a model finds."""
    from apiece.calibration import from_reference
    from apiece.predict import load

    match = re.fullmatch(r"(.+?)\s+([0-9.]\S*\s*\S+)", reference.strip())
    if match is None or model is None:
        raise ConfigError(
            Option("reference", reference)
            + ": write a class and its diameter, such as 'coin 23.25 mm', and name the "
            + Option("model")
            + " that finds it"
        )  # fmt: skip
    found = load(model).predict(photo)
    if match[1] not in found.classes:
        raise UnknownNameError("class", match[1], found.classes)
    return from_reference(found.of_class(match[1]).masks, match[2])
