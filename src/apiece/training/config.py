"""`TrainConfig`: every setting of a training run, checked when made, written beside the model that it made."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml

from apiece._limits import parse_time
from apiece.datasets import image_folders
from apiece.errors import ConfigError, Option, UnknownNameError
from apiece.models.contract import Architecture

__all__ = ["TrainConfig", "build_model_config", "parse_settings"]

NONE = "none"
"""For random weights, where others would be taken by default."""

_SET = Option("model_settings", flag="--set")

# what neither the person nor the architecture says
_COMMON: dict[str, Any] = {
    "accumulate": 1, "batch": "auto", "clip": 5.0, "ema": 0.998, "lr": 5e-4, "warmup": 100, "weight_decay": 0.02,
    "augment": 1.0,
}  # fmt: skip
_COMMON_EPOCHS = 100.0

# names, a word that is as good as a number, and the rule for numbers
_RANGES: tuple[tuple[str, str, str, Callable[[float], bool]], ...] = (
    ("epochs lr val_every", "", "above 0", lambda v: v > 0),
    ("clip weight_decay augment cache", "", "0 or more", lambda v: v >= 0),
    ("ema dropout", "", "from 0 to below 1", lambda v: 0 <= v < 1),
    ("accumulate patience", "", "an integer of 1 or more", lambda v: v >= 1 and v == int(v)),
    ("warmup workers seed", "", "an integer of 0 or more", lambda v: v >= 0 and v == int(v)),
    ("batch", "auto", "an integer of 1 or more, or 'auto'", lambda v: v >= 1 and v == int(v)),
    ("imgsz", "native", "32 or more, or 'native'", lambda v: v >= 32 and v == int(v)),
    ("channels", "", "an integer from 1 to 12", lambda v: 1 <= v <= 12 and v == int(v)),
    ("crop", "", "a multiple of 32, at least 64", lambda v: v >= 64 and v % 32 == 0),
)


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """Return a dictionary from entries ``key=value``; values are read as YAML.

    Raises
    ------
    ConfigError
        If an entry has no ``=`` or its value is not YAML.

    Examples
    --------
    >>> parse_settings(["window=900", "norm=group"])
    {'window': 900, 'norm': 'group'}
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"cannot read the setting {pair!r}; write it as key=value")
        try:
            settings[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"cannot read the value of {key.strip()!r} ({value!r}): {error}") from None
    return settings


@dataclass(frozen=True)
class TrainConfig:
    """Hold the settings of a training run, each described at its field.

    Where a setting is None, the architecture, the data or a common default decides.

    Raises
    ------
    ConfigError, UnknownNameError
        If a value lies outside its range, or two settings contradict each other.

    Examples
    --------
    >>> config = TrainConfig(data="cells/", model="embedding", max_time="30m")
    >>> config.max_time, str(config.out)
    (1800.0, 'runs/embedding')
    >>> TrainConfig(lr=-1)
    Traceback (most recent call last):
    apiece.errors.ConfigError: lr must be above 0, got -1
    """

    data: Path = field(default_factory=lambda: Path("data"))
    """Label file, or folder with ``train`` and ``val``. Without ``val``, a fifth of the images is held back for it."""
    images: Path | Mapping[str, Path] | None = None
    """Folder of the images, or of each split: ``train=DIR,val=DIR``. By default they are found where the field's tools
    put them."""
    format: str | None = None
    """Format of the labels. By default their content tells it."""
    clip_outlines: bool = False
    """Cut outlines at the border of their image however far they reach. By default an outline that reaches further than
    2 pixels, or 1% of the side, cannot be read."""
    annotator: str | None = None
    """Read only what this person drew (id, email or user name in Label Studio's files), and the images that he or she
    has seen; or ``agreement``: what more than half of an image's annotators drew. By default what all drew."""
    model: str = "swift"
    """Name of the architecture; ``apiece models`` lists them."""
    weights: str | None = None
    """Pretrained weights to begin with, whose licence is shown: ``none`` (from scratch); ``default``; ``imagenet``,
    ``timm`` or ``timm:<model.tag>`` (encoder only); ``torchvision:<model>``; ``hf:org/name[@revision]``; a
    ``.safetensors`` or ``.pth`` file, a folder in transformers' layout, or a model folder of apiece's own.
    ``apiece models NAME`` lists what there is. By default those that ship with apiece, which know objects in general,
    if they are of the model's shape (`swift`), else none."""
    out: Path | None = None
    """Folder for the best model, the logs and the plots. By default ``runs/`` and the model's name."""
    epochs: float | None = None
    """Passes over the training images. By default the architecture decides; a time budget alone has no such end."""
    max_time: float | str | None = None
    """Time budget from the first step to the end of the last validation: ``30m``, ``1h30m``, or seconds. The learning
    rate anneals fully within it. A budget too short for 5 steps and a validation is exceeded by them."""
    imgsz: int | Literal["native"] | None = None
    """Longer side that images are resized to, in pixels; ``native`` leaves them as they are. By default images stay as
    they are if their longer sides have a median of at most 640, else the longer side becomes 640."""
    channels: int | None = None
    """Channels of the images that the model takes. By default those of colour: an alpha channel is none of them, and
    nothing is learned from transparent ground. ``4`` takes the alpha of RGBA images as a fourth channel."""
    crop: int | None = None
    """Side of the square training crops, in pixels after resizing, a multiple of 32. By default it follows from the
    sizes of the objects."""
    batch: int | Literal["auto"] | None = None
    """Crops that go through the network at once; ``auto`` begins with 8, and on a CPU with fewer of crops above 320
    pixels, down to 2: in the same time more steps teach more. The number is halved when memory runs out, and a step
    still sees as many crops."""
    accumulate: int | None = None
    """Batches whose gradients are summed up to one step."""
    lr: float | None = None
    """Highest learning rate (AdamW)."""
    warmup: int | None = None
    """Steps over which the learning rate rises to its highest value; then it falls along a cosine."""
    weight_decay: float | None = None
    """Weight decay of AdamW; not applied to biases and norms."""
    dropout: float | None = None
    """Dropout, 0 to below 1, where the architecture has it."""
    ema: float | None = None
    """Decay of the moving average of the weights that is validated and saved; 0 turns it off."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """``bf16`` is mixed precision; ``auto`` uses it on GPUs and on CPUs that multiply it in hardware (AMX,
    AVX-512), else ``32``."""
    balance: Literal["none", "sampling", "loss", "both"] = "none"
    """Help for rare classes: ``sampling`` draws their images more often, ``loss`` gives their loss more weight."""
    clip: float | None = None
    """Largest norm of the gradient; a larger one is scaled down. 0 turns it off."""
    patience: int | None = None
    """Stop after so many validations without a better mask AP. By default training never stops early."""
    seed: int = 0
    """Seed of everything random: weights, order, augmentation, split."""
    workers: int | None = None
    """Data-loader processes; 0 loads in the training process. By default the number of cores decides."""
    device: str = "auto"
    """Where the model is trained: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``."""
    skip_bad: bool = False
    """Leave out and list label entries that break their format, and images that cannot be read. By default the first
    one ends the run."""
    cache: float = 2.0
    """Gigabytes of decoded images that may be kept in memory."""
    augment: float | None = None
    """Strength of augmentation: 0 only crops, 1 is usual, 2 is strong."""
    upright: bool | None = None
    """Whether objects have an up and a down (street photos): then augmentation turns by 10 degrees at most and mirrors
    left and right only. By default the shapes of the objects decide."""
    one_piece: bool | None = None
    """Whether objects are in one piece: then the largest part of a predicted mask is kept. By default the labels of
    each class decide."""
    stuff: bool = False
    """Learn the classes that the labels name as stuff (sky, road) as one segment per image each, beside the objects;
    `swift`, `mask_rcnn`, `panoptic_fpn`, `upsnet`, `mask2former`, `maskformer` and `eomt` can. COCO panoptic and
    Cityscapes name them. By default they are objects like others, or, in Cityscapes, not learned."""
    val_every: float | None = None
    """Epochs between validations. By default there are about 20 in all; with a time budget they take a tenth of it."""
    save_every: float | str = 120.0
    """Time between two saved states, from which a killed run goes on: ``2m`` or seconds; 0 saves after each step."""
    resume: bool = False
    """Go on with the run in the output folder, exactly from its last saved state."""
    overwrite: bool = False
    """Begin anew where the output folder holds a run already."""
    model_settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the architecture itself."""

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)  # frozen

        put("data", Path(self.data))
        put("images", image_folders(self.images))
        put("out", Path("runs") / self.model if self.out is None else Path(self.out))
        put("model_settings", dict(self.model_settings))
        put("precision", str(self.precision))
        if self.max_time is not None:
            put("max_time", parse_time(self.max_time))
        put("save_every", parse_time(self.save_every, zero=True))
        self._check_ranges()
        self._check_conflicts()

    def _check_ranges(self) -> None:
        for names, word, rule, holds in _RANGES:
            for name in names.split():
                value = getattr(self, name)
                if value is not None and value != word and not (_is_number(value) and holds(value)):
                    raise ConfigError(Option(name) + f" must be {rule}, got {value!r}")
        for name, known in (("precision", ("auto", "32", "bf16")), ("balance", ("none", "sampling", "loss", "both"))):
            if getattr(self, name) not in known:
                raise UnknownNameError(name, getattr(self, name), known)
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", self.device):
            raise ConfigError(
                Option("device") + f" must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', got {self.device!r}"
            )

    def _check_conflicts(self) -> None:
        if self.resume and self.overwrite:
            ways = Option("resume") + " goes on with a run and " + Option("overwrite") + " throws it away"
            raise ConfigError(ways + "; give one of them")
        if self.dropout is not None and "dropout" in self.model_settings:
            raise ConfigError(
                "dropout is given twice, with " + Option("dropout") + " and in " + _SET + "; give it once"
            )
        if self.stuff and "stuff" in self.model_settings:
            raise ConfigError(
                "stuff is given twice, as " + Option("stuff", True) + " and in " + _SET + "; give it once"
            )
        if self.weights not in (None, NONE) and "weights" in self.model_settings:
            raise ConfigError(
                "weights are given twice, with " + Option("weights") + " and in " + _SET + "; give them once"
            )
        if self.weights is not None and Path(self.weights).resolve() == self.folder.resolve():
            raise ConfigError(
                f"{self.folder}: a run cannot overwrite the weights that it begins with; give another " + Option("out")
            )
        if isinstance(self.imgsz, int) and self.crop is not None and self.crop > crop_within(self.imgsz):
            raise ConfigError(
                Option("crop", self.crop) + " is larger than the resized images (" + Option("imgsz", self.imgsz) + "); "
                "lower the one or raise the other"
            )

    @property
    def folder(self) -> Path:
        """``out``, filled in."""
        assert self.out is not None
        return self.out

    def with_defaults(self, architecture: Architecture) -> TrainConfig:
        """Fill open settings with the architecture's defaults, then with the common ones.

        Raises
        ------
        ConfigError
            If a setting needs something that the architecture does not have.
        """
        names = {f.name for f in fields(architecture.config)}
        if self.dropout is not None and "dropout" not in names:
            raise ConfigError(
                f"{self.model} has no dropout; leave out " + Option("dropout") + " or choose another " + Option("model")
            )
        if self.stuff and "stuff" not in names:
            raise ConfigError(
                f"{self.model} learns no stuff; leave out "
                + Option("stuff", True)
                + " or choose another "
                + Option("model")
            )
        if self.balance in ("loss", "both") and "class_weights" not in names:
            raise ConfigError(f"the loss of {self.model} takes no class weights; use " + Option("balance", "sampling"))
        unknown = set(architecture.defaults) - {f.name for f in fields(self)}
        if unknown:
            raise ConfigError(f"the defaults of {self.model} name unknown training settings: {sorted(unknown)}")
        filled = {**_COMMON, **architecture.defaults}
        if isinstance(self.imgsz, int) and filled.get("crop"):
            # a default gives way to what was asked for
            filled["crop"] = min(filled["crop"], crop_within(self.imgsz))
        if self.max_time is None:
            filled.setdefault("epochs", _COMMON_EPOCHS)
        else:
            filled.pop("epochs", None)  # the time decides
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return TrainConfig.from_dict({n: filled.get(n) if value is None else value for n, value in values.items()})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as they stand in YAML."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
        if isinstance(self.images, Mapping):
            plain["images"] = {split: str(folder) for split, folder in self.images.items()}
        return {**plain, "model_settings": dict(self.model_settings)}

    def to_yaml(self) -> str:
        """Return the settings as YAML text; `from_yaml` reads a file of it back to the same settings."""
        return str(yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True))

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str], **changes: Any) -> TrainConfig:
        """Read settings from a YAML file; ``changes`` that are not None win.

        Raises
        ------
        ConfigError, UnknownNameError
            If the file is not a mapping of settings.
        """
        try:
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(f"cannot read settings from {path}: {error}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: settings must be a mapping of names to values, got {type(values).__name__}")
        return cls.from_dict({**values, **{k: v for k, v in changes.items() if v is not None}})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Return settings from plain values; an unknown name is an `UnknownNameError`."""
        _check_names("training setting", values, cls)
        return cls(**values)


def build_model_config(architecture: Architecture, name: str, settings: Mapping[str, Any]) -> Any:
    """Return the architecture's own config from ``settings``; an unknown name is an `UnknownNameError`."""
    _check_names(f"setting of {name}", settings, architecture.config)
    return architecture.config(**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})


def differences(before: Mapping[str, Any], now: Mapping[str, Any], free: Collection[str] = ()) -> str:
    """Say how nested settings differ, such as ``seed was 0, is 1``; empty if only those named in ``free`` do."""
    plain = (json.loads(json.dumps({k: v for k, v in values.items() if k not in free})) for values in (before, now))
    old, new = map(_flat, plain)
    keys = [k for k in {**old, **new} if old.get(k) != new.get(k)]
    return ", ".join(f"{k.rpartition('.')[2]} was {old.get(k)!r}, is {new.get(k)!r}" for k in keys)


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested mappings as one dictionary with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, Mapping) else {f"{before}{key}": value}
    return flat


def crop_within(longest: float) -> int:
    """Return the largest side of a crop, a multiple of 32, on images whose longer side has so many pixels."""
    return max(64, math.ceil(longest / 32) * 32)


def _check_names(what: str, given: Iterable[str], kind: Any) -> None:
    known = [f.name for f in fields(kind)]
    for name in given:
        if name not in known:
            raise UnknownNameError(what, name, known)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
