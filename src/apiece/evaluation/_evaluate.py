"""`evaluate`: a model, or predictions in a file, against labelled images, in one pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from apiece import predict
from apiece.core.conf import Conf
from apiece.core.instances import Instances
from apiece.datasets.dataset import Dataset, Folders
from apiece.errors import DataError, UnknownNameError
from apiece.evaluation._pairing import Joined, Judged, join, open_truth
from apiece.formats import LabelSet, stuff_classes
from apiece.metrics import Evaluation, frame_of
from apiece.metrics import evaluate as judge
from apiece.metrics.lvis import frequencies, searched
from apiece.ops import flattened

HEADLINE = ("coco", "ap_tau")
"""The metrics whose numbers are asked for first; see the files of ``apiece.metrics`` for the others."""

View = Literal["instances", "boxes", "panoptic", "semantic", "presence"]
"""As what predictions are judged."""

VIEWS: Mapping[View, tuple[str, ...]] = {
    "instances": HEADLINE,
    "boxes": ("coco",),
    "panoptic": ("panoptic",),
    "semantic": ("semantic",),
    "presence": ("presence",),
}
"""The metrics of each view."""


def evaluate(
    predictions: Path | str | predict.Model | LabelSet | Joined,
    data: Path | str | Dataset | LabelSet | None = None,
    *,
    metrics: Sequence[str] | Literal["all"] | None = None,
    view: View = "instances",
    remain: float = 0.0,
    max_dets: Sequence[int] = (1, 10, 100),
    conf: Conf | None = None,
    split: str | None = None,
    images: Folders = None,
    format: str | None = None,
    bootstrap: int = 0,
    seed: int = 0,
    watch: Callable[[Instances, Instances], None] = lambda truth, answer: None,
) -> Evaluation:
    """Evaluate predictions: COCO mask and box AP with all their kin, AP-tau, and what else is asked for.

    Nothing is kept of an image but what the metrics keep.

    Parameters
    ----------
    predictions : a `Model`, a model folder, a label file with scores, a bare list of COCO results, a `LabelSet`, or
        any of these as `join` joined it with its images.
    data : labelled images: a label file, a folder with ``val`` (else ``test``, else its only split), or what is open
        already. Left out for what is joined.
    metrics : names of metrics, files of ``apiece.metrics``; ``"all"``: every one that applies. By default those of the
        view.
    view : as what the instances are judged: as they are; as ``"boxes"``; without overlap, with stuff, as
        ``"panoptic"``; by the class of each pixel, ``"semantic"``; by which classes an image shows, ``"presence"``.
    remain : in the views ``"panoptic"`` and ``"semantic"``, share of its pixels, 0 to 1, that an object must keep
        beside those of better score; one that keeps less is left out. Stuff lies below all objects.
    max_dets : most predictions counted per image and class by COCO's metrics. No other metric has a limit.
    conf : lowest score that counts in metrics of a final answer, see `apiece.core.conf`. By default the model's own
        thresholds, and 0 for predictions in a file.
    split : which split of a data folder, if not by the rule above.
    images : folder of the images, or of each split (``{"val": "photos"}``); found where tools put them if left out.
    format : format of the labels in ``data``; found by content if left out.
    bootstrap, seed : halves of the images, at most, for 95% intervals, ``mask_ap_low`` and ``mask_ap_high``, and for
        ``mask_ap_bias``, how much too high the number probably is; 0: none.
    watch : called with truth and final answer of each image.

    Raises
    ------
    DataError
        if predictions speak of images that ``data`` has not.
    FormatError, ImageError, ModelFileError
        for files that cannot be read.
    """
    if data is None:
        joined = cast(Joined, predictions)
    else:
        truth = open_truth(data, split, images, format)
        joined = join(cast("Path | str | predict.Model | LabelSet", predictions), truth, conf)
    if view not in VIEWS:
        raise UnknownNameError("view", view, VIEWS)
    metrics = VIEWS[view] if metrics is None else metrics
    kinds = ("box",) if view == "boxes" else joined.kinds
    if "mask" not in joined.kinds:
        metrics = [name for name in metrics if name == "coco"] if metrics != "all" else ["coco"]
        if not metrics:
            raise DataError("the predictions have boxes and no masks; of the metrics, coco alone judges boxes")
    # asked for when their batch is whole: it alone is kept
    facts = _facts(joined.truth)
    seen = _flat(joined, remain, facts["stuff"]) if view in ("panoptic", "semantic") else joined
    images_now, images_then, images_again, images_named = itertools.tee(seen, 4)
    result = judge(
        _watched(images_now, watch),
        joined.truth.classes,
        metrics=metrics,
        kinds=kinds,
        max_dets=max_dets,
        frames=(frame_of(ref) for ref, *_ in images_then),
        ids=(ref.id for ref, *_ in images_again),
        names=(ref.name for ref, *_ in images_named),
        bootstrap=bootstrap,
        seed=seed,
        **facts,
    )
    return replace(result, notes=(*joined.notes, *result.notes))


def _flat(images: Iterable[Judged], remain: float, stuff: Sequence[str]) -> Iterator[Judged]:
    """Yield the images with answers in which each pixel has one owner, as maps of the answer have."""
    for ref, truth, ranked, answer in images:
        yield ref, truth, ranked, flattened(answer, remain, stuff)


def _watched(
    images: Iterable[Judged], watch: Callable[[Instances, Instances], None]
) -> Iterator[tuple[Instances, Instances, Instances]]:
    for _, truth, ranked, answer in images:
        yield truth, ranked, answer
        watch(truth, answer)


def _facts(truth: Dataset) -> dict[str, Any]:
    """What metrics ask beside masks: what LVIS images were searched for, which classes are stuff."""
    metadata = truth.labels.metadata
    facts: dict[str, Any] = {}
    if "lvis" in metadata:
        facts |= {"searched": searched(truth.refs, metadata), "frequency": frequencies(metadata)}
    return facts | {"stuff": stuff_classes(truth.labels)}
