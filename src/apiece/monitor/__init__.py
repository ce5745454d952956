"""Has a model in use begun to fail? Signals without labels, held against those of its good days."""

from apiece.monitor._drift import Comparison, Drift, Unlike, detect
from apiece.monitor._page import Picture, table_of_tests, why, write_page
from apiece.monitor._profile import Profile, Reliability, profile
from apiece.monitor._signals import SIGNALS, Signal, observe
from apiece.monitor._text import to_prometheus

__all__ = [
    "SIGNALS", "Comparison", "Drift", "Picture", "Profile", "Reliability", "Signal", "Unlike", "detect", "observe",
    "profile", "table_of_tests", "to_prometheus", "why", "write_page",
]  # fmt: skip
