"""How many there were, from how many were counted and how often one is missed.

Each of N objects is counted with the probability r, the recall. Counted are n. With every N as likely as any other
beforehand, N - n has the negative binomial distribution of n + 1 successes of probability r (Draper and Guttman 1971,
doi 10.2307/1266776, with a flat prior of N). The recall is known from k counted of m objects: it has the distribution
Beta(k + 1/2, m - k + 1/2) (Jeffreys), over which the former is averaged. The interval leaves out 2.5% on each side.

It knows of objects that are missed, not of false ones, and takes objects to be missed independently of each other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, nbdtr

from apiece._arrays import Float
from apiece.errors import ConfigError, Option

__all__ = ["Recall"]

_POINTS = 400  # of the recall's distribution
_FORM = re.compile(r"\s*(\d+)\s*(?:/|of)\s*(\d+)\s*")


@dataclass(frozen=True)
class Recall:
    """How many of the objects that were there have been counted where both numbers are known.

    Attributes
    ----------
    found, there : 47 of 50; ``there`` is infinite where the share is taken to be known exactly.
    """

    found: float
    there: float

    @classmethod
    def parse(cls, text: str) -> Recall:
        """Return the recall that ``"47/50"`` or ``"0.94"`` means.

        Raises
        ------
        ConfigError
            If the text is neither.

        Examples
        --------
        >>> Recall.parse("47/50")
        Recall(found=47.0, there=50.0)
        """
        match = _FORM.fullmatch(text)
        try:
            found, there = (float(match[1]), float(match[2])) if match else (float(text), np.inf)
        except ValueError:
            found = np.nan
            there = np.nan
        if not (0 < found <= there and (match or found <= 1)):
            raise ConfigError(
                Option("recall", text) + " is no recall; write counted/there, such as 47/50, or a share such as 0.94"
            )
        return cls(found, there)

    def interval(self, count: int) -> tuple[int, int]:
        """Return from how many to how many there were, with 95%, where ``count`` were counted.

        Examples
        --------
        >>> Recall(47, 50).interval(47), Recall.parse("0.94").interval(47)
        ((47, 58), (47, 54))
        """
        share = np.array([self.found])
        if np.isfinite(self.there):
            middle = (np.arange(_POINTS) + 0.5) / _POINTS
            share = betaincinv(self.found + 0.5, self.there - self.found + 0.5, middle)
        return count + self._missed(0.025, count, share), count + self._missed(0.975, count, share)

    @staticmethod
    def _missed(level: float, count: int, share: Float) -> int:
        """Return the least number of missed objects that is not exceeded with probability ``level``."""
        low, high = -1, 1
        while nbdtr(high, count + 1, share).mean() < level:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if nbdtr(middle, count + 1, share).mean() >= level else (middle, high)
        return high
