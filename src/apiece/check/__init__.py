"""Find the mistakes in labels: one family of checks per file, each from labelled images to findings.

>>> from apiece.check import check
>>> report = check({"train": "data/train.json", "val": "data/val.json"})
>>> sorted({finding.kind for finding in report.findings})  # the example's images are copies of each other
['few_instances', 'leak', 'repeated_image']

`open_labels` opens labels so that `write_page` can draw them and `fix` can write a repaired copy.
"""

from __future__ import annotations

from apiece.check._engine.families import kinds
from apiece.check._engine.fix import Change, Fixed, check_target, fix, repair
from apiece.check._engine.open_labels import OpenLabels, open_labels
from apiece.check._engine.page import PER_KIND, write_page
from apiece.check._engine.report import FailOn, Report, Suspect
from apiece.check._engine.run import check
from apiece.check._kit.stated_area_box import restated
from apiece.check.contract import ROOM, Check, Finding, Kind, Labelled, Place, SetFacts, Settings

__all__ = [
    "PER_KIND",
    "Change",
    "Check",
    "FailOn",
    "Finding",
    "Fixed",
    "Kind",
    "Labelled",
    "OpenLabels",
    "Place",
    "Report",
    "SetFacts",
    "Settings",
    "Suspect",
    "check",
    "check_target",
    "describe",
    "fix",
    "kinds",
    "load",
    "names",
    "open_labels",
    "repair",
    "restated",
    "write_page",
]

names, load, describe = ROOM.names, ROOM.load, ROOM.describe
