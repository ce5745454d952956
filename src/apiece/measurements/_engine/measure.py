"""`measure` and `measure_many`: from instances to tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Float
from apiece.calibration import Calibration
from apiece.core.image import Image, ImageRef, PixelSize, check_drawn_on
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import chunks
from apiece.errors import ConfigError, ImageError, InvalidInstancesError, Option, UnknownNameError
from apiece.images import Pyramid
from apiece.measurements._engine.on_plane import on_plane, pixel_sides
from apiece.measurements._engine.table import Table
from apiece.measurements.contract import ROOM, Dimension, Measure, Property, Request, edges
from apiece.ops.ground import masks_on
from apiece.ops.perimeter import crofton

Extra: TypeAlias = Callable[[Masks, Array | None], npt.ArrayLike]
"""A measurement of your own: from (masks, pixels (height, width, channels) or None) to N values, or N rows of them."""

Columns = dict[str, Array]

_U95 = "_u95"
_RUNS = 1 << 17  # of masks that are measured at once


def families() -> tuple[Measure, ...]:
    """Return every family of measurements, those of the masks before those of the image."""
    return tuple(sorted(ROOM.load_all().values(), key=lambda m: m.needs_image))


def measure(
    instances: Instances,
    image: Image | Array | None = None,
    *,
    pixel_size: PixelSize | str | None = None,
    calibration: Calibration | None = None,
    properties: Sequence[str] | None = None,
    extra: Mapping[str, Extra] | Sequence[Extra] | None = None,
    uncertainty: bool = False,
) -> Table:
    """Measure every instance: one row each, in order.

    The columns are ``id`` (the position, if instances have no ids), ``class``, ``score`` (if scored), ``crowd``, then
    the properties; `apiece.measurements.families` lists them with their definitions. Lengths and areas are in pixels,
    or in the unit of the pixel size. Boxes and centroids are places in the image and stay in pixels.

    Parameters
    ----------
    instances : the N instances.
    image : the image that the instances were found on, for intensities and for its pixel size. An alpha channel has no
        intensity, and transparent ground counts for none.
    pixel_size : `PixelSize`, or text such as ``"0.5 um"`` or ``"0.5 x 0.4 um"`` (width first); by default the image's.
    calibration : of the camera (`apiece.calibration`), in place of a pixel size: sizes are those on its plane. Areas,
        Feret diameters and rectangles are exact there; other lengths follow the scale at the middle of their object.
    properties : names of what to measure, in the order of the columns; None for everything that can be measured but
        textures, which are measured where they are named.
    extra : column name to a function of your own, called once with all masks and the pixels; or a list of functions,
        whose names become those of the columns.
    uncertainty : add a column ``NAME_u95`` behind each length and area of which it is known: half the width of the
        interval that holds the true value with 95%. It covers what pixels lose, how well the calibration is known, and
        how far outlines may be off, where instances have an attribute ``edge`` (in pixels, 95%), and ``edge_mean`` for
        areas, as ``model.predict(..., edges=True)`` gives.

    Returns
    -------
    A table of N rows.

    Raises
    ------
    InvalidInstancesError
        If ``image`` is no image, or has another size than the masks.
    UnknownNameError
        If a property does not exist.
    ConfigError
        If the pixel size cannot be read or stands beside a calibration, if intensities are wanted without an image, or
        if an extra measurement does not return one value per instance.

    Examples
    --------
    >>> found = apiece.Instances.from_label_map(np.array([[1, 1, 0], [1, 1, 0]]))
    >>> apiece.measure(found, pixel_size="0.5 um")["area"].tolist()
    [1.0]
    >>> apiece.measure(found, extra={"right": lambda masks, pixels: masks.boxes[:, 2]})["right"].tolist()
    [2.0]
    """
    if image is not None and not isinstance(image, Image):
        image = Image(image)
    if image is not None and image.size != instances.size:
        raise InvalidInstancesError(
            f"the image is {image.size[0]} x {image.size[1]} pixels (height x width), the masks were made for "
            f"{instances.size[0]} x {instances.size[1]}; measure instances on the image they were found on"
        )
    size = _pixel_size(pixel_size, image)
    if calibration is not None:
        if pixel_size is not None:
            raise ConfigError(Option("calibration") + " says how large pixels are; leave out " + Option("pixel_size"))
        calibration.check(instances.size)
        size = None
    pixels, data = (None, None) if image is None else (image.colours().pixels, image.data)
    every = families()
    wanted = _select(every, properties, 0 if pixels is None else pixels.shape[2], instances.full is not None)
    columns, units = _identity(instances), dict[str, str]()
    request_scale = (1.0, 1.0) if size is None else (size.x, size.y)
    measured: Columns = {}
    asked = {p.name for p in wanted}
    for family in every:
        names = frozenset(p.name for p in family.properties if p.name in asked)
        if names:
            masks = instances.masks
            if family.needs_image and data is not None:
                masks = masks_on(masks, data)  # what is stored under transparent ground means nothing
            measured.update(_computed(family, Request(masks, pixels, request_scale, names, instances.full)))
    if calibration is not None:
        measured = on_plane(measured, wanted, instances.masks, calibration)
        size = PixelSize(1.0, 1.0, calibration.unit)  # for the names of units
    widths = _widths(instances, wanted, measured, request_scale, calibration) if uncertainty else {}
    for prop in wanted:
        for name, values in _split(prop.name, measured[prop.name], prop.parts).items():
            columns[name], units[name] = values, _unit(prop.dimension, size)
        if prop.name in widths:
            columns[prop.name + _U95], units[prop.name + _U95] = widths[prop.name], _unit(prop.dimension, size)
    for name, function in _named(extra).items():
        columns |= _extra(name, function, instances.masks, pixels, columns)
    return Table.of_own(columns, units, {"class": instances.classes})


def _computed(family: Measure, request: Request) -> Mapping[str, Array]:
    """Return what a family measures; a few masks at a time where each is measured alone, so that memory stays small."""
    parts = list(chunks(np.diff(request.masks.offsets), _RUNS))
    if family.together or family.needs_image or len(parts) < 2:
        return family.compute(request)
    full = request.full
    found = [
        dict(family.compute(replace(request, masks=request.masks[a:b], full=None if full is None else full[a:b])))
        for a, b in parts
    ]
    # a column goes from the parts as it comes into the whole, so that two of all are not held at once
    return {name: np.concatenate([part.pop(name) for part in found]) for name in list(found[0])}


def _widths(
    instances: Instances,
    wanted: Sequence[Property],
    measured: Columns,
    scale: tuple[float, float],
    calibration: Calibration | None,
) -> dict[str, Float]:
    """Return the half widths of 95% intervals of each property that has one; NaN where nothing is measured."""
    masks, edge = instances.masks, edges(instances)
    side = np.sqrt(scale[0] * scale[1]) if calibration is None else pixel_sides(masks, calibration)
    error = 0.0 if calibration is None else calibration.scale_error
    if calibration is None and scale[0] == scale[1] and "perimeter" in measured:
        around = measured["perimeter"] / scale[0]
    else:
        around = crofton(masks)
    widths = {
        p.name: p.half_width(measured[p.name], around, edge, side, error, measured.get(f"{p.name}_spread"))
        for p in wanted
        if p.spread
    }
    return {name: np.where(masks.area > 0, width, np.nan) for name, width in widths.items()}


def measure_many(
    records: Iterable[tuple[ImageRef | Image | str, Instances]],
    *,
    read: Callable[[ImageRef], Image | Pyramid] | None = None,
    pixel_size: PixelSize | str | None = None,
    calibration: Calibration | None = None,
    properties: Sequence[str] | None = None,
    extra: Mapping[str, Extra] | Sequence[Extra] | None = None,
    uncertainty: bool = False,
    on_bad: Callable[[ImageError], None] | None = None,
) -> Iterator[Table]:
    """Measure the instances of several images: yield one table per image.

    As `measure`, with a first column ``image``: the image's name. ``Table.concatenate(measure_many(...))`` joins the
    tables. Physical units are those of the first image.

    Parameters
    ----------
    records : pairs of an image (`ImageRef`, `Image`, or just a name) and its instances, as `apiece.read` yields them.
    read : function that opens an `ImageRef`, for intensities and pixel sizes; without it, only an `Image` is used. Of
        an `apiece.images.Pyramid` only the windows around objects are read.
    pixel_size, calibration, properties, extra, uncertainty : as in `measure`.
    on_bad : called with the error of each image that cannot be read, or has another size than its masks; such an image
        is left out. By default the first one is raised.

    Raises
    ------
    ImageError
        As ``read``, or if an image has another size than its masks.
    ConfigError
        If some images have a pixel size and others have none; names the image.

    Examples
    --------
    >>> from apiece.measurements import Table, measure_many
    >>> table = Table.concatenate(measure_many(apiece.read("data/train.json"), properties=["area"]))
    >>> print(table)
    image  id  class  crowd  area
                              px2
    a.png   1  bolt      no    54
    a.png   2  nut       no   130
    b.png   1  bolt      no    54
    b.png   2  nut       no   130
    """
    from apiece.measurements._engine.large import measure_large  # which measures by the function above

    unit: str | None = None
    for index, (source, instances) in enumerate(records):
        image: Image | Pyramid | None = source if isinstance(source, Image) else None
        if isinstance(source, ImageRef) and read is not None:
            try:
                image = read(source)
                check_drawn_on(image, instances.size, source.path)
            except ImageError as error:
                if on_bad is None:
                    raise
                on_bad(error)
                continue
        name = _image_name(source, index)
        size = None if calibration is not None else _pixel_size(pixel_size, image)
        found = "" if size is None else size.unit
        unit = found if unit is None else unit
        if bool(found) != bool(unit):
            raise ConfigError(
                f"image {name!r} has {'a' if found else 'no'} pixel size, the images before it have "
                f"{'none' if found else 'one'}; measure them separately, or give one for all with "
                + Option("pixel_size", "0.5 um")
            )
        if size is not None and unit:
            size = size.to(unit)
        options: dict[str, Any] = {
            "calibration": calibration, "properties": properties, "extra": extra, "uncertainty": uncertainty,
        }  # fmt: skip
        if isinstance(image, Pyramid):
            table = measure_large(instances, image, pixel_size=size, **options)
        else:
            table = measure(instances, image, pixel_size=size, **options)
        columns = {"image": np.broadcast_to(np.array(name), len(table)), **table.columns}  # one text, not N
        yield Table.of_own(columns, table.units, {"image": (name,), **table.levels})


def mean_colours(instances: Instances, image: Image) -> Float:
    """Return the mean colour of each instance, CIE L*a*b*: float64 (N, 3), NaN for an empty mask.

    It is ``lab_mean`` of `measure` for images of any number of channels: one or two channels count as grey (the first
    of them), and of more than three the first three count.

    Examples
    --------
    >>> from apiece.measurements import mean_colours
    >>> found = apiece.Instances.from_label_map(np.array([[1, 2]]))
    >>> mean_colours(found, apiece.Image(np.array([[0, 255]], np.uint8))).round().tolist()
    [[0.0, 0.0, 0.0], [100.0, 0.0, 0.0]]
    """
    pixels, data = image.colours().pixels, image.data
    if pixels.shape[2] != 3:
        pixels = np.ascontiguousarray(pixels[..., [0, 1, 2] if pixels.shape[2] > 3 else [0, 0, 0]])
    masks = instances.masks if data is None else masks_on(instances.masks, data)
    found = ROOM.load("colour").compute(Request(masks, pixels, (1.0, 1.0), frozenset({"lab_mean"})))
    return np.asarray(found["lab_mean"], np.float64)


def _image_name(source: ImageRef | Image | str, index: int) -> str:
    if isinstance(source, str):
        return source
    if isinstance(source, ImageRef):
        return source.name
    return str(index) if source.path is None else source.path.name


def _pixel_size(given: PixelSize | str | None, image: Image | Pyramid | None) -> PixelSize | None:
    if isinstance(given, str):
        return PixelSize.parse(given)
    if not isinstance(given, PixelSize | None):
        raise ConfigError(
            Option("pixel_size") + f" needs a unit: write it as '0.5 um' or '0.5 x 0.4 um', got {given!r}"
        )
    return given if given is not None or image is None else image.pixel_size


def _select(every: Sequence[Measure], names: Sequence[str] | None, channels: int, has_full: bool) -> list[Property]:
    """Return the properties with these names, or all that can be measured; of 0 channels is no image."""
    known = {p.name: (p, family) for family in every for p in family.properties}
    if names is None:
        return [p for p, f in known.values() if not f.on_request and _lacking(f, channels, has_full) is None]
    if isinstance(names, str):
        raise ConfigError(f"properties must be a list of names, got the text {names!r}; write [{names!r}]")
    for name in names:
        if name not in known:
            raise UnknownNameError("property", name, known)
        lacking = _lacking(known[name][1], channels, has_full)
        if lacking is not None:
            raise ConfigError(f"{name!r} is measured on {lacking}, or leave {name!r} out")
    return [known[name][0] for name in dict.fromkeys(names)]


def _lacking(family: Measure, channels: int, has_full: bool) -> str | None:
    """Return what a family needs that is not there, and what to do about it."""
    if family.needs_image and not channels:
        return "the image; give the image"
    if family.needs_colour and channels != 3:
        return f"images of 3 channels (red, green, blue), and this one has {channels}; give a colour image"
    if family.needs_full and not has_full:
        return "full masks, which these instances lack; give instances with full masks"
    return None


def _identity(instances: Instances) -> Columns:
    """Return the columns id, class, score and crowd."""
    classes = np.array(instances.classes, np.str_)
    columns: Columns = {
        "id": np.arange(len(instances)) if instances.ids is None else instances.ids,
        "class": classes[instances.labels],
    }
    if instances.scores is not None:
        columns["score"] = instances.scores
    columns["crowd"] = instances.crowd
    return columns


def _split(name: str, values: Array, parts: Sequence[str] = ()) -> Columns:
    """Return one column for N values, or several for N rows of values."""
    if values.ndim == 1:
        return {name: values}
    parts = parts or [str(k) for k in range(values.shape[1])]
    return {f"{name}_{part}": values[:, k] for k, part in enumerate(parts)}


def _unit(dimension: Dimension, size: PixelSize | None) -> str:
    length = "px" if size is None else size.unit
    return {"length": length, "area": f"{length}2", "pixel": "px", "degree": "deg", "none": ""}[dimension]


def _named(extra: Mapping[str, Extra] | Sequence[Extra] | None) -> Mapping[str, Extra]:
    """Return functions by the name of their column."""
    if extra is None or isinstance(extra, Mapping):
        return extra or {}
    names = [getattr(function, "__name__", "<lambda>") for function in extra]
    if "<lambda>" in names or len(set(names)) < len(names):
        raise ConfigError("extra measurements in a list need names of their own; give a dictionary of column names")
    return dict(zip(names, extra, strict=True))


def _extra(name: str, function: Extra, masks: Masks, pixels: Array | None, taken: Columns) -> Columns:
    values = np.array(function(masks, pixels))
    if values.ndim not in (1, 2) or len(values) != len(masks) or values.dtype.kind not in "buifU":
        raise ConfigError(
            f"the extra measurement {name!r} must return one value (or one row of values) for each of the "
            f"{len(masks)} instances; it returned shape {values.shape}, dtype {values.dtype}"
        )
    columns = _split(name, values)
    clash = columns.keys() & taken.keys()
    if clash:
        raise ConfigError(f"the extra measurement {name!r} would replace column {min(clash)!r}; give it another name")
    return columns
