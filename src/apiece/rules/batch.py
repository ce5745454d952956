"""How many pictures of a batch may fail."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

from apiece.rules.contract import COUNT, SHARE, TEXT, Outcome, Readings, RuleKind, choice, key, some_of

__all__ = ["RULE", "share_interval"]


@dataclass(frozen=True)
class Batch:
    """Keys of the rule."""

    batch: str = key(choice("fail", "fail or unsure"), "which pictures count")
    accept: int | None = key(COUNT, "acceptance number: most such pictures in the sample", None)
    share: float | None = key(SHARE, "greatest share of such pictures in the batch that the sample stands for", None)
    rules: tuple[str, ...] = key(some_of(TEXT), "names of the rules that count. By default all", ())

    def __post_init__(self) -> None:
        if (self.accept is None) == (self.share is None):
            raise ValueError("give accept or share")


def share_interval(count: float, of: int) -> tuple[float, float]:
    """Return the 95% interval of a share, by Clopper and Pearson: it holds for any sample size.

    >>> [round(bound, 3) for bound in share_interval(0, 59)]
    [0.0, 0.061]
    """
    low = 0.0 if count == 0 else float(beta.ppf(0.025, count, of - count + 1))
    high = 1.0 if count >= of else float(beta.ppf(0.975, count + 1, of - count))
    return low, high


def _over(outcomes: Sequence[Outcome], rule: Batch) -> Iterator[Readings]:
    failed, unsure = (sum(one == kind for one in outcomes) for kind in ("fail", "unsure"))
    if rule.batch == "fail or unsure":
        failed, unsure = failed + unsure, 0
    if rule.accept is not None:
        yield Readings.of("pictures", "", [failed], low=failed, high=failed + unsure, most=rule.accept)
        return
    assert rule.share is not None
    low, high = share_interval(failed, len(outcomes))[0], share_interval(failed + unsure, len(outcomes))[1]
    share = failed / len(outcomes) if outcomes else np.nan
    yield Readings.of("share of pictures", "", [share], low=low, high=high, most=rule.share)


RULE = RuleKind(
    "few enough pictures of the batch fail",
    Batch,
    None,
    "batch: fail\naccept: 2",
    over=_over,
)
