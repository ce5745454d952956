"""Predictions out of fold: of every image by a model that never saw it, so that labels can be judged by them.

The images are divided into folds with even shares of every class, near-duplicates in one of them. For each fold a model
is trained on the others; some of their images are held back to choose its best step and its thresholds. A folder keeps
the division in ``folds.json``, each fold's run and, once it is whole, its ``predictions.json``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from apiece import formats
from apiece._arrays import Int
from apiece._atomic import write_text
from apiece.check.contract import Settings
from apiece.check.leaks import copies
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.datasets import View, class_counts, split, with_stuff
from apiece.datasets.dataset import Dataset, Subset, fingerprint
from apiece.errors import ConfigError, DataError, Option
from apiece.formats import LabelSet, Record
from apiece.images import read_image
from apiece.ops.image_hash import print_of
from apiece.predict.predictor import load
from apiece.predict.sources import Source
from apiece.training.config import TrainConfig
from apiece.training.trainer import STATE, fit

__all__ = ["LOWEST", "predict_out_of_fold"]

log = logging.getLogger("apiece")

LOWEST = 0.05
"""Lowest score of a prediction that is kept."""

_VAL_SHARE = 0.15
_OUT = Option("out", flag="--runs")
_GROUP = "near-duplicates"
# may differ when the folds are gone on with: they say where and how, not what is computed
_FREE = ("cache", "data", "device", "format", "images", "out", "overwrite", "resume", "save_every", "workers")


def predict_out_of_fold(
    labels: LabelSet, folds: int, config: TrainConfig, out: Path, step: Callable[[], None] = lambda: None
) -> list[Instances]:
    """Predict every image with a model that did not learn from it.

    Parameters
    ----------
    labels : the images with their labels.
    folds : how many models to train, 2 or more.
    config : settings of each training; ``data``, ``out``, ``resume`` and ``overwrite`` do not count. A time budget is
        that of one fold.
    out : folder that keeps results. Called again with the same labels and settings, finished folds are read from it,
        and a fold that was cut off goes on.
    step : called after each image.

    Returns
    -------
    Instances with scores of `LOWEST` and above for each image, in order.

    Raises
    ------
    ConfigError
        If folds are fewer than 2, or ``out`` holds folds of other labels or settings.
    DataError, ImageError, FormatError, TrainingError
        If there are too few images, or as from training.
    """
    labels = with_stuff(labels) if config.stuff else labels
    fold = _division(labels, folds, config, Path(out))
    refs = labels.refs
    found: list[Instances | None] = [None] * len(labels)
    for k in range(folds):
        held = np.flatnonzero(fold == k).tolist()
        log.info("fold %d of %d: %d images are predicted by a model of the others", k + 1, folds, len(held))
        folder = Path(out) / f"fold_{k + 1}"
        kept = folder / "predictions.json"
        if not kept.is_file():
            _train(labels, np.flatnonzero(fold != k).tolist(), config, folder)
            answers = _predicted([refs[i] for i in held], folder, config.device)
            formats.write(answers, kept, "coco", labels.classes)
        for i, (_, instances) in zip(held, formats.read(kept, "coco"), strict=True):
            scores = np.zeros(0) if instances.scores is None else instances.scores
            found[i] = Instances(instances.masks, instances.labels, instances.classes, scores)
            step()
    return [instances for instances in found if instances is not None]


def _division(labels: LabelSet, folds: int, config: TrainConfig, out: Path) -> Int:
    """Return the fold of each image, from ``out`` where it is written."""
    if folds < 2:
        raise ConfigError(Option("folds") + f" must be 2 or more, got {folds}: a model has to learn from other images")
    if len(labels) < folds + 1:
        raise DataError(
            f"{len(labels)} images are too few for " + Option("folds", folds) + "; give more images, or fewer folds"
        )
    settings = {k: v for k, v in config.to_dict().items() if k not in _FREE}
    plan: dict[str, Any] = {"labels": fingerprint(labels), "folds": folds, "settings": settings}
    path = out / "folds.json"
    if path.is_file():
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            fold = np.array(written.pop("fold"), np.int64)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise ConfigError(f"{path} is damaged; remove {out}, or give another folder with " + _OUT) from None
        if json.dumps(written, sort_keys=True) != json.dumps(plan, sort_keys=True):
            raise ConfigError(
                f"{out} holds folds of other labels or settings; remove it, or give another folder with " + _OUT
            )
        return fold
    names = [str(k) for k in range(folds)]
    parts = split(_Grouped(labels, _alike(labels)), dict.fromkeys(names, 1 / folds), group=_GROUP, seed=config.seed)
    fold = np.empty(len(labels), np.int64)
    for k, name in enumerate(names):
        fold[list(parts[name].indices)] = k
    write_text(path, json.dumps({**plan, "fold": fold.tolist()}, indent=1))
    return fold


@dataclass(frozen=True)
class _Grouped(View):
    """A `LabelSet` whose images know their group."""

    group: tuple[int, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.labels.classes

    @property
    def refs(self) -> tuple[ImageRef, ...]:
        return tuple(
            replace(ref, attributes={_GROUP: group}) for ref, group in zip(self.labels.refs, self.group, strict=True)
        )

    def class_counts(self) -> sp.csr_array:
        """Return the counts of the labels themselves."""
        return class_counts(self.labels)


def _alike(labels: LabelSet) -> tuple[int, ...]:
    """Return a number for each image; near-duplicates have the same one, but not images that only look alike."""
    refs = labels.refs

    def read(index: int) -> Image:
        return read_image(refs[index].path, page=refs[index].page)

    head, same, pairs, _ = copies([print_of(read(i)) for i in range(len(refs))], Settings().near, read)
    edges = (np.ones(len(pairs.first), np.int8), (pairs.first, pairs.second))
    _, part = connected_components(sp.coo_array(edges, shape=(len(head), len(head))), directed=False)
    return tuple(part[same].tolist())


def _train(labels: LabelSet, others: Sequence[int], config: TrainConfig, folder: Path) -> None:
    """Train on the other folds' images, or go on where that was cut off."""
    parts = split(Subset(labels, tuple(others)), {"train": 1 - _VAL_SHARE, "val": _VAL_SHARE}, seed=config.seed)
    begun = (folder / STATE).is_file()
    own = replace(config, out=folder, resume=begun, overwrite=not begun)
    fit(own, splits=(Dataset(parts["train"]), Dataset(parts["val"])))


def _predicted(refs: Sequence[ImageRef], folder: Path, device: str) -> Iterator[Record]:
    """Predict under plain names: no label file's names or attributes stand in the way of writing the answers."""
    model = load(folder, device)
    images = (Source(ref.name, image=read_image(ref.path, page=ref.page)) for ref in refs)
    found = model.stream(images, conf=LOWEST)
    for i, (_, instances) in enumerate(found):
        yield ImageRef(Path(f"{i:07d}"), f"{i:07d}", instances.size), instances
