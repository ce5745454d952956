"""`evaluate`: a model, or predictions in a file, against labelled images; the images joined by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from apiece import formats, metrics
from apiece.core.instances import Instances
from apiece.datasets.dataset import Dataset, open_data
from apiece.errors import ConfigError, DataError
from apiece.formats import LabelSet
from apiece.formats.coco import is_results, read_results

if TYPE_CHECKING:  # predictions in a file need no torch
    from apiece.predict.predictor import Model

__all__ = ["evaluate", "open_truth"]

LOWEST = 0.05
"""Lowest score of a prediction that enters average precision."""


def evaluate(
    predictions: Path | str | Model | LabelSet,
    data: Path | str | Dataset | LabelSet,
    *,
    max_dets: Sequence[int] = (1, 10, 100),
    conf: float | Sequence[float] | None = None,
    split: str | None = None,
    images: Path | str | None = None,
    answers: list[Instances] | None = None,
    step: Callable[[], None] = lambda: None,
) -> metrics.Evaluation:
    """How good predictions are: COCO mask and box AP with all their kin, and AP-tau.

    Parameters
    ----------
    predictions : a `Model`, a model folder, a label file with scores, a bare list of COCO results, or a `LabelSet`.
    data : labelled images: a label file, a folder with ``val`` (else ``test``, else its only split), or what is open
        already.
    max_dets : most predictions counted per image and class by COCO's metrics. No other metric has a limit.
    conf : lowest score that counts in AP-tau, which judges a final answer: one number, or one per class. By default
        the model's own thresholds, and 0 for predictions in a file.
    split : which split of a data folder, if not by the rule above.
    images : folder that image names are relative to; found beside the labels if left out.
    answers : a list to which the final answer on each image is added, in the order of ``data``.
    step : called after each image.

    Raises
    ------
    DataError
        if predictions speak of images that ``data`` has not.
    FormatError, ImageError, ModelFileError
        for files that cannot be read.
    """
    truth = open_truth(data, split, images)
    final: list[Instances] = [] if answers is None else answers
    if isinstance(predictions, str | Path) and _is_model(Path(predictions)):
        from apiece.predict.predictor import load

        predictions = load(predictions)
    if isinstance(predictions, str | Path):
        path = Path(predictions)
        predictions = read_results(path, truth.labels) if is_results(path) else formats.read(path)
    if hasattr(predictions, "refs"):
        found = cast(LabelSet, predictions)
        pairs = _joined(found, truth, np.asarray(0.0 if conf is None else conf, np.float64), final, step)
    else:
        pairs = _predicted(predictions, truth, _by_class(conf, truth.classes), final, step)
    ranked = metrics.evaluate(pairs, truth.classes, metrics=["coco"], max_dets=max_dets)
    # the final answers have been filtered already: everything in them counts
    wanted = (instances for _, instances in truth.labels)
    judged = metrics.evaluate(zip(wanted, final, strict=True), truth.classes, metrics=["ap_tau"])
    return metrics.Evaluation(
        {**ranked.numbers, **judged.numbers},
        {name: {**ranked.per_class[name], **judged.per_class[name]} for name in truth.classes},
        ranked.images,
        {**ranked.extras, **judged.extras},
        (*ranked.notes, *judged.notes),
    )


def open_truth(
    data: Path | str | Dataset | LabelSet, split: str | None = None, images: Path | str | None = None
) -> Dataset:
    """The labelled images to judge by; of a folder the split asked for, else ``val``, ``test``, or its only one."""
    if isinstance(data, Dataset):
        return data
    if not isinstance(data, str | Path):
        return Dataset(data)
    found: Mapping[str, Dataset] = open_data(data, images)
    if split is not None:
        if split not in found:
            raise ConfigError(f"{data} has no split {split!r}; it has {', '.join(found)}")
        return found[split]
    return next(found[name] for name in ("val", "test", "train") if name in found)


def _is_model(path: Path) -> bool:
    return path.is_dir() and (path / "model.json").is_file()


def _by_class(conf: float | Sequence[float] | None, classes: tuple[str, ...]) -> float | dict[str, float] | None:
    return dict(zip(classes, conf, strict=True)) if isinstance(conf, Sequence) else conf


def _predicted(
    model: Model,
    truth: Dataset,
    conf: float | dict[str, float] | None,
    final: list[Instances],
    step: Callable[[], None],
) -> Iterator[tuple[Instances, Instances]]:
    """Truth and everything the model can rank; what it would answer goes to ``final``."""
    for image, wanted in truth:
        ranked, answer = model.predict_at(image, (LOWEST, conf))
        final.append(answer)
        yield wanted, ranked
        step()


def _joined(
    found: LabelSet,
    truth: Dataset,
    conf: npt.NDArray[np.float64],
    final: list[Instances],
    step: Callable[[], None],
) -> Iterator[tuple[Instances, Instances]]:
    """Pairs by image name; an image without predictions is one where nothing was found."""
    index = _join(found, truth)
    lowest = np.broadcast_to(conf, len(truth.classes))
    for ref, wanted in truth.labels:
        i = index.get(ref.name)
        ranked = Instances.empty(wanted.size, truth.classes, scored=True) if i is None else found[i][1]
        limits = np.array(
            [lowest[truth.classes.index(name)] if name in truth.classes else 0 for name in ranked.classes]
        )
        kept = ranked.scores is None or ranked.scores >= limits[ranked.labels]
        final.append(ranked if kept is True else ranked[kept])
        yield wanted, ranked
        step()


def _join(found: LabelSet, truth: Dataset) -> dict[str, int]:
    """Position in ``found`` of each image of ``truth`` that it has, by name.

    Predictions may be named from another folder than the labels (``a.png`` and ``images/a.png``): where a name is not
    found, the last part of it decides, if it is unambiguous on both sides.
    """
    names = [ref.name for ref in truth.refs]
    known, by_last = set(names), _unique_last_parts(names)
    last_of_found = _unique_last_parts([ref.name for ref in found.refs])
    index, stray = {}, []
    for i, ref in enumerate(found.refs):
        last = PurePosixPath(ref.name).name
        if ref.name in known:
            index[ref.name] = i
        elif last in by_last and last in last_of_found:
            index[by_last[last]] = i
        else:
            stray.append(ref.name)
    if stray:
        raise DataError(
            f"predictions for {len(stray)} images that the data has not, such as {stray[0]!r} "
            f"(the data has, for example, {next(iter(names), 'none')!r}); evaluate against the data they were made on"
        )
    return index


def _unique_last_parts(names: Sequence[str]) -> dict[str, str]:
    counts = Counter(PurePosixPath(name).name for name in names)
    return {last: name for name in names if counts[last := PurePosixPath(name).name] == 1}
