"""Options that several commands have: their type, their help and the one parser of lists, each in one place.

A data set is the first argument of a command, or ``--data``. A list is written ``a,b`` or ``a b``, or its option is
repeated. `Reading` is a group of options: a command that takes it reads labels as all others do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token, convert

from apiece.errors import ConfigError, Option

if TYPE_CHECKING:
    from apiece.datasets import BadEntries, Dataset, FoundLabels
    from apiece.formats.contract import OnBad


def split_list(text: str) -> list[str]:
    """Split at commas, except within double quotes, which are taken away, within brackets and after a backslash.

    >>> split_list('car,"nut, hex"=nut,widths=[8, 16]')
    ['car', 'nut, hex=nut', 'widths=[8, 16]']
    """
    items, quoted, depth = [""], False, 0
    for sign in text:
        if sign == "," and items[-1].endswith("\\"):
            items[-1] = items[-1][:-1] + sign
        elif sign == '"':
            quoted = not quoted
        elif sign == "," and not quoted and not depth:
            items.append("")
        else:
            depth += 0 if quoted else (sign in "[{(") - (sign in "]})")
            items[-1] += sign
    return [item.strip() for item in items if item.strip()]


def _listed(type_: Any, tokens: Sequence[Token]) -> Any:
    """Convert the words of a list option; a word without its option, such as a file, may hold commas."""
    words = [
        token.evolve(value=word)
        for token in tokens
        for word in ([token.value] if token.keyword is None else split_list(token.value))
    ]
    return convert(type_, words) if words else ()


def shown_default(value: Any) -> str | None:
    """Return a default as help shows it; None hides it."""
    if value is None or value is False or value == ():
        return None
    return "on" if value is True else ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


LIST = Parameter(consume_multiple=True, converter=_listed)
IMAGES = Parameter(consume_multiple=False, converter=_listed)
"""One folder, which a data set may follow, or ``train=DIR,val=DIR``."""
GROUP = Parameter(name="*")

Data = Annotated[Path, Parameter(help="Label file, or folder with labels or with train, val and test.")]
Judged = Annotated[
    Path, Parameter(help="Labelled images: label file, or folder, of which val is used, else test, else its one split.")
]
Split = Annotated[str | None, Parameter(help="Split of a data folder to use, such as train.")]
ModelFolder = Annotated[Path, Parameter(help="Model folder, as `apiece train` writes it.")]
ModelName = Annotated[
    str,
    Parameter(
        help="Model folder, as `apiece train` writes it; `default`, which comes with apiece and finds objects of any "
        "kind; or published weights: `torchvision:NAME`, `hf:ORG/NAME`, or a folder or file of theirs."
    ),
]
Device = Annotated[str, Parameter(help="Where models run: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.")]
Metrics = Annotated[tuple[str, ...], LIST, Parameter(help="Metrics to compute, or `all` for every one that applies.")]
MaxDets = Annotated[
    tuple[int, ...], LIST, Parameter(help="Most predictions that COCO's metrics count per image and class.")
]
Seed = Annotated[int, Parameter(help="Seed of everything random: the same seed gives the same result.")]
Overwrite = Annotated[bool, Parameter(help="Replace what is there already.")]
Html = Annotated[Path | None, Parameter(help="Self-contained page to write.")]
Json = Annotated[bool, Parameter(help="Print one JSON object in place of tables.")]


def metric_names(metrics: tuple[str, ...]) -> tuple[str, ...] | Literal["all"]:
    """Return what `apiece.evaluate` takes for the words behind ``--metrics``."""
    if not metrics:
        raise ConfigError("name metrics with --metrics, or say --metrics all")
    return "all" if metrics == ("all",) else metrics


@dataclass(frozen=True)
class Where:
    """Where the images of labels are, and what format labels have."""

    images: Annotated[
        tuple[str, ...],
        IMAGES,
        Parameter(
            help="Folder of the images, or of each split: `--images train=DIR,val=DIR`. By default they are found "
            "where the field's tools put them."
        ),
    ] = ()
    format: Annotated[str | None, Parameter(help="Format of the labels. By default their content tells it.")] = None
    instances: Annotated[
        Literal["values", "components"] | None,
        Parameter(
            help="What an object is in label images: each of the `values` (the format `labelmap`), or each of the "
            "`components`, separate regions, of a class (`class_map`). By default the pixels tell it."
        ),
    ] = None
    clip_outlines: Annotated[
        bool,
        Parameter(
            name=("--clip-outlines", "--clip"),
            help="Cut outlines at the border of their image however far they reach. By default an outline that reaches "
            "further than 2 pixels, or 1% of the side, cannot be read.",
        ),
    ] = False
    annotator: Annotated[
        str | None,
        Parameter(
            help="Read only what this person drew (id, email or user name in Label Studio's files), and the images "
            "that he or she has seen; or `agreement`: what more than half of an image's annotators drew. By default "
            "what all drew."
        ),
    ] = None

    def __post_init__(self) -> None:
        name = {"values": "labelmap", "components": "class_map"}.get(self.instances or "", self.format)
        if self.format not in (None, name):
            raise ConfigError(
                Option("instances", self.instances) + " is the format " + f"{name}, but the one named is {self.format}"
            )
        object.__setattr__(self, "format", name)

    @property
    def folder(self) -> Path | None:
        """Return the one folder of the images."""
        from apiece.datasets import image_folders

        found = image_folders(self.images)
        if isinstance(found, dict):
            raise ConfigError("all images need one folder here; name one with " + Option("images", ...))
        return found

    def open(self, data: Path, on_bad: OnBad) -> dict[str, FoundLabels]:
        """Return labels by split; the key of labels without splits is empty."""
        from apiece.datasets import open_sources

        return open_sources(data, self.images, self.format, on_bad, self.clip_outlines, self.annotator)


@dataclass(frozen=True)
class Reading(Where):
    """How labels are read."""

    skip_bad: Annotated[
        bool, Parameter(help="Leave out and list what cannot be read. By default the first such entry ends the run.")
    ] = False

    def bad(self) -> BadEntries | None:
        """Return a list for what cannot be read; None where the first such entry is an error."""
        from apiece.datasets import BadEntries

        return BadEntries() if self.skip_bad else None

    def judged(self, data: Path, split: str | None, bad: BadEntries | None, images: bool) -> Dataset:
        """Return the images to judge by; with ``images`` read each now, and put what cannot be read into ``bad``."""
        from apiece.datasets import readable
        from apiece.evaluation import open_truth

        truth = open_truth(data, split, self.images, self.format, bad, self.clip_outlines, self.annotator)
        return truth if bad is None or not images else readable(truth, bad)

    def one(self, data: Path, split: str | None, bad: BadEntries | None) -> FoundLabels:
        """Return the labels of one split; refuse data with several splits where none is named."""
        found = {name or "train": source for name, source in self.open(data, bad).items()}
        if split is None and len(found) > 1:
            raise ConfigError(f"{data} is divided into {', '.join(found)}; say which with " + Option("split", ...))
        chosen = next(iter(found)) if split is None else split
        if chosen not in found:
            raise ConfigError(f"{data} has no " + Option("split", chosen) + f"; it has {', '.join(found)}")
        return found[chosen]
