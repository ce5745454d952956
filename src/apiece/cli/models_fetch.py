"""``apiece models fetch``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from apiece.cli._options import Json
from apiece.cli._output import note, print_json, print_table


def models_fetch(
    weights: str, /, *, out: Annotated[Path, Parameter(help="Model folder to write.")], json: Json = False
) -> None:
    """Fetch published weights into a model folder, which works offline from then on.

    ```
    apiece models fetch hf:Roboflow/rf-detr-seg-small --out models/rfdetr
    apiece models fetch torchvision:maskrcnn_resnet50_fpn_v2 --out models/maskrcnn
    apiece predict photos/ --model models/rfdetr
    ```

    The licence of the weights and what they learned from are shown and written into the folder (`model.json`).

    Parameters
    ----------
    weights
        What to fetch: `torchvision:NAME`, `hf:ORG/NAME` or `hf:ORG/NAME@REVISION`; or a folder or file that a person
        copied from there.
    """
    from apiece.models import open_model, save_published

    model = open_model(weights)
    save_published(model, out)
    about = {"model": model.name, "classes": len(model.classes), **model.provenance["weights"]}
    if json:
        print_json({"folder": str(out), **about})
        return
    print_table(f"{weights} as a model folder", ("", ""), [(k.replace("_", " "), str(v)) for k, v in about.items()])
    note(f"wrote {out}")
    note(f"next: apiece predict photo.jpg --model {out}")
