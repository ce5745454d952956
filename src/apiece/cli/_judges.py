"""Predictions that labels are held against: of a model, or of models that have not seen the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from apiece.check import OpenLabels
from apiece.cli._output import note, progress
from apiece.core.instances import Instances
from apiece.errors import DataError, ImageError
from apiece.images import read_image

Judge = Callable[[str, int], Instances | None]


def of_model(folder: Path, sources: Mapping[str, OpenLabels], device: str) -> Judge:
    """What a model finds on each image, down to low scores; None on images that cannot be read.

    Warns about splits that the model learned from, as far as its folder tells.
    """
    from apiece.datasets import fingerprint
    from apiece.evaluation import LOWEST
    from apiece.predict import load

    model = load(folder, device=device)
    learned = model.loaded.provenance.get("data_fingerprint")
    for split, source in sources.items():
        if learned is not None and fingerprint(source.labels) == learned:
            note(f"apiece: {folder} learned from {split} and repeats its mistakes; use --folds in place of --model")
    refs = {split: source.labels.refs for split, source in sources.items()}

    def judge(split: str, index: int) -> Instances | None:
        ref = refs[split][index]
        try:
            image = read_image(ref.path, page=ref.page)
        except ImageError:
            return None  # a finding of its own
        return model.predict(image, conf=LOWEST)

    return judge


def out_of_fold(folds: int, sources: Mapping[str, OpenLabels], config: Path | None, runs: Path, device: str) -> Judge:
    """What models find that were trained without the image, all splits taken together; the device wins over config."""
    from apiece.datasets import together
    from apiece.training import TrainConfig, predict_out_of_fold

    sets = {split: source.labels for split, source in sources.items()}
    if len({labels.classes for labels in sets.values()}) > 1:
        raise DataError("the splits have different classes, so that no model can learn from both; make them agree")
    joined, start = together(sets), dict(zip(sets, accumulate(map(len, sets.values()), initial=0), strict=False))
    settings = TrainConfig() if config is None else TrainConfig.from_yaml(config)
    if device != "auto":
        settings = replace(settings, device=device)
    with progress("predicting out of fold", len(joined)) as step:
        found = predict_out_of_fold(joined, folds, settings, runs, step=step)
    return lambda split, index: found[start[split] + index]
