"""What mypy --strict and pyright must accept: the public names, used as the docs use them. Never run."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import apiece
from apiece.check import check
from apiece.transforms import Compose, Flip


def masks(label_map: np.ndarray[tuple[int, int], np.dtype[np.int32]], other: apiece.Masks) -> float:
    found = apiece.Masks.from_label_map(label_map)
    large: apiece.Masks = found[found.area > 50]
    overlap = apiece.iou(large, other)
    return float(overlap.max()) + len(found.to_coco()) + len(found.to_polygons()) + len(found.to_layers())


def labels(folder: Path) -> list[str]:
    for ref, truth in apiece.read(folder / "train.json"):
        print(ref.name, ref.size, truth.classes, truth.scores is None)
    records = [("a.png", apiece.Instances.from_label_map(np.eye(3, dtype=int)))]
    return apiece.write(records, "out.json", format="coco", allow_lossy=True)


def pixels(path: str) -> tuple[int, int]:
    image: apiece.Image = apiece.read_image(path, page=0)
    size: apiece.PixelSize | None = image.pixel_size
    return image.size if size is None else (0, 0)


def training(folder: Path) -> Path:
    made = apiece.train(data="data/", model="embedding", out=folder, max_time="30m", model_settings={"norm": "group"})
    again = apiece.training.fit(apiece.training.TrainConfig(data=folder, epochs=3))
    best: float = again.metrics["mask_ap"]
    return made.folder if best else folder


def prediction(folder: Path) -> Iterator[apiece.Instances]:
    model = apiece.load(folder, device="cpu")
    one: apiece.Instances = model.predict("photo.jpg", conf={"bolt": 0.5})
    several: list[apiece.Instances] = model.predict([Path("a.jpg"), np.zeros((4, 4, 3), np.uint8)])
    yield from (one, *several)
    for image, found in model.stream("line/*.png"):
        print(image.size)
        yield found


def numbers(found: apiece.Instances, image: apiece.Image) -> float:
    result = apiece.evaluate("predictions.json", "data/val.json", metrics="all", bootstrap=100)
    table = apiece.measure(found, image, pixel_size="0.5 um", properties=["area"])
    return result["mask_ap"] + result.per_class["bolt"]["mask_ap50"] + float(table["area"].sum())


def mistakes() -> list[str]:
    report = check({"train": "data/train.json"}, only=["duplicate"])
    return [f"{finding.kind}: {finding.place.image}" for finding in report.findings if finding.sure > 0.5]


def pictures(found: apiece.Instances, image: apiece.Image) -> None:
    drawn: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = apiece.draw.overlay(image, found)
    apiece.images.write_image("out.png", drawn)
    recipe = Compose((Flip(),))
    recipe(apiece.transforms.Sample(image.pixels, found), np.random.default_rng(0))


def plugins() -> dict[str, str]:
    names: tuple[str, ...] = apiece.formats.names() + apiece.check.names() + apiece.images.names()
    holes: bool = apiece.formats.load("coco").holds.holes
    kinds = apiece.check.load("overlaps").kinds
    metric = apiece.metrics.load("coco")(("bolt",))
    stride: int = apiece.models.load("swift").stride
    columns = [prop.name for family in apiece.measurements.describe() for prop in load_family(family)]
    print(names, holes, kinds[0].fix, metric.judges, stride, columns)
    return apiece.metrics.describe()


def load_family(name: str) -> tuple[apiece.measurements.Property, ...]:
    return apiece.measurements.load(name=name).properties


def errors(path: Path) -> str:
    try:
        return ", ".join(apiece.read(path).classes)
    except apiece.errors.FormatError as error:
        return f"{error.path}: {error.reason}"
