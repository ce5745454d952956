"""Has what a model sees, or what it answers, changed? One plain test for each signal, one for all of them together.

Each test compares the images in use with those of the baseline and gives a p-value. A third of ``alpha`` goes to the
test for images unlike any of the baseline, a third to that for answers unlike any, a third to all the others in equal
parts (Bonferroni): the chance of a false alarm is ``alpha`` at most, whatever the tests have to do with each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats
from scipy.spatial import cKDTree

from apiece._arrays import Bool, Float, Int
from apiece.errors import ConfigError, DataError, Option
from apiece.monitor._profile import Profile, Reliability
from apiece.monitor._signals import SIGNALS

LEAST = 8
"""Fewest images on either side from which anything is concluded."""
_MISSED = 24.0
"""Minus the logarithm of the chance that none of an image's known neighbours is of the baseline, whoever is."""
_PAIRS = 1 << 23
"""Most pairs of an image and a neighbour that are known: a few images before and thousands now are no reason to know
all pairs. Beyond, an image counts as far as the last of its neighbours that is known, on both sides alike."""
_TAILS = (0.02, 0.05, 0.1, 0.2)
"""Shares of the baseline's least typical images beyond which images in use are counted."""
_SHUFFLES, _FEW = 4999, 999
"""Shuffles of the cheap tests, and of the one that seeks neighbours anew."""
_THIRDS = 3
"""Parts that alpha is shared out to: odd images, odd answers, and everything else."""
_COLUMNS = {
    kind: np.array([i for i, signal in enumerate(SIGNALS) if signal.of == of])
    for kind, of in (("images", "image"), ("answers", "found"))
}
_METHOD, _PERMUTED = "Kolmogorov-Smirnov, tails", "permutation of images"
_FAR = 30.0  # standard deviations; beyond, more is not more unusual


@dataclass(frozen=True)
class Comparison:
    """One test of the images in use against the baseline.

    Attributes
    ----------
    name : of the signal, or of what else is compared.
    method : the test, as textbooks call it.
    before, now : the number that a person looks at, of the baseline and of the images in use; NaN if there is none.
    p : p-value, before correction.
    adjusted : after correction for the number of tests: alarm if below alpha.
    alarm : whether it is.
    """

    name: str
    method: str
    before: float
    now: float
    p: float
    adjusted: float = 1.0
    alarm: bool = False


@dataclass(frozen=True)
class Unlike:
    """An image to look at.

    Attributes
    ----------
    name : the image.
    rank : share of the baseline's images that are at least as unlike the others as this one is; low is unusual.
    distance : to its nearest image of the baseline, in units of what is typical there.
    signals : what sets it apart from that one, most first, with how far in standard deviations.
    """

    name: str
    rank: float
    distance: float
    signals: Mapping[str, float]


@dataclass(frozen=True)
class Drift:
    """What `detect` found.

    Attributes
    ----------
    alarm : whether any test gives one.
    alpha : greatest chance of a false alarm.
    images : images of the baseline, and in use.
    tests : each comparison, least adjusted p-value first.
    unlike : the images in use, least typical first.
    notes : what a person should know beside it.
    """

    alarm: bool
    alpha: float
    images: tuple[int, int]
    tests: tuple[Comparison, ...]
    unlike: tuple[Unlike, ...]
    notes: tuple[str, ...] = ()


def detect(baseline: Profile, now: Profile, *, alpha: float = 0.03, seed: int = 0) -> Drift:
    """Compare images in use with a baseline.

    Tests: Kolmogorov and Smirnov's and one of both tails for each signal; a permutation of images for the shares of
    classes and of unsure instances; Fisher's exact test for images without instances; permutations for how many images,
    and how many answers, are unlike any of the baseline; and, where both sides have labels, a permutation of images for
    how right the scores are.

    Parameters
    ----------
    alpha : greatest chance of a false alarm, all tests together.
    seed : of the permutations.

    Raises
    ------
    ConfigError
        if alpha is no chance between 0 and 1.
    DataError
        if there are too few images to conclude anything, or the classes differ.
    """
    if not 0 < alpha < 1:
        raise ConfigError(Option("alpha") + f" must lie between 0 and 1, got {alpha}")
    for name, side in (("the baseline", baseline), ("use", now)):
        if len(side) < LEAST:
            raise DataError(f"{len(side)} images in {name} are too few to tell drift from chance; give {LEAST} or more")
    if baseline.classes != now.classes:
        raise DataError(f"the classes differ: {', '.join(baseline.classes)} and {', '.join(now.classes)}")
    rng = np.random.default_rng(seed)
    found = [*_signals(baseline.values, now.values), *_shares(baseline, now, rng)]
    if baseline.reliability is not None and now.reliability is not None:
        found.append(_calibration(baseline.reliability, now.reliability, rng))
    found = [_judged(test, _THIRDS * len(found), alpha) for test in found]
    spaces = {kind: _Space(baseline.values[:, columns], now.values[:, columns]) for kind, columns in _COLUMNS.items()}
    found += [_judged(_excess(kind, space, rng), _THIRDS, alpha) for kind, space in spaces.items()]
    found.sort(key=lambda test: (test.adjusted, test.p))
    images, alarm = (len(baseline), len(now)), any(test.alarm for test in found)
    return Drift(alarm, alpha, images, tuple(found), _ranked(now.names, spaces), _notes(baseline, now))


def _judged(test: Comparison, tests: int, alpha: float) -> Comparison:
    adjusted = min(1.0, test.p * tests)
    return replace(test, adjusted=adjusted, alarm=adjusted < alpha)


# --- one signal at a time ---------------------------------------------------------------------------------------------


def _signals(before: Float, now: Float) -> list[Comparison]:
    """Every signal that both sides have: Kolmogorov and Smirnov's two-sample test, and one of its tails.

    Where a fifth of the images have changed, the first sees a distance of a fifth at most, however far off they lie;
    the second sees that they are out there together.
    """
    found = []
    for signal, *sides in zip(SIGNALS, before.T, now.T, strict=True):
        a, b = (side[~np.isnan(side)] for side in sides)
        if min(len(a), len(b)) >= LEAST:
            p = min(1.0, 2 * min(float(stats.ks_2samp(a, b).pvalue), _tails(a, b)))
            found.append(Comparison(signal.name, _METHOD, float(np.median(a)), float(np.median(b)), p))
    return found


def _tails(before: Float, now: Float) -> float:
    """P-value of more of the later values lying at either end of all: Fisher's exact test at several shares."""
    every = np.concatenate([before, now])
    beyond = np.concatenate([
        every[:, None] > np.quantile(every, 1 - np.array(_TAILS)),
        every[:, None] < np.quantile(every, np.array(_TAILS)),
    ], axis=1)  # fmt: skip
    chance = stats.hypergeom.sf(beyond[len(before) :].sum(0) - 1, len(every), beyond.sum(0), len(now))
    return float(min(1.0, beyond.shape[1] * chance.min()))


# --- shares, by image: the instances of one image are not independent of each other -----------------------------------


def _shares(baseline: Profile, now: Profile, rng: np.random.Generator) -> list[Comparison]:
    empty = [int((side.counts.sum(1) == 0).sum()) for side in (baseline, now)]
    table = [[n, len(side) - n] for n, side in zip(empty, (baseline, now), strict=True)]
    p = float(stats.fisher_exact(table).pvalue)
    found = [Comparison("empty images", "Fisher's exact", empty[0] / len(baseline), empty[1] / len(now), p)]
    every = np.concatenate([baseline.counts, now.counts])
    if len(baseline.classes) > 1:
        p = _permuted_shares(every, len(baseline), rng)
        found.append(Comparison("shares of classes", _PERMUTED, np.nan, np.nan, p))
    unsure = np.concatenate([baseline.unsure, now.unsure])
    sure = every.sum(1) - unsure
    p = _permuted_shares(np.stack([unsure, sure], 1), len(baseline), rng)
    shares = [float(side.unsure.sum() / max(side.counts.sum(), 1)) for side in (baseline, now)]
    return [*found, Comparison("low confidence", _PERMUTED, shares[0], shares[1], p)]


def _permuted_shares(counts: Int, before: int, rng: np.random.Generator) -> float:
    """P-value of the shares of kinds (columns) in the later rows differing from those in all rows."""
    share = counts.sum(0) / max(int(counts.sum()), 1)
    weight = np.divide(1, share, out=np.zeros(len(share)), where=share > 0)

    def differ(totals: Float) -> Float:
        theirs = totals / np.maximum(totals.sum(-1, keepdims=True), 1)
        return np.asarray(((theirs - share) ** 2 * weight).sum(-1))

    return _permuted(counts.astype(np.float64), before, differ, rng)


def _chance(
    member: Bool, statistic: Callable[[Bool], Float], shuffles: int, rows: int, rng: np.random.Generator
) -> float:
    """P-value of a statistic of memberships (S, N): how often shuffles of this one reach it, ``rows`` at a time."""
    seen, at_least = statistic(member[None])[0] - 1e-12, 0
    for begin in range(0, shuffles, rows):
        some = np.broadcast_to(member, (min(rows, shuffles - begin), len(member)))
        at_least += int((statistic(rng.permuted(some, axis=1)) >= seen).sum())
    return (1 + at_least) / (1 + shuffles)


def _permuted(rows: Float, before: int, statistic: Callable[[Float], Float], rng: np.random.Generator) -> float:
    """P-value of ``statistic`` of the column sums over the rows in use, the rows shuffled between the two sides."""
    some = max(1, (1 << 22) // len(rows))
    return _chance(
        np.arange(len(rows)) >= before, lambda m: statistic(m.astype(np.float64) @ rows), _SHUFFLES, some, rng
    )


def _calibration(before: Reliability, now: Reliability, rng: np.random.Generator) -> Comparison:
    """Whether predictions are as often right as others of their score are, on both sides alike."""
    score, hit = np.concatenate([before.score, now.score]), np.concatenate([before.hit, now.hit]).astype(np.float64)
    edges = np.unique(np.quantile(score, np.linspace(0, 1, 11)[1:-1])) if len(score) else np.zeros(0)
    level = np.searchsorted(edges, score, "right")
    often = np.bincount(level, hit, len(edges) + 1) / np.maximum(np.bincount(level, minlength=len(edges) + 1), 1)
    images = int(before.image.max(initial=-1)) + 1, int(now.image.max(initial=-1)) + 1
    image = np.concatenate([before.image, images[0] + now.image])
    surprise: Float = np.bincount(image, hit - often[level], sum(images)).astype(np.float64)[:, None]
    p = _permuted(surprise, images[0], lambda total: np.abs(total[:, 0]), rng) if all(images) else 1.0
    gaps = [float((side.hit - side.score).mean()) if len(side.score) else np.nan for side in (before, now)]
    return Comparison("right less score", _PERMUTED, gaps[0], gaps[1], p)


# --- all signals together ---------------------------------------------------------------------------------------------


class _Space:
    """Images as points, and how far each is from its nearest image of the baseline, itself not counted.

    Axes are the signals, turned and scaled so that signals that go together count as one (Mahalanobis 1936), by all
    images alike: who is of the baseline decides nothing but whose neighbours count. So shuffling that is a fair test.
    """

    def __init__(self, before: Float, now: Float) -> None:
        values = np.concatenate([before, now])
        count, signals = values.shape
        self.member = np.arange(count) < len(before)
        some = ~np.isnan(values).all(0)
        middle = np.zeros(signals)  # of a column without a value
        middle[some] = np.nanmedian(values[:, some], axis=0)
        filled = np.where(np.isnan(values), middle, values)
        low, high = np.percentile(filled, (25, 75), axis=0)
        # a signal that hardly varies may not vary at all; a thousandth of it is a change then
        scale = np.maximum((high - low) / 1.349, 1e-3 * np.abs(middle) + 1e-6)
        self.standard = np.clip((filled - middle) / scale, -_FAR, _FAR)
        shrink = signals / (signals + count)
        covariance = (1 - shrink) * np.cov(self.standard, rowvar=False) + shrink * np.eye(signals)
        spread, axes = np.linalg.eigh(covariance)
        points = self.standard @ (axes / np.sqrt(spread))
        # enough neighbours that one is of the baseline, whoever is
        self.rank = count / len(before)  # at which the first of them is to be expected
        enough = min(count - 1, math.ceil(_MISSED * self.rank), max(_PAIRS // count, 1))
        distance, index = cKDTree(points).query(points, enough + 1)
        itself = index == np.arange(count)[:, None]
        itself[~itself.any(1), -1] = True  # as many images in the same place as neighbours were asked for
        self.distance = distance[~itself].reshape(count, enough) / np.sqrt(signals)
        self.index = index[~itself].reshape(count, enough).astype(np.int32)

    def nearest(self, member: Bool) -> Int:
        """Return which known neighbour is the first of the baseline, -1 if none is: (S, N) for memberships (S, N)."""
        found = np.full(member.shape, -1)
        shuffle, image = (at.ravel() for at in np.indices(member.shape))
        # most are found where they are to be expected; farther on, only the others are looked for
        step = math.ceil(2 * self.rank)
        for begin in range(0, self.index.shape[1], step):
            counted = member[shuffle[:, None], self.index[image, begin : begin + step]]
            first = counted.argmax(1)
            there = counted[np.arange(len(first)), first]
            found[shuffle[there], image[there]] = begin + first[there]
            shuffle, image = shuffle[~there], image[~there]
        return found

    def unlike(self, member: Bool) -> Float:
        """Return distance of every image to its nearest in the baseline: (S, N) for memberships of shape (S, N)."""
        # of no neighbour found, -1 takes the last one
        return self.distance[np.arange(len(self.member)), self.nearest(member)]

    def apart(self) -> Float:
        """Return how far each image is from its nearest in the baseline, by signal: (N, signals)."""
        found = self.nearest(self.member[None])[0]
        near = self.standard[self.index[np.arange(len(found)), found]]
        return np.asarray(self.standard - np.where(found[:, None] >= 0, near, 0.0))


def _excess(kind: str, space: _Space, rng: np.random.Generator) -> Comparison:
    """Whether more of the images in use are far from the baseline than of the baseline itself.

    The statistic is the greatest excess, in standard deviations, over several tails of all images (higher criticism,
    Donoho and Jin 2004, at few points): it answers to a few very odd images as well as to many slightly odd ones.
    """
    size, before = len(space.member), int(space.member.sum())
    share = 1 - before / size
    tails = np.unique(np.maximum(1, np.round(np.array(_TAILS) * size)).astype(np.int64))
    spread = np.sqrt(tails * share * (1 - share) * (size - tails) / (size - 1))

    def excess(member: Bool) -> Float:
        farthest = np.argsort(-space.unlike(member), axis=1, kind="stable")[:, : tails[-1]]
        within = np.cumsum(~np.take_along_axis(member, farthest, 1), axis=1)[:, tails - 1]
        return np.asarray(((within - tails * share) / spread).max(1))

    p = _chance(space.member, excess, _FEW, max(1, (1 << 21) // (size * math.ceil(2 * space.rank))), rng)
    distance = space.unlike(space.member[None])[0]
    odd = float((distance[before:] > np.quantile(distance[:before], 0.95)).mean())
    return Comparison(f"{kind} unlike any before", _PERMUTED, 0.05, odd, p)


def _ranked(names: Sequence[str], spaces: Mapping[str, _Space]) -> tuple[Unlike, ...]:
    """The images in use, the oddest first: by how few images of the baseline are as odd, in either space."""
    ranks, distances = [], []
    for space in spaces.values():
        distance = space.unlike(space.member[None])[0]
        typical, mine = np.sort(distance[space.member]), distance[~space.member]
        ranks.append((1 + len(typical) - np.searchsorted(typical, mine, "left")) / (1 + len(typical)))
        distances.append(mine / max(float(typical[len(typical) // 2]), 1e-12))
    rank, distance = np.min(ranks, axis=0), np.max(distances, axis=0)
    apart = np.zeros((len(names), len(SIGNALS)))
    for kind, space in spaces.items():
        apart[:, _COLUMNS[kind]] = space.apart()[~space.member]
    found = []
    for i in np.lexsort((-distance, rank)).tolist():
        most = [k for k in np.argsort(-np.abs(apart[i]), kind="stable")[:3].tolist() if abs(apart[i, k]) >= 1]
        reasons = {SIGNALS[k].name: float(apart[i, k]) for k in most}
        found.append(Unlike(names[i], float(rank[i]), float(distance[i]), reasons))
    return tuple(found)


def _notes(baseline: Profile, now: Profile) -> tuple[str, ...]:
    notes = [
        f"{len(side)} images ({name}) show only large changes; 50 or more show smaller ones"
        for name, side in (("baseline", baseline), ("images in use", now))
        if len(side) < 50
    ]
    again = set(baseline.names) & set(now.names)
    if again:
        notes.append(
            f"{len(again)} images are named as one in the baseline, such as {min(again)!r}: compare with new images"
        )
    return tuple(notes)
