"""How good a model is: evaluated on labelled images, compared with another, watched in use; and the page that shows it.

Names are imported on first use: judging predictions in a file needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy

if TYPE_CHECKING:
    from apiece.evaluation._classes import check_known, told_apart
    from apiece.evaluation._compare import Comparison, Difference, ImageChange, compare, difference
    from apiece.evaluation._evaluate import HEADLINE, VIEWS, evaluate
    from apiece.evaluation._pairing import LOWEST, Joined, Judged, join, open_predictions, open_truth

__all__ = [
    "HEADLINE",
    "LOWEST",
    "VIEWS",
    "Comparison",
    "Difference",
    "ImageChange",
    "Joined",
    "Judged",
    "check_known",
    "compare",
    "difference",
    "evaluate",
    "join",
    "open_predictions",
    "open_truth",
    "told_apart",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.evaluation._compare": "Comparison Difference ImageChange compare difference",
            "apiece.evaluation._evaluate": "HEADLINE VIEWS evaluate",
            "apiece.evaluation._classes": "check_known told_apart",
            "apiece.evaluation._pairing": "Joined Judged LOWEST join open_predictions open_truth",
        },
    )
