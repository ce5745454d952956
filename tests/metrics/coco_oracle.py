"""pycocotools and faster-coco-eval on `Instances`, through the dictionaries a COCO file would hold."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np

from apiece.core.instances import Instances

Pair = tuple[Instances, Instances]
KEYS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
SIZES = ("ar_small", "ar_medium", "ar_large")


def truth_json(pairs: list[Pair]) -> dict[str, Any]:
    """A COCO data set; ids from 1."""
    classes = pairs[0][0].classes
    images, annotations = [], []
    for i, (truth, _) in enumerate(pairs):
        images.append({"id": i + 1, "file_name": str(i), "height": truth.size[0], "width": truth.size[1]})
        area = truth.attributes.get("area", truth.masks.area)
        own = truth.masks.boxes.astype(float)
        box = truth.attributes.get("bbox", np.concatenate([own[:, :2], own[:, 2:] - own[:, :2]], 1))
        for j, rle in enumerate(truth.masks.to_coco()):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i + 1,
                    "category_id": int(truth.labels[j]) + 1,
                    "segmentation": rle,
                    "area": float(area[j]),
                    "bbox": box[j].tolist(),
                    "iscrowd": int(truth.crowd[j]),
                }
            )
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(classes)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def results_json(pairs: list[Pair]) -> list[dict[str, Any]]:
    """COCO results; with ``bbox`` only where the predictions state one."""
    out = []
    for i, (_, found) in enumerate(pairs):
        for j, rle in enumerate(found.masks.to_coco()):
            result = {
                "image_id": i + 1,
                "category_id": int(found.labels[j]) + 1,
                "segmentation": rle,
                "score": float(found.scores[j]),
            }
            if "bbox" in found.attributes:
                result["bbox"] = found.attributes["bbox"][j].tolist()
            out.append(result)
    return out


def run(module: Any, evaluator: Any, truth: dict[str, Any], results: list[dict[str, Any]], kind: str,
        max_dets: tuple[int, ...]) -> Any:  # fmt: skip
    """The evaluator after ``accumulate``."""
    with contextlib.redirect_stdout(io.StringIO()):
        data = module()
        data.dataset = truth
        data.createIndex()
        if results:
            found = data.loadRes(results)
        else:  # loadRes cannot read an empty list
            found = module()
            found.dataset = {**truth, "annotations": []}
            found.createIndex()
        e = evaluator(data, found, "segm" if kind == "mask" else "bbox")
        e.params.maxDets = list(max_dets)
        e.evaluate()
        e.accumulate()
    return e


def numbers(precision: np.ndarray, recall: np.ndarray, kind: str, max_dets: tuple[int, ...]) -> dict[str, float]:
    """The summary, from arrays (T, R, K, A, M) and (T, K, A, M), as pycocotools averages, but for any limits."""

    def mean(values: np.ndarray) -> float:
        values = values[values > -1]
        return float(values.mean()) if values.size else -1.0

    out = {
        "ap": mean(precision[..., 0, -1]),
        "ap50": mean(precision[0, ..., 0, -1]),
        "ap75": mean(precision[5, ..., 0, -1]),
        **{key: mean(precision[..., a, -1]) for a, key in enumerate(KEYS[3:], 1)},
        **{f"ar{m}": mean(recall[:, :, 0, k]) for k, m in enumerate(max_dets)},
        **{key: mean(recall[:, :, a, -1]) for a, key in enumerate(SIZES, 1)},
    }
    return {f"{kind}_{key}": value for key, value in out.items()}


def pycoco(pairs: list[Pair], kind: str, max_dets: tuple[int, ...] = (1, 10, 100)) -> Any:
    """``COCOeval`` of pycocotools after ``accumulate``."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    return run(COCO, COCOeval, truth_json(pairs), results_json(pairs), kind, max_dets)


def faster(pairs: list[Pair], kind: str, max_dets: tuple[int, ...] = (1, 10, 100)) -> Any:
    """``COCOeval_faster`` of faster-coco-eval after ``accumulate``."""
    from faster_coco_eval import COCO, COCOeval_faster

    return run(COCO, COCOeval_faster, truth_json(pairs), results_json(pairs), kind, max_dets)
