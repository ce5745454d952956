"""`Masks`: the masks of a set of instances as column runs, exact and small, with array operations over all at once.

Pixel (row i, column j) covers [j, j + 1) x [i, i + 1). Sizes are (height, width). Holes, several parts, overlaps
between masks, single pixels and empty masks are ordinary. Dense pixels exist only when asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Bool, Float, Int, Int32
from apiece.core import _convert, _decode, _labelmap, _layers, _polygons, _rle, run_overlap, topology
from apiece.core._arguments import checked_boxes, checked_size, integers, whole
from apiece.core._mask_set import MaskSet
from apiece.core.runs import Runs, expand
from apiece.core.stored_runs import joined
from apiece.errors import InvalidInstancesError

__all__ = ["Masks", "label_map_masks", "label_map_values"]

Overlap = Literal["raise", "first", "last", "smallest"]


class Masks(MaskSet):
    """Hold the masks of N instances on one image; immutable.

    Make a set with a ``from_`` constructor. Masks may overlap, have holes and several parts, or be empty. The stored
    form is public, so that adapters and fast code of your own can read it.

    Attributes
    ----------
    size : (height, width) in pixels.
    runs : `Runs`, a named tuple of the four arrays that follow.
    x, y0, y1 : int32 of shape (R,): run r is column ``x[r]``, rows ``y0[r]`` to ``y1[r] - 1``. Runs are ordered
        by (mask, column, row); runs of one mask in one column never touch.
    offsets : int64 of shape (N + 1,): mask i has the runs ``offsets[i]`` to ``offsets[i + 1] - 1``.

    Raises
    ------
    InvalidInstancesError
        If the arrays are not of this form.

    Examples
    --------
    >>> masks = apiece.Masks.from_label_map(np.array([[1, 1, 0], [1, 0, 2]]))
    >>> masks.area
    array([3, 1])
    >>> masks.boxes.tolist()
    [[0.0, 0.0, 2.0, 2.0], [2.0, 1.0, 3.0, 2.0]]
    >>> masks[masks.area > 1].to_dense().astype(int).tolist()
    [[[1, 1, 0], [1, 0, 0]]]
    """

    # --- constructors -------------------------------------------------------------------------------------------------

    @classmethod
    def empty(cls, size: tuple[int, int], count: int = 0) -> Masks:
        """Return ``count`` masks without a pixel."""
        none = np.zeros(0, np.int32)
        return cls.of_runs(size, Runs(none, none, none, np.zeros(count + 1, np.int64)))

    @classmethod
    def concatenate(cls, sets: Sequence[Masks]) -> Masks:
        """Return all masks of several sets on images of one size, in order."""
        if not sets:
            raise InvalidInstancesError("concatenate needs at least one set of masks")
        if len({m.size for m in sets}) > 1:
            raise InvalidInstancesError(f"masks of different sizes cannot be joined: {sorted({m.size for m in sets})}")
        return cls.of_runs(sets[0].size, joined([m.runs for m in sets]))

    @classmethod
    def from_label_map(cls, a: Array, background: int = 0) -> Masks:
        """Return one mask for each distinct value but ``background``, in ascending order of value.

        Parameters
        ----------
        a : integer or bool array of shape (height, width). `label_map_values` gives its values.
        background : the value that belongs to no mask.

        Examples
        --------
        >>> apiece.Masks.from_label_map(np.array([[7, 7, 0], [0, 5, 5]])).area
        array([2, 2])
        """
        return label_map_masks(a, background)[1]

    @classmethod
    def from_dense(cls, stack: npt.ArrayLike) -> Masks:
        """Return the masks of an array of shape (N, height, width); nonzero is inside."""
        stack = np.asarray(stack)
        if stack.ndim != 3 or stack.dtype.kind not in "buif":
            raise InvalidInstancesError(
                "dense masks are a number array of shape (N, height, width); "
                f"got shape {stack.shape}, dtype {stack.dtype}"
            )
        return cls.of_runs(stack.shape[1:], Runs.ordered(*_labelmap.dense_runs(stack), len(stack)))

    @classmethod
    def from_crops(cls, crops: Sequence[npt.ArrayLike], corners: npt.ArrayLike, size: tuple[int, int]) -> Masks:
        """Return the masks of small arrays that lie somewhere on the image; what lies outside the image is cut.

        Parameters
        ----------
        crops : one 2-D array per mask; nonzero is inside.
        corners : integer array of shape (N, 2): x, y of each crop's upper left pixel.
        size : (height, width) of the image.
        """
        runs = _convert.crop_runs([np.asarray(c) for c in crops], np.asarray(corners))
        return cls._pack(size, len(crops), *_convert.clip_runs(runs, (0, 0, size[1], size[0])))

    @classmethod
    def from_coco(cls, rles: Sequence[Mapping[str, Any]], size: tuple[int, int] | None = None) -> Masks:
        """Return the masks of COCO RLE ``{"size": [height, width], "counts": str, bytes or list of int}``.

        Parameters
        ----------
        rles : compressed or not.
        size : (height, width), needed only for an empty sequence; if given, every mask must have it.

        Raises
        ------
        InvalidInstancesError
            Naming the index of a mask whose counts are no valid encoding of its size.

        Examples
        --------
        >>> apiece.Masks.from_coco([{"size": [2, 3], "counts": [1, 2, 3]}]).to_dense().astype(int).tolist()
        [[[0, 1, 0], [1, 0, 0]]]
        """
        given, size = _convert.coco_counts(rles, None if size is None else checked_size(size))
        return cls.of_runs(size, _rle.counts_to_runs(*_rle.decode(given), size))

    @classmethod
    def from_polygons(cls, polygons: Sequence[Sequence[npt.ArrayLike]], size: tuple[int, int]) -> Masks:
        """Return the masks of polygons by COCO's own rasterisation rule, pixel-exact with pycocotools.

        Parameters
        ----------
        polygons : for each instance its parts; a part is ``[x, y, x, y, ...]`` or an array of shape (K, 2), K >= 3.
            Parts are united, as COCO unites them: a ring inside another is no hole.
        size : (height, width); what lies outside is cut.

        Raises
        ------
        InvalidInstancesError
            Naming instance and part, for fewer than 3 points, an odd number of coordinates, another shape, or NaN.
        """
        points, rings, owner = _convert.flatten_polygons(polygons)
        return cls._pack(size, len(polygons), *_polygons.polygon_runs(points, rings, owner, checked_size(size)))

    @classmethod
    def from_rings(cls, points: Float, rings: Int, owner: Int, count: int, size: tuple[int, int]) -> Masks:
        """Return the masks that `from_polygons` does, of polygons that lie in flat arrays.

        Parameters
        ----------
        points : float64 (P, 2): x, y in pixels of all polygons' vertices.
        rings : int64 (K + 1,): polygon k has the vertices ``rings[k]`` to ``rings[k + 1] - 1``.
        owner : int64 (K,), ascending: the mask of which each polygon is a part.
        count : number of masks.
        size : (height, width); what lies outside is cut.

        Raises
        ------
        InvalidInstancesError
            Naming instance and part, for fewer than 3 points or NaN.

        Examples
        --------
        >>> corners = np.array([[0, 0], [2, 0], [2, 2], [1, 1], [3, 1], [3, 3]], float)
        >>> apiece.Masks.from_rings(corners, np.array([0, 3, 6]), np.array([0, 1]), 2, (4, 4)).area
        array([1, 1])
        """
        _convert.check_rings(points.reshape(-1), 2 * np.diff(rings), owner)
        return cls._pack(size, count, *_polygons.polygon_runs(points, rings, owner, checked_size(size)))

    @classmethod
    def from_boxes(cls, boxes: npt.ArrayLike, size: tuple[int, int]) -> Masks:
        """Return filled boxes: the pixels of the image whose centres lie in each half-open box x0, y0, x1, y1."""
        window = _decode.pixel_window(checked_boxes(boxes), checked_size(size))
        count = np.maximum(window[:, 2] - window[:, 0], 0)
        owner = np.repeat(np.arange(len(window)), count)
        return cls._pack(size, len(window), owner, expand(window[:, 0], count), window[owner, 1], window[owner, 3])

    @classmethod
    def from_logits(
        cls,
        logits: Array,
        boxes: npt.ArrayLike,
        size: tuple[int, int],
        *,
        threshold: float = 0.0,
        whole: bool = False,
        span: tuple[float, float] | None = None,
    ) -> Masks:
        """Return the masks of low-resolution maps: where a map, resampled inside its box, lies above ``threshold``.

        The result equals resampling each whole map bilinearly (pixel centres at halves, edges repeated:
        ``align_corners=False``) and thresholding inside the box. It is computed as run-lengths directly: there is no
        N x H x W array, and memory does not depend on N beyond the result.

        Parameters
        ----------
        logits : (N, h, w) float: logits, or probabilities with a ``threshold`` such as 0.5.
        boxes : (N, 4) half-open xyxy in image pixels; a pixel belongs to a box if its centre does.
        size : (height, width) of the image.
        whole : False: each map spans its own box (Mask R-CNN). True: each map spans the whole image, and the box only
            limits.
        span : (height, width) in cells of the part of each map that spans the image, where the rest lies on padding,
            as of a network's input; cells may be cut. None: all of it. With ``whole`` only.
        """
        size = checked_size(size)
        limits = checked_boxes(boxes)
        covered = (span or np.shape(logits)[1:]) if whole else None
        return cls._pack(size, len(limits), *_decode.logit_runs(logits, limits, size, threshold, covered))

    @classmethod
    def from_prototypes(
        cls,
        prototypes: Array | Sequence[Array],
        coefficients: Array,
        boxes: npt.ArrayLike,
        size: tuple[int, int],
        *,
        threshold: float = 0.0,
        span: tuple[float, float] | None = None,
    ) -> Masks:
        """Return what `from_logits` with ``whole=True`` returns, of maps that are weighted sums of prototypes.

        Sums are computed near each box only and a few masks at a time: time grows with the boxes' areas, memory is
        bounded whatever N.

        Parameters
        ----------
        prototypes : float (K, h, w), or several such, whose K are added up: maps that lie apart need not be joined.
        coefficients : float (N, K).
        boxes, size, threshold, span : as in `from_logits`.
        """
        size = checked_size(size)
        bases: Sequence[Array] = [prototypes] if isinstance(prototypes, np.ndarray) else prototypes
        covered = span or np.shape(bases[0])[1:]
        limits = checked_boxes(boxes)
        parts = _decode.prototype_runs(bases, coefficients, limits, size, threshold, covered)
        found, place, done = [cls.empty(size, 1)], np.zeros(len(limits), np.int64), 1
        for which, runs in parts:
            found.append(cls._pack(size, len(which), *runs))
            place[which] = np.arange(done, done + len(which))
            done += len(which)
        return cls.concatenate(found)[place]

    # --- moved and joined ---------------------------------------------------------------------------------------------

    def crop(self, x0: int, y0: int, x1: int, y1: int) -> Masks:
        """Return what lies in the half-open window, as masks of its size; the window may reach beyond the image."""
        x0, y0, x1, y1 = whole(x0, y0, x1, y1)
        runs = self.runs.between(x0, x1) if len(self) == 1 else self.runs  # of one mask these are found by a search
        owner, x, top, bottom = _convert.clip_runs(runs.loose, (x0, y0, x1, y1))
        return Masks.of_runs((y1 - y0, x1 - x0), Runs.ordered(owner, x - x0, top - y0, bottom - y0, len(self)))

    def shift(self, dx: int, dy: int, size: tuple[int, int] | None = None) -> Masks:
        """Return the masks moved by whole pixels onto an image of ``size`` (default the same); the outside is cut."""
        height, width = self.size if size is None else checked_size(size)
        dx, dy = whole(dx, dy)
        return self.crop(-dx, -dy, width - dx, height - dy)

    def flip(self, axis: Literal["horizontal", "vertical"]) -> Masks:
        """Return the masks mirrored: ``"horizontal"`` exchanges left and right, ``"vertical"`` top and bottom."""
        owner = self.runs.owners
        if axis == "horizontal":
            return Masks._pack(self.size, len(self), owner, self.size[1] - 1 - self.x, self.y0, self.y1)
        if axis == "vertical":
            return Masks._pack(self.size, len(self), owner, self.x, self.size[0] - self.y1, self.size[0] - self.y0)
        raise ValueError(f"axis must be 'horizontal' or 'vertical', got {axis!r}")

    def transpose(self) -> Masks:
        """Return the masks with rows and columns exchanged."""
        return Masks.of_runs((self.size[1], self.size[0]), topology.transposed(self.runs, self.size))

    def union(self) -> Masks:
        """Return one mask that covers every pixel that any mask covers."""
        return self.merge(np.zeros(len(self), np.int64), 1)

    def merge(self, groups: npt.ArrayLike, count: int) -> Masks:
        """Return ``count`` masks: mask k is the union of all masks i with ``groups[i] == k``, empty if there is none.

        Parameters
        ----------
        groups : integers of shape (N,), each from 0 to ``count - 1``.
        count : number of masks to return.

        Raises
        ------
        InvalidInstancesError
            If ``groups`` has another shape, or holds other values.

        Examples
        --------
        >>> apiece.Masks.from_label_map(np.array([[1, 2, 3]])).merge([0, 0, 1], 3).area
        array([2, 1, 0])
        """
        group = integers("groups", groups)
        if group.shape != (len(self),) or (len(group) and not (group.min() >= 0 and group.max() < count)):
            raise InvalidInstancesError(f"groups must be {len(self)} integers from 0 to {count - 1}")
        return Masks.of_runs(self.size, self.runs.merge(group, count, self.size))

    # --- out ----------------------------------------------------------------------------------------------------------

    def to_label_map(
        self, values: npt.ArrayLike | None = None, dtype: npt.DTypeLike | None = None, overlap: Overlap = "raise"
    ) -> Array:
        """Return integers of shape (height, width): ``values[i]`` where mask i is, 0 elsewhere.

        Parameters
        ----------
        values : one integer per mask, default 1 to N.
        dtype : default the smallest unsigned type that holds the values.
        overlap : which mask gets a pixel that several masks claim: the ``"first"``, ``"last"`` or ``"smallest"``. The
            default ``"raise"`` refuses.

        Raises
        ------
        InvalidInstancesError
            If masks overlap and ``overlap`` is ``"raise"``, or a value does not fit ``dtype``.

        Examples
        --------
        >>> apiece.Masks.from_boxes([[0, 0, 2, 2], [1, 0, 3, 1]], (2, 3)).to_label_map(overlap="first").tolist()
        [[1, 1, 2], [1, 1, 0]]
        """
        return _convert.label_map(self.runs, self.size, values, dtype, overlap)

    def to_semantic(self, labels: npt.ArrayLike, overlap: Overlap = "raise", background: int = 0) -> Array:
        """Return the class map: ``labels[i] + 1`` where mask i is, ``background`` elsewhere; see `to_label_map`.

        Overlap between masks of one label is no conflict.
        """
        return _convert.semantic(self.runs, self.size, integers("labels", labels), overlap, background)

    def to_dense(self) -> Bool:
        """Return bool of shape (N, height, width). For small sets only: `Masks` exist to avoid this array."""
        return _convert.dense(self.runs, self.size)

    def to_crops(self) -> tuple[list[Bool], Int]:
        """Return each mask inside its own box, N bool arrays, and x, y of the boxes' first pixels, int64 (N, 2)."""
        return _convert.crops(self.runs)

    def to_coco(self, compressed: bool = True) -> list[dict[str, Any]]:
        """Return the COCO RLE of each mask: ``{"size": [height, width], "counts": ...}``; ints if not compressed."""
        counts, offsets = _rle.counts_of(self.runs, self.size)
        if compressed:
            texts: Sequence[str | list[int]] = _rle.compress(counts, offsets)
        else:
            flat, cuts = counts.tolist(), offsets.tolist()
            texts = [flat[a:b] for a, b in itertools.pairwise(cuts)]
        return [{"size": list(self.size), "counts": text} for text in texts]

    def to_polygons(self) -> list[list[list[Float]]]:
        """Return exact outlines along pixel edges: for each mask its parts, for each part its outline, then its holes.

        A ring is float64 of shape (K, 2), corners x, y, not closed; outlines run clockwise as seen, holes
        counter-clockwise. Rasterising them by COCO's rule gives the same pixels back (COCO itself has no holes).

        Examples
        --------
        >>> ring = np.ones((3, 3), int)
        >>> ring[1, 1] = 0
        >>> [[outline.tolist() for outline in part] for part in apiece.Masks.from_label_map(ring).to_polygons()[0]]
        [[[[0.0, 0.0], [3.0, 0.0], [3.0, 3.0], [0.0, 3.0]], [[1.0, 2.0], [2.0, 2.0], [2.0, 1.0], [1.0, 1.0]]]]
        """
        return _convert.polygons(self.runs, self.size)

    def to_layers(self) -> list[Int32]:
        """Return few label maps (height, width) that together hold every mask whole: value i + 1 for mask i.

        No two masks of one layer overlap. Fewest for two layers, near the fewest beyond (see `_layers.colour`).
        """
        layer = self.layer_of()
        chosen = (np.flatnonzero(layer == k) for k in range(int(layer.max()) + 1 if len(layer) else 0))
        return [self[i].to_label_map(i + 1, np.int32, "last") for i in chosen]

    def layer_of(self) -> Int:
        """Return the layer of each mask, from 0; masks of one layer are disjoint: int64 of shape (N,)."""
        columns = self.columns
        return _layers.colour(run_overlap.intersections(columns, columns, (len(self), len(self))))


def label_map_masks(a: Array, background: int = 0) -> tuple[Array, Masks]:
    """Return (values, masks): `label_map_values` and `Masks.from_label_map` in one go."""
    values, owner, x, y0, y1 = _labelmap.label_map_runs(a, background)
    return values, Masks.of_runs(np.shape(a), Runs.ordered(owner, x, y0, y1, len(values)))


def label_map_values(a: Array, background: int = 0) -> Array:
    """Return the distinct values of a label map but ``background``, ascending."""
    return _labelmap.label_map_runs(a, background)[0]
