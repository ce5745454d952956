"""Do groups of images differ in a size? The image is the unit, since objects of one image are no independent sample."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy import special

from apiece._arrays import Array, Float
from apiece.errors import ConfigError
from apiece.measurements._engine.table import Table

__all__ = ["compare_groups"]


def compare_groups(table: Table, of: str = "equivalent_diameter", by: str = "group", image: str = "image") -> Table:
    """Return how far each pair of groups differs in a size: the difference of means, its 95% interval and p (Welch).

    Each image gives one number, the mean of its objects, so that many objects of few images do not look like much
    evidence. Rows of several objects (``crowd``) and rows without a size do not count.

    Parameters
    ----------
    of : column of numbers.
    by : column of names to group by.
    image : column that names the image of each row.

    Returns
    -------
    One row for each pair of groups: ``group_a``, ``group_b``, ``images_a``, ``images_b``, ``mean_a``, ``mean_b``,
    ``difference`` (b less a), ``low``, ``high`` and ``p``. Intervals and p are NaN where a group has one image.

    Raises
    ------
    UnknownNameError
        If there is no such column.
    ConfigError
        If ``of`` holds no numbers, if there are fewer than two groups, or if an image lies in two of them.

    Examples
    --------
    >>> from apiece.measurements import Table, compare_groups
    >>> rows = {"image": np.array(list("aabbccdd")), "group": np.array(["old"] * 4 + ["new"] * 4)}
    >>> table = Table(rows | {"size": np.array([1.0, 3, 3, 3, 5, 7, 6, 8])})
    >>> found = compare_groups(table, "size")
    >>> found["difference"].tolist(), found["low"].round(2).tolist(), found["high"].round(2).tolist()
    ([4.0], [0.96], [7.04])
    """
    sizes, groups, images = table[of], table[by], table[image]
    if sizes.dtype.kind not in "buif":
        raise ConfigError(f"column {of!r} holds no numbers, so groups cannot differ in it; name another in of")
    kept = np.isfinite(sizes)
    if "crowd" in table.columns:
        kept &= ~table["crowd"]
    names = list(table.levels.get(by, ())) or list(dict.fromkeys(groups.tolist()))
    if len(names) < 2:
        raise ConfigError(f"column {by!r} names {len(names)} group; a comparison needs two")
    for a, b in combinations(names, 2):
        shared = set(images[groups == a].tolist()) & set(images[groups == b].tolist())
        if shared:
            raise ConfigError(f"image {min(shared)!r} lies in the groups {a!r} and {b!r}; an image belongs to one")
    means = {name: _image_means(sizes[kept & (groups == name)], images[kept & (groups == name)]) for name in names}
    pairs = list(combinations(names, 2))
    numbers = np.array([_welch(means[a], means[b]) for a, b in pairs])
    columns: dict[str, Array] = {
        f"{by}_a": np.array([a for a, _ in pairs]),
        f"{by}_b": np.array([b for _, b in pairs]),
        "images_a": np.array([len(means[a]) for a, _ in pairs]),
        "images_b": np.array([len(means[b]) for _, b in pairs]),
    }
    columns |= dict(zip(("mean_a", "mean_b", "difference", "low", "high", "p"), numbers.T, strict=True))
    unit = table.units.get(of, "")
    return Table(columns, dict.fromkeys(("mean_a", "mean_b", "difference", "low", "high"), unit))


def _image_means(sizes: Array, images: Array) -> Float:
    place = np.unique(images, return_inverse=True)[1]
    return np.asarray(np.bincount(place, sizes) / np.bincount(place), np.float64) if len(sizes) else np.zeros(0)


def _welch(a: Float, b: Float) -> tuple[float, ...]:
    """Return both means, their difference, its 95% interval and p (Welch 1947)."""
    if min(len(a), len(b)) == 0:
        return (np.nan,) * 6
    difference = b.mean() - a.mean()
    if min(len(a), len(b)) < 2:
        return a.mean(), b.mean(), difference, np.nan, np.nan, np.nan
    own, other = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    error = np.sqrt(own + other)
    if error == 0:
        return a.mean(), b.mean(), difference, difference, difference, float(difference == 0)
    freedom = (own + other) ** 2 / (own**2 / (len(a) - 1) + other**2 / (len(b) - 1))
    reach = special.stdtrit(freedom, 0.975) * error
    p = 2 * special.stdtr(freedom, -abs(difference) / error)
    return a.mean(), b.mean(), difference, difference - reach, difference + reach, p
