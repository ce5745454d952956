"""Cells linked over a whole file: what comes later says whether a cell was lost, divided, or hidden in another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import sums
from apiece.errors import DataError
from apiece.track._kit.assignment import assigned
from apiece.track._kit.motion import moved
from apiece.track.cells._links import PARENT, Settings, division, stage_move

_LASTS = 3  # frames that both daughters are seen at least, if the file goes on so long
_JOINED = 10  # frames that two cells may be one mask and get their ids back
_SUM = (0.6, 1.5)  # area of a joined mask, in areas of the two
_END = 0.5  # what an end of a track costs that nothing explains, in starts of tracks
_UNDER = 0.5  # share of the smaller of two cells that the joined mask covers, at least


def link(settings: Settings, frames: Sequence[Instances]) -> list[Instances]:
    """Return the sure detections of all frames with ids and the attribute ``parent`` (0: none)."""
    here = [settings.cells(frame) for frame in frames]
    for frame in here[1:]:
        if frame.size != here[0].size:
            raise DataError(f"a frame of {frame.size} follows frames of {here[0].size}; link them apart")
    known = _Known(settings, [frame.masks for frame in here])
    known.link_neighbours()
    known.choose()
    return [
        frame.replace(ids=ids, attributes={**frame.attributes, PARENT: parent})
        for frame, (ids, parent) in zip(here, known.tracks(), strict=True)
    ]


@dataclass(frozen=True)
class _Forks:
    """Places where two cells and one may belong together: numbers of detections, and what each place costs."""

    one: Int
    first: Int  # what is linked with the one
    second: Int  # what is free
    price: Float
    divides: Bool  # whether sizes and places are those of a mother and daughters

    def take(self, some: Bool) -> _Forks:
        return _Forks(*(getattr(self, name)[some] for name in _FORK))

    def chosen(self, one: Int, second: Int, count: int) -> _Forks:
        """Return the places of the pairs ``one`` and ``second``."""
        return self.take(np.isin(self.one * count + self.second, one * count + second))

    @staticmethod
    def join(parts: Sequence[_Forks]) -> _Forks:
        return _Forks(*(np.concatenate([getattr(part, name) for part in parts]) for name in _FORK))

    def rows(self) -> list[tuple[int, int, int, bool]]:
        return list(zip(*(getattr(self, name).tolist() for name in ("one", "first", "second", "divides")), strict=True))


_Pairs = tuple[Int, Int, Float, Float]
"""Two detections, the cost of taking them for one cell, and the pixels that both cover, of each pair."""

_NO_PAIRS: _Pairs = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))
_FORK = ("one", "first", "second", "price", "divides")


class _Known:
    """All detections of a file, numbered frame by frame, and how they are linked.

    Attributes
    ----------
    frame, area : (D,) of each detection.
    after, before : (D,) the detection that goes on as the same cell, and that it comes from; -1 for none.
    mother : (D,) the mother of a cell that begins with this detection, -1 for none.
    """

    def __init__(self, settings: Settings, masks: Sequence[Masks]) -> None:
        self.settings, self.masks = settings, masks
        counts = np.array([len(each) for each in masks], np.int64)
        self.start = sums(counts)
        self.count = int(self.start[-1])
        self.frame = np.repeat(np.arange(len(masks)), counts)
        self.area = np.concatenate([np.zeros(0), *(each.area for each in masks)])
        self.centre = np.concatenate([np.zeros((0, 2)), *(each.centroids for each in masks)])
        self.after, self.before, self.mother = (np.full(self.count, -1) for _ in range(3))
        self.shared = np.zeros(self.count)  # pixels under a detection and the one it comes from
        self.stage = np.zeros((len(masks), 2), np.int64)  # where the stage is in each frame
        none = _Forks(*_NO_PAIRS[:2], _NO_PAIRS[0], _NO_PAIRS[2], np.zeros(0, bool))
        self.splits, self.merges = [none], [none]

    # --- neighbouring frames

    def link_neighbours(self) -> None:
        """Link each frame with the next, and note where a cell may have divided, or joined another."""
        move = np.zeros(2, np.int64)
        for t in range(1, len(self.masks)):
            before, here = self.masks[t - 1], self.masks[t]
            self.stage[t] = self.stage[t - 1]
            if self.settings.camera and len(before) and len(here):
                move = stage_move(before, here, move)
                self.stage[t] += move
            i, j, cost, shared = pairs = self._pairs(self._of(t - 1), self._of(t))
            old, new = assigned(i - self.start[t - 1], j - self.start[t], cost, (len(before), len(here)))
            self._link(pairs, (old + self.start[t - 1], new + self.start[t]))
            self.splits.append(self._forks(i, j, shared, self.after, self.before))
            self.merges.append(self._forks(j, i, shared, self.before, self.after, births=False))

    def _of(self, t: int) -> Int:
        return np.arange(self.start[t], self.start[t + 1])

    def _pairs(self, early: Int, late: Int) -> _Pairs:
        """Return which detections of two frames may be one cell, see `Settings.pairs`."""
        if not len(early) or not len(late):
            return _NO_PAIRS
        t, then = int(self.frame[early[0]]), int(self.frame[late[0]])
        before, move = self.masks[t][early - self.start[t]], self.stage[then] - self.stage[t]
        if move.any():
            before = moved(before, np.tile(move, (len(before), 1)))
        i, j, cost, shared = self.settings.pairs(before, self.masks[then][late - self.start[then]], then - t - 1)
        return early[i], late[j], cost, shared

    def _link(self, pairs: _Pairs, chosen: tuple[Int, Int]) -> None:
        """Make one cell of each chosen pair."""
        i, j, _, shared = pairs
        some = np.isin(i * self.count + j, chosen[0] * self.count + chosen[1])
        self.after[i[some]], self.before[j[some]], self.shared[j[some]] = j[some], i[some], shared[some]

    def _forks(self, one: Int, other: Int, shared: Float, linked: Int, back: Int, births: bool = True) -> _Forks:
        """Return where ``one`` is linked and a free ``other`` shares pixels with it; ``births``: it may be a mother."""
        may = (linked[one] >= 0) & (back[other] < 0) & (shared > 0)
        one, second = one[may], other[may]
        first = linked[one]
        areas, covered = (self.area[first], self.area[second]), (self.shared[np.maximum(one, first)], shared[may])
        together = self.area[one] / (areas[0] + areas[1])
        fits = (together >= _SUM[0]) & (together <= _SUM[1])
        fits &= np.minimum(covered[0] / areas[0], covered[1] / areas[1]) >= _UNDER
        apart = np.where(fits, np.minimum(0.5 + 0.5 * np.abs(np.log(together)), 0.99), 1.0)
        born = division(self.area[one], areas, covered) if births else np.ones(len(one))
        price = np.minimum(apart, born)
        return _Forks(one, first, second, price, born < 1).take(price < 1)

    # --- all frames

    def choose(self) -> None:
        """Choose gaps, divisions and joined cells of all frames together, at the least cost."""
        n, pairs = self.count, self._far_pairs()
        # a daughter that is seen late: her sister was linked with the mother meanwhile
        late = self._forks(pairs[0], pairs[1], pairs[3], self.after, self.before)
        splits = _Forks.join([*self.splits, late.take(late.divides)])
        merges = _Forks.join(self.merges)
        ends = self.after[pairs[0]] < 0
        gaps = i, j, cost, shared = pairs[0][ends], pairs[1][ends], pairs[2][ends], pairs[3][ends]
        # rows: ends of tracks, then mothers; columns: starts of tracks, then cells that another joins
        row, column = assigned(
            np.concatenate([i, n + splits.one, merges.second]),
            np.concatenate([j, splits.second, n + merges.one]),
            np.concatenate([cost - _END, splits.price, merges.price - 0.5 + 1 - _END]),
            (2 * n, 2 * n),
        )
        gap, split, merged = (row < n) & (column < n), row >= n, column >= n
        self._link(gaps, (row[gap], column[gap]))
        splits = splits.chosen(row[split] - n, column[split], n)
        merges = merges.chosen(column[merged] - n, row[merged], n)
        # a mother that is not seen while she divides: both daughters come in one frame after a gap
        open_ = ~np.isin(j, splits.second)
        late = self._forks(i[open_], j[open_], shared[open_], self.after, self.before)
        late = late.take(self.frame[late.first] == self.frame[late.second])
        late = late.chosen(*assigned(late.one, late.second, late.price, (n, n)), n)
        self._decide(_Forks.join([splits, late]), merges)

    def _far_pairs(self) -> _Pairs:
        """Return which detections and starts of tracks may be one cell that was missed for some frames."""
        found, frames = [_NO_PAIRS], len(self.masks)
        starts = [own[self.before[own] < 0] for own in map(self._of, range(frames))]
        for missed in range(1, self.settings.patience + 1):
            found += [self._pairs(self._of(t), starts[t + missed + 1]) for t in range(frames - missed - 1)]
        i, j, cost, shared = (np.concatenate(part) for part in zip(*found, strict=True))
        return i, j, cost, shared

    def _decide(self, splits: _Forks, merges: _Forks) -> None:
        """Say what each place is, in the order of time: a division, or two cells that were one mask for a while."""
        head = self._spread(np.arange(self.count))  # the first detection of each run of links
        last = np.zeros(self.count, np.int64)
        np.maximum.at(last, head, self.frame)
        begun = self.frame.copy()  # of a run: its first frame since it last divided
        hidden: dict[int, list[tuple[int, int, int]]] = {}  # in each run: who joined it, whom, and as what
        chips: set[tuple[int, int]] = set()  # runs, and those that they broke off from
        events = [(int(self.frame[row[0]]), 1, row) for row in merges.rows()]
        events += [(int(self.frame[row[1]]), 0, row) for row in splits.rows()]
        for now, joins, (one, first, second, divides) in sorted(events):
            run, other = int(head[one]), int(head[second])
            if joins:
                if (run, other) in chips and self.before[one] >= 0:  # what broke off goes on as the cell
                    self.after[self.before[one]], self.after[second], self.before[one] = -1, one, second
                    begun[run] = begun[other]
                    hidden[run] = hidden.pop(other, [])
                elif (other, run) not in chips:
                    hidden.setdefault(run, []).extend([*hidden.pop(other, []), (second, first, one)])
                continue
            hidden[run] = [each for each in hidden.get(run, []) if now - self.frame[each[2]] <= _JOINED]
            if hidden[run]:
                self._part(hidden[run].pop(), one, first, second)
            elif divides and self._lasts(now - int(begun[run]), last[[run, other]], now):
                self.after[one] = self.before[first] = -1
                self.mother[[first, second]] = one
                begun[run] = now
            else:
                chips.add((other, run))

    def _lasts(self, age: int, last: Int, now: int) -> bool:
        """Whether a cell that was seen for ``age`` frames becomes two that last, as far as the file goes."""
        early = now + _LASTS <= len(self.masks)
        return self.settings.divide and age >= 2 and not (early and (last < now + _LASTS - 1).any())

    def _part(self, joined: tuple[int, int, int], one: int, first: int, second: int) -> None:
        """Give two cells that were one mask their ids back, by their areas and on which side they lay."""
        guest, host, _ = joined

        def unlike(a: int, b: int) -> float:
            return abs(float(np.log(self.area[a] / self.area[b])))

        before, after = self.centre[host] - self.centre[guest], self.centre[first] - self.centre[second]
        turned = float(before @ after / max(np.linalg.norm(before) * np.linalg.norm(after), 1e-9))
        straight, crossed = unlike(host, first) + unlike(guest, second), unlike(host, second) + unlike(guest, first)
        if straight - turned / 2 <= crossed + turned / 2:
            self.after[guest], self.before[second] = second, guest
        else:
            self.after[one], self.before[second] = second, one
            self.after[guest], self.before[first] = first, guest

    # --- tracks

    def tracks(self) -> list[tuple[Int, Int]]:
        """Return the ids and the mothers' ids of each frame's detections."""
        begins = self.before < 0
        ids = self._spread(np.cumsum(begins))
        own = np.where(self.mother >= 0, ids[self.mother], 0)
        parent = self._spread(own)
        return [(ids[a:b], parent[a:b]) for a, b in zip(self.start[:-1].tolist(), self.start[1:].tolist(), strict=True)]

    def _spread(self, values: Int) -> Int:
        """Return for each detection the value of the first one of its run of links."""
        out = values.copy()
        for a, b in zip(self.start[:-1].tolist(), self.start[1:].tolist(), strict=True):
            back = self.before[a:b]
            out[a:b] = np.where(back >= 0, out[back], out[a:b])
        return out
