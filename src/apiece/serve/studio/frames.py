"""Videos as folders of images: what the studio shows is always an image, and a frame is one, too."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from apiece.images import is_video, open_video, write_image

__all__ = ["frames_of"]


def frames_of(video: Path, out: Path, wrote: Callable[[int], None] = lambda count: None) -> Path:
    """Write the frames of a video as PNGs, once, and return the folder that they are in; any other path as it is.

    Frames are named as `apiece track` names them, ``line.mp4/000012.png``: labels that name frames find them.

    Parameters
    ----------
    out : folder that keeps the frames. They are written again only if the video has another size or time.
    wrote : called with the number of frames, while they are written.

    Raises
    ------
    ImageError
        If the video cannot be read to its end.
    MissingExtraError
        If PyAV is not installed (``apiece[video]``).
    """
    if not is_video(video):
        return video
    place = hashlib.sha256(str(video.absolute()).encode()).hexdigest()[:8]  # videos of two folders may share a name
    root = out / f"{video.stem}-{place}"
    folder, partial, stamp = root / video.name, root.with_name(f"{root.name}.part"), root / "written-from.txt"
    state = f"{video.stat().st_size} {video.stat().st_mtime_ns}\n"
    if folder.is_dir() and stamp.is_file() and stamp.read_text() == state:
        return root
    stamp.unlink(missing_ok=True)
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    with closing(open_video(video)) as moments:
        for moment in moments:
            write_image(partial / f"{moment.number:06d}.png", moment.image.pixels)
            wrote(moment.number + 1)
    root.mkdir(exist_ok=True)
    partial.rename(folder)
    stamp.write_text(state)
    return root
