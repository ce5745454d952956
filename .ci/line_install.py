"""What a line PC installs for an exported model: how large it is, and that it answers as the environment it came from.

``python .ci/line_install.py``, in an environment with all of apiece, exports the default model to ONNX, installs the
``requirements.txt`` of that folder and this tree in a new virtual environment, and predicts in both.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path

from base_install import HEAVY, ROOT, call, run, weigh

MOST = 450  # MB without bytecode, pip and setuptools
PORT = 8127

PHOTOS = """
from pathlib import Path
import cv2
from apiece.datasets import AnythingConfig, any_scene

Path("photos").mkdir()
for seed, name in enumerate(("a.jpg", "b.png", "c.png")):
    pixels = any_scene(AnythingConfig((320, 240)), seed)[0].pixels
    cv2.imwrite(f"photos/{name}", pixels[:, :, ::-1])
"""
PREDICT = "predict photos --model out/onnx --save coco,overlay,csv,labelmap --allow-lossy --out"
REFUSED = "measure here/predictions.json --out sizes.csv"


def main() -> None:
    """Export, install, weigh, predict in both, serve."""
    full = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        call(full, "python", "-c", PHOTOS, cwd=work)
        call(full, "apiece", *["export", "default", "--to", "onnx", "--photos", "photos", "--out", "out"], cwd=work)
        call(full, "apiece", *PREDICT.split(), "there", cwd=work)
        venv.create(work / "venv", with_pip=True)
        line = work / "venv" / full.name
        install(line, work, "requirements.txt")
        install(line, work, ROOT)
        weigh(line, "line install", MOST, HEAVY | {"scipy"})
        call(line, "apiece", *PREDICT.split(), "first", cwd=work)  # writes bytecode, once
        begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        call(line, "apiece", "predict", "photos/a.jpg", "--model", "out/onnx", "--out", "one", cwd=work)
        wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"from the start of the program to the end, one photo: {wall:.2f} s, {spent:.2f} s of a processor")
        call(line, "apiece", *PREDICT.split(), "here", cwd=work)
        for name in ("predictions.json", "predictions.csv"):
            assert (work / "here" / name).read_bytes() == (work / "there" / name).read_bytes(), name
        told = run(line, "apiece", *REFUSED.split(), cwd=work)
        assert told.returncode == 1, told
        assert told.stderr.splitlines()[-1].endswith("pip install scipy"), told.stderr
        install(line, work, "requirements-serve.txt")  # brings SciPy: a server measures
        served(line, work)
    print("predict and serve answer as where they came from; what needs SciPy names the line that installs it")


def install(line: Path, work: Path, what: Path | str) -> None:
    """Install one thing without what it asks for: this tree, or a list beside the model but for apiece itself."""
    given = [str(what)]
    if isinstance(what, str):
        lines = (work / "out/onnx" / what).read_text().splitlines()
        (work / what).write_text("\n".join(one for one in lines if not one.startswith(("apiece==", "-r "))))
        given = ["-r", what]
    call(line, "python", "-m", "pip", "install", "-q", "--no-compile", "--no-deps", *given, cwd=work)


def served(line: Path, work: Path) -> None:
    """Ask a server for the objects of a photo, and end it."""
    server = subprocess.Popen(
        [line / "apiece", "serve", "out/onnx", "--port", str(PORT)], cwd=work, stderr=subprocess.PIPE, text=True
    )
    try:
        for _ in range(300):
            if ready():
                break
            assert server.poll() is None, server.stderr and server.stderr.read()
            time.sleep(0.2)
        answer = call(line, "python", "-c", ASK, cwd=work)
        assert int(answer) > 0, answer
    finally:
        server.terminate()
        server.wait(30)


def ready() -> bool:
    """Return whether the server answers."""
    try:
        with urllib.request.urlopen(f"http://localhost:{PORT}/v2/health/ready") as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


ASK = f"""
from apiece.serve import Client

print(len(Client("http://localhost:{PORT}").predict("photos/a.jpg")))
"""

if __name__ == "__main__":
    main()
