"""`split` a set into train, validation and test: seeded, groups kept together, even shares of classes or an attribute.

The assignment follows iterative stratification (Sechidis, Tsoumakas, Vlahavas, ECML 2011), for groups of images instead
of single ones: rare content is placed first, and each group goes to the part that lacks its content most.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from apiece import formats
from apiece._arrays import Float, Int
from apiece.datasets._merge import together
from apiece.datasets.dataset import Subset
from apiece.datasets.write import DEFAULTS, WriteOptions, Written, write_sets
from apiece.errors import ConfigError, DataError, Option
from apiece.formats import LabelSet

__all__ = ["class_counts", "split", "write_split"]


def split(
    labels: LabelSet,
    fractions: Mapping[str, float],
    *,
    group: str | None = None,
    stratify: str | None = "classes",
    seed: int = 0,
) -> dict[str, Subset]:
    """Divide the images of a set.

    Parameters
    ----------
    labels : the set.
    fractions : share of the images for each name, such as ``{"train": 0.8, "val": 0.2}``; the sum is 1.
    group : image attribute (``"source_photo"``) whose images stay together; None divides single images.
    stratify : ``"classes"`` gives each part its share of every class; the name of an image attribute (``"modality"``)
        its share of every value; None divides at random.
    seed : the same seed gives the same split.

    Returns
    -------
    A `Subset` for each name, images in their original order. Sizes are exact to one image, unless groups prevent it.

    Raises
    ------
    ConfigError
        If fractions do not add up to 1, or the seed is below 0.
    DataError
        If an image lacks the attribute, or there are fewer groups than parts.

    Examples
    --------
    >>> from apiece.datasets import split
    >>> parts = split(apiece.read("data/train.json"), {"train": 0.5, "val": 0.5}, seed=1)
    >>> {name: len(part) for name, part in parts.items()}
    {'train': 1, 'val': 1}
    """
    shares = np.array(list(fractions.values()), np.float64)
    if not ((shares > 0).all() and abs(shares.sum() - 1) <= 1e-6):
        raise ConfigError(
            Option("fractions")
            + f" must be above 0 and add up to 1, got {', '.join(f'{k}={v:g}' for k, v in fractions.items())}"
        )
    if seed < 0:
        raise ConfigError(Option("seed") + f" must be 0 or more, got {seed}")
    groups = np.arange(len(labels)) if group is None else _values(labels, group)
    count = int(groups.max()) + 1 if len(groups) else 0
    if count < len(shares):
        what = ("image" if group is None else "group") + "s" * (count != 1)
        of = "" if group is None else f" ({group})"
        raise DataError(f"{count} {what}{of} cannot be divided into {len(shares)} parts")
    content = _content(labels, stratify)
    member = scipy.sparse.csr_array(
        (np.ones(len(groups)), (groups, np.arange(len(groups)))), shape=(count, len(groups))
    )
    sizes = np.bincount(groups, minlength=count)
    part = _assign(sizes, scipy.sparse.csr_array(member @ content), shares, np.random.default_rng(seed))[groups]
    return {name: Subset(labels, tuple(np.flatnonzero(part == k).tolist())) for k, name in enumerate(fractions)}


def write_split(
    parts: Mapping[str, LabelSet],
    folder: Path | str,
    format: str = "coco",
    options: WriteOptions = DEFAULTS,
    step: Callable[[], None] = lambda: None,
) -> dict[str, Written]:
    """Write the parts together: all of them, or nothing.

    A format of one label file gets ``<folder>/<name>`` with its ending, beside whatever else is in the folder. Other
    formats get a new ``folder`` with a folder for each part, or with one set that states the part of each image (YOLO).

    Returns
    -------
    What was written, by part; one entry with an empty key if all parts are one set.

    Raises
    ------
    ConfigError
        If something is there already.
    LossyFormatError
        If the format cannot hold the instances, or no part of this name.
    """
    folder, ending = Path(folder), formats.load(format).ending
    if formats.load(format).splits:
        return {"": write_sets({".": together(parts)}, folder, format, options, step=step)["."]}
    paths = {name: f"{name}{ending}" for name in parts}
    sets = {paths[name]: part for name, part in parts.items()}
    written = write_sets(sets, folder, format, options, join=bool(ending), step=step)
    return {name: written[path] for name, path in paths.items()}


def class_counts(labels: LabelSet) -> scipy.sparse.csr_array:
    """Return the instances of each class on each image: int64 (images, classes); decodes masks only if it must."""
    if isinstance(labels, Subset):
        return scipy.sparse.csr_array(class_counts(labels.labels)[list(labels.indices)])
    quick = getattr(labels, "class_counts", None)
    if quick is not None:
        return scipy.sparse.csr_array(quick())
    rows = [np.bincount(instances.labels, minlength=len(labels.classes)) for _, instances in labels]
    return scipy.sparse.csr_array(np.array(rows, np.int64).reshape(len(rows), len(labels.classes)))


def _values(labels: LabelSet, name: str) -> Int:
    """Return for each image the number of its value of an attribute."""
    numbers: dict[Any, int] = {}
    out = []
    for ref in labels.refs:
        if name not in ref.attributes:
            has = ", ".join(ref.attributes) or "none"
            raise DataError(f"image {ref.name!r} has no attribute {name!r}; it has: {has}")
        value = ref.attributes[name]
        out.append(numbers.setdefault(value if isinstance(value, str | int | float) else repr(value), len(numbers)))
    return np.array(out, np.int64)


def _content(labels: LabelSet, stratify: str | None) -> scipy.sparse.csr_array:
    """Return the content to share evenly: (images, kinds), at least 0."""
    if stratify is None:
        return scipy.sparse.csr_array((len(labels), 0))
    if stratify == "classes":
        counts = class_counts(labels)
        empty = np.asarray(counts.sum(axis=1)).reshape(-1, 1) == 0
        # images without instances are a kind of their own; presence counts too, so that one crowded image cannot decide
        present = counts.astype(bool).astype(np.float64)
        return scipy.sparse.csr_array(scipy.sparse.hstack([present, counts, empty.astype(np.float64)]))
    values = _values(labels, stratify)
    return scipy.sparse.csr_array((np.ones(len(values)), (np.arange(len(values)), values)))


def _assign(sizes: Int, content: scipy.sparse.csr_array, shares: Float, rng: np.random.Generator) -> Int:
    """Return the part of each group."""
    total = np.asarray(content.sum(axis=0)).ravel()
    weight = 1 / np.maximum(total, 1)
    indptr, kinds, amounts = content.indptr, content.indices, content.data
    # rarest content first, then large groups, then by lot
    rarest = np.array([total[kinds[a:b]].min(initial=np.inf) for a, b in itertools.pairwise(indptr)])
    order = np.lexsort((rng.random(len(sizes)), -sizes, rarest))
    room = _quota(int(sizes.sum()), shares).astype(np.float64)
    missing = np.outer(shares, total)
    part = np.empty(len(sizes), np.int64)
    taken = np.zeros(len(shares), bool)
    left = len(sizes)
    for g in order.tolist():
        chosen = slice(indptr[g], indptr[g + 1])
        kind, amount = kinds[chosen], amounts[chosen]
        # each part's need of this group's content, relative to its share
        need = (missing[:, kind] * (amount * weight[kind])).sum(1) / shares
        fits = room >= sizes[g]
        if not fits.any():
            fits = room == room.max()
        if left <= int((~taken).sum()):
            fits = ~taken  # no part may stay empty
        score = np.where(fits, need, -np.inf)
        best = np.flatnonzero(score >= score.max() - 1e-12)
        free = room[best] / shares[best]
        best = best[free >= free.max() - 1e-12]
        k = int(best[rng.integers(len(best))])
        part[g], taken[k] = k, True
        left -= 1
        room[k] -= sizes[g]
        missing[k, kind] -= amount
    return part


def _quota(count: int, shares: Float) -> Int:
    """Return whole numbers in these shares that add up to ``count``: largest remainders first."""
    exact = shares * count
    quota = np.floor(exact + 1e-9).astype(np.int64)
    quota[np.argsort(quota - exact, kind="stable")[: count - int(quota.sum())]] += 1
    return quota
