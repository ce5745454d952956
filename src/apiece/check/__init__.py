"""Find the mistakes in labels: one family of checks per file, each from labelled images to findings.

>>> from apiece.check import check
>>> report = check({"train": "data/train.json", "val": "data/val.json"})
>>> for finding in report.findings: print(finding.kind, finding.place.image, finding.message)

`open_labels` opens labels so that `write_page` can draw them and `fix` can write a repaired copy.
"""

from __future__ import annotations

from apiece.check._base import Check, Finding, Kind, Labelled, Place, SetFacts, Settings
from apiece.check._families import kinds, load, names
from apiece.check._fix import Change, Fixed, fix
from apiece.check._page import write_page
from apiece.check._report import Report, Suspect
from apiece.check._run import check
from apiece.check._source import Source, open_labels

__all__ = [
    "Change",
    "Check",
    "Finding",
    "Fixed",
    "Kind",
    "Labelled",
    "Place",
    "Report",
    "SetFacts",
    "Settings",
    "Source",
    "Suspect",
    "check",
    "fix",
    "kinds",
    "load",
    "names",
    "open_labels",
    "write_page",
]
