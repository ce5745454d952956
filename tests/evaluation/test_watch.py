"""Profiles of a model at work: what may not be a baseline."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from apiece import formats
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.datasets.dataset import fingerprint
from apiece.errors import DataError
from apiece.evaluation.watch import baseline_profile
from apiece.images import write_image
from apiece.predict import Model


def test_what_the_model_learned_from_is_no_baseline(model: Model, picture: np.ndarray, tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", picture)
    truth = Instances(Masks.from_label_map(picture), [0, 1, 0], model.classes)
    formats.write([(ImageRef(tmp_path / "a.png", "a.png", (12, 20)), truth)], tmp_path / "l.json", "coco")
    assert baseline_profile(model, tmp_path / "l.json").names == ("a.png",)
    learned = {"data_fingerprint": fingerprint(formats.read(tmp_path / "l.json"))}
    biased = Model(dataclasses.replace(model.loaded, provenance=learned), "cpu")
    with pytest.raises(DataError, match=r"l\.json.*learned from"):
        baseline_profile(biased, tmp_path / "l.json")
