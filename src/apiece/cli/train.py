"""``apiece train``."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from apiece.cli._output import note, print_json, print_table
from apiece.train.config import TrainConfig, parse_settings

__all__ = ["train"]


def train(
    *,
    settings: Annotated[TrainConfig, Parameter(name="*")] = TrainConfig(),  # noqa: B008  # frozen
    config: Path | None = None,
    set: tuple[str, ...] = (),
    json: bool = False,
) -> None:
    """Train a model; the best by validation mask AP is kept as a model folder.

    ```
    apiece train --data data/ --model embedding --max-time 30m
    apiece train --data data/ --model mask_rcnn --epochs 50 --out runs/bolts
    apiece train --out runs/bolts --resume
    apiece train --config runs/bolts/config.yaml --seed 1 --out runs/bolts-1
    ```

    Parameters
    ----------
    config
        YAML file of settings, such as the config.yaml of an earlier run; options given beside it win.
    set
        A setting of the architecture itself, key=value; may be repeated. `apiece models` lists them.
    json
        One JSON object with the result on standard output.
    """
    from apiece.train.trainer import train as run

    plain = TrainConfig()
    changes = {f.name: v for f in fields(settings) if (v := getattr(settings, f.name)) != getattr(plain, f.name)}
    if set:
        changes["model_settings"] = parse_settings(set)
    if config is not None:
        settings = TrainConfig.from_yaml(config, **changes)
    elif set:
        settings = TrainConfig.from_dict({**settings.to_dict(), **changes})
    result = run(settings)
    if json:
        print_json(result)
        return
    print_table(
        f"best model in {result.folder}",
        ("", ""),
        [(k, v) for k, v in result.metrics.items() if k.startswith(("mask_ap", "box_ap"))],
    )
    note(f"next: apiece evaluate --model {result.folder} --data {settings.data}")
