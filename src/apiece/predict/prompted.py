"""One image asked often: points, boxes, earlier masks, words, or everything; each answer is `Instances`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from apiece import prompts as room
from apiece._arrays import Array
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.prompts import Prompts, Words
from apiece.errors import ConfigError, Message, Option, PromptError
from apiece.images import read_image
from apiece.ops import nms
from apiece.prompts import Embedding, Everything, Opened, everything, open_backend

__all__ = ["Prompter", "Session", "prompt"]

One: TypeAlias = Image | Array | str | os.PathLike[str]

_READERS = Message(
    "SAM 3, Grounding DINO, CLIP or SigLIP; name one with ", Option("words", ...), ", or SAM 3 with ",
    Option("weights", ...),
)  # fmt: skip
_DUPLICATE = 0.8  # IoU above which two boxes of a word have one mask


def prompt(
    image: One,
    *,
    backend: str = "auto",
    weights: str | os.PathLike[str] = "",
    words: str | os.PathLike[str] = "",
    embeddings: str | os.PathLike[str] | None = None,
    device: str = "auto",
) -> Session:
    """Open a session on one image, which can then be asked with points, boxes, words, or for everything.

    Parameters
    ----------
    image : an `Image`, an array (height, width) or (height, width, channels), or a path.
    backend : one of ``apiece.prompts.names()``; ``"auto"``: the one that the weights are for; without weights clicks by
        the default model (``"click"``).
    weights : a folder as transformers writes it, ``"hf:org/name"``, or a folder with EfficientSAM's ONNX files.
    words : weights of a model that reads words, where ``weights`` are of a model that does not.
    embeddings : a folder with embeddings that `Session.save` wrote: an image that is there is not embedded again.
    device : where networks compute, as in `apiece.load`.

    Raises
    ------
    ImageError, ConfigError, ModelFileError, UnknownNameError
        If the image, the weights or an embedding cannot be read, or there is no such backend.

    Examples
    --------
    >>> session = apiece.prompt("photo.png", backend="grabcut")
    >>> session.points([(7, 5)])
    Instances(1 on 24 x 32: 1 object)
    >>> session.box([[1, 1, 14, 10], [13, 8, 30, 22]]).masks.area.tolist()
    [54, 130]
    """
    return Prompter(backend, weights, words, embeddings, device).session(image)


class Prompter:
    """Open backends once, for sessions on many images.

    Parameters
    ----------
    backend, weights, words, embeddings, device : as for `prompt`.

    Examples
    --------
    >>> from apiece.predict import Prompter
    >>> prompter = Prompter("wand")
    >>> [len(prompter.session(name).points([(7, 5)])) for name in ("photo.png", "data/a.png")]
    [1, 1]
    """

    def __init__(
        self,
        backend: str = "auto",
        weights: str | os.PathLike[str] = "",
        words: str | os.PathLike[str] = "",
        embeddings: str | os.PathLike[str] | None = None,
        device: str = "auto",
    ) -> None:
        self._backend, self._weights, self._words, self._device = backend, str(weights), str(words), device
        self.embeddings = None if embeddings is None else Path(embeddings)

    @cached_property
    def segmenter(self) -> Opened:
        """The backend that answers points, boxes and masks, opened when it is first asked."""
        return open_backend(self._backend, self._weights, self._on(), ("points", "boxes"))

    @cached_property
    def reader(self) -> Opened:
        """The backend that reads words, opened when it is first asked."""
        if self._words:
            return open_backend("auto", self._words, self._on(), ("text",), "words")
        if not self._weights:
            raise PromptError("no backend without weights reads words. These do: " + _READERS)
        try:
            return open_backend("auto", self._weights, self._on(), ("text",))
        except ConfigError as error:
            raise PromptError(Message(error.message, ". These read words: ", _READERS)) from error

    def _on(self) -> str:
        """Return the device, tried out where a person chose it; backends without torch compute on the CPU."""
        if self._device in ("auto", "cpu"):
            return self._device
        from apiece.predict import resolve_device

        return str(resolve_device(self._device))

    def session(self, image: One) -> Session:
        """Return a session on one image."""
        if isinstance(image, str | os.PathLike):
            image = read_image(Path(image))
        return Session(image if isinstance(image, Image) else Image(np.asarray(image)), self)


class Session:
    """Ask about one image. It is embedded at the first question, and every further answer costs little.

    Attributes
    ----------
    image : the `Image`.

    Examples
    --------
    >>> session = apiece.prompt("photo.png", backend="watershed")
    >>> first = session.points([(7, 5)])
    >>> second = session.points([(7, 5), (11, 7)], positive=[True, False], masks=first.masks)
    >>> second.attributes["prompt"][0]["points"]
    [[7.0, 5.0, 1], [11.0, 7.0, 0]]
    """

    image: Image

    def __init__(self, image: Image, prompter: Prompter) -> None:
        self.image, self._prompter = image, prompter
        self._embeddings: dict[str, Embedding] = {}

    def __repr__(self) -> str:
        return f"Session({self.image!r})"

    def points(
        self,
        points: npt.ArrayLike,
        positive: npt.ArrayLike | None = None,
        objects: npt.ArrayLike | None = None,
        *,
        boxes: npt.ArrayLike | None = None,
        masks: Masks | None = None,
    ) -> Instances:
        """Return one instance per object that points lie on; parameters as for `Prompts.of`."""
        return self.ask(Prompts.of(points, positive, objects, boxes, masks))

    def box(self, boxes: npt.ArrayLike) -> Instances:
        """Return one instance per box, half-open x0, y0, x1, y1 in pixels: shape (4,) or (N, 4)."""
        return self.ask(Prompts.of(boxes=boxes))

    def ask(self, prompts: Prompts) -> Instances:
        """Return one instance per object, in the order of the prompts; its mask is empty where nothing was found.

        The instances are of the class "object". They have the prompt as the attribute ``prompt``, as
        `Prompts.to_json` gives it with the backend's name, and the backend's guess of the IoU as scores, if it makes
        one.

        Raises
        ------
        PromptError
            If a prompt does not fit the image, or the backend does not take it.
        """
        opened = self._prompter.segmenter
        fitting = prompts.on(self.image.size)
        unable = opened.backend.unable(fitting)
        if unable:
            takes = ", ".join(sorted(opened.backend.takes))
            raise PromptError(f"{opened.name} takes no {unable}, but {takes}; choose with " + Option("backend", ...))
        if not len(prompts):
            return Instances.empty(self.image.size)
        answer = opened.answers.answer(self._embedded(opened), fitting)
        told = _column([{**entry, "backend": opened.name} for entry in prompts.to_json()])
        return Instances(answer.masks, scores=answer.scores, attributes={"prompt": told})

    def text(self, *texts: str, conf: float | None = None) -> Instances:
        """Return all instances of what each text names, best first; the texts are the classes.

        A model that finds masks itself does so. Of one that finds boxes, the backend for boxes makes masks. One that
        only scores masks chooses among everything.

        Parameters
        ----------
        texts : such as ``"red bolt"``.
        conf : lowest score, 0 to 1 (default: the model's own).

        Raises
        ------
        PromptError
            If no model that reads words was named, or a text is empty.
        """
        words, opened = Words(texts), self._prompter.reader
        least = opened.backend.conf if conf is None else conf
        if not 0 <= least <= 1:
            raise ConfigError(Option("conf") + f" must be from 0 to 1, got {conf}")
        if opened.backend.gives == "masks":
            found = opened.answers.read(self._embedded(opened), words, least)
        elif opened.backend.gives == "boxes":
            boxes, labels, scores = opened.answers.boxes(self.image, words, least)
            found = self._of_boxes(boxes, labels, scores, words)
        else:
            found = self._chosen(opened.answers.score, words, least)
        told = _column([{"text": found.classes[label], "backend": opened.name} for label in found.labels.tolist()])
        found = found.replace(attributes={"prompt": told})
        return found[np.argsort(-np.asarray(found.scores), kind="stable")]

    def _of_boxes(self, boxes: Array, labels: Array, scores: Array, words: Words) -> Instances:
        """Return the masks that the segmenter gives for boxes."""
        if not len(boxes):
            return Instances.empty(self.image.size, words.texts, scored=True)
        height, width = self.image.size
        masks = self.ask(Prompts.of(boxes=np.clip(boxes, 0, [width, height, width, height]))).masks
        found = Instances(masks, labels, words.texts, scores)[masks.area > 0]
        return found[nms(found.masks, np.asarray(found.scores), found.labels, _DUPLICATE)]

    def _chosen(self, score: Callable[..., Array], words: Words, least: float) -> Instances:
        """Return those of all objects that a word fits, each with its best word."""
        masks = self.everything().masks
        chances = score(self.image, masks, words) if len(masks) else np.zeros((0, len(words.texts)))
        labels, best = chances.argmax(1), chances.max(1, initial=0)
        return Instances(masks, labels, words.texts, best)[best >= least]

    def everything(
        self, settings: Everything | None = None, progress: Callable[[int, int], None] | None = None
    ) -> Instances:
        """Return every object, without classes, best first; without weights, those that the default model finds.

        Parameters
        ----------
        settings : the grid of points, and which masks stay, for networks that are asked with points.
        progress : called with how many points are done, and how many there are.

        Raises
        ------
        PromptError
            If the backend proposes no objects by itself.
        """
        opened = self._prompter.segmenter
        if opened.backend.finds:
            found: Instances = opened.answers.find_all(self._embedded(opened))
            return found
        if not opened.backend.proposes:
            raise PromptError(
                f"{opened.name} finds no objects by itself: point at them, choose " + Option("backend", "click")
                + ", or name weights of SAM with " + Option("weights", ...)
            )  # fmt: skip
        settings, progress = settings or Everything(), progress or (lambda done, total: None)
        return everything(opened.answers, self._embedded(opened), settings, progress)

    def embed(self) -> None:
        """Embed the image for points and boxes, if it is not embedded yet."""
        self._embedded(self._prompter.segmenter)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the embedding into a folder, for `prompt` to find it there again; return the file.

        Raises
        ------
        ConfigError
            If the backend computes nothing that is worth saving.
        """
        opened = self._prompter.segmenter
        if not opened.weights:
            raise ConfigError(
                f"{opened.name} has no embedding to save, as it looks at the pixels themselves; choose "
                + Option("backend", "click")
                + ", or name a network with "
                + Option("weights", ...)
            )
        return room.save_embedding(Path(folder), self._embedded(opened), self.image, opened)

    def _embedded(self, opened: Opened) -> Embedding:
        if opened.name not in self._embeddings:
            folder = self._prompter.embeddings
            saved = room.load_embedding(folder, self.image, opened) if folder is not None and opened.weights else None
            self._embeddings[opened.name] = saved or opened.answers.embed(self.image)
        return self._embeddings[opened.name]


def _column(values: list[dict[str, Any]]) -> Array:
    """Return mappings as a column of attributes."""
    column = np.empty(len(values), object)
    column[:] = values
    return column
