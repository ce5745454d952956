"""From an image file to run-lengths at the image's own size: where the time goes, in PyTorch and exported.

apiece train --data SHAPES --model swift --set size=s --max-time 5m --out runs/shapes
python benchmarks/latency.py --model runs/shapes

Scenes of 1920 x 1080 pixels with at least 100 objects are written as JPEG; the score threshold is set for each so that
100 instances come out. Peer in the same run: torchvision's Mask R-CNN (ResNet-50, random weights), its masks pasted as
it does. First, without a network: 300 masks of 40 x 40 logits at 12 megapixels, time and memory of decoding
(`--decode-only` ends there).

python benchmarks/latency.py --model runs/shapes --against ../older_checkout

holds this build against another: CPU time on one thread of all but the network, each build in a process of its own, in
turn, on the same raw outputs; the network's is added, in float32 to both, and to this build in what else it can.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from apiece.core.image import Image
from apiece.core.masks import Masks
from apiece.datasets.synthetic import SceneConfig, scene
from apiece.images import read_image
from apiece.models import LoadedModel, load, load_model
from apiece.models.contract import DecodeOptions
from apiece.transforms.input import ModelInput, prepare

SIZE = (1080, 1920)
OBJECTS = 100


def photos(folder: Path, count: int) -> list[Path]:
    config = SceneConfig(size=SIZE, objects=(150, 170), radius=(24.0, 60.0), classes=("washer", "pill", "nut"))
    paths = []
    for i in range(count):
        paths.append(folder / f"{i}.jpg")
        cv2.imwrite(str(paths[-1]), scene(config, i).image.pixels[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    return paths


def in_torch(model: LoadedModel, dtype: torch.dtype) -> Callable[[np.ndarray], dict[str, torch.Tensor]]:
    module = model.module.to(memory_format=torch.channels_last)

    def run(array: np.ndarray) -> dict[str, torch.Tensor]:
        images = torch.from_numpy(array)[None].contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return module(images)

    return run


def exported(model: LoadedModel, folder: Path, shape: tuple[int, ...]) -> Path:
    path = folder / "model.onnx"
    example = torch.zeros(1, *shape)
    names = list(model.module(example))
    torch.onnx.export(
        model.module, (example,), str(path), dynamo=True, input_names=["images"], output_names=names, verbose=False,
        external_data=False,
    )  # fmt: skip
    return path


def in_onnxruntime(path: Path, threads: int) -> Callable[[np.ndarray], dict[str, torch.Tensor]]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed, names = session.get_inputs()[0].name, [o.name for o in session.get_outputs()]

    def run(array: np.ndarray) -> dict[str, torch.Tensor]:
        found = session.run(names, {feed: array[None]})
        return {n: torch.from_numpy(v) for n, v in zip(names, found, strict=True)}

    return run


def in_openvino(path: Path, threads: int, precision: str) -> Callable[[np.ndarray], dict[str, torch.Tensor]]:
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision,
        "ENABLE_CPU_PINNING": False,
    }  # fmt: skip
    compiled = core.compile_model(core.read_model(str(path)), "CPU", settings)
    names = [o.get_any_name() for o in compiled.outputs]
    request = compiled.create_infer_request()

    def run(array: np.ndarray) -> dict[str, torch.Tensor]:
        request.infer([array[None]], share_inputs=True)
        return {n: torch.from_numpy(request.get_tensor(o).data) for n, o in zip(names, compiled.outputs, strict=True)}

    return run


def measure(
    model: LoadedModel, network: Callable[[np.ndarray], dict[str, torch.Tensor]], paths: list[Path], repeats: int
) -> tuple[np.ndarray, list[int]]:
    """Seconds of reading, preparing, network and decoding for each image, (N, 4); instances found."""
    rows, found = [], []
    thresholds: dict[Path, float] = {}
    for round_ in range(repeats + 1):
        for path in paths:
            t0 = time.perf_counter()
            image = read_image(path)
            t1 = time.perf_counter()
            array, frame = prepare(image, model.input, model.architecture.stride)
            t2 = time.perf_counter()
            outputs = network(array)
            t3 = time.perf_counter()
            if path not in thresholds:
                thresholds[path] = threshold_for(model, outputs, frame)
            t4 = time.perf_counter()
            options = DecodeOptions(conf=thresholds[path])
            (instances,) = model.architecture.decode(outputs, [frame], model.classes, options)
            t5 = time.perf_counter()
            if round_:
                rows.append((t1 - t0, t2 - t1, t3 - t2, t5 - t4))
                found.append(len(instances))
    return np.array(rows), found


def threshold_for(model: LoadedModel, outputs: dict[str, Any], frame: Any) -> float:
    """The score above which `OBJECTS` instances come out."""
    (every,) = model.architecture.decode(outputs, [frame], model.classes, DecodeOptions(conf=0.02))
    if len(every) < OBJECTS:
        raise SystemExit(f"only {len(every)} instances found: the model was not trained on such scenes")
    return float(every.scores[OBJECTS - 1])


def apart(folder: Path) -> list[list[float]]:
    """Least milliseconds of CPU time of reading, preparing and decoding, of each image that `against` left."""
    name, spec, stride, classes, given = pickle.loads((folder / "given.pickle").read_bytes())
    decode, spec = load(name).decode, ModelInput(**spec)
    rows = []
    for path, outputs, conf in given:
        outputs, image = {k: torch.from_numpy(v) for k, v in outputs.items()}, read_image(path)
        frame = prepare(image, spec, stride)[1]
        steps = (
            lambda path=path: read_image(path),
            lambda image=image: prepare(image, spec, stride),
            lambda outputs=outputs, frame=frame, conf=conf: decode(outputs, [frame], classes, DecodeOptions(conf=conf)),
        )
        rows.append([least(step, 8) for step in steps])
    return rows


def least(work: Callable[[], Any], times: int) -> float:
    """Least CPU time in milliseconds."""
    found = []
    for _ in range(times):
        begin = time.process_time()
        work()
        found.append(1e3 * (time.process_time() - begin))
    return min(found)


def against(model: LoadedModel, networks: dict[str, Any], paths: list[Path], other: Path, folder: Path) -> None:
    """Print CPU time of this build and another, from file to run-lengths."""
    given, times = [], dict.fromkeys(networks, 0.0)
    for path in paths:
        array, frame = prepare(read_image(path), model.input, model.architecture.stride)
        outputs = {k: v.numpy().copy() for k, v in next(iter(networks.values()))(array).items()}
        tensors = {k: torch.from_numpy(v) for k, v in outputs.items()}
        given.append((str(path), outputs, threshold_for(model, tensors, frame)))
    for _ in range(8):  # in turn, so that other work on the machine slows all
        for way, network in networks.items():
            spent = least(lambda network=network: network(array), 1)
            times[way] = min(times[way] or spent, spent)
    spec = {name: getattr(model.input, name) for name in ("channels", "normalise", "mean", "std", "imgsz")}
    kept = (model.name, spec, model.architecture.stride, model.classes, given)
    (folder / "given.pickle").write_bytes(pickle.dumps(kept))
    one, rounds = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}, {}
    for _ in range(3):
        for side in (other, Path(__file__).parents[1]):
            command = [sys.executable, __file__, "--measure", str(folder)]
            env = {**os.environ, **one, "PYTHONPATH": str(side.resolve() / "src")}
            done = subprocess.run(command, env=env, check=True, capture_output=True)
            rounds.setdefault(side, []).append(json.loads(done.stdout))
    before, now = (np.min(each, 0).mean(0) for each in rounds.values())
    print("CPU milliseconds of one thread   read  prepare  decode")
    for side, row in (("other build", before), ("this build", now)):
        print(f"{side:<30} {row[0]:6.1f} {row[1]:8.1f} {row[2]:7.1f}")
    whole = before.sum() + min(spent for way, spent in times.items() if way.endswith("float32"))
    print(f"all, other build, with the faster network in float32: {whole:.1f}")
    for way, spent in times.items():
        all_ = now.sum() + spent
        print(f"all, this build, {way:<24} network {spent:6.1f}  all {all_:6.1f}  {whole / all_:.2f} times as fast")


def peer(paths: list[Path]) -> float:
    """Seconds that torchvision's Mask R-CNN takes for one image with 100 detections, masks at the image's size."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    torch.manual_seed(0)
    module = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, box_score_thresh=0.0, box_detections_per_img=OBJECTS, min_size=360,
        max_size=640,
    ).eval()  # fmt: skip
    times = []
    for path in [*paths[:1], *paths[:3]]:
        start = time.perf_counter()
        image = torch.from_numpy(read_image(path).pixels).permute(2, 0, 1).float() / 255
        with torch.inference_mode():
            masks = module([image])[0]["masks"] > 0.5
        assert masks.shape[-2:] == SIZE
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))


def large(count: int = 300, side: int = 40, size: tuple[int, int] = (3000, 4000)) -> tuple[float, float]:
    """Milliseconds of CPU time, median, and megabytes at most, of decoding masks with wavering outlines."""
    rng = np.random.default_rng(0)
    extent = rng.uniform(100, 500, (count, 2))
    corner = rng.uniform(0, 1, (count, 2)) * (np.array(size[::-1]) - extent)
    boxes = np.concatenate([corner, corner + extent], 1)
    y, x = np.mgrid[:side, :side] / (side - 1) * 2 - 1
    disc = 6 * (1 - 1.2 * (x**2 + y**2))
    logits = (disc + rng.normal(0, 0.3, (count, side, side))).astype(np.float32)
    times = []
    for _ in range(10):
        begin = time.process_time()
        Masks.from_logits(logits, boxes, size)
        times.append(1e3 * (time.process_time() - begin))
    tracemalloc.start()
    Masks.from_logits(logits, boxes, size)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return float(np.median(times)), peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--decode-only", action="store_true")
    parser.add_argument("--imgsz", type=int, default=640)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--against", type=Path, help="checkout of another build")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        cv2.setNumThreads(1)
        print(json.dumps(apart(options.measure)))
        return
    print("300 masks of 40 x 40 logits at 12 megapixels: {:.0f} ms, {:.1f} MB".format(*large()))
    if options.decode_only:
        return
    if options.model is None:
        parser.error("--model is needed for what a network takes")
    torch.set_num_threads(options.threads)
    model = load_model(options.model)
    model = type(model)(**{**vars(model), "input": type(model.input)(**{**vars(model.input), "imgsz": options.imgsz})})
    count = sum(p.numel() for p in model.module.parameters()) / 1e6
    print(f"{model.name}, {count:.1f} million parameters, {options.threads} threads, longer side {options.imgsz}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = photos(folder, options.images)
        shape = prepare(Image(np.zeros((*SIZE, 3), np.uint8)), model.input, model.architecture.stride)[0].shape
        onnx = exported(model, folder, shape)
        from apiece.export._engine.quantise import quantise  # the other build of `--against` may have none

        arrays = [prepare(read_image(path), model.input, model.architecture.stride)[0] for path in paths]
        int8 = folder / "int8.onnx"
        int8.write_bytes(quantise(onnx.read_bytes(), arrays))
        threads = options.threads if options.against is None else 1
        ways = {
            "ONNX Runtime float32": in_onnxruntime(onnx, threads),
            "OpenVINO float32": in_openvino(onnx, threads, "f32"),
            "OpenVINO bf16": in_openvino(onnx, threads, "bf16"),
            "ONNX Runtime int8": in_onnxruntime(int8, threads),
            "OpenVINO int8": in_openvino(int8, threads, "f32"),
        }
        if options.against is not None:
            against(model, ways, paths, options.against, folder)
            return
        ways = {
            "PyTorch float32": in_torch(model, torch.float32),
            "PyTorch bf16": in_torch(model, torch.bfloat16),
            **ways,
        }
        print("milliseconds, medians      read  prepare  network  decode     all     p90")
        for way, network in ways.items():
            rows, found = measure(model, network, paths, options.repeats)
            parts, whole = np.median(rows, 0) * 1e3, rows.sum(1) * 1e3
            print(
                f"{way:<24} {parts[0]:6.1f} {parts[1]:8.1f} {parts[2]:8.1f} {parts[3]:7.1f} {np.median(whole):7.1f} "
                f"{np.percentile(whole, 90):7.1f}   {min(found)} to {max(found)} instances",
                flush=True,
            )
        if not options.no_peer:
            print(f"torchvision Mask R-CNN, longer side 640, masks pasted: {peer(paths) * 1e3:.0f}")


if __name__ == "__main__":
    main()
