"""Rules: from objects to pass, fail or unsure, with the number, the limit and the objects of every verdict.

A file of rules says what has to hold on a picture. A kind of rule is one file in this package (see ``contract.py``).

>>> from pathlib import Path
>>> from apiece.rules import judge, read_rules
>>> _ = Path("rules.yaml").write_text("rules:\\n  - dimension: bolt\\n    of: area\\n    min: 25 px2\\n")
>>> found = apiece.Instances(apiece.Masks.from_boxes([[0, 0, 4, 4]], (8, 8)), [0], ("bolt",))
>>> judge(read_rules("rules.yaml"), found).outcome
'fail'
"""

from __future__ import annotations

from apiece.rules._engine.file import Rule, RuleSet, read_rules, schema
from apiece.rules._engine.judging import judge, judge_batch, judge_many
from apiece.rules._engine.junit import write_junit
from apiece.rules._engine.learn import learn
from apiece.rules._engine.pictures import draw_verdicts
from apiece.rules._engine.report import Inspection, tolerance_text, verdicts_as_dict
from apiece.rules._engine.trust import Share, Tolerance, Trust, compare
from apiece.rules._engine.verdicts import Finding, Verdict, Verdicts
from apiece.rules.contract import ROOM, Needs, Outcome, Proposal, Readings, RuleKind, Scene

__all__ = [
    "Finding",
    "Inspection",
    "Needs",
    "Outcome",
    "Proposal",
    "Readings",
    "Rule",
    "RuleKind",
    "RuleSet",
    "Scene",
    "Share",
    "Tolerance",
    "Trust",
    "Verdict",
    "Verdicts",
    "compare",
    "describe",
    "draw_verdicts",
    "judge",
    "judge_batch",
    "judge_many",
    "learn",
    "load",
    "names",
    "read_rules",
    "schema",
    "tolerance_text",
    "verdicts_as_dict",
    "write_junit",
]

names, load, describe = ROOM.names, ROOM.load, ROOM.describe
