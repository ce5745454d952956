"""Weights of torchvision's instance segmentation: where they lie, and what comes with them, in transformers' words."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch

from apiece.errors import ModelFileError, UnknownNameError
from apiece.models._kit.weight_files import read_tensors
from apiece.models.contract import Checkpoint

log = logging.getLogger("apiece")

MASK_RCNN = "torchvision_mask_rcnn"
"""What stands for ``model_type`` in the settings of these checkpoints, which have none of their own."""
_MODELS = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2")
_PREPROCESS: Mapping[str, Any] = {
    "size": {"shortest_edge": 800, "longest_edge": 1333}, "resample": "linear",
    "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
}  # fmt: skip


def read(name: str) -> Checkpoint:
    """Read the weights of torchvision's model ``name`` from torch's cache, else fetch them.

    Raises
    ------
    UnknownNameError
        if torchvision has no such weights, or they are of another kind of model.
    ModelFileError
        if they cannot be fetched or are damaged; says which file to put where.
    """
    if name not in _MODELS:
        raise UnknownNameError("weights of torchvision", name, _MODELS)
    from torchvision import models  # takes longer than torch

    url = str(models.get_model_weights(name).DEFAULT.url)
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / Path(url).name
    if not path.is_file():
        log.info("weights: fetching %s", url)
        _fetch(url, path)
    return described(Checkpoint(read_tensors(path), {}, f"torchvision:{name}"))


def _fetch(url: str, path: Path) -> None:
    """Download a file; it takes its name only when it is whole and its checksum is right."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = path.stem.rpartition("-")[2]
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=False)
    except (OSError, URLError, RuntimeError) as error:
        cause = " ".join(str(error).split())[:200]
        raise ModelFileError(
            path,
            f"is not there, and {url} cannot be fetched ({cause}). Without network: fetch that file on a machine that "
            f"has it, and put it into {path.parent} here (TORCH_HOME says where that lies), or give its path in place "
            "of the name",
        ) from error


def described(checkpoint: Checkpoint) -> Checkpoint:
    """Return a checkpoint without settings with those of torchvision's Mask R-CNN, if it has this model's tensors.

    Its classes have names if there are as many as in torchvision's list of COCO's, background and gaps included. A file
    of a published name has its licence.
    """
    bias = checkpoint.tensors.get("roi_heads.box_predictor.cls_score.bias")
    if bias is None or "roi_heads.mask_predictor.mask_fcn_logits.bias" not in checkpoint.tensors:
        return checkpoint
    from torchvision import models

    coco = models.get_model_weights(_MODELS[0]).DEFAULT.meta["categories"]
    names = coco if len(bias) == len(coco) else ["__background__", *(f"class {k}" for k in range(1, len(bias)))]
    labels = {str(k): name for k, name in enumerate(names[1:])}  # the row of the background is no label
    files = {Path(str(models.get_model_weights(name).DEFAULT.url)).name for name in _MODELS}
    licence = "BSD-3-Clause" if Path(checkpoint.source).name in files else checkpoint.licence
    settings = {"model_type": MASK_RCNN, "id2label": labels}
    return replace(checkpoint, settings=settings, preprocess=_PREPROCESS, licence=licence)
