"""``apiece segment``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from apiece.cli._options import LIST, Device, Json, Overwrite
from apiece.cli._output import note, print_json, print_table, progress

if TYPE_CHECKING:
    from apiece.core.prompts import Prompts

WORDS = Parameter(consume_multiple=True)
"""A list whose items hold commas themselves."""


def segment(
    sources: tuple[str, ...],
    /,
    *,
    point: Annotated[tuple[str, ...], WORDS] = (),
    box: Annotated[tuple[str, ...], WORDS] = (),
    mask: Path | None = None,
    points_file: Path | None = None,
    text: Annotated[tuple[str, ...], WORDS] = (),
    everything: bool = False,
    backend: str = "auto",
    weights: str = "",
    words: str = "",
    conf: float | None = None,
    grid: int = 32,
    embed_only: bool = False,
    embeddings: Path = Path("embeddings"),
    device: Device = "auto",
    page: int | None = None,
    skip_bad: bool = False,
    out: Path = Path("segments"),
    save: Annotated[tuple[str, ...], LIST] = ("coco",),
    allow_lossy: bool = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Segment what is pointed at, framed or named, or everything, without training.

    ```
    apiece segment photo.jpg --point 812,430 --point 300,200,- --save coco,overlay
    apiece segment photo.jpg --box 100,80,400,300 --box 420,90,600,310
    apiece segment photos/ --points-file centres.csv --backend watershed
    apiece segment photos/ --everything
    apiece segment photos/ --embed-only
    apiece segment photos/ --weights hf:facebook/sam2.1-hiera-tiny --everything
    apiece segment photos/ --weights sam2/ --words hf:IDEA-Research/grounding-dino-tiny --text "red bolt"
    ```

    Parameters
    ----------
    sources
        Images: files, folders or patterns.
    point
        A point in pixels, `X,Y`: on the object, or beside it: `X,Y,-`. Points are of object 1, or of the object whose
        number follows: `X,Y,+,2`.
    box
        A box in pixels, `X0,Y0,X1,Y1`. Several boxes are several objects. With a number, `X0,Y0,X1,Y1,2`, the box and
        the points of that number are one object.
    mask
        Image with earlier masks to correct: value 1 is object 1.
    points_file
        Points and boxes of many images: CSV with the columns x, y (or x0, y0, x1, y1) and image, object, sign; JSON; or
        a COCO file that `apiece segment` wrote. Without object each row is an object.
    text
        What to look for, in words, such as `"red bolt"`; the words become the classes. Needs a model that reads.
    everything
        Find every object, without classes: by the default model, or by `--weights` of SAM.
    backend
        What answers: `click`, `grabcut`, `watershed`, `wand`, `sam`, `sam2` ... By default the weights tell; without
        weights `click`, the default model.
    weights
        Weights of SAM, SAM 2, SAM 3 or EfficientSAM: a folder, or `hf:org/name`.
    words
        Weights of a model that reads words, where `--weights` does not: Grounding DINO, CLIP or SigLIP.
    conf
        Lowest score, 0 to 1, of what is found for words. By default the model decides.
    grid
        Points along the longer side of an image that `--everything` asks with `--weights`.
    embed_only
        Only compute what a network keeps of each image, into `--embeddings`, so that later answers are quick.
    embeddings
        Folder of such embeddings: an image that is there is not computed again.
    page
        Page to read of files with several pages, from 0.
    skip_bad
        Leave out and list images that cannot be read. By default the first one ends the run, and nothing is written.
    out
        Folder for the results.
    save
        What to save: `coco` (predictions.json, with the prompts), `labelmap`, `overlay`, `csv`, `geojson`, `semantic`,
        `panoptic`, `boxes` (with weights, which give scores).
    allow_lossy
        Write label maps where masks overlap, the smallest mask on top. By default an overlap is an error.
    """
    from apiece.predict import Prompter, Question, embed_to, segment_to
    from apiece.prompts import Everything

    prompter = Prompter(backend, weights, words, embeddings, device)
    if embed_only:
        with progress("embedding", None) as step:
            files = embed_to(
                prompter, sources, embeddings, skip_bad=skip_bad, page=page,
                progress=lambda done, total, name: step(done, total),
            )  # fmt: skip
        if json:
            print_json({"files": files})
        note(f"embedded {len(files):,} image{'s' * (len(files) != 1)} into {embeddings}")
        return
    question = Question(_asked(point, box, mask, points_file), text, conf, Everything(grid) if everything else None)
    with progress("segmenting", None) as step:
        summary = segment_to(
            prompter, sources, out, question, save,
            on_empty=lambda name, number: note(f"apiece: {name}, object {number}: nothing was found; it is left out"),
            skip_bad=skip_bad, overwrite=overwrite, allow_lossy=allow_lossy, page=page,
            progress=lambda done, total, name: step(done, total),
        )  # fmt: skip
    for line in summary.lost:
        note(f"apiece: {line}")
    if json:
        print_json(summary)
        return
    objects, images = ((n, "s" * (n != 1)) for n in (summary.instances, summary.images))
    title = f"{objects[0]:,} object{objects[1]} on {images[0]:,} image{images[1]}"
    print_table(title, ("class", "objects"), list(summary.per_class.items()))
    for path in summary.files:
        note(f"wrote {path}")


def _asked(
    point: tuple[str, ...], box: tuple[str, ...], mask: Path | None, points_file: Path | None
) -> dict[str, Prompts]:
    """Return the prompts of options and file, by image name; those of options are for the one image."""
    from apiece.cli._prompts import parse_prompts, read_prompts
    from apiece.errors import Option, PromptError

    given = parse_prompts(point, box, mask)
    if given is not None and points_file is not None:
        raise PromptError(
            "prompts come from " + Option("points_file", points_file) + " or from " + Option("point", ...) + ", "
            + Option("box", ...) + " and " + Option("mask", ...) + ", not from both"
        )  # fmt: skip
    if points_file is not None:
        return read_prompts(points_file)
    return {} if given is None else {"": given}
