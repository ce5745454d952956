"""Published weights, ready to predict: what ``--model`` names becomes a model as its own library would use it.

Class names, thresholds and the way images are resized and normalised come from the files that lie beside the weights.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from apiece._atomic import staged
from apiece.errors import ConfigError, ModelFileError, Option
from apiece.models._engine.card import DEFAULT, JSON_NAME
from apiece.models._engine.folder import LoadedModel, load_model, save_model
from apiece.models._kit.fill import fill
from apiece.models._kit.labels import labels_of
from apiece.models._kit.weight_files import CONFIG, PREPROCESS
from apiece.models._kit.weights import UNKNOWN_LICENCE, licence_of, missing, open_checkpoint, timm_name
from apiece.models.contract import ROOM, Architecture, Checkpoint, ModelInput, is_name
from apiece.transforms.fit import Fit

log = logging.getLogger("apiece")

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FILTERS = {2: "smooth", 3: "cubic", "linear": "linear"}
_LINEAR = ("RfDetrImageProcessor", "RfDetrImageProcessorFast")  # interpolates between the nearest pixels


def open_model(spec: str | Path) -> LoadedModel:
    """Open the model that ``--model`` names: a model folder, or published weights.

    Parameters
    ----------
    spec : a model folder; ``"default"``; ``"torchvision:<model>"``; ``"hf:org/name"`` or ``"hf:org/name@revision"``; a
        folder as transformers writes it; a ``.pth`` file of torchvision's.

    Raises
    ------
    ConfigError, UnknownNameError
        if it is none of these, or names weights of an encoder alone.
    ModelFileError
        if files are absent, damaged or do not fit; says what to put where.
    """
    text, path = str(spec), Path(spec)
    if text == DEFAULT:
        return load_model(DEFAULT)
    if timm_name(text) is not None:
        raise ConfigError(
            f"{text}: these are weights of an encoder, which finds no objects by itself; train a model that begins "
            "with them: " + Option("weights", text)
        )
    if is_name(text):
        return published_model(open_checkpoint(text))
    if not path.exists() and ":" in text:
        raise missing(text)
    other = path.is_file() or ((path / CONFIG).is_file() and not (path / JSON_NAME).exists())
    return published_model(open_checkpoint(path)) if other else load_model(path)


def published_model(found: Checkpoint) -> LoadedModel:
    """Return the model of a checkpoint of another library, as that library would predict with it.

    Raises
    ------
    ConfigError, ModelFileError
        if no architecture here is of its kind, or its tensors do not fit what its settings say.
    """
    name, architecture = _architecture(found)
    published, adopt = architecture.published, architecture.adopt
    assert published is not None
    assert adopt is not None
    about = origin(found, architecture)
    tell(about)
    config, tensors = adopt(found, architecture.config(**published.settings))
    classes = labels_of(found, gaps=hasattr(config, "unnamed")).names
    spec = input_of({**published.preprocess, **found.preprocess}, found.source)
    with torch.random.fork_rng(devices=[]):
        module = architecture.build(config, spec, len(classes))
    fill(module, tensors, found.source)
    thresholds, whole = (published.conf,) * len(classes), (False,) * len(classes)
    return LoadedModel(
        module=module.eval(), architecture=architecture, name=name, config=config, input=spec, classes=classes,
        thresholds=thresholds, one_piece=whole, provenance={"weights": about}, metrics={},
    )  # fmt: skip


def _architecture(found: Checkpoint) -> tuple[str, Architecture]:
    """Return the architecture that a checkpoint is of, and its name."""
    kind = found.settings.get("model_type")
    known = {a.published.model_type: (n, a) for n, a in ROOM.load_all().items() if a.published is not None}
    if kind not in known:
        what = f"is of model_type {str(kind)[:40]!r}" if kind else f"has no {CONFIG} that says what it is"
        raise ConfigError(
            f"{found.source}: this checkpoint {what}; checkpoints that predict here are of {', '.join(sorted(known))}"
        )
    return known[kind]


def origin(found: Checkpoint, architecture: Architecture) -> dict[str, str]:
    """Return where weights come from and what they may be used for: ``source``, ``licence``, and where known
    ``learned_from`` and ``terms``."""
    plain, local = found.source.partition("@")[0].lower(), Path(found.source)
    known = next((w for w in architecture.weights if w.name.lower() == plain), None)
    about = {
        "source": local.name if local.exists() else found.source,
        "licence": licence_of(found, architecture),
        "learned_from": known.summary if known else "",
        "terms": known.terms if known else "",
    }
    return {key: value for key, value in about.items() if value}


def tell(about: Mapping[str, str]) -> None:
    """Log what weights are and what they may be used for, before they are used."""
    learned = f"; learned from: {about['learned_from']}" if "learned_from" in about else ""
    log.info("weights: %s; licence: %s%s", about["source"], about["licence"], learned)
    if "terms" in about:
        log.warning("weights: %s: %s", about["source"], about["terms"])
    elif UNKNOWN_LICENCE in about["licence"]:
        log.warning("weights: %s: nothing says what they may be used for; ask whoever made them", about["source"])


def input_of(preprocess: Mapping[str, Any], source: str) -> ModelInput:
    """Return what a ``preprocessor_config.json`` says of the network's input.

    Raises
    ------
    ModelFileError
        if a value is none that can be, or asks for what is not done here.
    """
    processor = str(preprocess.get("image_processor_type", ""))
    try:
        mean, std = (tuple(preprocess.get(k) or v) for k, v in zip(("image_mean", "image_std"), _IMAGENET, strict=True))
        if preprocess.get("do_normalize") is False:
            mean, std = (0.0,) * 3, (1.0,) * 3
        if preprocess.get("do_rescale") is False or not math.isclose(
            float(preprocess.get("rescale_factor", 1 / 255)), 1 / 255, rel_tol=1e-3
        ):
            raise ConfigError("rescale_factor should be 1/255")
        if preprocess.get("do_split_image"):
            raise ConfigError(
                "do_split_image cuts images into pieces, whose classes alone it joins; it finds no objects"
            )
        if preprocess.get("do_resize") is False:
            return ModelInput(3, "range", mean, std)
        resample = "linear" if processor in _LINEAR else preprocess.get("resample", 2)
        if resample not in _FILTERS:
            raise ConfigError(f"resample is {resample!r}, should be 2 (bilinear) or 3 (bicubic)")
        return ModelInput(3, "range", mean, std, fit=_fit(preprocess, _FILTERS[resample]))
    except (ConfigError, TypeError, ValueError) as error:
        raise ModelFileError(source, f"its {PREPROCESS} describes no input: {error}; fetch it afresh") from error


def _fit(preprocess: Mapping[str, Any], filter: str) -> Fit:
    size, longest = preprocess.get("size"), preprocess.get("max_size")
    sides: dict[str, Any] = {"shortest_edge": size} if isinstance(size, int) else dict(size or {})
    multiple = int(preprocess.get("size_divisor", preprocess.get("size_divisibility", 1)) or 1)
    rest: dict[str, Any] = {"multiple": multiple, "filter": filter, "pad": int(preprocess.get("pad", 0))}
    if {"height", "width"} <= sides.keys():
        return Fit(exact=(int(sides["height"]), int(sides["width"])), **rest)
    if sides.get("shortest_edge") is None:
        raise ConfigError(f"size should be a shortest_edge, or a height and a width; got {size!r}")
    longer = sides.get("longest_edge") or longest
    return Fit(shorter=int(sides["shortest_edge"]), longer=None if longer is None else int(longer), **rest)


def save_published(model: LoadedModel, folder: Path | str) -> None:
    """Write published weights as a model folder, which is there whole or not at all.

    Raises
    ------
    ConfigError
        if something lies there already.
    ModelFileError
        if the folder cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty; choose another folder with " + Option("out", ...))
    about = {n: getattr(model, n) for n in ("config", "input", "classes", "thresholds", "provenance")}
    try:
        with staged(folder.parent, folder.name) as stage:
            save_model(stage / "model", model.module, architecture=model.name, **about)
            (stage / "model").replace(folder)
    except OSError as error:
        raise ModelFileError(folder, f"cannot be written: {error}") from error
