"""Precision and recall of `apiece check`, kind by kind: mistakes are made at known places, and looked for.

python benchmarks/check_recall.py                           # synthetic scenes, what needs no model
python benchmarks/check_recall.py --data DATA/nuclei        # real labels, where precision is a lower bound
python benchmarks/check_recall.py --folds 4 --minutes 10    # dropped and swapped too, by models out of fold
python benchmarks/check_recall.py --model runs/parts        # the same, by a model trained elsewhere

Real labels hold mistakes of their own; what the same check finds in the labels as they are stands in the last column.
A model given with --model must not have learned from the images it judges.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from _label_mistakes import CLASS_FAULTS, MISTAKES, Sample, leak, rename, resized, spoil
from PIL import Image as Pillow

from apiece import Instances
from apiece.check import Finding, check
from apiece.core.image import ImageRef
from apiece.datasets.dataset import open_data
from apiece.datasets.synthetic import SceneConfig, SyntheticSet
from apiece.formats import Record
from apiece.images import as_stored, read_image, write_image
from apiece.ops.overlap import box_iou

FOUND_BY = {
    "duplicate": ("duplicate",),
    "contained": ("contained",),
    "merge_touching": ("touching",),
    "merge_far": ("far_parts",),
    "fragment": ("fragment", "far_parts"),
    "cut_off": ("cut_off",),
    "fill_hole": ("no_hole",),
    "shift": ("shifted",),
    "dilate": ("wide",),
    "erode": ("narrow",),
    "coarsen": ("coarse",),
    "drop": ("missing_label",),
    "swap_class": ("swapped_class",),
}
"""Mistake to the kinds of finding that name it."""
OF_PIXELS = ("shift", "dilate", "erode", "coarsen")
OF_MODELS = ("drop", "swap_class")
BARS = {
    "duplicate": (0.99, 0.99), "contained": (0.99, 0.99), "fragment": (0.99, 0.99), "merge_far": (0.99, 0.99),
    "leak": (0.99, 0.99), "size": (0.99, 0.99), "exif": (0.99, 0.99), "class_name": (0.99, 0.99),
    "merge_touching": (0.8, 0.8),    "drop": (0.9, 0.8), "swap_class": (0.9, 0.8),
}  # fmt: skip
"""Recall and precision that are aimed at on synthetic scenes."""

Predicted = Callable[[str, int], Instances | None]


@dataclass(frozen=True)
class Labels:
    """Labels in memory as `check` takes them; the images are files."""

    refs: tuple[ImageRef, ...]
    instances: tuple[Instances, ...]
    classes: tuple[str, ...]

    @property
    def metadata(self) -> Mapping[str, object]:
        return {}

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Record:
        return self.refs[index], self.instances[index]

    def __iter__(self) -> Iterator[Record]:
        return iter(zip(self.refs, self.instances, strict=True))

    def spoilt(self, name: str, seed: int, share: float) -> tuple[Labels, list[tuple[int, tuple[int, ...]]]]:
        samples: list[Sample] = [(None, one) for one in self.instances]
        changed, places = spoil(samples, MISTAKES[name], seed, share)
        return Labels(self.refs, tuple(one for _, one in changed), self.classes), places


# ---------------------------------------------------------------- what is counted


def report(name: str, made: int, hits: int, found: int, right: int, clean: int | str) -> None:
    recall, precision = (a / b if b else float("nan") for a, b in ((hits, made), (right, found)))
    bar = ""
    if name in BARS:
        reached = recall >= BARS[name][0] and precision >= BARS[name][1]
        bar = f"{BARS[name][0]:.2f} / {BARS[name][1]:.2f} {'reached' if reached else 'MISSED'}"
    print(f"{name:<16}{made:6d}{recall:9.3f}{found:8d}{precision:11.3f}{clean:>9}   {bar}", flush=True)


def run(labels: Labels, kinds: Sequence[str], images: bool, predicted: Predicted | None = None) -> list[Finding]:
    found = check({"train": labels}, only=kinds, images=images, predicted=predicted).findings
    return [f for f in found if f.place.index is not None]


def of_instances(labels: Labels, name: str, seed: int, share: float) -> None:
    kinds, images = FOUND_BY[name], name in OF_PIXELS
    clean = run(labels, kinds, images)
    spoilt, places = labels.spoilt(name, seed, share)
    found = run(spoilt, kinds, images)

    def at(finding: Finding, place: tuple[int, tuple[int, ...]]) -> bool:
        return finding.place.index == place[0] and bool(set(finding.place.instances) & set(place[1]))

    hits = sum(any(at(f, place) for f in found) for place in places)
    right = sum(any(at(f, place) for place in places) for f in found)
    report(name, len(places), hits, len(found), right, len(clean))


def of_models(labels: Labels, name: str, seed: int, share: float, predictor: Callable[[Labels], Predicted]) -> None:
    spoilt, places = labels.spoilt(name, seed, share)
    found = run(spoilt, FOUND_BY[name], False, predictor(spoilt))
    gone = {k: _gone(labels.instances[k], spoilt.instances[k]) for k, _ in places}

    def at(finding: Finding, place: tuple[int, tuple[int, ...]]) -> bool:
        if finding.place.index != place[0]:
            return False
        if place[1]:
            return bool(set(finding.place.instances) & set(place[1]))
        return finding.place.box is not None and bool((box_iou(gone[place[0]], [finding.place.box]) >= 0.5).any())

    hits = sum(any(at(f, place) for f in found) for place in places)
    right = sum(any(at(f, place) for place in places) for f in found)
    report(name, len(places), hits, len(found), right, "")


def _gone(before: Instances, after: Instances) -> np.ndarray:
    """Boxes of the instances that are left out."""
    left = {mask.tobytes() for mask in after.boxes}
    return np.array([b for b in before.boxes if b.tobytes() not in left]).reshape(-1, 4)


# ---------------------------------------------------------------- mistakes of the set


def leaks(labels: Labels, folder: Path, seed: int, share: float) -> None:
    """Half of the images train, the others validate; some of these are images of the first half, exported again."""
    rng = np.random.default_rng(seed)
    half = len(labels) // 2
    train, val = (Labels(labels.refs[s], labels.instances[s], labels.classes) for s in (slice(half), slice(half, None)))
    clean = [f for f in check({"train": train, "val": val}, only=["leak"]).findings if f.kind == "leak"]
    refs, instances = list(val.refs), list(val.instances)
    leaked = np.flatnonzero(rng.random(len(refs)) < share).tolist()
    for k in leaked:
        source = int(rng.integers(half))
        image, instances[k] = leak((read_image(train.refs[source].path), train.instances[source]), rng)
        path = folder / f"leak_{k}.png"
        write_image(path, image)
        refs[k] = ImageRef(path, path.name, instances[k].size)
    spoilt = Labels(tuple(refs), tuple(instances), labels.classes)
    found = [f for f in check({"train": train, "val": spoilt}, only=["leak"]).findings if f.kind == "leak"]
    named = [{p.index for p in (f.place, *f.others) if p.split == "val"} for f in found]
    hits = sum(any(k in one for one in named) for k in leaked)
    report("leak", len(leaked), hits, len(found), sum(bool(one & set(leaked)) for one in named), len(clean))


def sizes(labels: Labels, seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    clean = run(labels, ["image_size"], True)
    wrong = np.flatnonzero(rng.random(len(labels)) < share).tolist()
    instances, refs = list(labels.instances), list(labels.refs)
    for k in wrong:
        instances[k] = resized(instances[k], rng)
        refs[k] = ImageRef(refs[k].path, refs[k].name, instances[k].size)
    found = run(Labels(tuple(refs), tuple(instances), labels.classes), ["image_size"], True)
    at = {f.place.index for f in found}
    report("size", len(wrong), len(at & set(wrong)), len(at), len(at & set(wrong)), len(clean))


def exif(labels: Labels, folder: Path, seed: int, share: float) -> None:
    """Every photo gets an EXIF entry (mirrored, turned by 180 degrees); some labels stay on the stored pixels."""
    rng = np.random.default_rng(seed)
    wrong = np.flatnonzero(rng.random(len(labels)) < share).tolist()
    refs = []
    for k, ref in enumerate(labels.refs):
        orientation, entry = (2, 3, 4)[k % 3], Pillow.Exif()
        entry[274] = orientation
        pixels = read_image(ref.path).pixels.squeeze()
        stored = pixels if k in wrong else as_stored(pixels, orientation)
        path = folder / f"exif_{k}.png"
        Pillow.fromarray(stored).save(path, exif=entry)
        refs.append(replace(ref, path=path))
    found = run(Labels(tuple(refs), labels.instances, labels.classes), ["exif_ignored"], True)
    at = {f.place.index for f in found}
    report("exif", len(wrong), len(at & set(wrong)), len(at), len(at & set(wrong)), "")


def class_names(labels: Labels, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def found(given: Labels) -> int:
        return sum(f.kind == "class_name" for f in check({"train": given}, only=["class_name"], images=False).findings)

    clean = found(labels)
    made = hits = total = 0
    for label, name in enumerate(labels.classes):
        for fault in CLASS_FAULTS:
            renamed = rename(labels.instances, label, fault(name), rng)
            number = found(Labels(labels.refs, tuple(renamed), (*labels.classes, fault(name))))
            made, hits, total = made + 1, hits + bool(number), total + number
    # one finding for each name that was added is right; what the clean labels have is not
    report("class_name", made, hits, total, min(total, made) if not clean else 0, clean)


# ---------------------------------------------------------------- data and models


def synthetic(count: int, seed: int, folder: Path) -> Labels:
    drawn = SyntheticSet(SceneConfig(seed=seed), count)
    refs, instances = [], []
    for ref, (image, one) in zip(drawn.refs, drawn, strict=True):
        path = folder / ref.name
        write_image(path, image)
        refs.append(ImageRef(path, ref.name, one.size))
        instances.append(one.replace(ids=None, attributes={}))
    return Labels(tuple(refs), tuple(instances), drawn.classes)


def real(path: Path) -> Labels:
    splits = open_data(path)
    records = [record for data in splits.values() for record in data.labels]
    classes = next(iter(splits.values())).classes
    stripped = (one.replace(ids=None, attributes={}) for _, one in records)
    return Labels(tuple(ref for ref, _ in records), tuple(stripped), classes)


def predictor_of(options: argparse.Namespace) -> Callable[[Labels], Predicted] | None:
    """How predictions for labels are made, or None where no model is to be had."""
    if options.model is not None:
        from apiece import load

        model = load(options.model)

        def by_model(labels: Labels) -> Predicted:
            return lambda split, index: model.predict(labels.refs[index].path, conf=0.05)

        return by_model
    if options.folds:
        from apiece.training.config import TrainConfig
        from apiece.training.folds import predict_out_of_fold

        numbers = iter(range(len(OF_MODELS)))

        def out_of_fold(labels: Labels) -> Predicted:
            config = TrainConfig(model=options.architecture, max_time=f"{options.minutes}m", seed=options.seed)
            out = options.runs / OF_MODELS[next(numbers)]
            found = predict_out_of_fold(labels, options.folds, config, out)
            return lambda split, index: found[index]

        return out_of_fold
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="real labels instead of synthetic scenes")
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--share", type=float, default=0.25, help="share of the images that get a mistake")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="mistakes to make, by default all")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--architecture", default="swift", help="what --folds trains")
    parser.add_argument("--minutes", type=float, default=5, help="training time of each fold")
    parser.add_argument("--runs", type=Path, default=Path("runs/check_recall"))
    options = parser.parse_args()
    predictor = predictor_of(options)
    wanted = options.only or [*MISTAKES, "leak", "size", "exif", "class_name"]
    with tempfile.TemporaryDirectory() as scratch:
        labels = real(options.data) if options.data else synthetic(options.scenes, options.seed, Path(scratch))
        print(
            f"{options.data or 'synthetic scenes'}: {len(labels):,} images, {sum(map(len, labels.instances)):,} masks"
        )
        start = time.perf_counter()
        instance_kinds = [k for name in MISTAKES if name not in (*OF_PIXELS, *OF_MODELS) for k in FOUND_BY[name]]
        run(labels, list(dict.fromkeys(instance_kinds)), False)
        print(f"the kinds below that need labels only: {time.perf_counter() - start:.1f} s for all of them together")
        print(f"{'mistake':<16}{'made':>6}{'recall':>9}{'found':>8}{'precision':>11}{'as is':>9}   aimed at")
        for name in wanted:
            if name == "leak":
                leaks(labels, Path(scratch), options.seed + 1, options.share)
            elif name == "size":
                sizes(labels, options.seed + 1, options.share)
            elif name == "exif":
                exif(labels, Path(scratch), options.seed + 1, options.share)
            elif name == "class_name":
                class_names(labels, options.seed + 1)
            elif name not in OF_MODELS:
                of_instances(labels, name, options.seed + 1, options.share)
            elif predictor is not None:
                of_models(labels, name, options.seed + 1, options.share, predictor)


if __name__ == "__main__":
    main()
