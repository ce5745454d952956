"""Break label files at random: every reader answers with labels or a `FormatError`, quickly and in little memory.

    python scripts/fuzz_formats.py [--seconds 60] [--formats coco voc ...] [--seed 0] [--out runs/fuzz]

For each format, starts from what its own writer writes and from the cases in ``tests/formats/fuzz_cases``, breaks
bytes, structure or file names (`_mutate`), and reads the result strictly and with ``on_bad`` (`verdicts`) in a process
with limits on time and memory. Warnings are errors. What no reader may do is saved below ``--out``, once per place in
the code, made as small as it goes, with the traceback. Prints the counts of each reader: what was read whole, what in
part with the rest told, what was refused. Exits with 1 if there is a finding.

A case is made from (format, seed, number) and the corpus, so a run can be repeated. A finding that has been fixed
belongs into ``tests/formats/fuzz_cases/FORMAT/bad-...``: a file, or a folder, in which ``case.*`` is what is read.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import faulthandler
import logging
import multiprocessing
import re
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from _mutate import Files, mutated  # noqa: E402
from tests.formats.verdicts import CASES, opened, verdict  # noqa: E402

from apiece import _plugins, formats  # noqa: E402
from apiece.errors import ApieceError  # noqa: E402
from apiece.testing._formats import adapted, target  # noqa: E402
from apiece.testing._labels import hard_instances, plain_instances, ref  # noqa: E402

_FORK = multiprocessing.get_context("fork")
_PATIENCE = 20.0  # seconds to make a finding smaller


@dataclass(frozen=True)
class Limits:
    """What one case may take."""

    seconds: float
    megabytes: int


@dataclass
class Finding:
    """Something that no reader may do."""

    what: str
    """Exception and place; findings that share it are taken for one."""
    details: str
    files: Files
    number: int
    count: int = 1


@dataclass
class Outcome:
    """The counts of one reader."""

    verdicts: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Finding] = field(default_factory=dict)


def corpus(name: str) -> list[Files]:
    """Sets to start from: written by the format's own writer, and the kept cases."""
    chosen = formats.load(name)
    hard = adapted(hard_instances(), chosen.holds)
    plain = plain_instances() if chosen.holds.ids else plain_instances().replace(ids=None)
    found = []
    with tempfile.TemporaryDirectory() as scratch:
        samples = {
            target(chosen, Path(scratch) / "hard"): [(ref("a.png"), hard), (ref("b/c.png"), hard.replace(ids=None))],
            target(chosen, Path(scratch) / "plain"): [(ref("a.png"), plain)],
        } | {Path(scratch) / s / ("case" + s): [(ref("a.png"), hard[:1])] for s in chosen.suffixes}
        for path, records in samples.items():
            with contextlib.suppress(ApieceError):  # a suffix that holds nothing of the kind
                formats.write(records, path, name)
                found.append(_files_of(path))
    return found + [_files_of(path) for path in sorted((CASES / name).glob("*"))]


def _files_of(path: Path) -> Files:
    if path.is_file():
        return {"case" + path.suffix: path.read_bytes()}
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


def words_of(name: str) -> list[str]:
    """Keys and values that the reader knows: the short texts in its code and in that of its helpers."""
    package = Path(formats.__file__).parent
    plugin = package / name
    files = sorted(plugin.glob("*.py")) if plugin.is_dir() else [package / f"{name}.py"]
    texts = set[str]()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Constant)
                and type(node.value) is str
                and re.fullmatch(r"[\w.:-]{1,24}", node.value)
            ):
                texts.add(node.value)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("apiece.formats._kit."):
                helper = package / "_kit" / f"{str(node.module).rpartition('.')[2]}.py"
                if helper not in files:
                    files.append(helper)
    return sorted(texts)


def _case(name: str, seed: int, number: int, sets: list[Files], words: list[str]) -> Files:
    random = Random(f"{name} {seed} {number}")
    return mutated(random.choice(sets), random, words, sets)


def _judged(name: str, files: Files, folder: Path) -> tuple[str, str, str]:
    """(verdict, what no reader may do, details) of a case."""
    shutil.rmtree(folder, ignore_errors=True)
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    try:
        found = verdict(opened(folder), name)
    except Exception as error:
        said = str(error).partition(":")[0] if type(error).__name__ == "BrokenPromiseError" else ""
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/src/apiece/" in f.filename]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else ""
        return "", " ".join(filter(None, (type(error).__name__, where, said))), traceback.format_exc()
    return found, "", ""


def _confine(limits: Limits, log: Path) -> None:
    """Limits on this process; where it was is written to ``log`` when it is ended."""
    resource.setrlimit(resource.RLIMIT_AS, (limits.megabytes << 20, limits.megabytes << 20))
    faulthandler.enable(log.open("w"))
    warnings.simplefilter("error")


def _work(name: str, cases: Iterator[tuple[int, Files]], limits: Limits, scratch: Path, results: Connection) -> None:
    """Judge one case after the other; ends early after a case that took too much memory."""
    log = scratch / "ended.txt"
    _confine(limits, log)
    with (scratch / "late.txt").open("w") as late:
        for number, files in cases:
            results.send((number, None))
            late.seek(0)
            faulthandler.dump_traceback_later(limits.seconds, exit=True, file=late)
            judged = _judged(name, files, scratch / "case")
            faulthandler.cancel_dump_traceback_later()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            if peak > limits.megabytes // 2:
                results.send((number, ("", "memory", f"{peak} MB at the highest\n{judged[2]}")))
                return
            results.send((number, judged))
    results.send((-1, None))


def _run(
    name: str, cases: Callable[[int], Iterator[tuple[int, Files]]], limits: Limits
) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """(number, what `_judged` says) of each case from ``cases(first)``, over as many processes as it takes."""
    first, done = 0, False
    while not done:
        with tempfile.TemporaryDirectory() as folder:
            receive, send = _FORK.Pipe(duplex=False)
            worker = _FORK.Process(target=_work, args=(name, cases(first), limits, Path(folder), send), daemon=True)
            worker.start()
            send.close()
            started = None
            with contextlib.suppress(EOFError):
                while not done:
                    number, judged = receive.recv()
                    done, started = number < 0, None if judged else number
                    if judged:
                        yield number, judged
                        first = number + 1
            worker.join()
            receive.close()
            if not done and started is not None:
                yield started, _ended(Path(folder), worker.exitcode)
                first = started + 1
            elif not done and worker.exitcode:
                raise RuntimeError(f"no case of {name} was begun; is --memory {limits.megabytes} too little?")


def _ended(folder: Path, code: int | None) -> tuple[str, str, str]:
    """What `_judged` would have said of a case that ended its process."""
    late = (folder / "late.txt").read_text()
    log = late if "most recent call first" in late else (folder / "ended.txt").read_text()
    frames = re.findall(r'File "[^"]*/src/apiece/(?:\w+/)*(\w+\.py)", line \d+ in (\w+)', log)
    where = ":".join(frames[0]) if frames else ""
    return "", f"{'late' if log is late else f'ended with {code}'} {where}", log


def fuzz(name: str, seconds: float, seed: int, limits: Limits) -> Outcome:
    """Judge random cases of one format for so many seconds, then make the findings small."""
    sets, words, end = corpus(name), words_of(name), time.monotonic() + seconds
    outcome = Outcome()

    def cases(first: int) -> Iterator[tuple[int, Files]]:
        number = first
        while time.monotonic() < end:
            yield number, _case(name, seed, number, sets, words)
            number += 1

    for number, (found, what, details) in _run(name, cases, limits):
        if not what:
            outcome.verdicts[found] += 1
        elif what in outcome.findings:
            outcome.findings[what].count += 1
        else:
            files = _case(name, seed, number, sets, words)
            outcome.findings[what] = Finding(what, details, files, number)
    for finding in outcome.findings.values():
        _shrink(name, finding, limits)
    return outcome


def _shrink(name: str, finding: Finding, limits: Limits) -> None:
    """Take files, lines and bytes away while the same is found."""
    end = time.monotonic() + _PATIENCE

    def same(files: Files) -> bool:
        if time.monotonic() > end:
            return False
        ((_, judged),) = _run(name, lambda first: iter([(0, files)][first:]), limits)
        if judged[1] == finding.what:
            finding.files, finding.details = files, judged[2]
        return judged[1] == finding.what

    for path in sorted(finding.files):
        if len(finding.files) > 1:
            same({k: v for k, v in finding.files.items() if k != path})
    for path in sorted(finding.files):
        for split in (rb"(?<=\n)", rb"(?<=[,\[\]{}<>])", rb"(?s)(?<=.)"):
            _fewer(re.split(split, finding.files[path]), lambda data, path=path: same(finding.files | {path: data}))


def _fewer(pieces: list[bytes], same: Callable[[bytes], bool]) -> None:
    """Leave out stretches of pieces, long ones first (ddmin, Zeller and Hildebrandt 2002)."""
    size = len(pieces) // 2
    while size:
        at = 0
        while at < len(pieces):
            rest = pieces[:at] + pieces[at + size :]
            if same(b"".join(rest)):
                pieces = rest
            else:
                at += size
        size //= 2


def save(out: Path, name: str, finding: Finding) -> Path:
    """Write a finding's files and traceback into a folder of its own."""
    folder = out / name / re.sub(r"[^\w.]+", "-", finding.what).strip("-")
    shutil.rmtree(folder, ignore_errors=True)
    for path, data in finding.files.items():
        (folder / "case" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "case" / path).write_bytes(data)
    text = f"{finding.what}\ncase {finding.number}, {finding.count} times\n\n{finding.details}"
    (folder / "traceback.txt").write_text(text, encoding="utf-8", errors="backslashreplace")
    return folder


def main() -> int:
    """Fuzz the formats named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="for each reader")
    parser.add_argument("--formats", nargs="+", default=list(_plugins.names("apiece.formats")))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "fuzz")
    parser.add_argument("--case-seconds", type=float, default=5, help="longest time for one case")
    parser.add_argument("--memory", type=int, default=3000, help="address space in MB; half of it may be filled")
    options = parser.parse_args()
    limits, total = Limits(options.case_seconds, options.memory), 0
    logging.disable()  # tifffile and roifile tell of every oddity they read past
    for name in options.formats:
        formats.load(name)  # imports need more than a case may have
    print(f"{'format':14} {'cases':>7} {'read':>7} {'told':>7} {'refused':>7} {'findings':>8}")
    for name in options.formats:
        outcome = fuzz(name, options.seconds, options.seed, limits)
        counts = [outcome.verdicts[v] for v in ("read", "told", "refused")]
        found = list(outcome.findings.values())
        cases = sum(counts) + sum(f.count for f in found)
        print(f"{name:14} {cases:7} " + " ".join(f"{c:7}" for c in counts) + f" {len(found):8}", flush=True)
        for finding in found:
            print(f"    {finding.what} ({finding.count} times): {save(options.out, name, finding)}", flush=True)
        total += len(found)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
