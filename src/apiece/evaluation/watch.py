"""Profiles of what a model sees and answers, for `apiece.monitor`: of labelled images, predictions, new photos."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from apiece import metrics
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.runs import owners
from apiece.datasets.dataset import Folders, fingerprint
from apiece.errors import DataError, FormatError, ImageError
from apiece.evaluation._classes import check_known, told_apart
from apiece.evaluation._pairing import above, by_class, join, open_truth, unique_last_parts
from apiece.images import read_image
from apiece.monitor import Profile, Reliability, profile
from apiece.predict.sources import Source

if TYPE_CHECKING:
    from apiece.predict.predictor import Model

__all__ = ["baseline_profile", "photo_profile"]

_Seen = tuple[str, Image, Instances | None, Instances]
"""Name and pixels of an image, its labels if there are any, and the answer on it."""


def baseline_profile(
    model: Model,
    baseline: Path,
    *,
    predictions: Path | None = None,
    images: Folders = None,
    format: str | None = None,
    clip_outlines: bool = False,
    annotator: str | None = None,
    step: Callable[[], None] = lambda: None,
) -> Profile:
    """Make the profile of a model's good days.

    Parameters
    ----------
    baseline : a profile that was saved; or labelled images (a label file, or a folder, of which ``val`` is taken),
        which also tell how often scores are right; or predictions with scores, whose images lie where the file says.
    predictions : predictions that the model made on the labelled images before; otherwise it makes them now.
    images, format, clip_outlines, annotator : as `open_truth` has them.
    step : called after each image.

    Raises
    ------
    DataError
        if the classes are not the model's, or the model learned from the images.
    FormatError, ImageError
        for files that cannot be read.
    """
    if baseline.is_file() and _is_profile(baseline):
        saved = Profile.read(baseline)
        if saved.classes != model.classes:
            own, theirs = ", ".join(saved.classes), ", ".join(model.classes)
            raise FormatError(baseline, f"its classes are {own}, the model's {theirs}; make it anew")
        return saved
    truth = open_truth(baseline, None, images, format, None, clip_outlines, annotator)
    if model.loaded.provenance.get("data_fingerprint") == fingerprint(truth):
        raise DataError(
            f"{baseline}: the model learned from these very labels, on whose images it is better than it will be; give "
            "others, such as those that it was validated on"
        )
    truth = told_apart(truth, model.classes)
    found = None if predictions is None else join(predictions, truth)

    def images_seen() -> Iterator[_Seen]:
        for index, ref in enumerate(truth.refs):
            _, wanted = truth.labels[index]
            check_known(wanted, model, baseline)
            image = read_image(ref.path, page=ref.page)
            if wanted.scores is not None:
                yield ref.name, image, None, _kept(wanted, model)
            else:
                answer = model.predict(image) if found is None else _kept(found.answer(index), model)
                yield ref.name, image, wanted, answer

    return _observed(model, images_seen(), step)


def photo_profile(
    model: Model,
    sources: list[Source],
    *,
    labels: Path | None = None,
    skip_bad: bool = False,
    on_bad: Callable[[ImageError], None] = lambda error: None,
    step: Callable[[], None] = lambda: None,
) -> Profile:
    """Make the profile of photos in use.

    Parameters
    ----------
    labels : of some of them, joined by name: they tell whether scores are still as often right.
    skip_bad : leave out images that cannot be read, telling ``on_bad`` of each.

    Raises
    ------
    DataError
        if labels are given, and none is of these photos.
    FormatError, ImageError
        for files that cannot be read.
    """
    truth = None if labels is None else told_apart(open_truth(labels), model.classes)
    place = {} if truth is None else {ref.name: i for i, ref in enumerate(truth.refs)}
    by_last = unique_last_parts(list(place))

    def images_seen() -> Iterator[_Seen]:
        for source in sources:
            try:
                image = source.read()
            except ImageError as error:
                if not skip_bad:
                    raise
                on_bad(error)
                step()
                continue
            answer, wanted = model.predict(image), None
            name = source.name if source.name in place else by_last.get(PurePosixPath(source.name).name)
            if truth is not None and name is not None:
                wanted = truth.labels[place[name]][1]
                check_known(wanted, model, str(labels))
            yield source.name, image, wanted, answer

    made = _observed(model, images_seen(), step)
    if labels is not None and made.reliability is None:
        raise DataError(f"{labels}: these labels are of none of the photos; names have to agree")
    return made


def _observed(model: Model, images: Iterable[_Seen], step: Callable[[], None]) -> Profile:
    """The profile of images, with how often scores are right on those that have labels."""
    seen: list[tuple[Instances, Instances]] = []

    def pairs() -> Iterator[tuple[str, Image, Instances]]:
        for name, image, wanted, answer in images:
            if wanted is not None:
                seen.append((wanted, answer))
            yield name, image, answer
            step()

    made = profile(pairs(), model.classes, conf=model.thresholds or 0.0)
    return replace(made, reliability=_reliability(seen, model) if seen else None)


def _is_profile(path: Path) -> bool:
    with path.open("rb") as file:
        return b'"apiece_profile"' in file.read(200)


def _kept(found: Instances, model: Model) -> Instances:
    """What the model would answer of everything that it ranked."""
    if found.scores is None:
        raise DataError("predictions need scores; these have none")
    return above(found, by_class(model.thresholds, model.classes))


def _reliability(seen: list[tuple[Instances, Instances]], model: Model) -> Reliability:
    judged = metrics.evaluate(seen, model.classes, metrics=["coco"], kinds=("mask",), max_dets=(1 << 30,))
    matches = judged.matches
    counted = ~matches.ignored
    return Reliability(owners(matches.offsets)[counted], matches.score[counted], matches.hits[counted])
