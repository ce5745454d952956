"""How right and how fast `apiece inspect` judges: synthetic boards with twelve kinds of faults.

A script called `inspect.py` would stand in the way of the module of that name for all scripts beside it.

python benchmarks/inspection.py                      # from exact masks with a model's jitter
python benchmarks/inspection.py --data boards        # write boards to train on: boards/train, boards/good, boards/test
python benchmarks/inspection.py --model runs/board   # from what that model finds
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from _boards import CLASSES, FAULTS, PIXEL, SIZE, board, instances, jittered, picture

from apiece import Image, ImageRef, Instances, Masks, formats
from apiece.images import write_image
from apiece.rules import RuleSet, judge, judge_many, learn, read_rules
from apiece.rules.batch import share_interval

RULES = """
  # ---- by hand, beside what good boards propose
  - distance: pin
    min: 0.25 mm
    name: pins apart
  - colour: led
    expected: '#d72828'
    within: 30
"""
SCORE = 0.5  # lowest score that counts of exact masks
LOW = 0.05  # score from which a model shows what rules are learned from
GOOD = 1_000  # seeds of good boards, of faulty ones, and of those to learn from
BAD = 1_000_000
LEARN = 2_000_000


def found(seed: int, fault: str, exact: bool = False) -> tuple[Instances, Image]:
    """Return a board as a model would find it: outlines, places and directions a little off, scores from 0.5 to 1."""
    parts = board(seed, fault)
    rng = np.random.default_rng((seed, 1))
    image = picture(rng, parts)
    if exact:
        return instances(parts), image
    scores = 1 - 0.5 * rng.beta(1, 8, len(parts))
    return instances(jittered(rng, parts, 0.3, 0.3, 0.8), scores), image


def rules(folder: Path, learned: int, source) -> RuleSet:
    """Return the rules that good boards propose, with two written by hand."""
    text = learn((source(LEARN + k, "")[0] for k in range(learned)), PIXEL)
    path = folder / "rules.yaml"
    head = "" if "\nscore:" in text else f"score: {SCORE}\n"
    path.write_text(f"{head}{text}{RULES}")
    return read_rules(path, CLASSES)


def rates(ruleset: RuleSet, boards: int, source) -> None:
    """Print false accepts by kind of fault, false rejects and unsure boards, with the reasons of the wrong ones."""
    told: dict[str, Counter[str]] = defaultdict(Counter)
    why: Counter[str] = Counter()
    for kind in ("", *FAULTS):
        many = boards if kind == "" else max(boards // len(FAULTS), 1)
        for k in range(many):
            seed = (GOOD if kind == "" else BAD + 10_000 * FAULTS.index(kind)) + k
            verdicts = judge(ruleset, *source(seed, kind), name=str(seed))
            told[kind][verdicts.outcome] += 1
            if verdicts.outcome != "pass" and kind == "":
                why.update(f"good board {v.outcome}: {v.rule}" for v in verdicts.verdicts if v.outcome != "pass")
    print(f"{'boards':20} {'fail':>6} {'unsure':>7} {'pass':>6}")
    for kind, count in told.items():
        print(f"{kind or 'good':20} {count['fail']:6} {count['unsure']:7} {count['pass']:6}", flush=True)
    bad = sum((told[kind] for kind in FAULTS), Counter())
    everything = told[""] + bad
    for name, wrong, count in (
        ("false accepts", bad["pass"], bad),
        ("false rejects", told[""]["fail"], told[""]),
        ("unsure", everything["unsure"], everything),
    ):
        low, high = share_interval(wrong, sum(count.values()))
        print(f"{name}: {wrong} of {sum(count.values())} = {wrong / sum(count.values()):.2%} ({low:.2%} to {high:.2%})")
    for reason, count in why.most_common(8):
        print(f"  {count:4} {reason}")


def speed(images: int) -> None:
    """Print the CPU time of 30 rules on images of 50 objects."""
    rng = np.random.default_rng(0)
    kinds = ["dimension: nut\n    of: {m}\n    min: 0.1 px", "count: {c}\n    min: 0", "absence: {c}\n    zone: z{z}"]
    lines = [
        "  - " + kinds[k % 3].format(m=("feret_max", "rect_width", "area")[k // 3 % 3].replace("area", "perimeter"),
        c=("nut", "bolt")[k % 2], z=k % 4) + f"\n    name: r{k}" for k in range(24)
    ]  # fmt: skip
    lines += ["  - distance: nut\n    min: 1 px", "  - touching: bolt\n    to: nut\n    expected: no"]
    lines += [
        "  - orientation: nut\n    expected: 0 deg\n    within: 90 deg",
        "  - presence: nut",
        "  - containment: bolt\n    inside: nut\n    expected: outside",
    ]
    lines += ["  - defect: nut\n    max: 900 px2\n    count: 90"]
    zones = "".join(f"  z{k}: {{share: [{k / 4}, 0, {(k + 1) / 4}, 1]}}\n" for k in range(4))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rules.yaml"
        path.write_text(f"zones:\n{zones}rules:\n" + "\n".join(lines))
        ruleset = read_rules(path)
    y, x = np.mgrid[:40, :40]
    scenes = []
    for _ in range(images):
        crops = [np.hypot(y - 20, x - 20) < r for r in rng.uniform(6, 18, 50)]
        corners = np.stack([rng.integers(0, 980, 50), rng.integers(0, 720, 50)], 1)
        labels = np.arange(50) % 2
        scenes.append(Instances(Masks.from_crops(crops, corners, (768, 1024)), labels, ("nut", "bolt")))
    start = time.process_time()
    for _ in judge_many(ruleset, ((str(k), scene, None) for k, scene in enumerate(scenes))):
        pass
    each = (time.process_time() - start) / images
    start = time.process_time()
    for scene in scenes:
        judge(ruleset, scene)
    alone = (time.process_time() - start) / images
    what = f"{len(ruleset.rules)} rules on {images} images of 50 objects"
    print(f"{what}: {1e3 * each:.2f} ms an image, one by one {1e3 * alone:.2f}")


def write(folder: Path) -> None:
    """Write boards to train on: 200, half of them faulty, 40 good ones to learn rules from, and a test set."""
    sets = {
        "train": [(LEARN + 5_000 + k, FAULTS[k // 2 % 12] if k % 2 else "") for k in range(200)],
        "val": [(LEARN + 6_000 + k, FAULTS[k // 2 % 12] if k % 2 else "") for k in range(24)],
    }
    for name, boards in sets.items():
        records = []
        for seed, fault in boards:
            true, image = found(seed, fault, exact=True)
            path = folder / "images" / f"{name}_{seed}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, image)
            records.append((ImageRef(path, f"images/{path.name}", SIZE), true))
        formats.write(records, folder / f"{name}.json", classes=CLASSES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=600, help="good boards, and as many faulty ones")
    parser.add_argument("--learned", type=int, default=40, help="good boards from which rules are learned")
    parser.add_argument("--images", type=int, default=1000, help="images of the timing")
    parser.add_argument("--data", type=Path, help="write boards to train on, and nothing else")
    parser.add_argument("--model", help="judge what this model finds")
    arguments = parser.parse_args()
    if arguments.data is not None:
        write(arguments.data)
        return

    def taught(seed: int, fault: str) -> tuple[Instances, Image]:
        made, image = found(seed, fault)
        return made.replace(scores=None), image

    source = found
    if arguments.model is not None:
        from apiece import load

        model = load(arguments.model)

        def source(seed: int, fault: str, conf: float = LOW) -> tuple[Instances, Image]:
            _, image = found(seed, fault, exact=True)
            return model.predict(image, conf=conf, edges=True), image

        taught = source
    with tempfile.TemporaryDirectory() as folder:
        rates(rules(Path(folder), arguments.learned, taught), arguments.boards, source)
    speed(arguments.images)


if __name__ == "__main__":
    main()
