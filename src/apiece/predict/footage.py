"""Where frames come from: videos, cameras, streams, folders of frames, stacks. One `Source` after another."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from apiece.core.image import ImageRef
from apiece.errors import ConfigError, DataError, Option
from apiece.images import VIDEO_SUFFIXES, VideoOptions, is_stream, is_video, open_video, page_count
from apiece.predict.sources import OnBad, Source, Sources, find_sources, iter_sources

__all__ = ["FPS", "footage", "ref_of"]

FPS = 25.0
"""Frames a second of folders and stacks, which state no times."""


def footage(
    sources: Sources,
    options: VideoOptions | None = None,
    *,
    fps: float = FPS,
    exclude: Sequence[Path] = (),
    on_bad: OnBad | None = None,
    dropped: Callable[[int], None] = lambda count: None,
) -> Iterator[Source]:
    """Yield the frames of videos, one after another, in constant memory; ``seconds`` says when each is shown.

    Parameters
    ----------
    sources : video files, addresses of streams, ``camera:0``, folders of frames (or of videos), patterns, stacks,
        arrays, `Image` s, or an iterator of these that may never end.
    options, on_bad, dropped : as for `apiece.images.open_video`.
    fps : frames a second of folders, stacks and arrays.
    exclude : folders whose files are not taken: where results go.

    Yields
    ------
    Each frame: named ``line.mp4/000012.png`` after its video and number, or as its file is; ``page`` is the number.

    Raises
    ------
    ImageError, DataError, ConfigError
        As `open_video` and `find_sources`.
    """
    options = options or VideoOptions()
    if not fps > 0:
        raise ConfigError(Option("fps") + f" is more than 0 frames a second, got {fps:g}")
    for moving, group in itertools.groupby(_each(sources), _is_moving):
        if moving:
            for source in group:
                yield from _video(str(source), options, on_bad, dropped)
        else:
            yield from _stills(group, options, fps, exclude)


def ref_of(source: Source, size: tuple[int, int]) -> ImageRef:
    """Return the reference of a frame, with the time when it is shown."""
    attributes = {} if source.seconds is None else {"seconds": round(source.seconds, 6)}
    return ImageRef(source.path or Path(source.name), source.name, size, attributes=attributes, page=source.page)


def _each(sources: Any) -> Iterator[Any]:
    """Yield the sources that were named; the videos of a folder that holds no images one by one."""
    several = not isinstance(sources, str | os.PathLike | Source) and isinstance(sources, Iterable)
    for source in (
        sources if several and not hasattr(sources, "shape") and not hasattr(sources, "pixels") else [sources]
    ):
        path = Path(source) if isinstance(source, str | os.PathLike) else None
        videos = sorted(p for p in path.iterdir() if is_video(p)) if path is not None and path.is_dir() else []
        if videos and not _holds_images(path):
            yield from videos
        elif path is not None and not path.exists() and path.suffix.lower() in VIDEO_SUFFIXES and "*" in path.name:
            yield from sorted(p for p in path.parent.glob(path.name) if is_video(p))
        else:
            yield source


def _holds_images(folder: Path | None) -> bool:
    try:
        find_sources(str(folder))
    except DataError:
        return False
    return True


def _is_moving(source: Any) -> bool:
    """Whether a source is a video or a stream."""
    if not isinstance(source, str | os.PathLike):
        return False
    path = Path(source)
    return is_stream(os.fspath(source)) or is_video(path) or path.suffix.lower() in VIDEO_SUFFIXES


def _video(
    source: str, options: VideoOptions, on_bad: OnBad | None, dropped: Callable[[int], None]
) -> Iterator[Source]:
    live = is_stream(source)
    name = "stream" if live else Path(source).name
    path = None if live else Path(source)
    with closing(open_video(source, options, on_bad=on_bad, dropped=dropped)) as moments:
        for moment in moments:
            own = f"{name}/{moment.number:06d}.png"
            yield Source(own, path, moment.image, page=moment.number, seconds=moment.seconds)


def _stills(group: Iterator[Any], options: VideoOptions, fps: float, exclude: Sequence[Path]) -> Iterator[Source]:
    """Yield frames that are images: each folder, each stack is a video of its own."""
    named: list[Any] = []
    for source in group:
        if not isinstance(source, str | os.PathLike):  # an iterator, such as of a camera, never becomes a list
            given = iter_sources(itertools.chain([source], group))
            yield from _numbered(itertools.chain(_files(named, exclude), given), options, fps)
            return
        named.append(source)
    yield from _numbered(_files(named, exclude), options, fps)


def _files(named: list[Any], exclude: Sequence[Path]) -> Iterator[Source]:
    for source in find_sources(named, exclude=exclude) if named else ():
        pages = 1
        if source.path is not None and source.image is None and source.path.suffix.lower() in (".tif", ".tiff"):
            pages = page_count(source.path)
        if pages == 1:
            yield source
        else:
            yield from (replace(source, name=f"{source.name}/{k:06d}.png", page=k) for k in range(pages))


def _numbered(sources: Iterable[Source], options: VideoOptions, fps: float) -> Iterator[Source]:
    for _, frames in itertools.groupby(sources, lambda source: source.name.rpartition("/")[0]):
        for number, source in enumerate(frames):
            seconds = number / fps
            if options.duration is not None and seconds >= options.duration:
                break
            if number % options.every == 0:
                yield replace(source, seconds=seconds)
