"""`fix`: the safe repairs, on a copy in the format that was read, with a list of what was done."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from apiece import formats
from apiece._atomic import atomic
from apiece.check._engine.open_labels import OpenLabels
from apiece.check._engine.report import Report
from apiece.check._kit.stated_area_box import differs, with_own
from apiece.check.contract import Finding, Settings
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, FormatError
from apiece.formats import Record
from apiece.ops.parts import parts_of

CHANGES = "changes.json"
"""The list of what was done, beside the labels."""


@dataclass(frozen=True)
class Change:
    """One thing that is other in the copy."""

    split: str
    """The split."""
    image: str | None
    """Name of the image; None where it is not known."""
    kinds: tuple[str, ...]
    """What had been found."""
    instances: tuple[int, ...]
    """Positions in the original labels of the image."""
    ids: tuple[int, ...]
    """Ids of these instances, where they have any."""
    done: str
    """What was done."""


@dataclass(frozen=True)
class Fixed:
    """A copy of the labels, and what is other in it."""

    files: Mapping[str, Path]
    """The copy's label file or folder of each split."""
    changes: tuple[Change, ...]
    """In the order of splits and images."""


@dataclass
class _Plan:
    """What is to be done on one image: position of the instance to the kinds that ask for it."""

    drop: dict[int, list[str]] = field(default_factory=dict)
    dust: dict[int, list[str]] = field(default_factory=dict)
    rewrite: dict[int, list[str]] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        chosen = finding.place.instances[:1] if finding.repair == "drop" else finding.place.instances
        for i in chosen:
            getattr(self, str(finding.repair)).setdefault(i, []).append(finding.kind)


def check_target(sources: Mapping[str, OpenLabels], out: Path) -> None:
    """Refuse a folder that holds something, or lies within the labels.

    Raises
    ------
    ConfigError
        saying which.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already; the repaired copy needs a folder that is new or empty")
    for source in sources.values():
        if source.path is None or source.format is None:
            raise ConfigError("only labels that were read from a file can be repaired; open them with open_labels")
        if source.path.is_dir() and out.resolve().is_relative_to(source.path.resolve()):
            raise ConfigError(f"{out} lies within the labels ({source.path}); name a folder outside")


def fix(
    sources: Mapping[str, OpenLabels],
    report: Report,
    out: Path,
    *,
    root: Path | None = None,
    settings: Settings | None = None,
) -> Fixed:
    """Write a copy of the labels with the safe repairs that ``report`` names, whole or not at all.

    Everything else stays as it was read.

    Masks lose what is dust, copies of an instance and empty masks go, stated areas and boxes become the masks' own.
    Images stay where they are. Entries that the reader refused cannot be in the copy, and are listed.

    Parameters
    ----------
    sources : what was checked, from `open_labels`.
    out : folder for the copy, new or empty; `CHANGES` in it says what was done.
    root : folder that the copy keeps the label files' places in; by default each gets its own name, in a folder of its
        split where two have one name.

    Raises
    ------
    ConfigError
        if ``out`` holds something, or lies within the labels.
    LossyFormatError
        if the format cannot hold its own labels any more.
    """
    check_target(sources, out)
    dust = (settings or Settings()).dust
    changes: list[Change] = []
    together: dict[Path, dict[str, OpenLabels]] = {}
    for split, source in sources.items():
        assert source.path is not None
        together.setdefault(source.path, {})[split] = source
    places = {path: _place(path, root) for path in together}
    names = Counter(places.values())
    for path, members in together.items():
        if names[places[path]] > 1:
            places[path] = Path(next(iter(members)), places[path])
    with _whole(out) as stage:
        for path, members in together.items():
            _write(stage / places[path], members, report, dust, changes)
        files = {split: out / places[path] for path, members in together.items() for split in members}
        _write_list(stage / CHANGES, {split: file.relative_to(out) for split, file in files.items()}, changes)
    return Fixed(files, tuple(changes))


@contextlib.contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """A folder beside ``out`` that gets its name when the block ends well, and vanishes otherwise."""
    place = out.resolve()
    stage = place.with_name(f".{place.name[:60]}.{secrets.token_hex(4)}")
    stage.mkdir(parents=True)
    try:
        yield stage
        if place.exists():
            place.rmdir()  # it is empty
        stage.rename(place)
    except FormatError as error:
        inside = error.path.is_relative_to(stage)
        raise type(error)(out / error.path.relative_to(stage) if inside else error.path, error.reason) from None
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _write(target: Path, members: Mapping[str, OpenLabels], report: Report, dust: int, changes: list[Change]) -> None:
    """Write the splits of one label file, and add what was done to ``changes``."""
    first = next(iter(members.values()))
    known = {split: len(source.refused) for split, source in members.items()}
    records = (
        record
        for split, source in members.items()
        for record in _repaired(split, source, *_plans(report, split), dust, changes)
    )
    formats.write(records, target, first.format, first.labels.classes, metadata=first.labels.metadata)
    for split, source in members.items():
        # decoding meets again what was met before
        told = dict.fromkeys(str(error) for error in source.refused)
        del source.refused[known[split] :]
        changes += [Change(split, None, ("refused",), (), (), f"left out: {error}") for error in told]


def _place(path: Path, root: Path | None) -> Path:
    path, top = path.resolve(), None if root is None else root.resolve()
    return path.relative_to(top) if top is not None and path != top and path.is_relative_to(top) else Path(path.name)


def _plans(report: Report, split: str) -> tuple[dict[int, _Plan], list[str]]:
    """What is to be done on each image, and the kinds that ask to rewrite every one."""
    plans: dict[int, _Plan] = {}
    everywhere = []
    for finding in report.findings:
        if finding.repair is None or finding.place.split != split:
            continue
        if finding.place.index is None:
            everywhere.append(finding.kind)
        else:
            plans.setdefault(finding.place.index, _Plan()).add(finding)
    return plans, everywhere


def _repaired(
    split: str,
    source: OpenLabels,
    plans: Mapping[int, _Plan],
    everywhere: list[str],
    dust: int,
    changes: list[Change],
) -> Iterator[Record]:
    for index, ref in enumerate(source.labels.refs):
        try:
            ref, instances = source.labels[index]
        except FormatError as error:
            changes.append(Change(split, ref.name, ("refused",), (), (), f"left out with its labels: {error}"))
            continue
        plan = plans.get(index, _Plan())
        for i in np.flatnonzero(differs(instances)).tolist() if everywhere else ():
            plan.rewrite.setdefault(i, []).extend(everywhere)
        made, done = _apply(instances, plan, dust)
        for kinds, chosen, what in done:
            ids = () if instances.ids is None else tuple(instances.ids[list(chosen)].tolist())
            changes.append(Change(split, ref.name, kinds, chosen, ids, what))
        yield ref, made


_Done = list[tuple[tuple[str, ...], tuple[int, ...], str]]


def _apply(instances: Instances, plan: _Plan, dust: int) -> tuple[Instances, _Done]:
    """The repaired instances, and (kinds, positions, what) of all that was done."""
    done: _Done = []
    dusted = np.array(sorted(set(plan.dust) - set(plan.drop)), np.int64)
    if len(dusted):
        before = instances.masks.area
        instances = instances.replace(masks=_without_dust(instances.masks, dusted, dust))
        lost = (before - instances.masks.area)[dusted]
        for i, pixels in zip(dusted[lost > 0].tolist(), lost[lost > 0].tolist(), strict=True):
            what = f"{pixels:,} pixel{'s' * (pixels > 1)} of dust taken off the mask"
            done.append((_distinct(plan.dust[i]), (i,), what))
        dusted = dusted[lost > 0]
    rewritten = sorted(set(plan.rewrite) - set(plan.drop))
    if rewritten or len(dusted):
        instances = with_own(instances, np.union1d(np.array(rewritten, np.int64), dusted))
    if rewritten:
        kinds = _distinct([kind for i in rewritten for kind in plan.rewrite[i]])
        done.append((kinds, tuple(rewritten), "area and box computed from the mask"))
    if plan.drop:
        for i in sorted(plan.drop):
            done.append((_distinct(plan.drop[i]), (i,), "left out"))
        keep = np.ones(len(instances), bool)
        keep[list(plan.drop)] = False
        instances = instances[keep]
    return instances, done


def _distinct(kinds: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(kinds))


def _without_dust(masks: Masks, chosen: np.ndarray[Any, np.dtype[np.int64]], dust: int) -> Masks:
    """The chosen masks without parts of ``dust`` pixels or fewer; each keeps its largest part in any case."""
    parts, owner = parts_of(masks[chosen])
    largest = np.zeros(len(chosen), np.int64)
    np.maximum.at(largest, owner, parts.area)
    # of several largest parts all stay: nothing tells which of them is the object
    kept = (parts.area > dust) | (parts.area == largest[owner])
    cleaned = parts[kept].merge(owner[kept], len(chosen))
    place = np.arange(len(masks))
    place[chosen] = len(masks) + np.arange(len(chosen))
    return Masks.concatenate([masks, cleaned])[place]


def _write_list(path: Path, files: Mapping[str, Path], changes: list[Change]) -> None:
    listed = {
        "files": {split: file.as_posix() for split, file in files.items()},
        "changes": [asdict(change) for change in changes],
    }
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
