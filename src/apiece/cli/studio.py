"""``apiece studio``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from apiece.cli._options import GROUP, Data, Device, Json, ModelName, Where
from apiece.cli._output import note, print_json
from apiece.errors import ConfigError, Message, Option

if TYPE_CHECKING:
    from apiece.predict import Prompter


def studio(
    data: Data,
    *,
    where: Annotated[Where, GROUP] = Where(),
    model: ModelName | None = None,
    prompt: str = "auto",
    weights: str = "",
    rules: Path | None = None,
    baseline: Path | None = None,
    out: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    key: str = "",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Open a set in the browser, on this machine: look at labels and predictions, and correct them.

    Every change is saved at once. Label files stay as they are: corrected labels are exported.

    ```
    apiece studio data/
    apiece studio photos/ --model default
    apiece studio line.mp4
    apiece studio labels.json --images photos/ --prompt grabcut --port 8080
    apiece studio photos/ --model runs/board --rules rules.yaml
    ```

    Parameters
    ----------
    data
        Label file, folder with labels or with train, val and test, folder of images without labels, or a video. The
        frames of a video, of DATA or `--images`, are written once into the folder of `--out`.
    prompt
        What answers clicks and boxes: `click`, `watershed`, `grabcut`, `wand`, `sam`, `sam2` ... By default the weights
        tell; without weights `click`, the default model.
    weights
        Weights of SAM, SAM 2, SAM 3 or EfficientSAM: a folder, or `hf:org/name`.
    rules
        File of rules, as `apiece inspect` takes it, to hold the objects of each image against.
    baseline
        What `apiece monitor --save-baseline` wrote for the model: images that are unlike it are reviewed.
    out
        Folder that keeps the changes and what is exported. By default DATA.studio beside DATA.
    host
        Address to listen on. Any other than this machine's own needs `--key`.
    port
        Port to listen on; 0 lets the system choose.
    key
        What others must show: they open the page once with `?key=KEY`.
    """
    from apiece.datasets import image_folders
    from apiece.images import is_video
    from apiece.monitor import Profile
    from apiece.serve import Guard, run, studio_app
    from apiece.serve.studio.frames import frames_of
    from apiece.serve.studio.routes import static_folder
    from apiece.serve.studio.sets import Source
    from apiece.serve.studio.workspace import Workspace

    static_folder()
    if baseline is not None and model is None:
        raise ConfigError(Message(Option("baseline"), " is about a model: name it with ", Option("model", ...)))
    good = None if baseline is None else Profile.read(baseline)
    guard = Guard(host, port, key)
    loaded = None
    if model is not None:
        from apiece.predict import load

        loaded = load(model, device=device)
    place = out or data.absolute().with_name(f"{data.absolute().name}.studio")
    frames = partial(frames_of, out=place / "frames", wrote=_wrote)
    images = image_folders(where.images)
    by_split = {split: frames(path) for split, path in images.items()} if isinstance(images, Mapping) else None
    folder = frames(images) if isinstance(images, Path) else by_split
    source = Source(frames(data), folder, where.format, () if loaded is None else loaded.classes, is_video(data))
    workspace = Workspace(source, place, loaded, partial(_prompter, prompt, weights, device), rules)

    filmed = isinstance(images, Path) and is_video(images)
    if filmed and not workspace.tracked:
        workspace.notice = (
            "No id of these labels goes from frame to frame, so no tracks are shown. This gives each object one: "
            f"apiece track --detections {data.name}"
        )
    app = studio_app(workspace, guard, data.name, good)

    def ready(address: str) -> None:
        app.state.thumbs.ahead()
        if json:
            print_json({"address": address, "images": len(workspace.items), "out": place})
        note(f"studio: {len(workspace.items):,} images at {address} (Ctrl+C ends it; changes are kept in {place})")

    run(app, guard, ready)


def _wrote(count: int) -> None:
    if count % 500 == 0:
        note(f"studio: {count:,} frames are written")


def _prompter(prompt: str, weights: str, device: str) -> Prompter:
    from apiece.predict import Prompter

    return Prompter(prompt, weights, device=device)
