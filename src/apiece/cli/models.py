"""``apiece models``."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from apiece.cli._options import Json
from apiece.cli._output import print_json, print_table

if TYPE_CHECKING:
    from apiece.models.contract import Architecture


_IMAGENET = {
    "name": "imagenet",
    "licence": "Apache-2.0",
    "summary": "encoder only: EfficientNet-Lite0 learned from ImageNet-1k, of the extra imagenet",
}


def models(name: str | None = None, /, *, json: Json = False) -> None:
    """List the architectures: what each is good and bad at, and the pretrained weights it can begin with.

    ```
    apiece models
    apiece models mask_rcnn
    apiece train data/ --model embedding --set norm=group
    apiece train data/ --model mask_rcnn --weights timm
    apiece predict photos/ --model torchvision:maskrcnn_resnet50_fpn_v2
    ```

    Parameters
    ----------
    name
        Architecture to describe: its settings (for `--set`), its training defaults, its weights (for `--weights`).
    """
    from apiece.models.contract import ROOM

    wanted = ROOM.load_all() if name is None else {name: ROOM.load(name)}
    found = {n: _described(architecture) for n, architecture in wanted.items()}
    if json:
        print_json(found if name is None else {"name": name, **found[name]})
    elif name is None:
        _print_all(found)
    else:
        _print_one(name, found[name])


def _described(architecture: Architecture) -> dict[str, Any]:
    defaults = architecture.config()
    names = [field.name for field in fields(architecture.config)]
    weights = [
        {"name": w.name, "licence": w.licence, "summary": "; ".join(filter(None, (w.summary, w.terms)))}
        for w in architecture.weights
    ]
    if {"backbone", "weights"} <= set(names) and not any(w["name"] == "timm" for w in weights):
        weights[:0] = [_encoder_weights(defaults.backbone), _IMAGENET]
    return {
        "kind": architecture.kind,
        "parameters": _parameters(architecture),
        "summary": architecture.summary,
        "overlap": architecture.overlap,
        "weights": weights,
        "training": dict(architecture.defaults),
        "settings": {n: getattr(defaults, n) for n in names},
    }


def _encoder_weights(backbone: str) -> dict[str, str]:
    """Describe timm's weights. An encoder of apiece's own has none, and gives way to timm's where weights are named."""
    from timm.models import is_model

    name, how = ("timm", "timm, or timm:<model.tag>") if is_model(backbone) else ("timm:<model.tag>", "by name")
    summary = f"encoder only; any of timm's that gives a pyramid: {how}"
    return {"name": name, "licence": "its own; shown when it loads", "summary": summary}


def _parameters(architecture: Architecture) -> int:
    """Count the parameters with default settings, 3 channels and 2 classes, without memory for them."""
    from apiece.models import shapes_only
    from apiece.models.contract import ModelInput

    with shapes_only():
        module = architecture.build(architecture.config(), ModelInput(), 2)
    return sum(p.numel() for p in module.parameters())


def _print_all(found: dict[str, dict[str, Any]]) -> None:
    rows = [(n, d["kind"], f"{d['parameters'] / 1e6:.1f} M", d["summary"]) for n, d in found.items()]
    print_table("", ("name", "kind", "parameters", "what it is"), rows)
    held: dict[tuple[str, str, str], list[str]] = {}
    for name, about in found.items():
        for w in about["weights"]:
            held.setdefault((w["name"], w["licence"], w["summary"]), []).append(name)
    if held:
        columns = ("weights", "licence", "what they are", "for")
        print_table("\npretrained weights, for --weights", columns, [(*w, ", ".join(n)) for w, n in held.items()])


def _print_one(name: str, about: dict[str, Any]) -> None:
    print_table(
        f"{name}: {about['summary']}",
        ("", ""),
        [
            ("kind", about["kind"]),
            ("parameters", f"{about['parameters']:,} (default settings, 3 channels, 2 classes)"),
            ("masks may overlap", about["overlap"]),
        ],
    )
    print_table("\nsettings, for --set", ("setting", "default"), [(k, str(v)) for k, v in about["settings"].items()])
    if about["training"]:
        print_table("\ntraining defaults", ("setting", "default"), [(k, str(v)) for k, v in about["training"].items()])
    rows = [(w["name"], w["licence"], w["summary"]) for w in about["weights"]]
    rows.append((f"a folder with a trained {name}", "your own", "all but what depends on the classes"))
    print_table("\npretrained weights, for --weights", ("weights", "licence", "what they are"), rows)
