"""``apiece export``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from apiece.cli._options import GROUP, LIST, Json, ModelName, Overwrite, Split, Where
from apiece.cli._output import note, print_json, print_table

if TYPE_CHECKING:
    from apiece.export import Exported


def export(
    model: ModelName,
    *,
    to: Annotated[tuple[str, ...], LIST] = ("onnx",),
    data: Path | None = None,
    photos: Annotated[tuple[str, ...], LIST] = (),
    split: Split = None,
    where: Annotated[Where, GROUP] = Where(),
    int8: Annotated[bool, Parameter(negative="")] = False,
    bf16: Annotated[bool, Parameter(negative="")] = False,
    fp16: Annotated[bool, Parameter(negative="")] = False,
    imgsz: int | None = None,
    max_drop: float = 0.005,
    out: Path = Path("exported"),
    allow_unequal: bool = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Export a model for a runtime without torch, and hold it against the original on real images.

    Each target has a folder of its own in `--out`. `apiece predict --model` takes it like any model folder, and answers
    in the same way. It holds `parity.json` and `parity.html`: how the answers differ on your images.

    ```
    apiece export runs/bolts --to onnx --data data/ --out bolts-out
    apiece export runs/bolts --to onnx,openvino --int8 --data data/ --out bolts-out
    apiece export default --to openvino --bf16 --photos line/ --out line-out
    apiece export runs/bolts --to opencv --photos photos/ --out bolts-out
    apiece predict photos/ --model bolts-out/onnx
    ```

    Parameters
    ----------
    to
        Targets: `onnx` (ONNX Runtime, any CPU), `openvino` (Intel's CPUs).
    data
        Labelled images to judge by: label file, or folder, of which val is used, else test, else its one split.
    photos
        Images without labels to hold the answers against each other on: files, folders or patterns.
    int8
        Also export in 8-bit integers; their ranges come from the images of train, else from the others.
    bf16
        Also export in bfloat16, for OpenVINO.
    fp16
        Also export with weights of 16 bits, for OpenVINO: half the size.
    imgsz
        Longer side that images are resized to. By default as in training.
    max_drop
        Largest loss of mask AP. What loses more is not written.
    out
        Folder for the folders of the targets.
    allow_unequal
        Write also what answers otherwise than the original; each command that uses it then says so.
    """
    from apiece.datasets import open_data
    from apiece.evaluation import open_truth
    from apiece.export import export_to

    truth = calibrate = None
    if data is not None:
        truth = open_truth(data, split, where.images, where.format, None, where.clip_outlines, where.annotator)
        calibrate = open_data(data, where.images, where.format, None, where.clip_outlines).get("train")
    made = export_to(
        model, out, to, data=truth, photos=photos, calibrate=calibrate, int8=int8, bf16=bf16, fp16=fp16,
        imgsz=imgsz, max_drop=max_drop, allow_unequal=allow_unequal, overwrite=overwrite, step=note,
    )  # fmt: skip
    if json:
        print_json({"exported": [_plain(one) for one in made]})
    else:
        _print(made)
    for one in made:
        if one.written:
            note(f"wrote {one.folder}")
        if one.excess:
            instead = "" if one.written else "; it is not written: --allow-unequal writes it all the same"
            note(f"{one.folder.name} does not answer as the original: {one.excess}{instead}")
    return 0 if all(one.written for one in made) else 1


def _plain(one: Exported) -> dict[str, object]:
    parity = one.parity
    return {
        "folder": str(one.folder), "target": one.target, "precision": one.precision, "written": one.written,
        "excess": one.excess, "iou": parity.iou, "alone": parity.alone, **asdict(parity),
    }  # fmt: skip


def _print(made: list[Exported]) -> None:
    rows = []
    for one in made:
        parity = one.parity
        ap = "-" if parity.mask_ap is None else f"{parity.mask_ap[1] - parity.mask_ap[0]:+.4f}"
        before, after = (round(time) for time in parity.milliseconds)
        shown = (f"{parity.iou:.4f}", f"{parity.alone:.2%}", ap, f"{after} ({before})")
        rows.append((one.folder.name, one.precision, *shown))
    columns = ("to", "precision", "mask IoU", "found by one only", "mask AP", "ms (original)")
    images = len(made[0].parity.images) if made else 0
    print_table(f"Against the original, on {images} images", columns, rows)
