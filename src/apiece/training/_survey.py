"""What training finds out about the images before it begins: channels, size, crop."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from apiece._arrays import Float32, Int
from apiece.core.image import Image, PixelSize
from apiece.core.instances import Instances
from apiece.datasets import class_counts
from apiece.datasets.dataset import Dataset
from apiece.errors import DataError, Option
from apiece.ops import intersections
from apiece.ops.ground import masks_on
from apiece.training.config import TrainConfig, crop_within
from apiece.transforms.input import colour_channels, seen
from apiece.transforms.scale import Scale

log = logging.getLogger("apiece")

_UPRIGHT = Option("upright", ..., flag="--upright or --no-upright")
_ONE_PIECE = Option("one_piece", ..., flag="--one-piece or --no-one-piece")
_NATIVE = 640  # images up to this side are trained at their own resolution
_LEAN = 0.1  # mean log of width over height from which a class has an upright
_SINGLE = (20, 0.01)  # masks of a class to judge by, and the most of them in several parts, if its objects are in one
_SAME_SCALE = 1.1  # pixel sizes that differ by less are one
_CROPS = (256, 640)  # smallest and largest crop chosen by itself


@dataclass(frozen=True)
class Survey:
    """What the images are like."""

    channels: int  # of the network's input: the most that an image has; 3 where grey and colour are mixed
    imgsz: int | None  # longer side that images are resized to; None: not at all
    crop: int  # side of the training crops
    upright: bool  # the objects have an up and a down, so crops are turned by a few degrees only
    most: int  # most instances in one image, crowds among them
    one_piece: tuple[bool, ...]  # whether objects of each class are in one piece: all but a few of enough masks are
    scale: Scale  # how large pixels and objects are


def survey(data: Dataset, config: TrainConfig, stuff: Sequence[int] = (), most: int = 100) -> Survey:
    """Look at up to ``most`` images, evenly spaced, and settle what ``config`` leaves open.

    Sizes and forms are those of objects; the classes ``stuff`` are none.

    No image, no instance, or more than 12 channels are a `DataError`.
    """
    if not len(data):
        raise DataError(f"{config.data}: there are no training images")
    counts, ground = set[int](), _Ground()
    sides, objects, boxes_of, labels_of, parts_of, clashes = [], [], [], [], [], list[str]()
    instances = crowds = 0
    pixel_sizes: list[PixelSize | None] = []
    for i in range(0, len(data), max(1, -(-len(data) // most))):
        image, found = data[i]
        counts.add(colour_channels(image) if config.channels is None else _asked(image, config.channels))
        ground.look(image, found, config.channels)
        sides.append(max(image.size))
        pixel_sizes.append(image.pixel_size)
        instances += len(found)
        crowds += int(found.crowd.sum())
        is_stuff = np.isin(found.labels, stuff)
        clashes += [f"{told} on {data.refs[i].name}" for told in _clashes(found[is_stuff & ~found.crowd])]
        found = found[~found.crowd & ~is_stuff]
        boxes = found.boxes
        objects.append((boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0) / max(image.size))
        boxes_of.append(boxes)
        labels_of.append(found.labels)
        parts_of.append(found.masks.parts)
    if not instances:
        raise DataError(f"{config.data}: none of the {len(sides)} training images looked at has an instance")
    if instances == crowds:
        raise DataError(
            f"{config.data}: all {instances:,} instances of the {len(sides)} training images looked at are crowd "
            "regions, which are no objects to learn; where a tool marked every object so, apiece check --fix mends "
            "a copy"
        )
    if clashes:
        log.warning(
            "%s: classes of stuff overlap in %d places, such as %s; a pixel has one class, and that of the smaller "
            "segment is learned: cut one of them", config.data, len(clashes), clashes[0],
        )  # fmt: skip
    channels = max(counts)
    ground.tell(len(sides), channels + 1, config)
    if channels > 12:
        raise DataError(f"{config.data}: images have up to {channels} channels; a model takes 1 to 12")
    if len(counts) > 1:
        log.info("images have %s channels; the model takes %d", " or ".join(map(str, sorted(counts))), channels)
    imgsz = _imgsz(np.array(sides), config)
    longest = float(np.percentile(sides, 95)) if imgsz is None else float(imgsz)
    crop = config.crop or _crop(np.concatenate(objects), longest)
    upright = config.upright
    if upright is None:
        upright = has_upright(np.concatenate(boxes_of), np.concatenate(labels_of))
        kind = "have an up and a down: crops are turned by 10 degrees at most" if upright else "lie at any angle"
        log.info(f"upright: objects seem to {kind} (change it with " + _UPRIGHT + ")")
    scale = Scale(_pixel_size(pixel_sizes), _sizes(np.concatenate(boxes_of)))
    single = tuple(bool(config.one_piece) and k not in stuff for k in range(len(data.classes)))
    if config.one_piece is None:
        single = in_one_piece(np.concatenate(parts_of), np.concatenate(labels_of), len(data.classes))
        names = ", ".join(name for name, one in zip(data.classes, single, strict=True) if one)
        if names:
            log.info(f"one piece: {names}, by the labels; stray parts are left out (change it with " + _ONE_PIECE + ")")
    return Survey(channels, imgsz, crop, upright, int(class_counts(data.labels).sum(axis=1).max()), single, scale)


def _clashes(stuff: Instances) -> Iterator[str]:
    """Yield which two segments of different classes share how many pixels."""
    shared = sp.triu(intersections(stuff.masks, stuff.masks), 1).tocoo()
    for a, b, pixels in zip(shared.row.tolist(), shared.col.tolist(), shared.data.tolist(), strict=True):
        if pixels and stuff.labels[a] != stuff.labels[b]:
            yield f"{stuff.names[a]} and {stuff.names[b]} ({int(pixels):,} pixels)"


@dataclass
class _Ground:
    """What there is of alpha channels, and of ground that is transparent (or nodata), which is not learned from."""

    images: int = 0  # with an alpha channel that is left out
    transparent: int = 0  # images with such ground
    empty: int = 0  # of them, those with nothing else
    gone: int = 0  # objects that lie on such ground alone
    cut: int = 0  # objects that lie on it in part

    def look(self, image: Image, found: Instances, channels: int | None) -> None:
        """Take in an image with its instances."""
        alpha = image.alpha is not None and image.channels != channels
        self.images += alpha
        if (data := image.data if alpha or image.nodata is not None else None) is None:
            return
        self.transparent += 1
        self.empty += not data.any()
        before, after = found.masks.area, masks_on(found.masks, data).area
        self.gone += int(((after == 0) & (before > 0)).sum())
        self.cut += int(((after < before) & (after > 0)).sum())

    def tell(self, looked: int, channels: int, config: TrainConfig) -> None:
        """Say what is not learned from; refuse images with nothing to learn from. ``channels`` are those with alpha."""
        if self.images:
            log.info(
                f"alpha: {self.images} of {looked} images looked at have an alpha channel, which is left out (learn "
                "from it with " + Option("channels", channels) + ")"
            )
        if self.transparent:
            log.info(
                "transparent ground: on %d of %d images; it is no data, and not learned from. On it lie %d objects, "
                "and %d more in part",
                *(self.transparent, looked, self.gone, self.cut),
            )
        if self.empty == looked:
            raise DataError(
                f"{config.data}: the alpha channel or the nodata value says that all {looked} images looked at are "
                "transparent everywhere; save them without it, or take alpha as a channel with "
                + Option("channels", channels)
            )


def check_channels(data: Dataset, channels: int, most: int = 20) -> None:
    """Refuse validation images, of up to ``most`` looked at, that a model of so many channels does not take."""
    for i in range(0, len(data), max(1, -(-len(data) // most))):
        image = data[i][0]
        try:
            seen(image, channels)
        except DataError as error:
            raise DataError(f"the validation image {image.path} does not fit the training images: {error}") from error


def _asked(image: Image, channels: int) -> int:
    """Return ``channels``, if a model of so many takes the image."""
    try:
        seen(image, channels)
    except DataError as error:
        raise DataError(Option("channels", channels) + f" does not fit {image.path}: {error}") from error
    return channels


def in_one_piece(parts: Int, labels: Int, classes: int) -> tuple[bool, ...]:
    """Return whether objects of each class are in one piece, by the parts and labels of masks, (N,) each."""
    least, most = _SINGLE
    own = [parts[labels == k] for k in range(classes)]
    return tuple(len(one) >= least and float((one > 1).mean()) <= most for one in own)


def has_upright(boxes: Float32, labels: Int) -> bool:
    """Return whether most objects are of classes that are wider than tall, or taller than wide, on the whole.

    Under a microscope, or seen from above, objects lie at any angle: width over height is as often above 1 as below,
    and its logarithm's mean is 0. Street photos have tall doors and wide cars. ``boxes`` are half-open xyxy (N, 4).
    """
    side = boxes[:, 2:] - boxes[:, :2]
    shown = (side > 4).all(axis=1)  # of a few pixels the shape is chance
    lean, labels = np.log(side[shown, 0] / side[shown, 1]), labels[shown]
    votes = 0
    for label in np.unique(labels):
        own = lean[labels == label]
        error = own.std() / np.sqrt(len(own)) + 0.02
        votes += len(own) if len(own) >= 20 and abs(own.mean()) > max(_LEAN, 4 * error) else 0
    return bool(votes > 0.5 * len(labels))


def _imgsz(sides: Int, config: TrainConfig) -> int | None:
    if config.imgsz == "native":
        return None
    if config.imgsz is not None:
        return int(config.imgsz)
    # sets of mixed sizes, as from microscopes, share a magnification that resizing would spoil: the median decides
    typical = float(np.median(sides))
    if typical <= _NATIVE:
        most = f"imgsz: native, as half of the images are at most {typical:.0f} px long"
        log.info(most + " (resize them with " + Option("imgsz", ...) + ")")
        return None
    most = f"imgsz: {_NATIVE}, as half of the images are {typical:.0f} px or longer"
    log.info(most + " (keep them with " + Option("imgsz", "native") + ")")
    return _NATIVE


def _pixel_size(stated: Sequence[PixelSize | None]) -> float | None:
    """Return the micrometres per pixel that all images state alike."""
    known = [float(np.sqrt(size.to("um").x * size.to("um").y)) for size in stated if size is not None]
    if not known:
        return None
    if len(known) < len(stated) or max(known) > _SAME_SCALE * min(known):
        some = f"{len(stated) - len(known)} images state none" if len(known) < len(stated) else "they differ"
        log.info(f"pixel size: {min(known):g} to {max(known):g} um, and {some}; the model keeps none")
        return None
    return float(np.median(known))


def _sizes(boxes: Float32) -> tuple[float, ...]:
    """Return percentiles of the longer sides of boxes, half-open xyxy (N, 4)."""
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0)
    return tuple(np.percentile(sides, (5, 50, 95, 99)).tolist()) if len(sides) else ()


def _crop(objects: Float32, longest: float) -> int:
    """Return a side with room for most objects and some surroundings, within what the images offer."""
    wanted = 2.5 * float(np.percentile(objects, 90)) * longest if len(objects) else 0.0
    low, high = _CROPS
    side = min(max(int(np.ceil(wanted / 32)) * 32, low), high, crop_within(longest))
    log.info(f"crop: {side} px (change it with " + Option("crop", ...) + ")")
    return side
