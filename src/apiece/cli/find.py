"""``apiece find``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

from apiece.cli._options import GROUP, Data, Json
from apiece.cli._output import print_json, print_table
from apiece.cli._seen import Drawn
from apiece.errors import PromptError

if TYPE_CHECKING:
    from apiece.cli._inspected import Picture
    from apiece.core.instances import Instances
    from apiece.language import Answer

FAILED = 2  # the exit code of an error: 1 is no answer


def find(sentence: str, data: Data, *, drawn: Annotated[Drawn, GROUP] = Drawn(), json: Json = False) -> int:
    """Find the objects that a sentence is about: order, place, size, colour and relations, in English.

    Works by a small grammar and knows the classes of the model or of the labels. Where the sentence fits several
    objects and means one, or fits none, the answer says so.

    Exit codes: 0 found, 1 none or ambiguous on a picture, 2 failed.

    ```
    apiece find "third door from the left" photo.jpg --model runs/facade
    apiece find "largest object" photo.jpg
    apiece find "all but the largest object" predictions.json --json
    ```

    Parameters
    ----------
    sentence
        What to find, in quotes, such as "the red cup nearest to the plate".
    """
    from apiece.language import find as ask

    told: list[dict[str, Any]] = []
    rows: list[tuple[str, str, str]] = []

    def answers() -> Iterator[tuple[Picture, Instances]]:
        for one in drawn.pictures(data).each(drawn.conf):
            if one.found is None:
                continue
            answer = _answered(ask, one, sentence)
            told.append(_row(one.name, answer))
            rows.append((one.name, answer.status, answer.text))
            yield one, answer.found

    drawn.draw(answers())
    if json:
        print_json({"sentence": sentence, "answers": told})
    else:
        print_table("", ("picture", "answer", "what"), rows)
        for answer in told if len(told) == 1 else ():
            places = [(o["class"], o["id"], *o["box"]) for o in answer["objects"]]
            print_table("", ("class", "#", "x0", "y0", "x1", "y1"), places)
    return int(any(answer["status"] != "found" for answer in told))


def _answered(ask: Any, one: Picture, sentence: str) -> Answer:
    """Answer without pixels; only a sentence about colours reads them."""
    try:
        found: Answer = ask(one.found, sentence)
    except PromptError as error:
        if "need the picture" not in str(error) or one.read is None:
            raise
        found = ask(one.found, sentence, one.read())
    return found


def _row(name: str, answer: Answer) -> dict[str, Any]:
    found = answer.found
    ids = answer.index if found.ids is None else found.ids
    objects = [
        {
            "index": int(k),
            "id": int(ids[i]),
            "class": found.classes[found.labels[i]],
            "score": None if found.scores is None else float(found.scores[i]),
            "box": found.masks.runs.boxes[i].tolist(),
            "segmentation": rle,
        }
        for i, (k, rle) in enumerate(zip(answer.index.tolist(), found.masks.to_coco(), strict=True))
    ]
    return {"image": name, "status": answer.status, "text": answer.text, "objects": objects}
