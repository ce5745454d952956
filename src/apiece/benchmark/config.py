"""`BenchmarkConfig`: what is compared, and under which conditions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from apiece._limits import cores, parse_time
from apiece.datasets import image_folders
from apiece.errors import ConfigError, Option, UnknownNameError
from apiece.models.contract import ROOM
from apiece.training.config import TrainConfig, parse_settings

__all__ = ["BenchmarkConfig", "Entry"]

_ALL, _NONE = "all", "none"


@dataclass(frozen=True)
class Entry:
    """Name one model of a benchmark.

    Attributes
    ----------
    name : name of the model's row in the results.
    architecture : name of the architecture to train; empty if the model is trained already.
    trained : folder of the trained model; None if the benchmark trains it.
    settings : settings of the architecture.
    imgsz : longer side that images are resized to; None: as training chooses it.
    """

    name: str
    architecture: str = ""
    trained: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    imgsz: int | Literal["native"] | None = None

    @property
    def folder(self) -> str:
        """Name of this model's folder in the benchmark's output folder: ``name``, with "-" for colons and slashes."""
        return self.name.replace(":", "-").replace("/", "-").replace("\\", "-")


@dataclass(frozen=True)
class BenchmarkConfig:
    """Say what is compared, and under which conditions.

    Raises
    ------
    ConfigError, UnknownNameError
        If a value lies outside its range, or names something that does not exist.

    Examples
    --------
    >>> config = BenchmarkConfig(models=("swift", "mask_rcnn:big"), budget="20m", set=("mask_rcnn:big.width=192",))
    >>> [(entry.name, dict(entry.settings)) for entry in config.entries]
    [('swift', {}), ('mask_rcnn:big', {'width': 192})]
    """

    data: Path = field(default_factory=lambda: Path("data"))
    """Label file, or folder with ``train`` and ``val``. Without ``val``, a fifth of the images is held back for it."""
    images: Path | Mapping[str, Path] | None = None
    """Folder of the images, or of each split: ``train=DIR,val=DIR``. By default they are found where the field's tools
    put them."""
    format: str | None = None
    """Format of the labels. By default their content tells it."""
    clip_outlines: bool = False
    """Cut outlines at the border of their image however far they reach, as in training."""
    annotator: str | None = None
    """Read only what this person drew, or ``agreement``, as in training."""
    models: tuple[str, ...] | None = None
    """Architectures to train; ``all`` is every one there is. A word behind a colon tells several of one architecture
    apart (``mask_rcnn:big``). By default all, or ``none`` where trained models are given."""
    trained: tuple[Path, ...] = ()
    """Model folders to measure as they are."""
    budget: float | str = "20m"
    """Time to train each model for, from its first step to the end of its last validation: ``20m``, ``1h30m``, or
    seconds."""
    jobs: int = 1
    """Models trained at the same time, which share the cores. Measuring is always one model at a time."""
    threads: int | None = None
    """Threads of each process. By default a training has its share of the cores, and measuring has all."""
    out: Path = field(default_factory=lambda: Path("runs/benchmark"))
    """Folder for the models and the results."""
    set: tuple[str, ...] = ()
    """Settings of architectures, such as ``mask_rcnn.norm=group``."""
    imgsz: tuple[str, ...] = ()
    """Longer side that images are resized to: ``512`` for all models, or ``mask_rcnn=512``; ``native`` leaves images as
    they are."""
    seed: int = 0
    """Seed of every training."""
    device: str = "auto"
    """Where models run: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``."""
    precision: Literal["auto", "32", "bf16"] = "auto"
    """Precision of training, as for ``apiece train``; prediction is in float32."""
    timed: int = 100
    """Most validation images on which latency is measured, evenly spaced."""
    overtime: float | str = "30m"
    """Time after its budget at which a training is given up, and after which a measurement is."""
    overwrite: bool = False
    """Begin anew. By default models that are finished in the output folder stay, and others go on."""

    def __post_init__(self) -> None:
        values = {
            "data": Path(self.data), "images": image_folders(self.images), "out": Path(self.out),
            "trained": tuple(Path(p) for p in self.trained),
            "models": (self.models,) if isinstance(self.models, str) else self.models,
            "budget": parse_time(self.budget), "overtime": parse_time(self.overtime),
        }  # fmt: skip
        for name, value in values.items():
            object.__setattr__(self, name, value)  # frozen
        for name in ("jobs", "timed", "threads"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigError(Option(name) + f" must be an integer of 1 or more, got {value!r}")
        _ = self.common, self.entries

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The models, those to be trained first."""
        names = self._architectures()
        settings, sizes = _by_model(self.set, names), _sizes(self.imgsz, names)
        entries = [Entry(n, n.partition(":")[0], None, settings.get(n, {}), sizes.get(n)) for n in names]
        taken = Counter([p.resolve().name for p in self.trained] + [n.partition(":")[0] for n in names])
        for path in self.trained:
            own = path.resolve()
            entries.append(Entry(own.name if taken[own.name] == 1 else f"{own.parent.name}/{own.name}", trained=path))
        if not entries:
            raise ConfigError(
                "there is nothing to compare: give " + Option("models") + ", " + Option("trained") + ", or both"
            )
        folders = Counter(e.folder for e in entries)
        twice = sorted({e.name for e in entries if folders[e.folder] > 1})
        if twice:
            raise ConfigError(f"each model needs a name of its own, but several are called {', '.join(twice)}")
        return tuple(entries)

    @cached_property
    def common(self) -> TrainConfig:
        """What holds for the training of every model."""
        return TrainConfig(
            data=self.data,
            images=self.images,
            format=self.format,
            clip_outlines=self.clip_outlines,
            annotator=self.annotator,
            precision=self.precision,
            seed=self.seed,
            device=self.device,
        )

    @property
    def seconds(self) -> float:
        """``budget`` in seconds."""
        return float(self.budget)

    @property
    def train_threads(self) -> int:
        """Threads of each training process."""
        return self.threads or max(1, cores() // self.jobs)

    @property
    def predict_threads(self) -> int:
        """Threads of the process that measures latency."""
        return self.threads or cores()

    @property
    def workers(self) -> int:
        """Data-loader processes of each training: one thread's worth of cores is left to the training itself."""
        return min(12, self.train_threads - 1)

    def training(self, entry: Entry) -> TrainConfig:
        """Return the settings to train ``entry`` with: `common`, its own settings, and the time budget."""
        return replace(
            self.common,
            model=entry.architecture,
            out=self.out / entry.folder / "model",
            max_time=self.seconds,
            imgsz=entry.imgsz,
            workers=self.workers,
            # a killed run loses a twentieth of its time at most
            save_every=min(120.0, max(5.0, self.seconds / 20)),
            model_settings=entry.settings,
        )

    def _architectures(self) -> list[str]:
        models = self.models or ((_NONE,) if self.trained else (_ALL,))
        known = ROOM.names()
        if models == (_NONE,):
            return []
        if models == (_ALL,):
            return list(known)
        for name in models:
            architecture, _, label = name.partition(":")
            if architecture not in known:
                raise UnknownNameError("model", architecture, (*known, _ALL, _NONE))
            if not label.replace("-", "").replace("_", "").replace(".", "").isalnum() and name != architecture:
                raise ConfigError(f"{name!r}: the word behind the colon takes letters, digits, '-', '_' and '.'")
        return list(models)


def _by_model(pairs: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return settings by model from ``["mask_rcnn.norm=group"]``."""
    found: dict[str, dict[str, Any]] = {}
    for key, value in parse_settings(pairs).items():
        # a label may have a dot, a setting has none
        model, dot, setting = key.rpartition(".")
        if not dot:
            raise ConfigError(f"cannot read the setting {key!r}; write it as MODEL.key=value")
        found.setdefault(_known(model, names), {})[setting] = value
    return found


def _sizes(pairs: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    """Return the size of each model from ``["640", "mask_rcnn=512"]``; an entry that names a model wins."""
    common: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for pair in pairs:
        model, sign, text = pair.rpartition("=")
        value = "native" if text == "native" else int(text) if text.isdigit() else None
        if value is None or (not model and sign):
            raise ConfigError(
                "cannot read " + Option("imgsz") + f" {pair!r}; write it as MODEL=512, MODEL=native, or 512 for all"
            )
        if model:
            own[_known(model, names)] = value
        else:
            common = dict.fromkeys(names, value)
    return {**common, **own}


def _known(model: str, names: Sequence[str]) -> str:
    if model not in names:
        raise UnknownNameError("model to be trained in this benchmark", model, names)
    return model
