"""Predictions joined with labelled images, by name: of each image the truth, what is ranked, and the final answer."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeAlias, cast

import numpy as np

from apiece import formats, predict
from apiece.core.classes import without_classes
from apiece.core.conf import Conf, thresholds
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.datasets import with_stuff
from apiece.datasets.dataset import Dataset, Folders, open_data, sound
from apiece.errors import ConfigError, DataError, FormatError, Message, Option
from apiece.evaluation._classes import told_apart
from apiece.formats import LabelSet
from apiece.formats.coco import is_results, read_results
from apiece.formats.contract import OnBad, OpenedLabels
from apiece.formats.label_studio import read_predictions
from apiece.formats.yolo import is_rows, read_rows
from apiece.models.contract import is_name
from apiece.ops.ground import judged_on
from apiece.predict.sources import IMAGE_SUFFIXES
from apiece.transforms.input import data_of

_log = logging.getLogger("apiece")

LOWEST = 0.05
"""Lowest score of a prediction that enters average precision."""

_SAVED = ("predictions.json", "tracks.json", "geojson", "labels", "labelmaps", "ctc", "mots", "boxes.json")
"""What prediction and tracking save, by how much it says: scores, ids, overlaps."""

Judged: TypeAlias = tuple[ImageRef, Instances, Instances, Instances]
"""Reference, truth, ranked predictions and final answer of an image. The reference is that of the decoded labels: it
has what ``truth.refs`` cannot know yet (regions to ignore)."""


class Joined(Protocol):
    """Labelled images and what was predicted on each.

    Attributes
    ----------
    truth : the labelled images.
    notes : what is to be known before the numbers are read: images, or classes, of which nothing can have been found.
    kinds : what predictions have: ``"mask"`` and ``"box"``, or boxes alone.
    """

    truth: Dataset
    notes: Sequence[str]
    kinds: tuple[str, ...]

    def __iter__(self) -> Iterator[Judged]:
        """Each image in order; nothing is kept."""
        ...

    def answer(self, index: int) -> Instances:
        """Return the final answer on image number ``index``, made or read again."""
        ...


def join(
    predictions: Path | str | predict.Model | LabelSet,
    truth: Dataset,
    conf: Conf | None = None,
    device: str = "auto",
    on_bad: OnBad = None,
    format: str | None = None,
) -> Joined:
    """Join predictions, of a model or in a file, with the images of ``truth``; nothing is predicted before asked for.

    Predictions of the one class ``object``, which the data has not, are judged without classes; so are predictions
    where the data has the one class ``object``, as label maps have, and the predictions have not.

    Parameters
    ----------
    format : format of a file or folder of predictions; found by content if left out.
    on_bad : called with each bad entry of a file, and each image of it that ``truth`` has not; they are left out. By
        default the first is raised.

    Raises
    ------
    DataError
        if a file speaks of images that ``truth`` has not.
    FormatError, ModelFileError
        for files that cannot be read.
    """
    source = predictions
    if isinstance(source, str | Path):
        source = open_predictions(source, truth, device, on_bad, format)
    classes = source.classes
    blind = (judged := told_apart(truth, classes)) is not truth
    truth = judged
    plain = without_classes(truth.classes, classes)
    whole = with_stuff(truth.labels)
    if set(source.classes) & (set(whole.classes) - set(truth.classes)):  # stuff beside the objects was predicted, too
        truth = Dataset(whole)
    joined: Joined
    if hasattr(source, "refs"):
        joined = _Filed(truth, cast(LabelSet, source), conf, on_bad)
    else:
        joined = _Modelled(truth, source, conf)
    if blind:
        joined.notes = (*joined.notes, "everything found is an 'object', so all classes of the data are judged as one")
    if plain:
        joined.notes = (*joined.notes, "the data tells no classes apart, so everything found is judged as one class")
    for line in joined.notes:
        _log.warning(line)
    return joined


def with_parents(labels: LabelSet, ref: ImageRef, instances: Instances) -> Instances:
    """Return instances of a file of the Cell Tracking Challenge with the attribute ``parent``; others as they are."""
    known = labels.metadata.get("ctc")
    parents = known.get(ref.name.partition("/")[0]) if isinstance(known, Mapping) else None
    if not parents or instances.ids is None:
        return instances
    own = np.array([parents.get(i, 0) for i in instances.ids.tolist()], np.int64)
    return instances.replace(attributes={**instances.attributes, "parent": own})


def open_truth(
    data: Path | str | Dataset | LabelSet,
    split: str | None = None,
    images: Folders = None,
    format: str | None = None,
    on_bad: OnBad = None,
    clip_outlines: bool = False,
    annotator: str | None = None,
) -> Dataset:
    """Open the labelled images to judge by; of a folder the split asked for, else ``val``, ``test``, or its only one.

    ``on_bad`` is called with each bad entry, which is left out; by default the first is raised. ``clip_outlines`` is as
    in `apiece.read`, ``annotator`` as in `open_data`.
    """
    if isinstance(data, Dataset):
        return data
    if not isinstance(data, str | Path):
        return Dataset(data)
    found: Mapping[str, Dataset] = open_data(data, images, format, on_bad, clip_outlines, annotator)
    if split is not None:
        if split not in found:
            raise ConfigError(f"{data} has no " + Option("split", split) + f"; it has {', '.join(found)}")
        return found[split]
    return next(found[name] for name in ("val", "test", "train") if name in found)


def open_predictions(
    path: Path | str, truth: Dataset, device: str = "auto", on_bad: OnBad = None, format: str | None = None
) -> predict.Model | LabelSet:
    """Open a model folder or published weights, a label file with scores, or a bare list of COCO results.

    COCO results are on the images of ``truth``.

    What reaches beyond an image is cut, however far. Of a folder that `apiece predict` or `apiece track` wrote, what
    says most is read.
    """
    if is_name(path) or (Path(path) / "model.json").is_file():
        from apiece.predict import load

        return load(path, device)
    path = Path(path)
    if format is None and is_results(path):
        return read_results(path, truth.labels, on_bad)
    if format in (None, "yolo") and is_rows(path):
        return sound(_on_images_of(truth, read_rows(path, truth.labels, on_bad)), on_bad)
    if format is None and path.exists():
        try:
            format = formats.detect(path)
        except FormatError as error:
            if (saved := next((path / name for name in _SAVED if (path / name).exists()), None)) is not None:
                return open_predictions(saved, truth, device, on_bad)
            format = _by_names(path, truth, error)
        _refuse_doubt(path, format)
    own = replace(formats.load(format), read=read_predictions) if format == "label_studio" else format
    found = formats.read(path, own, on_bad=on_bad, clip_outlines=True)
    return sound(_on_images_of(truth, found), on_bad)


def _by_names(path: Path, truth: Dataset, error: FormatError) -> str:
    """Return ``"labelmap"`` for a folder of label images that are called as the images; otherwise raise the error."""
    if path.is_dir() and _are_maps(path, {_bare(ref.name) for ref in truth.refs}):
        return "labelmap"
    parts = Message(error.reason).parts
    own = [
        replace(p, flag="--predictions-format") if isinstance(p, Option) and p.name == "format" else p for p in parts
    ]
    raise FormatError(path, Message(*own)) from None


def _are_maps(path: Path, images: Container[str]) -> bool:
    """Return whether a folder has nothing but label images of the images, by their names without folder and ending."""
    try:
        refs = formats.read(path, "labelmap").refs
    except FormatError:
        return False
    return all(_bare(ref.name) in images for ref in refs)


def _stem(name: str) -> str:
    """Return the name of an image without ending; the names of predictions may have none."""
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in (*IMAGE_SUFFIXES, ".zarr") else name


def _bare(name: str) -> str:
    """Return the name of an image without folder and ending."""
    return PurePosixPath(_stem(name)).name


def _on_images_of(truth: Dataset, found: LabelSet) -> LabelSet:
    """Return predictions whose images neither lie with them nor have a size (YOLO, label maps) on images of ``truth``.

    Without its image, a prediction lacks the ending of the name, or has another: names without endings decide, or their
    last parts, where they are unambiguous on both sides.
    """
    bare = [ref.size is None and not ref.path.exists() for ref in found.refs]
    if not any(bare) or not isinstance(found, OpenedLabels):
        return found
    images: list[tuple[Callable[[str], str], dict[str, ImageRef]]] = []
    for key in (str, _stem, _bare):
        times, own = (Counter(key(ref.name) for ref in refs) for refs in (truth.refs, found.refs))
        images.append((key, {name: ref for ref in truth.refs if times[name := key(ref.name)] == 1 >= own[name]}))
    refs = []
    for ref, is_bare in zip(found.refs, bare, strict=True):
        same = next((known[key(ref.name)] for key, known in images if key(ref.name) in known), None)
        refs.append(replace(ref, path=same.path, name=same.name, size=same.size) if is_bare and same else ref)
    return found.with_refs(refs)


def _refuse_doubt(path: Path, format: str) -> None:
    """Refuse label images whose values may be classes; `formats.read` would name the option of the ground truth."""
    doubt = formats.load(format).doubt
    if doubt is not None and doubt(path):
        ways = [Option(f"format={name!r}", flag=f"--predictions-format {name}") for name in ("class_map", "labelmap")]
        raise FormatError(
            path,
            "the values look like classes, not like objects; say "
            + ways[0]
            + ", which makes each separate region an object, or "
            + ways[1]
            + ", which makes each value one",
        )


def by_class(conf: Conf | None, classes: Sequence[str]) -> dict[str, float]:
    """Return the lowest score that counts by class name."""
    return dict(zip(classes, thresholds(conf, classes).tolist(), strict=True))


def above(ranked: Instances, lowest: Mapping[str, float]) -> Instances:
    """Return the final answer: ``ranked`` itself where nothing falls away, so that it is matched once."""
    if ranked.scores is None:
        return ranked
    kept = ranked.scores >= np.array([lowest.get(name, 0.0) for name in ranked.classes])[ranked.labels]
    return ranked if kept.all() else ranked[kept]


class _Modelled:
    """What a model finds; objects that lie on transparent ground are not asked for."""

    def __init__(self, truth: Dataset, model: predict.Model, conf: Conf | None) -> None:
        self.truth, self._model = truth, model
        unknown = [name for name in truth.classes if name not in model.classes]
        if len(unknown) == len(truth.classes) > 0 and not without_classes(truth.classes, model.classes):
            raise DataError(
                f"the model knows {', '.join(model.classes)}, the data has {', '.join(truth.classes)}: with no class "
                "in common there is nothing to judge; apiece convert --classes renames classes"
            )
        words = f"the model knows no {', no '.join(unknown)}: it finds none of them"
        self.notes: Sequence[str] = [words] if unknown and not without_classes(truth.classes, model.classes) else []
        self.kinds: tuple[str, ...] = ("mask", "box")
        # numbers in the order of the data's classes, which may not be the model's
        self._conf = conf if conf is None or isinstance(conf, float | Mapping) else by_class(conf, truth.classes)

    def __iter__(self) -> Iterator[Judged]:
        channels = self._model.loaded.input.channels
        for ref, image, wanted in self.truth.records():
            if (data := data_of(image, channels)) is not None:
                wanted = judged_on(wanted, data)
            ranked, answer = self._model.predict_at(image, (LOWEST, self._conf))
            yield ref, wanted, _of_the_data(ranked, self.truth), answer

    def answer(self, index: int) -> Instances:
        image: Image = self.truth[index][0]
        return self._model.predict_at(image, (self._conf,))[0]


class _Filed:
    """What a file holds; an image without predictions is one where nothing was found."""

    def __init__(self, truth: Dataset, found: LabelSet, conf: Conf | None, on_bad: OnBad) -> None:
        self.truth, self._found = truth, found
        self._index = _join(found, truth, on_bad)
        without = sum(ref.name not in self._index for ref in truth.refs)
        words = f"{without:,} of {len(truth):,} images are not in the predictions, as if nothing was found on them"
        self.notes: Sequence[str] = [words] if without else []
        self.kinds: tuple[str, ...] = ("mask", "box")
        if getattr(found, "boxes_only", False):
            self.notes = [*self.notes, "the predictions have boxes and no masks: only box AP and AR are computed"]
            self.kinds = ("box",)
        self._lowest = by_class(conf, truth.classes)

    def __iter__(self) -> Iterator[Judged]:
        for ref, wanted in self.truth.labels:
            ranked = self._ranked(ref.name, wanted.size)
            yield ref, with_parents(self.truth.labels, ref, wanted), ranked, above(ranked, self._lowest)

    def answer(self, index: int) -> Instances:
        ref, wanted = self.truth.labels[index]
        return above(self._ranked(ref.name, wanted.size), self._lowest)

    def _ranked(self, name: str, size: tuple[int, int]) -> Instances:
        index = self._index.get(name)
        if index is None:
            return Instances.empty(size, self.truth.classes, scored=True)
        ref, found = self._found[index]
        return _of_the_data(with_parents(self._found, ref, found), self.truth)


def _of_the_data(found: Instances, truth: Dataset) -> Instances:
    """What was found, refused where it has a class that the data has not."""
    if without_classes(truth.classes, found.classes):
        return found.replace(labels=np.zeros_like(found.labels), classes=truth.classes)
    if found.classes != truth.classes:
        strange = next((name for name in found.names if name not in truth.classes), None)
        if strange is not None:
            same = next(
                (name for name in truth.classes if name.strip().casefold() == strange.strip().casefold()), "NAME"
            )
            raise DataError(
                f"class {strange!r} was predicted, which the data has not; it has {', '.join(truth.classes)}. "
                f"apiece convert --classes {strange}={same} gives it another name"
            )
    return found


def _join(found: LabelSet, truth: Dataset, on_bad: OnBad) -> dict[str, int]:
    """Position in ``found`` of each image of ``truth`` that it has, by name.

    Predictions may be named from another folder than the labels (``a.png`` and ``images/a.png``): where a name is not
    found, the last part of it decides, if it is unambiguous on both sides, and else the file that was found for it
    (``1a2b3c4d-a.png`` of Label Studio).
    """
    names = [ref.name for ref in truth.refs]
    files = {ref.path.absolute(): ref.name for ref in truth.refs}
    known, by_last = set(names), unique_last_parts(names)
    last_of_found = unique_last_parts([ref.name for ref in found.refs])
    index, stray = {}, []
    for i, ref in enumerate(found.refs):
        last = PurePosixPath(ref.name).name
        if ref.name in known:
            index[ref.name] = i
        elif last in by_last and last in last_of_found:
            index[by_last[last]] = i
        elif (same := files.get(ref.path.absolute())) is not None and ref.path.exists():
            index[same] = i
        else:
            stray.append(ref.name)
    if on_bad is not None:
        for name in stray:
            on_bad(FormatError(name, "something was predicted on this image, which the data has not"))
    elif stray:
        raise DataError(
            f"predictions for {len(stray)} images that the data has not, such as {stray[0]!r} "
            f"(the data has, for example, {next(iter(names), 'none')!r}); evaluate against the data they were made on"
        )
    return index


def unique_last_parts(names: Sequence[str]) -> dict[str, str]:
    """Return names by their last part, those whose last part no other name has."""
    counts = Counter(PurePosixPath(name).name for name in names)
    return {last: name for name in names if counts[last := PurePosixPath(name).name] == 1}
