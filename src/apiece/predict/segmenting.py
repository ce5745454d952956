"""Prompts on files: the images of a run, each asked with its prompts, and what comes out written as files."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apiece.core.classes import in_classes
from apiece.core.instances import Instances
from apiece.core.prompts import Prompts, Words
from apiece.errors import DataError, ImageError, Message, Option, PromptError
from apiece.images import image_size
from apiece.predict.prompted import Prompter, Session
from apiece.predict.sources import Source, Sources, find_sources, unreadable
from apiece.predict.writing import PredictSummary, Progress, Result, Run, write_results
from apiece.prompts import Everything

__all__ = ["Question", "embed_to", "segment_to"]


@dataclass(frozen=True)
class Question:
    """Say what is asked of the images of a run.

    Attributes
    ----------
    prompts : points, boxes and masks of each image, by its name; those of ``""`` are for the one image of a run.
    texts : what to look for on every image, in words.
    conf : lowest score of what is found for words; None: the model's own.
    everything : how to look for every object; None: do not.
    """

    prompts: Mapping[str, Prompts] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    conf: float | None = None
    everything: Everything | None = None

    def __post_init__(self) -> None:
        if not (self.prompts or self.texts or self.everything):
            raise PromptError(
                Message(
                    "say what to segment: ", Option("point", "X,Y"), ", ", Option("box", "X0,Y0,X1,Y1"), ", ",
                    Option("points_file", "FILE"), ", ", Option("text", "WORDS"), " or ", Option("everything", True),
                )
            )  # fmt: skip
        if self.texts:
            object.__setattr__(self, "texts", Words(self.texts).texts)
        if "object" in self.texts and (self.prompts or self.everything):
            raise PromptError("'object' is what is pointed at; look for it in words in a run of its own")

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of what is found: the words, and "object" for what is found without words."""
        return (("object",) if self.prompts or self.everything else ()) + self.texts

    def of(self, sources: Sequence[Source]) -> dict[str, Prompts]:
        """Return the prompts of each source by its name, once it is sure that each belongs to one image."""
        names = [source.name for source in sources]
        if "" in self.prompts and len(names) != 1:
            raise PromptError(
                f"points and boxes belong to one image, and there are {len(names)}; put the prompts of several images "
                "into a file: " + Option("points_file", ...)
            )
        found = {name or names[0]: prompts for name, prompts in self.prompts.items()}
        strangers = [name for name in found if name not in names]
        if strangers:
            raise PromptError(f"there are prompts for {strangers[0]!r}, which is none of the {len(names)} images")
        return found

    def ask(self, session: Session, prompts: Prompts | None) -> Instances:
        """Return what is found on an image."""
        parts = []
        if prompts is not None:
            parts.append(session.ask(prompts))
        if self.everything:
            parts.append(session.everything(self.everything))
        if self.texts:
            parts.append(session.text(*self.texts, conf=self.conf))
        whole = [in_classes(part, self.classes) for part in parts]
        return Instances.concatenate(whole) if whole else Instances.empty(session.image.size, self.classes)


def segment_to(
    prompter: Prompter,
    sources: Sources,
    out: Path | str,
    question: Question,
    save: Sequence[str] = ("coco",),
    *,
    on_empty: Callable[[str, int], None] = lambda name, number: None,
    skip_bad: bool = False,
    overwrite: bool = False,
    allow_lossy: bool = False,
    page: int | None = None,
    progress: Progress | None = None,
) -> PredictSummary:
    """Ask of many images and save the answers under ``out``, as `predict_to` saves predictions.

    Prompts are checked on all images before the first is answered. Instances have their prompts as attributes, which
    COCO keeps.

    Parameters
    ----------
    on_empty : called with an image's name and the number, from 1, of an object that nothing was found for; it is left
        out.
    sources, out, save, skip_bad, overwrite, allow_lossy, page, progress : as for `predict_to`.

    Raises
    ------
    PromptError
        If prompts fit no image, or the backend does not take them; nothing is written.
    """
    listed = find_sources(sources, page=page)
    prompts = question.of(listed)
    _check(listed, prompts)

    def results(run: Run) -> Generator[Result]:
        for source in run.sources:
            try:
                session = prompter.session(source.read())
                answer = question.ask(session, prompts.get(source.name))
            except (ImageError, DataError) as error:
                run.leave_out(error)
                continue
            for number in (answer.masks.area == 0).nonzero()[0].tolist():
                on_empty(source.name, number + 1)
            yield source, session.image, answer[answer.masks.area > 0]

    return write_results(
        results, question.classes, "segmented by apiece", sources, out, save, skip_bad=skip_bad, overwrite=overwrite,
        allow_lossy=allow_lossy, page=page, progress=progress,
    )  # fmt: skip


def _check(sources: Sequence[Source], prompts: Mapping[str, Prompts]) -> None:
    """Refuse prompts that do not fit their image, by its header; an image that cannot be read is told later."""
    for source in sources:
        if source.name in prompts and source.path is not None:
            try:
                prompts[source.name].on(image_size(source.path, page=source.page))
            except PromptError as error:
                raise PromptError(Message(f"{source.name}, ", error.message)) from error
            except ImageError:
                continue


def embed_to(
    prompter: Prompter,
    sources: Sources,
    folder: Path | str,
    *,
    skip_bad: bool = False,
    page: int | None = None,
    progress: Progress = lambda done, total, name: None,
) -> list[Path]:
    """Embed images and save the embeddings in ``folder``, for later sessions; return the files.

    Parameters
    ----------
    sources, skip_bad, page, progress : as for `predict_to`.
    """
    listed, files, bad = find_sources(sources, page=page), [], []
    for done, source in enumerate(listed, 1):
        try:
            files.append(prompter.session(source.read()).save(folder))
        except (ImageError, DataError) as error:
            bad.append(error)
            if not skip_bad:
                raise unreadable(bad, len(listed)) from error
        progress(done, len(listed), source.name)
    if not files:
        raise unreadable(bad, len(listed))
    return files
