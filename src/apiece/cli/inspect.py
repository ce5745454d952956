"""``apiece inspect``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from apiece.cli._inspected import Picture, Pictures, open_pictures, open_truth
from apiece.cli._options import GROUP, Device, Json, ModelName, Overwrite, Reading, Split
from apiece.cli._output import check_new, check_writable, note, print_json, print_table, progress, say
from apiece.errors import ApieceError, ConfigError, DataError, Option, on_command_line

if TYPE_CHECKING:
    from apiece.core.image import Image
    from apiece.core.instances import Instances
    from apiece.rules import Inspection, Share

FAILED = 2  # the exit code of an error: 1 is a picture that fails
_ROWS = 40  # pictures in the terminal
_LEARNED_FROM = 0.05  # score from which a model shows objects from which rules are learned


def inspect(
    data: Annotated[
        Path | None, Parameter(help="Photos, for `--model` or `--predictions`; else labels or predictions.")
    ] = None,
    *,
    rules: Path | None = None,
    model: ModelName | None = None,
    predictions: Path | None = None,
    split: Split = None,
    reading: Annotated[Reading, GROUP] = Reading(),
    pixel_size: str | None = None,
    truth: Path | None = None,
    learn: bool = False,
    schema: Path | None = None,
    fail_on: Literal["fail", "unsure"] = "fail",
    device: Device = "auto",
    out: Path | None = None,
    junit: Path | None = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> int:
    """Judge pictures by rules: each passes, fails, or is unsure and goes to a person, with the reason.

    Exit codes: 0 nothing fails, 1 a picture fails or cannot be judged, 2 the work failed.

    ```
    apiece inspect photos/ --model runs/board --rules rules.yaml --out report --junit out.xml
    apiece inspect predictions.json --rules rules.yaml --json
    apiece inspect photos/ --model runs/board --rules rules.yaml --truth labels.json
    apiece inspect --learn good/ --model runs/board --out rules.yaml
    apiece inspect --schema rules.schema.json
    ```

    Parameters
    ----------
    rules
        File of rules, YAML.
    predictions
        File with what another tool found on the photos, in any format.
    pixel_size
        Physical size of a pixel, such as "0.1 mm". By default the file of rules tells it, else the image.
    truth
        Ground truth of the same pictures, labels or a CSV file with the columns image and verdict (pass, fail): tells
        how many verdicts are right, and which tolerance would have been better.
    learn
        Take the pictures for good ones, and write the rules that they suggest to `--out`, for a person to edit.
    schema
        Write the JSON schema of rule files, with which editors check and complete them.
    fail_on
        What makes the exit code 1: a picture that fails, or one that is `unsure` too.
    out
        Folder for report.html, verdicts.json and a picture of each one that does not pass; with `--learn` the file.
    junit
        JUnit file to write, for build servers.
    """
    check_writable(junit, schema)
    if schema is not None:
        _write_schema(schema)
        if data is None:
            return 0
    if data is None:
        raise ConfigError("say what to inspect: photos, labels or predictions")
    if learn:
        beside = {"rules": rules, "truth": truth, "junit": junit}
        if any(given is not None for given in beside.values()):
            name = next(name for name, given in beside.items() if given is not None)
            raise ConfigError(Option("learn", True) + " writes rules and judges nothing; leave out " + Option(name))
    pictures = open_pictures(data, model, predictions, split, reading, device)
    if learn:
        return _learn(pictures, out, pixel_size, overwrite)
    if rules is None:
        raise ConfigError("say by which rules to judge, with --rules FILE, or propose some with --learn")
    from apiece._atomic import staged, take_place
    from apiece.rules import Inspection, judge_batch, read_rules

    read = read_rules(rules, pictures.classes)
    if out is not None:
        check_new(out, overwrite)
    with staged((out or Path()).parent if out is not None else Path(), "apiece") as stage:
        folder = None if out is None else stage / out.name
        if folder is not None:
            folder.mkdir()
        found = Inspection(read, folder)
        _judge(found, pictures, pixel_size, None if truth is None else open_truth(truth, read, reading))
        found.batch = judge_batch(read, found.pictures, len(found.refused))
        if folder is not None and out is not None:
            found.write(f"Inspection of {data.name}", f"{len(found.pictures):,} pictures, rules of {rules}")
            take_place(folder, out, stage)
    if junit is not None:
        from apiece.rules import write_junit

        write_junit(junit, found.pictures, found.batch, found.refused)
    if json:
        print_json(found.to_dict())
    else:
        _print(found)
    for path in (out, junit):
        if path is not None:
            note(f"wrote {path}")
    return int(found.fails(fail_on))


def _judge(found: Inspection, pictures: Pictures, pixel_size: str | None, truth: object) -> None:
    """Judge every picture; one that cannot be judged is listed, and the rest goes on."""
    from apiece.rules import compare, judge, judge_many

    true, waiting = [], deque[Picture]()  # pictures that are not judged yet: several are judged together
    lowest = None if pictures.score is None else found.rules.lowest_scores(pictures.score)
    with progress("judging", pictures.count) as step:

        def asked() -> Iterator[tuple[str, Instances | ApieceError, Callable[[], Image] | None]]:
            for one in pictures.each(lowest):
                waiting.append(one)
                yield one.name, one.seen, one.read

        def done() -> Picture:
            step()
            return waiting.popleft()

        def refuse(error: ApieceError) -> None:
            found.refused.append((done().name, on_command_line(error)))

        for judged in judge_many(
            found.rules, asked(), pixel_size=pixel_size, score=pictures.score, on_bad=lambda name, error: refuse(error)
        ):
            one = waiting[0]
            try:
                if callable(truth):
                    said = truth(one.name)
                    if not isinstance(said, str):
                        said = judge(found.rules, said, one.read, name=one.name, pixel_size=pixel_size, exact=True)
                    true.append(said)
                found.add(judged, one.read)
            except DataError as error:
                refuse(error)
            else:
                done()
    if not found.pictures and found.refused:
        raise DataError(found.refused[0][1])
    if truth is not None:
        found.trust, found.better = compare(found.pictures, true)


def _learn(pictures: Pictures, out: Path | None, pixel_size: str | None, overwrite: bool) -> int:
    from apiece._atomic import write_text
    from apiece.rules import learn

    check_writable(out)
    if out is not None and out.exists() and not overwrite:
        raise ConfigError(f"{out} is there already; name another file, or " + Option("overwrite", True))
    text = learn(_good(pictures), pixel_size, pictures.score)
    if out is None:
        say(text.rstrip())
        return 0
    write_text(out, text)
    note(f"wrote {out}: read it, and edit the limits; then apiece inspect --rules {out}")
    return 0


def _good(pictures: Pictures) -> Iterator[Instances]:
    """Yield the objects of each picture; tell of those that cannot be read."""
    for one in pictures.each(None if pictures.score is None else _LEARNED_FROM):
        if isinstance(one.seen, ApieceError):
            note(f"left out: {one.name}: {on_command_line(one.seen)}")
        else:
            yield one.seen


def _write_schema(path: Path) -> None:
    from apiece._atomic import write_text
    from apiece._strict_json import dump
    from apiece.rules import schema

    write_text(path, dump(schema()))
    note(f"wrote {path}")


def _print(found: Inspection) -> None:
    from apiece.rules import tolerance_text

    bad = sorted((one for one in found.pictures if one.outcome != "pass"), key=lambda one: one.outcome == "unsure")
    rows = [
        (one.image if k == 0 else "", one.outcome if k == 0 else "", reason)
        for one in bad[:_ROWS]
        for k, reason in enumerate(one.reasons)
    ]
    if rows:
        print_table("", ("picture", "verdict", "why"), rows)
        if len(bad) > _ROWS:
            note(f"and {len(bad) - _ROWS:,} more; --json and --out have all")
    for one in found.batch:
        say(f"batch, {one.rule}: {one.outcome}: {one.text}")
    for name, why in found.refused[:_ROWS]:
        note(f"not judged: {name}: {why}" if name not in why else f"not judged: {why}")
    if found.trust:
        heads = ("rule", "right", "false accepts", "false rejects", "unsure")
        shares = [(t.rule, *map(_share, (t.right, t.false_accepts, t.false_rejects, t.unsure))) for t in found.trust]
        print_table("verdicts against the truth, with 95% intervals", heads, shares)
        for better in found.better:
            say(tolerance_text(better))
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in found.counts.items())
    say(f"{len(found.pictures):,} pictures: {counts}")


def _share(one: Share) -> str:
    return f"{one.value:.1%} ({one.low:.1%} to {one.high:.1%}) of {one.of}" if one.of else "-"
