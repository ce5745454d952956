"""JUnit's XML: a test case for each picture and rule, as build servers show it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from apiece._atomic import atomic
from apiece.rules._engine.verdicts import Verdict, Verdicts

__all__ = ["write_junit"]

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(
    path: Path | str,
    pictures: Sequence[Verdicts],
    batch: Sequence[Verdict] = (),
    refused: Sequence[tuple[str, str]] = (),
) -> None:
    """Write verdicts as a JUnit report: what fails is a failure, what is unsure is skipped, with its reason.

    Parameters
    ----------
    path : the file; written whole or not at all.
    pictures, batch : from `judge` and `judge_batch`.
    refused : names of pictures that could not be judged, and why: errors.

    Examples
    --------
    >>> from pathlib import Path
    >>> from apiece.rules import Verdicts, write_junit
    >>> write_junit("out.xml", [Verdicts("a.png", "pass", ())], refused=[("b.png", "cannot be read")])
    >>> 'errors="1"' in Path("out.xml").read_text()
    True
    """
    suite = ElementTree.Element("testsuite", name="apiece inspect")
    for one in pictures:
        for verdict in one.verdicts:
            _case(suite, one.image, verdict)
    for verdict in batch:
        _case(suite, "batch", verdict)
    for name, why in refused:
        case = ElementTree.SubElement(suite, "testcase", classname=_clean(name), name="read")
        ElementTree.SubElement(case, "error", message=_clean(why))
    cases = list(suite)
    for attribute, tag in (("failures", "failure"), ("skipped", "skipped"), ("errors", "error")):
        suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("tests", str(len(cases)))
    with atomic(Path(path)) as temporary:
        ElementTree.ElementTree(suite).write(temporary, encoding="utf-8", xml_declaration=True)


def _case(suite: ElementTree.Element, picture: str, verdict: Verdict) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=_clean(picture), name=_clean(verdict.rule))
    if verdict.outcome == "fail":
        told = ElementTree.SubElement(case, "failure", message=_clean(verdict.text), type=verdict.kind)
        told.text = _clean("\n".join(finding.text for finding in verdict.findings))
    elif verdict.outcome == "unsure":
        ElementTree.SubElement(case, "skipped", message=_clean(f"unsure: {verdict.text}"))


def _clean(text: str) -> str:
    return _NO_XML.sub("?", text)
