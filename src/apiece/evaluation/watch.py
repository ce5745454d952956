"""Profiles of what a model sees and answers, for `apiece.monitor`: of labelled images, predictions, new photos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from apiece import metrics
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.datasets.dataset import Dataset, fingerprint
from apiece.errors import DataError, FormatError, ImageError
from apiece.evaluation._pairing import above, by_class, check_known, join, open_truth
from apiece.images import read_image
from apiece.monitor import Profile, Reliability, profile
from apiece.predict.sources import Source

if TYPE_CHECKING:
    from apiece.predict.predictor import Model

__all__ = ["baseline_profile", "photo_profile"]


def baseline_profile(
    model: Model,
    baseline: Path,
    *,
    predictions: Path | None = None,
    images: Path | None = None,
    step: Callable[[], None] = lambda: None,
) -> Profile:
    """The profile of a model's good days.

    Parameters
    ----------
    baseline : a profile that was saved; or labelled images (a label file, or a folder, of which ``val`` is taken),
        which also tell how often scores are right; or predictions with scores, whose images lie where the file says.
    predictions : predictions that the model made on the labelled images before; otherwise it makes them now.
    images : folder that image names are relative to; found beside the labels if left out.
    step : called after each image.

    Raises
    ------
    DataError
        if the classes are not the model's, or the model learned from the images.
    FormatError, ImageError
        for files that cannot be read.
    """
    if baseline.is_file() and _is_profile(baseline):
        return _of_model(Profile.read(baseline), model, baseline)
    truth = open_truth(baseline, None, images)
    if model.loaded.provenance.get("data_fingerprint") == fingerprint(truth):
        raise DataError(
            f"{baseline}: the model learned from these very labels, on whose images it is better than it will be; give "
            "others, such as those that it was validated on"
        )
    found = None if predictions is None else join(predictions, truth)
    seen: list[tuple[Instances, Instances]] = []

    def pairs() -> Iterator[tuple[str, Image | None, Instances]]:
        for index, ref in enumerate(truth.refs):
            _, wanted = truth.labels[index]
            check_known(wanted, model, baseline)
            image = read_image(ref.path, page=ref.page)
            if wanted.scores is not None:
                answer = _kept(wanted, model)
            elif found is None:
                answer = model.predict(image)
            else:
                answer = _kept(found.answer(index), model)
            if wanted.scores is None:
                seen.append((wanted, answer))
            yield ref.name, image, answer
            step()

    made = profile(pairs(), model.classes, conf=model.thresholds or 0.0)
    return Profile(made.classes, made.names, made.values, made.counts, made.unsure, _reliability(seen, model))


def photo_profile(
    model: Model,
    sources: list[Source],
    *,
    labels: Path | None = None,
    skip_bad: bool = False,
    on_bad: Callable[[ImageError], None] = lambda error: None,
    step: Callable[[], None] = lambda: None,
) -> Profile:
    """The profile of photos in use.

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
    truth = _by_name(open_truth(labels)) if labels is not None else {}
    seen: list[tuple[Instances, Instances]] = []

    def pairs() -> Iterator[tuple[str, Image | None, Instances]]:
        for source in sources:
            try:
                image = source.read()
            except ImageError as error:
                if not skip_bad:
                    raise
                on_bad(error)
                step()
                continue
            answer = model.predict(image)
            where = truth.get(source.name) or truth.get(PurePosixPath(source.name).name)
            if where is not None:
                data, index = where
                wanted = data.labels[index][1]
                check_known(wanted, model, str(labels))
                seen.append((wanted, answer))
            yield source.name, image, answer
            step()

    made = profile(pairs(), model.classes, conf=model.thresholds or 0.0)
    if labels is not None and not seen:
        raise DataError(f"{labels}: these labels are of none of the photos; names have to agree")
    return Profile(made.classes, made.names, made.values, made.counts, made.unsure, _reliability(seen, model))


def _is_profile(path: Path) -> bool:
    with path.open("rb") as file:
        return b'"apiece_profile"' in file.read(200)


def _of_model(found: Profile, model: Model, path: Path) -> Profile:
    if found.classes != model.classes:
        raise FormatError(
            path, f"its classes are {', '.join(found.classes)}, the model's {', '.join(model.classes)}; make it anew"
        )
    return found


def _kept(found: Instances, model: Model) -> Instances:
    """What the model would answer of everything that it ranked."""
    if found.scores is None:
        raise DataError("predictions need scores; these have none")
    return above(found, by_class(model.thresholds, model.classes))


def _by_name(truth: Dataset) -> dict[str, tuple[Dataset, int]]:
    """Where each image's labels are, by name and by the last part of the name where no two share it."""
    named: dict[str, list[int]] = {}
    for i, ref in enumerate(truth.refs):
        for name in {ref.name, PurePosixPath(ref.name).name}:
            named.setdefault(name, []).append(i)
    return {name: (truth, indices[0]) for name, indices in named.items() if len(indices) == 1}


def _reliability(seen: list[tuple[Instances, Instances]], model: Model) -> Reliability | None:
    if not seen:
        return None
    judged = metrics.evaluate(seen, model.classes, metrics=["coco"], kinds=("mask",), max_dets=(1 << 30,))
    matches = judged.matches
    image = np.repeat(np.arange(len(matches)), np.diff(matches.offsets))
    counted = ~matches.ignored
    return Reliability(image[counted], matches.score[counted], matches.hits[counted])
