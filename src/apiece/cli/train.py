"""``apiece train``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal  # noqa: F401  # cyclopts reads the inherited annotations from here

from cyclopts import Parameter

from apiece.cli._options import GROUP, IMAGES, LIST, Json
from apiece.cli._output import note, print_json, print_table
from apiece.errors import ConfigError, ImageError, Option
from apiece.training.config import TrainConfig, parse_settings


@dataclass(frozen=True)
class _Settings(TrainConfig):
    """`TrainConfig`, whose architecture settings come as ``--set key=value``; what the data decides has a ``--no-``."""

    data: Annotated[Path, Parameter(parse=False)] = Path("data")
    images: Annotated[tuple[str, ...], IMAGES] = ()  # type: ignore[assignment]
    model_settings: Annotated[Mapping[str, Any], Parameter(parse=False)] = field(default_factory=dict)
    upright: Annotated[bool | None, Parameter(negative="--no-upright")] = None
    one_piece: Annotated[bool | None, Parameter(negative="--no-one-piece")] = None

    def __new__(cls, **given: object) -> _Settings:
        """Keep what the command line says, even where that is the default: a YAML file must not overrule it."""
        made = super().__new__(cls)
        object.__setattr__(made, "_given", tuple(given))  # frozen
        return made

    @property
    def given(self) -> dict[str, Any]:
        """Return the settings that were given, and no default."""
        names: tuple[str, ...] = getattr(self, "_given", ())
        return {name: getattr(self, name) for name in names}


def train(
    data: Path | None = None,
    *,
    config: Path | None = None,
    settings: Annotated[_Settings, GROUP] = _Settings(),  # frozen
    set: Annotated[tuple[str, ...], LIST] = (),
    amodal: bool = False,
    json: Json = False,
) -> None:
    """Train a model, and keep the best by mask AP on the validation images as a model folder.

    ```
    apiece train data/ --model embedding --max-time 30m
    apiece train data/ --max-time 30m --out runs/bolts
    apiece train --out runs/bolts --resume
    apiece train --config runs/bolts/config.yaml --seed 1 --out runs/bolts-1
    ```

    Parameters
    ----------
    data
        Label file, or folder with train and val (default `data`). Without val, a fifth of the images is held back for
        it.
    config
        YAML file of settings, such as the config.yaml of an earlier run. An option beside it wins.
    set
        Settings of the architecture itself, such as `norm=group`; `apiece models NAME` lists them.
    amodal
        Learn whole objects, too, with what others hide of them; labels of what is visible are enough. Short for
        `--set amodal=true`; `swift`, `mask_rcnn` and `panoptic_fpn` can.
    """
    from apiece.training.trainer import STATE, fit

    given = settings.given | ({} if data is None else {"data": data})
    if set or amodal:
        given["model_settings"] = parse_settings((*set, "amodal=true") if amodal else set)
    begun = settings.folder / "config.yaml"
    if config is None and settings.resume and begun.is_file():
        config = begun  # a run goes on with the settings it began with
        given = {"overwrite": False} | given | {"out": settings.folder}  # that it replaced another run is past
    chosen = TrainConfig.from_dict(given) if config is None else TrainConfig.from_yaml(config, **given)
    if data is None and config is None and not chosen.data.exists():
        what = "say what to learn from: apiece train DATA, a label file or a folder with labels"
        raise ConfigError(f"{what} (there is no {chosen.data} here)")
    try:
        result = fit(chosen)
    except ImageError as error:
        if chosen.skip_bad:
            raise
        advice = "; mend or remove it, or leave such images out with " + Option("skip_bad", True)
        raise ImageError(error.path, error.reason + advice) from None
    except KeyboardInterrupt:
        if (chosen.folder / STATE).is_file():
            note(f"interrupted; apiece train --out {chosen.folder} --resume goes on")
        raise
    if json:
        print_json(result)
        return
    from apiece.metrics.coco import PRECISIONS

    keys = [f"{kind}_{key}" for kind in ("mask", "box") for key in PRECISIONS]
    # COCO's -1: there is nothing of that size
    rows = [(key, "-" if result.metrics[key] == -1 else result.metrics[key]) for key in keys if key in result.metrics]
    print_table(f"best model in {result.folder}", ("", ""), rows)
    if result.held_back:
        note(f"next: apiece evaluate LABELS --model {result.folder}")
        note(f"  with images that it has not seen: it learned from those of {chosen.data}, but for the ones held back,")
        note("  of which the numbers above are")
    else:
        note(f"next: apiece evaluate --model {result.folder} --data {chosen.data}")
