"""Images that look alike in a series, as photos of one part or frames of one camera do, and which of them are copies.

In a series every thumbnail agrees with every other, so agreement says nothing. What is usual in the series decides: an
image's likeness to its nearest neighbours is ranked, and its copies are the few before a gap that the rest of the
series does not have. Likeness is compared in the middle of the photo at full, half and quarter resolution without its
coarse shapes, where noise, texture and small defects tell two photos apart. A copy that is a little cropped or resized
is found by the best of small shifts. A copy that lost its noise to compression is found by its thumbnail, which lies
far nearer to the original's than thumbnails of the series lie to each other. A copy that lost some of both, cropped and
compressed, is found by a smaller gap at full resolution: its thumbnail is no nearer than is usual, and so little stands
out by chance. Strong compression leaves nothing but means of areas. These are compared by what varies most within the
series (light, place and turn of the part): a copy is nearer than the nearest of so many photos lies by chance.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy import fft
from scipy.linalg import eigh
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import cdist

from apiece._arrays import Array, Bool, Float, Float32, Int
from apiece.core.image import Image
from apiece.ops.image_hash import TURNS, Pairs, Print

MEMBERS = 9
"""Fewest images that are a series; fewer that look alike are copies of one."""

_LOOSE = 0.9  # least correlation of the thumbnails of a series; copies have 0.95
_COPIES = 8  # most copies of one image that are told from a series
_SIDE, _REACH = 128, 8  # side of the compared windows, and how far they are shifted, in pixels of their scale
_SCALES = 3  # windows at full, half and quarter resolution
_COARSE = 3.0  # standard deviation in pixels of what is taken off as coarse shape
_CONTROLS, _NOMINATED = 8, 2  # neighbours by thumbnail, and by each way to find neighbours in the windows
_RESIZED = 0.03  # difference of the sides' logarithms from which another size is a resize, not a crop
_BLOCK = 1024
# the gap in likeness, as a share of what the next neighbour lacks to 1, by which copies stand out in the windows, and
# the distance of their thumbnails as a share of what is usual; one strong sign suffices, or two weak ones
_STRONG, _WEAK = (0.3, 0.8, 0.95), (0.12, 0.3, 0.3)
_CLOSE, _CLOSER = 0.12, 0.06
_CROPPED = 0.17  # the gap at full resolution that suffices where thumbnails lie no nearer than is usual, as a crop does
_AREAS, _VARIED = 40, 12  # areas along the longer side whose means are compared, and ways in which they vary most
_CHANCE = 5e-3  # of a photo that is no copy to lie so near by means of areas, if photos do not follow each other
_AGREE = 0.6  # least overlap (IoU) of the sets of copies that two images have by themselves

_HANN = np.outer(np.hanning(_SIDE), np.hanning(_SIDE)).astype(np.float32)
_INVERSE = np.array(
    [
        [t for t, _ in TURNS].index((swap, across, down) if swap else (swap, down, across))
        for (swap, down, across), _ in TURNS
    ]
)  # the turn that undoes each

Read = Callable[[int], Image | None]
"""Read an image once more by its position among the prints."""


@dataclass(frozen=True, eq=False)
class Series:
    """Images that look alike, more than can be copies of one: positions among the prints, and their likeness."""

    members: Int
    likeness: float  # mean correlation of the thumbnails that look alike


def judged(prints: Sequence[Print], pairs: Pairs, read: Read) -> tuple[Pairs, list[Series]]:
    """Return (pairs that are copies, the series): pairs within a series stay only where they stand out in it."""
    if not len(pairs.first):
        return pairs, []
    part, size, likeness = _parts(prints, pairs)
    within = np.maximum(size[part[pairs.first]], size[part[pairs.second]]) >= MEMBERS
    found, series = [_taken(pairs, ~within)], []
    for k in np.flatnonzero(size >= MEMBERS).tolist():
        members = np.flatnonzero(part == k)
        series.append(Series(members, float(likeness[k])))
        found.append(_copies(prints, members, pairs, read))
    columns = zip(*((p.first, p.second, p.turn, p.likeness) for p in found), strict=True)
    first, second, turn, like = (np.concatenate(column) for column in columns)
    _, once = np.unique(first * len(prints) + second, return_index=True)
    return Pairs(first[once], second[once], turn[once], like[once]), series


def _parts(prints: Sequence[Print], pairs: Pairs) -> tuple[Int, Int, Float]:
    """Return (part of each image, images of each part, mean likeness in it): images that look alike hang together.

    Only images that look like a copy of another are asked, and not as strictly as copies are: where things move in
    front of a fixed camera, many frames are no copies at first sight, and yet say what is usual.
    """
    some = np.unique(np.concatenate([pairs.first, pairs.second]))
    thumbs = _thumbnails(prints, some, np.zeros_like(some))
    links = [np.zeros((3, 0))]
    for lo in range(0, len(some), _BLOCK):
        alike = thumbs[lo : lo + _BLOCK] @ thumbs.T
        a, b = np.nonzero(alike >= _LOOSE)
        links.append(np.stack([some[a + lo], some[b], alike[a, b]]))
    first, second, likeness = np.concatenate(links, axis=1)
    edges = (np.ones(len(first), np.int8), (first.astype(np.int64), second.astype(np.int64)))
    _, part = connected_components(sp.coo_array(edges, shape=(len(prints),) * 2), directed=False)
    other = first != second
    number, total = (
        np.bincount(part[first[other].astype(np.int64)], weights, int(part.max(initial=-1)) + 1)
        for weights in (None, likeness[other])
    )
    return part, np.bincount(part), total / np.maximum(number, 1)


def _taken(pairs: Pairs, chosen: Array) -> Pairs:
    return Pairs(pairs.first[chosen], pairs.second[chosen], pairs.turn[chosen], pairs.likeness[chosen])


def _copies(prints: Sequence[Print], members: Int, pairs: Pairs, read: Read) -> Pairs:
    """Return the copies among the members of a series, and among the images that look like members if turned."""
    image, turn = _turned_too(members, pairs)
    size = np.median([prints[i].size for i in members.tolist()], axis=0)
    thumbs = _thumbnails(prints, image, turn)
    windows = np.zeros((_SCALES, len(image), _SIDE, _SIDE), np.int8)
    areas = np.zeros((len(image), *np.maximum(np.rint(_AREAS * size / size.max()), 1).astype(int)), np.float32)
    for k, (i, t) in enumerate(zip(image.tolist(), turn.tolist(), strict=True)):
        if (pixels := read(i)) is not None:
            grey = _turned(_grey(pixels), t)
            areas[k] = cv2.resize(np.ascontiguousarray(grey), areas.shape[:0:-1], interpolation=cv2.INTER_AREA)
            windows[:, k] = _windows(_stretched(grey), size)
    likeness = thumbs @ thumbs.T
    likeness[image[:, None] == image] = -1  # an image and itself, turned
    spectra = [fft.rfft2(_unit(scale)) for scale in windows]
    by_areas, chance = _by_areas(areas, image)
    first, second = _neighbours(likeness, windows, spectra, image, by_areas)
    # the nearest neighbours may be copies, the next one is what is usual
    usual = 1 - np.median(np.partition(likeness, -MEMBERS, axis=1)[:, -MEMBERS])
    distance = (1 - likeness[first, second]) / max(float(usual), 1e-9)
    certain, signs = distance <= _CLOSER, (distance <= _CLOSE).astype(np.int64)
    for k, (spectrum, strong, weak) in enumerate(zip(spectra, _STRONG, _WEAK, strict=True)):
        value = _peaks(spectrum, first, second)
        certain |= _stands_out(first, second, value, strong)
        signs += _stands_out(first, second, value, weak)
        if not k:
            certain |= (distance >= 1) & _stands_out(first, second, value, _CROPPED)
    near = _near(pairs, members, image[first], image[second])
    if near is None:
        certain |= chance(first, second) <= _CHANCE
    # where both are turned, both upright say the same
    kept = (certain | (signs >= 2) if near is None else certain & near) & ((turn[first] == 0) | (turn[second] == 0))
    first, second = first[kept], second[kept]
    like = likeness[first, second].clip(0, 1).astype(np.float32)
    swapped = image[first] > image[second]
    first, second = np.where(swapped, second, first), np.where(swapped, first, second)
    relative = np.where(turn[first] == 0, turn[second], _INVERSE[turn[first]])
    return Pairs(image[first], image[second], relative, like)


def _near(pairs: Pairs, members: Int, one: Int, other: Int) -> Bool | None:
    """Return which pairs are near-duplicates; None if most of the series look like it, so that it says nothing.

    Prints tell photos of one part from each other no more than copies. They do tell most frames with large things that
    move, and there what stands out a little in the windows is the next frame.
    """
    own = pairs.first[np.isin(pairs.first, members) & np.isin(pairs.second, members)]
    if 2 * len(own) >= MEMBERS * len(members):
        return None
    most = int(max(pairs.second.max(initial=0), one.max(initial=0), other.max(initial=0))) + 1
    return np.isin(np.minimum(one, other) * most + np.maximum(one, other), pairs.first * most + pairs.second)


def _turned_too(members: Int, pairs: Pairs) -> tuple[Int, Int]:
    """Return (image, turn) of the members as they are, and of images that look more like one if turned."""
    most = int(max(members.max(), pairs.first.max(initial=0), pairs.second.max(initial=0))) + 1
    own = np.zeros(most, bool)
    own[members] = True
    upright = pairs.turn == 0
    best = np.zeros(most, np.float32)
    for side in (pairs.first, pairs.second):
        np.maximum.at(best, side[upright], pairs.likeness[upright])
    by_second, by_first = (~upright & own[side] for side in (pairs.first, pairs.second))
    image = np.concatenate([pairs.second[by_second], pairs.first[by_first]])
    turn = np.concatenate([pairs.turn[by_second], _INVERSE[pairs.turn[by_first]]])
    better = np.concatenate([pairs.likeness[by_second], pairs.likeness[by_first]]) > best[image]
    rows = np.unique(np.stack([image[better], turn[better]], 1), axis=0)
    return np.concatenate([members, rows[:, 0]]), np.concatenate([np.zeros_like(members), rows[:, 1]])


def _turned(pixels: Array, turn: int) -> Array:
    transposed, upside, mirrored = TURNS[turn][0]
    return (pixels.T if transposed else pixels)[:: -1 if upside else 1, :: -1 if mirrored else 1]


def _thumbnails(prints: Sequence[Print], image: Int, turn: Int) -> Float32:
    """Return the thumbnails, turned, of mean 0 and norm 1: (images, pixels)."""
    small = [_turned(prints[i].small, t).ravel() for i, t in zip(image.tolist(), turn.tolist(), strict=True)]
    rows = np.array(small, np.float32)
    return _unit(rows - rows.mean(1, keepdims=True))


def _unit(rows: Array) -> Float32:
    """Return each array of norm 1, or all zeros if it is."""
    flat = rows.reshape(len(rows), -1).astype(np.float32)
    return (flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)).reshape(rows.shape)


def _grey(image: Image) -> Float32:
    """Return the mean of the channels."""
    return np.asarray(np.nan_to_num(image.pixels.mean(2, dtype=np.float32), posinf=0.0, neginf=0.0))


def _stretched(grey: Float32) -> Float32:
    """Return grey from 0 at the darkest to 255 at the brightest."""
    low, high = float(grey.min()), float(grey.max())
    return np.asarray((grey - low) * np.float32(255 / max(high - low, 1e-9)), np.float32)


def _windows(grey: Float32, usual: Array) -> npt.NDArray[np.int8]:
    """Return the middle at each scale without its coarse shapes: (scales, side, side).

    A photo of another size than is usual, but of the same shape, is taken for resized; it gets the usual size.
    """
    ratio = np.log(usual / np.array(grey.shape))
    if np.abs(ratio).min() > _RESIZED and np.ptp(ratio) <= _RESIZED:
        grey = cv2.resize(grey, (round(usual[1]), round(usual[0])), interpolation=cv2.INTER_CUBIC)
    found = np.zeros((_SCALES, _SIDE, _SIDE), np.int8)
    for scale in range(_SCALES):
        if scale:
            grey = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        middle = _middle(grey, _SIDE + 2 * _REACH)
        fine = _middle(middle - cv2.GaussianBlur(middle, (0, 0), _COARSE), _SIDE)
        # the strongest edges, which all of the series have, must not count more than everything else
        limit = 4 * max(1.4826 * float(np.median(np.abs(fine))), 0.25)
        fine = np.clip(fine / limit, -1, 1)
        fine = (fine - fine.mean()) * _HANN[: fine.shape[0], : fine.shape[1]]
        found[scale, : fine.shape[0], : fine.shape[1]] = np.rint(fine * 63)
    return found


def _middle(grey: Float32, side: int) -> Float32:
    y, x = (max((n - side) // 2, 0) for n in grey.shape)
    return np.ascontiguousarray(grey[y : y + side, x : x + side])


def _by_areas(areas: Float32, image: Int) -> tuple[Int, Callable[[Int, Int], Float]]:
    """Return the nearest of each image by the means of areas, and the chance that a pair lies so near.

    Where photos vary in d ways, the nearest of 9 is nearer than r times the farthest of them with a chance of 9 r^d.
    How the number of neighbours grows with distance tells d; the nearest ones are left out, as they may be copies.
    """
    varied = areas.reshape(len(areas), -1) - np.median(areas, axis=0).ravel()
    # what occurs on single photos, such as a defect, must not count as what varies in the series
    limit = 4 * np.maximum(1.4826 * np.median(np.abs(varied), axis=0), 1e-6)
    varied = np.clip(varied, -limit, limit)
    varied -= varied.mean(0)
    _, ways = eigh(varied.T @ varied, subset_by_index=(max(varied.shape[1] - _VARIED, 0), varied.shape[1] - 1))
    distance = cdist(varied @ ways, varied @ ways)
    distance[image[:, None] == image] = np.inf
    ranked = np.sort(distance, axis=1)
    few, many = ranked[:, MEMBERS - 1], ranked[:, min(2 * MEMBERS, len(ranked) - 1) - 1]
    grown = float(np.median(many / np.maximum(few, 1e-9)))
    dimensions = min(np.log(2) / np.log(grown), _VARIED) if 1 < grown < np.inf else 0.0

    def chance(first: Int, second: Int) -> Float:
        usual = np.minimum(few[first], few[second])
        return np.asarray(MEMBERS * (distance[first, second] / np.maximum(usual, 1e-9)) ** dimensions)

    return np.argsort(distance, axis=1)[:, :_CONTROLS], chance


def _neighbours(
    likeness: Float32, windows: npt.NDArray[np.int8], spectra: Sequence[Array], image: Int, by_areas: Int
) -> tuple[Int, Int]:
    """Return the pairs that are compared, each once: by thumbnail, by areas, and by the windows in two ways.

    The two ways hardly depend on where a window lies: its power spectrum; and the window, moved to where it fits the
    mean of the series best, without that mean.
    """
    near = [np.argsort(-likeness, axis=1)[:, :_CONTROLS], by_areas]
    for scale, spectrum in zip(windows, spectra, strict=True):
        power = np.log(np.abs(spectrum) + 1e-4)
        power -= np.median(power, axis=0)
        near += [_nearest(power - power.mean((1, 2), keepdims=True), image), _nearest(_special(scale, spectrum), image)]
    wide = np.concatenate(near, axis=1)
    a, b = np.repeat(np.arange(len(wide)), wide.shape[1]), wide.ravel()
    pairs = np.unique(np.stack([np.minimum(a, b), np.maximum(a, b)], 1)[image[a] != image[b]], axis=0)
    return pairs[:, 0], pairs[:, 1]


def _nearest(rows: Float32, image: Int) -> Int:
    """Return the `_NOMINATED` nearest to each by correlation, without the same image turned."""
    rows = _unit(rows).reshape(len(rows), -1)
    found = []
    for lo in range(0, len(rows), _BLOCK):
        alike = rows[lo : lo + _BLOCK] @ rows.T
        alike[image[lo : lo + _BLOCK, None] == image] = -1
        found.append(np.argpartition(-alike, _NOMINATED, axis=1)[:, :_NOMINATED])
    return np.concatenate(found)


def _special(windows: npt.NDArray[np.int8], spectrum: Array) -> Float32:
    """Return the windows, each moved to where it fits their mean best, without that mean."""
    mean, moved = spectrum.mean(0), _unit(windows)
    shift = np.r_[0 : _REACH + 1, -_REACH:0]
    for _ in range(2):
        for k, own in enumerate(spectrum):
            fit = fft.irfft2(mean * own.conj(), s=(_SIDE, _SIDE))[np.ix_(shift, shift)]
            y, x = np.unravel_index(int(fit.argmax()), fit.shape)
            moved[k] = np.roll(_unit(windows[k : k + 1])[0], (shift[y], shift[x]), (0, 1))
        middle = moved.mean(0)
        mean = fft.rfft2(middle)
    middle /= max(float(np.linalg.norm(middle)), 1e-9)
    return np.asarray(moved - (moved * middle).sum((1, 2), keepdims=True) * middle)


def _peaks(spectrum: Array, first: Int, second: Int) -> Float:
    """Return for each pair the best correlation of the two windows over small shifts."""
    shift = np.arange(-_REACH, _REACH + 0.25, 0.5)
    down = np.exp(2j * np.pi / _SIDE * np.outer(shift, np.fft.fftfreq(_SIDE, 1 / _SIDE))).astype(np.complex64)
    across = np.exp(2j * np.pi / _SIDE * np.outer(np.arange(spectrum.shape[2]), shift)).astype(np.complex64)
    across[1 : _SIDE // 2] *= 2  # the other half of a real image's spectrum is its mirror image
    across /= _SIDE * _SIDE
    best = np.zeros(len(first))
    for lo in range(0, len(first), _BLOCK // 8):
        some = slice(lo, lo + _BLOCK // 8)
        product = spectrum[first[some]] * spectrum[second[some]].conj()
        best[some] = (down @ (product @ across)).real.max((1, 2))
    return best


def _stands_out(first: Int, second: Int, value: Float, least: float) -> Bool:
    """Return which pairs are before the gap among the neighbours of both, whose copies must be the same images."""
    count = int(max(first.max(initial=-1), second.max(initial=-1))) + 1
    item, other, likeness = np.r_[first, second], np.r_[second, first], np.r_[value, value]
    order = np.lexsort((-likeness, item))
    item, other, likeness = item[order], other[order], likeness[order]
    copies: list[set[int]] = []
    for lo, hi in itertools.pairwise(np.searchsorted(item, np.arange(count + 1)).tolist()):
        ranked = likeness[lo:hi][: _COPIES + 1]
        gap = (ranked[:-1] - ranked[1:]) / np.maximum(1 - ranked[1:], 1e-6)
        wide = np.flatnonzero(gap >= least)
        copies.append(set(other[lo : lo + int(wide[-1]) + 1].tolist()) if len(wide) else set())
    found = np.zeros(len(first), bool)
    for k, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        if b in copies[a] and a in copies[b]:
            one, two = copies[a] | {a}, copies[b] | {b}
            found[k] = len(one & two) >= _AGREE * len(one | two)
    return found
