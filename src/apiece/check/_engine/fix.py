"""`fix`: the safe repairs, on a copy in the format that was read, with a list of what was done."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from apiece import formats
from apiece._arrays import Float, Int
from apiece._atomic import relocated, staged, write_text
from apiece.check._engine.open_labels import OpenLabels
from apiece.check._engine.report import Report
from apiece.check._kit.stated_area_box import differs, restated
from apiece.check._kit.steps import through_centres
from apiece.check.contract import Finding, Settings
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.set_operations import replaced
from apiece.errors import ConfigError, FormatError, Option
from apiece.formats import Record
from apiece.formats.contract import OpenedLabels
from apiece.ops.parts import parts_of

CHANGES = "changes.json"
"""The list of all changes, beside the labels."""

_Plan = dict[str, dict[int, list[str]]]
"""For one image: each repair, the instances it is for, and the kinds of finding that ask for it."""


_Done = list[tuple[list[str], list[int], str]]
"""Kinds, positions, and what was done."""


@dataclass(frozen=True)
class Change:
    """One difference between the copy and the original."""

    split: str
    """The split."""
    image: str | None
    """Name of the image, if it is known."""
    kinds: tuple[str, ...]
    """Kinds of the findings that asked for it."""
    instances: tuple[int, ...]
    """Positions in the original labels of the image."""
    ids: tuple[int, ...]
    """Ids of these instances, if they have any."""
    done: str
    """What `fix` did."""


@dataclass(frozen=True)
class Fixed:
    """A repaired copy of labels."""

    files: Mapping[str, Path]
    """The copy's label file or folder of each split."""
    changes: tuple[Change, ...]
    """All differences from the original, by split and image."""


def check_target(sources: Mapping[str, OpenLabels], out: Path) -> None:
    """Refuse a target folder for `fix` that holds something, or lies within the labels.

    Raises
    ------
    ConfigError
        If ``out`` cannot be the target, or labels were not read from a file.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already; the repaired copy needs a new or empty folder")
    for source in sources.values():
        if source.path is None or source.format is None:
            raise ConfigError("fix repairs only labels from a file; open them with open_labels")
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

    Masks lose their dust; exact copies of an instance and empty masks go; stated areas and boxes become those of the
    masks; outlines end at the border of their image. What a tool did to every object is undone: crowd marks, and
    outlines through pixel centres. Everything else stays as it was read, and images stay where they are. The copy
    lacks entries that the reader refused; the list of changes names them.

    Parameters
    ----------
    sources : by split, the labels that were checked, from `open_labels`.
    report : what `check` found in them.
    out : folder for the copy, new or empty. The file ``changes.json`` in it lists all changes.
    root : folder that contains the label files; the copy keeps their places in it. By default each label file or folder
        lies directly in ``out``, or in a folder of its split if two have one name.
    settings : `Settings.dust` says how large dust is at most; default as in `check`.

    Returns
    -------
    The copy's files and all changes.

    Raises
    ------
    ConfigError
        If ``out`` holds something, or lies within the labels.
    LossyFormatError
        If the format cannot hold its own labels any more.

    Examples
    --------
    >>> from pathlib import Path
    >>> from apiece.check import check, fix, open_labels
    >>> sources = {"train": open_labels("data/train.json")}
    >>> fixed = fix(sources, check(sources), Path("repaired"))
    >>> fixed.files["train"].as_posix(), fixed.changes
    ('repaired/train.json', ())
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
    place = out.resolve()
    with staged(place.parent, place.name) as folder:
        made = folder / place.name
        made.mkdir()
        try:
            for path, members in together.items():
                _write(made / places[path], members, report, dust, changes)
        except FormatError as error:
            raise error.at(relocated(error.path, made, out)) from None
        files = {split: places[path] for path, members in together.items() for split in members}
        _write_list(made / CHANGES, files, changes)
        if place.exists():
            place.rmdir()  # it is empty
        made.rename(place)
    files = {split: out / file for split, file in files.items()}
    return Fixed(files, tuple(changes))


def repair(instances: Instances, finding: Finding, settings: Settings | None = None) -> tuple[Instances, Int]:
    """Return an image's instances with the safe repair of one finding, and the positions of the instances that stay.

    Parameters
    ----------
    instances : the labels of the finding's image, as they were checked.
    finding : a finding of this image that has a repair.
    settings : `Settings.dust` says how large dust is at most; default as in `check`.

    Raises
    ------
    ConfigError
        If the finding has no repair, or its repair concerns every instance of the set: `fix` does those.

    Examples
    --------
    >>> from apiece.check import Finding, Place, repair
    >>> labels = apiece.Instances(apiece.Masks.from_boxes([[0, 0, 4, 4], [0, 0, 4, 4]], (8, 8)))
    >>> same = Finding("duplicate", "the same mask", 1.0, Place("train", "a.png", 0, (1, 0)), repair="drop")
    >>> left, kept = repair(labels, same)
    >>> kept
    array([0])
    """
    place = finding.place
    if finding.repair is None or place.index is None or not place.instances:
        raise ConfigError(f"{finding.kind}: no safe repair of single instances is known; change the labels by hand")
    plan = _no_plan()
    if finding.repair not in plan:
        raise ConfigError(f"{finding.kind}: its repair is for the whole set; use " + Option("fix", ...))
    chosen = place.instances[:1] if finding.repair == "drop" else place.instances
    plan[finding.repair] = {i: [finding.kind] for i in chosen}
    repaired, _ = _apply(instances, plan, (settings or Settings()).dust)
    return repaired, np.setdiff1d(np.arange(len(instances)), list(plan["drop"]))


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
        # decoding reports the same entries once more
        messages = dict.fromkeys(str(error) for error in source.refused)
        del source.refused[known[split] :]
        changes += [Change(split, None, ("refused",), (), (), f"left out: {message}") for message in messages]


def _place(path: Path, root: Path | None) -> Path:
    path, top = path.resolve(), None if root is None else root.resolve()
    return path.relative_to(top) if top is not None and path != top and path.is_relative_to(top) else Path(path.name)


def _plans(report: Report, split: str) -> tuple[dict[int, _Plan], dict[str, list[str]]]:
    """Return (the plan for each image, the kinds that ask for a repair of every instance)."""
    plans: dict[int, _Plan] = defaultdict(_no_plan)
    everywhere: dict[str, list[str]] = defaultdict(list)
    for finding in report.findings:
        place, repair = finding.place, finding.repair
        if repair is None or place.split != split:
            continue
        if place.index is None:
            everywhere[repair].append(finding.kind)
            continue
        for i in place.instances[:1] if repair == "drop" else place.instances:
            plans[place.index][repair].setdefault(i, []).append(finding.kind)
    return plans, everywhere


def _no_plan() -> _Plan:
    return {"drop": {}, "dust": {}, "rewrite": {}, "clip": {}}


def _repaired(
    split: str,
    source: OpenLabels,
    plans: Mapping[int, _Plan],
    everywhere: Mapping[str, list[str]],
    dust: int,
    changes: list[Change],
) -> Iterator[Record]:
    outlines = _outlines(source) if everywhere["widen"] else {}
    for index, ref in enumerate(source.labels.refs):
        try:
            ref, instances = source.labels[index]
        except FormatError as error:
            changes.append(Change(split, ref.name, ("refused",), (), (), f"left out with its labels: {error}"))
            continue
        plan = plans[index]
        before = instances
        instances, done = _every(instances, everywhere, outlines.get(index, ()))
        # a box that is a pixel short is so beside the mask that was read
        for i in np.flatnonzero(differs(before)).tolist() if everywhere["rewrite"] else ():
            plan["rewrite"].setdefault(i, []).extend(everywhere["rewrite"])
        repaired, more = _apply(instances, plan, dust)
        done += more
        for kinds, chosen, what in done:
            ids = () if instances.ids is None else tuple(instances.ids[chosen].tolist())
            changes.append(Change(split, ref.name, tuple(dict.fromkeys(kinds)), tuple(chosen), ids, what))
        yield ref, repaired


def _every(
    instances: Instances, kinds: Mapping[str, list[str]], outlines: Sequence[Sequence[tuple[Float, bool]]]
) -> tuple[Instances, _Done]:
    """Return the instances after the repairs that concern every one of them, and what was done."""
    done: _Done = []
    if kinds["single"] and instances.crowd.any():
        done.append((kinds["single"], np.flatnonzero(instances.crowd).tolist(), "no longer marked as crowd"))
        instances = instances.replace(crowd=np.zeros(len(instances), bool))
    if kinds["widen"] and len(outlines) == len(instances):
        masks = _with_outlines(instances.masks, outlines)
        wider = np.flatnonzero(masks.area != instances.masks.area)
        instances = restated(instances.replace(masks=masks), np.arange(len(masks)))
        done.append((kinds["widen"], wider.tolist(), "widened by the pixels that its outline runs through"))
    return instances, done


def _outlines(source: OpenLabels) -> dict[int, list[list[tuple[Float, bool]]]]:
    """Return for each image the polygons of each instance, as the label file states them, and whether they are holes.

    Instances that are not drawn through pixel centres have none.
    """
    found: dict[int, list[list[tuple[Float, bool]]]] = defaultdict(list)
    for drawn, traced in cast(OpenedLabels, source.labels).outlines(lambda some: (some, through_centres(some))):
        for k, (index, centred) in enumerate(zip(drawn.image.tolist(), traced.tolist(), strict=True)):
            holes = drawn.holes[drawn.parts[k] : drawn.parts[k + 1]].tolist()
            found[index].append(list(zip(drawn.of(k), holes, strict=True)) if centred else [])
    return found


def _with_outlines(masks: Masks, outlines: Sequence[Sequence[tuple[Float, bool]]]) -> Masks:
    """Return masks of polygons through pixel centres, with the pixels that they run through."""
    crops, corners = [], []
    chosen = [k for k, rings in enumerate(outlines) if rings]
    for k in chosen:
        whole = [(np.rint(ring).astype(np.int32), hole) for ring, hole in outlines[k]]
        joined = np.concatenate([ring for ring, _ in whole])
        low, (width, height) = joined.min(0), np.ptp(joined, axis=0) + 1
        crop = np.zeros((height, width), np.uint8)
        for ring, hole in whole:  # one by one: together OpenCV would leave out what two of them share
            cv2.fillPoly(crop, [ring - low], 0 if hole else 1)
            if hole:  # its outline runs through pixels of the object
                cv2.polylines(crop, [ring - low], True, 1)
        crops.append(crop.astype(bool))
        corners.append(low)
    widened = Masks.from_crops(crops, np.array(corners, np.int64).reshape(-1, 2), masks.size)
    return replaced(masks, np.array(chosen, np.int64), widened)


def _apply(instances: Instances, plan: _Plan, dust: int) -> tuple[Instances, _Done]:
    """Return the repaired instances, and (kinds, positions, what was done) of each change."""
    done = []
    dusted, rewritten, cut = (
        np.array(sorted(set(plan[name]) - set(plan["drop"])), np.int64) for name in ("dust", "rewrite", "clip")
    )
    if len(dusted):
        before = instances.masks.area
        instances = instances.replace(masks=_without_dust(instances.masks, dusted, dust))
        lost = before - instances.masks.area
        dusted = dusted[lost[dusted] > 0]
        for i in dusted.tolist():
            what = f"{lost[i]:,} pixel{'s' * int(lost[i] > 1)} of dust taken off the mask"
            done.append((plan["dust"][i], [i], what))
    changed = np.unique(np.concatenate([rewritten, dusted, cut]))
    if len(changed):
        instances = restated(instances, changed)
    if len(cut):
        done.append(([kind for i in cut.tolist() for kind in plan["clip"][i]], cut.tolist(), "cut at the border"))
    if len(rewritten):
        kinds = [kind for i in rewritten.tolist() for kind in plan["rewrite"][i]]
        done.append((kinds, rewritten.tolist(), "area and box computed from the mask"))
    done += [(plan["drop"][i], [i], "left out") for i in sorted(plan["drop"])]
    return instances[np.setdiff1d(np.arange(len(instances)), list(plan["drop"]))], done


def _without_dust(masks: Masks, chosen: Int, dust: int) -> Masks:
    """Return the masks, the ``chosen`` without parts of at most ``dust`` pixels; each keeps its largest part."""
    parts, owner = parts_of(masks[chosen])
    largest = np.zeros(len(chosen), np.int64)
    np.maximum.at(largest, owner, parts.area)
    # several largest parts all stay: nothing tells which of them is the object
    kept = (parts.area > dust) | (parts.area == largest[owner])
    return replaced(masks, chosen, parts[kept].merge(owner[kept], len(chosen)))


def _write_list(path: Path, files: Mapping[str, Path], changes: list[Change]) -> None:
    listed = {
        "files": {split: file.as_posix() for split, file in files.items()},
        "changes": [asdict(change) for change in changes],
    }
    write_text(path, json.dumps(listed, indent=1, ensure_ascii=False) + "\n")
