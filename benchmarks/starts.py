"""What a start from weights is worth: the same training time from scratch, from ImageNet and from the default weights.

python benchmarks/starts.py --data DATA/facades DATA/nuclei DATA/many/* --time 10m --out runs/starts

Every training has one thread in a process of its own, and its time is processor time: other work on the machine takes
nothing away. Validation mask AP is measured afterwards, over all validation images. What is finished is kept in the
output folder: the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

_CHILD = """
import json, sys, time, torch
torch.set_num_threads(1)
import apiece
time.monotonic = time.process_time
from apiece.evaluation import open_truth
task = json.loads(sys.argv[1])
made = apiece.train(data=task["data"], model=task["model"], weights=task["weights"], out=task["out"],
                    max_time=task["time"], workers=0, seed=0)
result = apiece.evaluate(apiece.load(task["out"], "cpu"), open_truth(task["data"]))
told = {"mask_ap": result["mask_ap"], "mask_ap50": result["mask_ap50"], "steps": made.steps, "seconds": made.seconds}
print("RESULT " + json.dumps(told))
"""
_KEYS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def measured(data: Path, start: str, options: argparse.Namespace) -> dict[str, float]:
    """Return the figures of one training, from the output folder if it is finished."""
    folder = options.out / data.name / start
    kept = folder.with_suffix(".json")
    if kept.is_file():
        return json.loads(kept.read_text())
    task = {
        "data": str(data), "model": options.model, "weights": "none" if start == "scratch" else start,
        "out": str(folder), "time": options.time,
    }  # fmt: skip
    env = {**os.environ, **dict.fromkeys(_KEYS, "1")}
    done = subprocess.run([sys.executable, "-c", _CHILD, json.dumps(task)], env=env, capture_output=True, text=True)
    line = next((t for t in done.stdout.splitlines() if t.startswith("RESULT ")), None)
    if line is None:
        raise SystemExit(f"{data.name} from {start} failed:\n{done.stderr[-2000:]}")
    found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    kept.write_text(json.dumps(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True)
    parser.add_argument("--starts", nargs="+", default=["scratch", "imagenet", "default"])
    parser.add_argument("--model", default="swift")
    parser.add_argument("--time", default="10m")
    parser.add_argument("--out", type=Path, default=Path("runs/starts"))
    options = parser.parse_args()
    sets = [path for path in options.data if path.is_dir()]
    print(f"mask AP (AP50, steps) after {options.time} on one core, {options.model}")
    print(f"{'':<24}" + "".join(f"{start:>24}" for start in options.starts), flush=True)
    for data in sets:
        (options.out / data.name).mkdir(parents=True, exist_ok=True)
        print(f"{data.name:<24}", end="", flush=True)
        for start in options.starts:
            r = measured(data, start, options)
            print(f"{r['mask_ap']:>10.3f} ({r['mask_ap50']:.3f}, {r['steps']:.0f})".rjust(24), end="", flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
