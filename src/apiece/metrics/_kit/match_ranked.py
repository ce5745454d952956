"""The one matching of predictions to truth, which every metric stands on.

Two rules over the same sparse `Pairs`, each for many images, classes and thresholds at once:

- `greedy`: COCO's. Predictions choose in order of score, each the best truth still free.
- `most`: as many matches as can be (maximum cardinality), which AP-tau counts.

Choosing one after the other and proposing all at once come to the same end: where every truth prefers the prediction of
higher score, the only stable matching is the one that choosing in order of score gives. So the greedy rule runs as
deferred acceptance (Gale and Shapley 1962), a few rounds of array operations in place of a loop over predictions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import maximum_bipartite_matching

from apiece._arrays import Bool, Float, Float32, Int, Int32
from apiece.core.conf import Conf, thresholds
from apiece.core.runs import chunks, owners
from apiece.errors import ConfigError
from apiece.metrics._kit.overlaps import Pairs

IOU_THRESHOLDS: Float = np.linspace(0.5, 0.95, 10)
"""0.5, 0.55, ... 0.95, bit for bit those of pycocotools."""
AREA_RANGES = {"": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""COCO's ranges of object area in pixels squared, both ends included; ``""`` is all."""

_WISHES = 1 << 19
"""Pairs of all matchings that are looked at in one go (some 50 MB)."""


class Found(NamedTuple):
    """Matches of several matchings over the same pairs, one row each.

    Attributes
    ----------
    view : int64 (M,), in which view of what is ignored.
    level : int64 (M,), at which threshold.
    pair : int64 (M,), the pair that is a match.
    """

    view: Int
    level: Int
    pair: Int


def greedy(pairs: Pairs, ignored: Bool, crowd: Bool, thresholds: Float, predictions: int) -> Iterator[Found]:
    """Match by COCO's rule, exactly as ``COCOeval.evaluateImg`` loops, in every view and at every threshold.

    Yields the matches of some views and thresholds after those of others, as all together take much memory.

    In order of score, each prediction takes the truth of highest IoU among those with IoU of at least the threshold
    that are not taken yet; truth that counts goes before truth that is ignored; of equal IoU the later truth wins; a
    crowd can be taken any number of times.

    Predictions of a group are numbered by descending score; a view is what is ignored, bool (views, truth); every crowd
    is ignored in all of them; thresholds lie above 0.
    """
    # as COCOeval does, so that a perfect overlap passes a threshold of 1
    floor = np.minimum(thresholds, 1 - 1e-10)
    if floor.min(initial=1.0) <= 0:
        raise ConfigError(f"IoU thresholds must lie above 0, got {floor.min()}")
    near = np.flatnonzero(pairs.iou >= floor.min(initial=1.0))
    near = near[np.lexsort((-pairs.truth[near], -pairs.iou[near], pairs.predicted[near]))]
    # a matching knows nothing of the others: of many pairs a few are made at a time
    for begin, end in chunks(np.full(len(ignored), len(near) * len(floor)), _WISHES):
        for low, high in chunks(np.full(len(floor), len(near) * (end - begin)), _WISHES):
            some = _matchings(pairs, near, ignored[begin:end], crowd, floor[low:high], predictions)
            yield Found(some.view + begin, some.level + low, some.pair)


def _matchings(pairs: Pairs, near: Int, ignored: Bool, crowd: Bool, floor: Float, predictions: int) -> Found:
    """Match by `greedy`, from the pairs ``near`` in the order of predictions, best first."""
    # ordered but for what is ignored, which comes last for each prediction
    place = 2 * pairs.predicted[near] + ignored[:, pairs.truth[near]]
    liking = near[np.argsort(place, axis=1, kind="stable")]
    wish = (pairs.iou[liking][:, None] >= floor[:, None]).ravel().nonzero()[0]
    matching = wish // max(len(near), 1)
    view = matching // len(floor)
    pair = liking[view, wish - matching * len(near)]
    proposer = matching * predictions + pairs.predicted[pair]
    target = matching * len(crowd) + pairs.truth[pair]
    true = _deferred_acceptance(proposer, target, crowd[pairs.truth[pair]], ignored.size * len(floor))
    return Found(view[true], matching[true] - view[true] * len(floor), pair[true])


def _deferred_acceptance(proposer: Int, target: Int, open_to_all: Bool, targets: int) -> Int:
    """Rows of the wishes that come true in a stable matching; every target prefers the lower proposer.

    Wishes are ordered by proposer and, within one, best first; a target that is ``open_to_all`` accepts everyone.
    """
    if not len(proposer):
        return np.zeros(0, np.int64)
    head = np.flatnonzero(np.append(True, proposer[1:] != proposer[:-1]))
    nobody = len(proposer)
    holds = np.full(targets, nobody, np.int64)  # the wish each target holds; lower rows are lower proposers
    done = []
    wish = head
    while len(wish):
        free = open_to_all[wish]
        done.append(wish[free])
        wish = wish[~free]
        aim = target[wish]
        before = holds[aim]
        # where an index occurs twice the last value stays: reversed, the lowest
        holds[aim[::-1]] = wish[::-1]
        kept = np.minimum(holds[aim], before)
        holds[aim] = kept
        lost = wish[kept != wish]
        ousted = before[(kept == wish) & (before != nobody)]
        wish = _next_wish(np.sort(np.concatenate([lost, ousted])), proposer)
    done.append(holds[holds != nobody])
    return np.concatenate(done)


def _next_wish(wish: Int, proposer: Int) -> Int:
    """The next wish of each proposer that has one."""
    following = np.minimum(wish + 1, len(proposer) - 1)
    return following[(following > wish) & (proposer[following] == proposer[wish])]


def matched(pairs: Pairs, crowd: Bool, thresholds: Float, predictions: int) -> Int:
    """Match `greedy`, crowds ignored: int64 (T, predictions), row of the truth each is matched to, or -1."""
    out = np.full((len(thresholds), predictions), -1, np.int64)
    for found in greedy(pairs, crowd[None], crowd, thresholds, predictions):
        out[found.level, pairs.predicted[found.pair]] = pairs.truth[found.pair]
    return out


def most(pairs: Pairs, threshold: float, predictions: int, truths: int) -> Int:
    """Return as many one-to-one matches of IoU of at least ``threshold`` as there can be (Hopcroft and Karp 1973).

    Int64 (predictions,): the truth each is matched to, or -1. Where masks of one side do not overlap and the threshold
    is above 0.5, there is only one such matching.
    """
    near = pairs.iou >= threshold
    edges = (np.ones(int(near.sum()), np.int8), (pairs.predicted[near], pairs.truth[near]))
    graph = sp.coo_array(edges, shape=(predictions, truths)).tocsr()
    return np.asarray(maximum_bipartite_matching(graph, perm_type="column"), np.int64)


@dataclass(frozen=True, eq=False)
class Matches:
    """Which prediction matched which truth at IoU 0.5 by COCO's rule, for every image, in flat arrays.

    Predictions are ordered by image, class and descending score; those of image i are the rows
    ``offsets[i]`` to ``offsets[i + 1] - 1``.

    Attributes
    ----------
    classes : class names.
    offsets : int64 (images + 1,).
    index : int32 (P,), which prediction of its image, in the order given.
    label : int32 (P,), class.
    score : float64 (P,).
    truth : int32 (P,), which truth of the image it matched, or -1.
    iou : float32 (P,), with the matched truth; 0 if there is none.
    ignored : bool (P,), matched to a crowd: neither right nor wrong.
    truths : int32 (images, classes), how much truth there is, crowds not counted.
    """

    classes: tuple[str, ...]
    offsets: Int
    index: Int32
    label: Int32
    score: Float
    truth: Int32
    iou: Float32
    ignored: Bool
    truths: Int32

    def __len__(self) -> int:
        """Number of images."""
        return len(self.offsets) - 1

    @property
    def hits(self) -> Bool:
        """Whether each prediction is right: matched, and not to a crowd."""
        return (self.truth >= 0) & ~self.ignored

    def counts(self, conf: Conf = 0.0) -> Int:
        """Return true positives, false positives and false negatives at IoU 0.5: int64 of shape (images, classes, 3).

        ``conf`` is the lowest score that counts, see `apiece.core.conf`. As better scores choose first, leaving
        worse ones out changes no other match.
        """
        kept = self.score >= thresholds(conf, self.classes)[self.label]
        cell = owners(self.offsets) * len(self.classes) + self.label
        shape = self.truths.shape
        right, wrong = (
            np.bincount(cell[kept & chosen], minlength=self.truths.size).reshape(shape)
            for chosen in (self.hits, self.truth < 0)
        )
        return np.stack([right, wrong, self.truths - right], -1)
