"""Predictions that labels are held against: of a model, or of models that have not seen the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from apiece.check import OpenLabels
from apiece.cli._options import Device
from apiece.cli._output import note, progress
from apiece.core.instances import Instances
from apiece.errors import ConfigError, DataError, ImageError, Option
from apiece.images import read_image

Judge = Callable[[str, int], Instances | None]
"""From a split and an image's position to the predictions on it; None for an image that cannot be read."""


@dataclass(frozen=True)
class Judges:
    """Where the predictions come from."""

    model: str | None = None
    """Model folder, or published weights, that makes predictions to compare the labels with. It must not have learned
    from these images."""
    folds: int | None = None
    """Train so many models to compare the labels with, each without the images that it then predicts."""
    config: Path | None = None
    """YAML file with the settings of that training, such as the config.yaml of a run."""
    runs: Path = Path("runs/check")
    """Folder for the models of `--folds`; a model that is there already is not trained again."""
    device: Device = "auto"

    def __post_init__(self) -> None:
        if self.model is not None and self.folds is not None:
            raise ConfigError("--model and --folds both make predictions; give one of them")
        if self.folds is not None and self.folds < 2:
            raise ConfigError(
                Option("folds") + f" must be at least 2, got {self.folds}: a model has to learn from other images"
            )
        if self.config is not None and self.folds is None:
            raise ConfigError("--config says how --folds trains; give --folds too")

    def of(self, sources: Mapping[str, OpenLabels]) -> Judge | None:
        """Return the predictions on these labels; None where no option asks for any."""
        if self.model is not None:
            return self._of_model(self.model, sources)
        return None if self.folds is None else self._out_of_fold(self.folds, sources)

    def _of_model(self, folder: str, sources: Mapping[str, OpenLabels]) -> Judge:
        """Return what a model finds, down to low scores; warn of splits that it learned from, if its folder tells."""
        from apiece.core.classes import without_classes
        from apiece.datasets import fingerprint
        from apiece.evaluation import LOWEST
        from apiece.predict import load

        model = load(folder, device=self.device)
        learned = model.loaded.provenance.get("data_fingerprint")
        for split, source in sources.items():
            if learned is not None and fingerprint(source.labels) == learned:
                note(f"{folder} learned from {split} and repeats its mistakes; use --folds in place of --model")
        if any(without_classes(model.classes, source.labels.classes) for source in sources.values()):
            note("everything found is an 'object', so the model judges all labels as one class")
        refs = {split: source.labels.refs for split, source in sources.items()}

        def judge(split: str, index: int) -> Instances | None:
            ref = refs[split][index]
            try:
                image = read_image(ref.path, page=ref.page)
            except ImageError:
                return None  # a finding of its own
            return model.predict(image, conf=LOWEST)

        return judge

    def _out_of_fold(self, folds: int, sources: Mapping[str, OpenLabels]) -> Judge:
        """Train models on all splits together, and return what each finds on images that it did not learn from."""
        from apiece.datasets import together
        from apiece.training import TrainConfig, predict_out_of_fold

        sets = {split: source.labels for split, source in sources.items()}
        if len({labels.classes for labels in sets.values()}) > 1:
            raise DataError("the splits have different classes, so that no model can learn from both; make them agree")
        joined, start = together(sets), dict(zip(sets, accumulate(map(len, sets.values()), initial=0), strict=False))
        settings = TrainConfig() if self.config is None else TrainConfig.from_yaml(self.config)
        if self.device != "auto":
            settings = replace(settings, device=self.device)
        with progress("predicting out of fold", len(joined)) as step:
            found = predict_out_of_fold(joined, folds, settings, self.runs, step=step)
        return lambda split, index: found[start[split] + index]
