"""The base install in a new virtual environment: how large it is, and that all but networks works in it without torch.

``python .ci/base_install.py`` installs this tree without extras into a temporary folder and runs commands through the
installed ``apiece``, on a data set that it makes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST = 450  # MB without bytecode, pip and setuptools. The aim is 400; OpenCV's wheel for Linux alone has 152.
HEAVY = {"torch", "torchvision", "timm", "transformers", "huggingface_hub", "safetensors", "lightning", "tensorboard"}
HEAVY |= {"matplotlib"}

# a model folder, a data set, predictions on it that are right and sure, and a picture with letters beyond Latin
MAKE = """
import shutil

import apiece
from apiece.datasets.synthetic import SceneConfig, write_dataset
from apiece.draw import overlay
from apiece.models import model_folder

shutil.copytree(model_folder("default"), "model")

for name in ("monday", "tuesday"):
    write_dataset(name, train=3, val=2, config=SceneConfig(seed=len(name)))
records = list(apiece.read("monday/val.json"))
found = [(ref, truth.replace(scores=[0.9] * len(truth))) for ref, truth in records]
apiece.write(found, "predictions.json", format="coco")
ref, truth = records[0]
names = ("Schraube µ", "шайба", "νόμισμα", "vis", "壳")[: len(truth.classes)]
assert overlay(apiece.read_image(ref.path), truth.replace(classes=names)).any()
assert truth._repr_html_()
apiece.testing.check_measurement("shape")
"""
EVALUATE = "evaluate --predictions predictions.json --data monday/val.json --metrics all --html page.html --json"
WORKS = (
    "info monday --json",
    "convert monday/val.json labelled --to labelme",
    "convert labelled back.json",
    "merge monday/train.json tuesday/train.json --out both --to coco --json",
    "split both --out parts --json",
    "check monday --html check.html --json --fail-on never",
    EVALUATE,
    "measure predictions.json --pixel-size 0.1mm --out sizes.csv --json",
    "track --detections predictions.json --out tracks --save coco,csv,mots --json",
    "predict monday/images --out found --save coco,overlay,csv --json",
    "compare predictions.json predictions.json --data monday/val.json --html compare.html --json",
)
REFUSED = {
    "predict monday/images --model model": "models",
    "predict monday/images --model model --json": "models",
    "evaluate --model model --data monday/val.json": "models",
    "models": "models",
    "train --data monday --model swift": "train",
    "demo": "train",
}


def main() -> None:
    """Install, weigh, run."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(Path(folder) / "venv", with_pip=True)
        binaries = Path(folder) / "venv" / ("Scripts" if os.name == "nt" else "bin")
        call(binaries, "python", "-m", "pip", "install", "-q", "--no-compile", str(ROOT), cwd=ROOT)
        weigh(binaries, "base install", MOST, HEAVY)
        work = Path(folder) / "work"
        work.mkdir()
        call(binaries, "python", "-c", MAKE, cwd=work)
        told = {line: call(binaries, "apiece", *line.split(), cwd=work) for line in WORKS}
        scores = json.loads(told[EVALUATE])
        assert scores["mask_ap"] == scores["box_ap"] == 1.0, scores
        for line, extra in REFUSED.items():
            left = run(binaries, "apiece", *line.split(), cwd=work)
            lines = left.stderr.splitlines()
            assert (left.returncode, left.stdout, len(lines)) == (1, "", 1), left
            assert lines[0].endswith(f"pip install 'apiece[{extra}]'"), left
        commands = sorted(p.stem.replace("_", " ") for p in (ROOT / "src/apiece/cli").glob("[a-z]*.py"))
        for command in ("", *commands):
            call(binaries, "apiece", *command.split(), "--help", cwd=work)
    print(f"{len(WORKS)} commands work, {len(REFUSED)} name the line that installs what they need")


def weigh(binaries: Path, what: str, most: float, without: set[str]) -> None:
    """Print the size of what was installed, and refuse more, and packages that should not be there."""
    code = "import json, sysconfig; print(json.dumps(sysconfig.get_paths()['purelib']))"
    packages = Path(json.loads(call(binaries, "python", "-c", code, cwd=ROOT)))
    sizes = {
        p.name: size(p) for p in packages.iterdir() if not p.name.startswith(("pip", "setuptools", "pkg_resources"))
    }
    assert not without & set(sizes), without & set(sizes)
    total = sum(sizes.values())
    largest = sorted(sizes, key=lambda name: -sizes[name])[:8]
    print(f"{what}: {total:.0f} MB: " + ", ".join(f"{name} {sizes[name]:.0f}" for name in largest) + " ...")
    assert total <= most, f"the {what} has {total:.0f} MB, more than {most}"


def size(path: Path) -> float:
    """What a file or folder takes on disk, in MB."""
    return sum(f.lstat().st_size for f in (path.rglob("*") if path.is_dir() else [path]) if not f.is_dir()) / 2**20


def run(binaries: Path, program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment, which knows of no other."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run([binaries / program, *arguments], cwd=cwd, env=clean, capture_output=True, text=True)


def call(binaries: Path, program: str, *arguments: str, cwd: Path) -> str:
    """Run a program that must succeed."""
    done = run(binaries, program, *arguments, cwd=cwd)
    if done.returncode:
        sys.exit(f"{program} {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
