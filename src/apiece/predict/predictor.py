"""A trained model at work: images in, `Instances` out."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, overload

from apiece._arrays import Array
from apiece.core.conf import Conf, thresholds
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.errors import ConfigError, DataError, Option
from apiece.images import MAX_PIXELS, Moment, VideoOptions
from apiece.models import ExportedModel, check_model, exported_model
from apiece.models.contract import DecodeOptions
from apiece.predict.footage import footage
from apiece.predict.pipeline import Computed, Pipeline
from apiece.predict.runtime import runtime_of
from apiece.predict.sources import ArrayLike, Bad, OnBad, Source, Sources, is_array, iter_sources

if TYPE_CHECKING:
    from apiece.models import LoadedModel
    from apiece.track import Tracker

__all__ = ["Model", "load"]

_log = logging.getLogger("apiece")
LOW = 0.2
"""Share of a threshold down to which a detection may continue a track."""

One: TypeAlias = Image | Array | ArrayLike | str | os.PathLike[str]


def load(model: str | os.PathLike[str] = "default", device: str = "auto") -> Model:
    """Load a trained or exported model, or published weights, ready to predict; no code in the files is run.

    Parameters
    ----------
    model : model folder, as ``apiece train`` writes it: ``model.json`` and ``model.safetensors``; or a folder of
        ``apiece export``, which needs no torch; or published weights:
        ``"torchvision:maskrcnn_resnet50_fpn_v2"``, ``"hf:org/name"``, a folder as transformers writes it. They are
        taken from the library's cache, else fetched. Their classes, thresholds and image sizes come with them. By
        default the model that comes with apiece, which finds objects of any kind, all of the class ``object``.
    device : ``"auto"`` (a CUDA device if there is one, else CPU), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"`` ...

    Returns
    -------
    A `Model`.

    Raises
    ------
    ModelFileError
        If a file is missing or damaged, needs another version of apiece, or is a link that leads out of the folder; or
        if weights cannot be fetched (says which file to put where).
    ConfigError, UnknownNameError
        If the device cannot be used, or nothing has this name.

    Examples
    --------
    >>> apiece.load(device="cpu")  # doctest: +SKIP
    Model(swift, classes=('object',), device='cpu')
    >>> model = apiece.load("runs/bolts")  # doctest: +SKIP
    >>> model.predict("photo.jpg", conf=0.5)  # doctest: +SKIP
    Instances(12 on 480 x 640: 9 bolt, 3 nut)
    """
    check_model(os.fspath(model))
    if (exported := exported_model(os.fspath(model))) is not None:
        return Model(exported, device)
    from apiece.models import open_model  # needs torch

    return Model(open_model(os.fspath(model)), device)


class Model:
    """Predict with a trained model. The same images in the same batches give the same instances, each time.

    Attributes
    ----------
    loaded : what the model folder holds: architecture, settings, provenance, metrics.
    runtime : what computes the network.
    device : where the network runs.
    classes : class names; labels index into them.
    thresholds : lowest score kept, one per class, as chosen when the model was trained; None if none were.
    """

    def __init__(self, loaded: LoadedModel | ExportedModel, device: str = "auto") -> None:
        self.loaded = loaded
        self.runtime = runtime_of(loaded, device)
        self.device = self.runtime.device
        self._pipeline = Pipeline(loaded, self.runtime)
        if isinstance(loaded, ExportedModel) and loaded.graph.unequal:
            _log.warning("this exported model does not answer as its original: %s", loaded.graph.unequal)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; labels index into them."""
        return self.loaded.classes

    @property
    def thresholds(self) -> tuple[float, ...] | None:
        """Lowest score kept, one per class, as chosen when the model was trained; None if none were."""
        return self.loaded.thresholds

    def __repr__(self) -> str:
        return f"Model({self.loaded.name}, classes={self.classes}, device={str(self.device)!r})"

    @overload  # a str is a sequence of str to a type checker; here it is a path
    def predict(  # type: ignore[overload-overlap]
        self,
        image: One,
        *,
        conf: Conf | None = ...,
        iou: float | None = ...,
        max_instances: int | None = ...,
        edges: bool = ...,
    ) -> Instances: ...
    @overload
    def predict(
        self,
        image: Sequence[One],
        *,
        conf: Conf | None = ...,
        iou: float | None = ...,
        max_instances: int | None = ...,
        edges: bool = ...,
    ) -> list[Instances]: ...
    def predict(
        self,
        image: One | Sequence[One],
        *,
        conf: Conf | None = None,
        iou: float | None = None,
        max_instances: int | None = None,
        edges: bool = False,
    ) -> Instances | list[Instances]:
        """Return the instances of one image, or a list of them for a list of images; best scores first.

        Parameters
        ----------
        image : an `Image`, an array (height, width) or (height, width, channels), an image of Pillow, a path, or a
            sequence of these. For folders, globs and more images than fit in memory there is `stream`.
        conf : lowest score kept, 0 to 1, see `apiece.core.conf`; a mapping sets it for the classes it names (default:
            the model folder's).
        iou : overlap above which the lower-scoring of two instances of a class is a duplicate (default 0.5).
        max_instances : most instances per image (default: no limit).
        edges : give instances the attributes ``edge`` and ``edge_mean``, how far outlines may be off (95%, in pixels),
            for `apiece.measure` and rules (default False). It needs a model that was trained, or got its thresholds,
            on 40 objects or more, of an architecture with soft masks; others give none.

        Returns
        -------
        `Instances` of the image's own size, with scores; a list of them for a sequence.

        Raises
        ------
        ImageError, DataError
            If a file cannot be read, or the channels of a file or an array do not fit the model.

        Examples
        --------
        >>> found = model.predict("photo.jpg", conf={"bolt": 0.7})  # doctest: +SKIP
        >>> found.masks.area, found.names, found.scores  # doctest: +SKIP
        """
        options = self.options(conf, iou, max_instances, edges)
        if isinstance(image, str | os.PathLike | Image) or not isinstance(image, Iterable) or is_array(image):
            return self._pipeline.at(_source(image), [options])[0]
        return [self._pipeline.at(_source(item), [options])[0] for item in image]

    def predict_batch(self, images: Sequence[Image], options: DecodeOptions) -> list[Instances]:
        """Return the instances of images in memory; those of one size that follow each other go through together."""
        return self.decode(self.compute(images), options)

    def compute(self, images: Sequence[Image]) -> list[Computed]:
        """Return what the network says of images in memory: the first half of `predict_batch`."""
        return self._pipeline.computed(_source(image) for image in images)

    def decode(self, computed: Sequence[Computed], options: DecodeOptions) -> list[Instances]:
        """Return the instances of what `compute` gave, in the order of its images; may run in another thread."""
        return self._pipeline.decoded(computed, options)

    def predict_at(self, image: One, confs: Sequence[Conf | None]) -> list[Instances]:
        """Return what `predict` gives at each of several ``conf``, for one pass through the network."""
        return self._pipeline.at(_source(image), [self.options(conf) for conf in confs])

    def stream(
        self,
        sources: Sources,
        *,
        batch: int = 1,
        skip_bad: bool = False,
        on_bad: OnBad | None = None,
        conf: Conf | None = None,
        iou: float | None = None,
        max_instances: int | None = None,
        edges: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[tuple[Image, Instances]]:
        """Yield the instances of many images, in order, in constant memory; the next images are read meanwhile.

        Parameters
        ----------
        sources : a file, folder, glob, array, `Image`, several of these, or an iterator of them that may never end.
        batch : images of one size that go through the network together (default 1).
        skip_bad : leave out images that cannot be read, with a warning that names each; otherwise the first of them
            raises.
        on_bad : called with the error of each image left out, in place of the warning.
        conf, iou, max_instances, edges : as for `predict`.
        max_pixels : as for `apiece.images.read_image`.

        Yields
        ------
        ``(image, instances)``; the image has its path.

        Raises
        ------
        ImageError, DataError
            If an image is bad, or a folder has none.

        Examples
        --------
        >>> for image, found in model.stream("line/*.png", batch=4, skip_bad=True):  # doctest: +SKIP
        ...     print(image.path.name, len(found))
        """
        options = self.options(conf, iou, max_instances, edges)
        bad = on_bad if on_bad is not None else _warn
        found = self.results(iter_sources(sources), batch, options, max_pixels, bad if skip_bad else None)
        return ((image, instances) for _, image, instances in found)

    def track(
        self,
        source: Sources,
        *,
        tracker: Tracker | str = "masks",
        fill: int = 5,
        options: VideoOptions | None = None,
        conf: Conf | None = None,
    ) -> Iterator[tuple[Moment, Instances]]:
        """Yield the frames of a video with its objects, each with an id that lasts; in constant memory.

        Parameters
        ----------
        source : a video file, a camera or stream (``rtsp://``, ``camera:0``), a folder or pattern of frames, a stack,
            or an iterator of arrays or `Image` s that may never end.
        tracker : a tracker's name, or one that `apiece.track.start` gave.
        fill : as for `apiece.track.follow`: frames come out so many frames late. 0 fills nothing.
        options : which frames, how long, and what to do when a stream is lost, see `apiece.images.VideoOptions`.
        conf : as for `predict`; a fifth of it still continues a track.

        Yields
        ------
        ``(moment, instances)``: `apiece.images.Moment` with pixels, number and time; instances with ``ids``.

        Raises
        ------
        ImageError, DataError
            If the video cannot be read.

        Examples
        --------
        >>> for moment, tracked in model.track("line.mp4"):  # doctest: +SKIP
        ...     print(moment.seconds, tracked.ids)
        """
        from apiece.track import follow, start

        sure = thresholds(conf, self.classes, self.thresholds or DecodeOptions().conf)
        if isinstance(tracker, str):
            tracker = start(tracker, {"sure": float(sure.min())})
        low = self.options(dict(zip(self.classes, (LOW * sure).tolist(), strict=True)))
        found = self.results(footage(source, options), 1, low, MAX_PIXELS, None)
        moments = (
            (Moment(image, k if frame.page is None else frame.page, frame.seconds or 0.0), instances)
            for k, (frame, image, instances) in enumerate(found)
        )
        return follow(moments, tracker, fill=fill)

    def predict_tiled(
        self,
        image: One,
        *,
        tile: int = 1024,
        halo: int | None = None,
        pixel_size: str | None = None,
        batch: int = 1,
        conf: Conf | None = None,
        iou: float | None = None,
    ) -> Iterator[Instances]:
        """Yield the objects of an image of any size, tile by tile in constant memory: each object whole, and once.

        Parameters
        ----------
        image : an `Image`, an array, or a path. Of a tiled or striped TIFF only one tile's pixels are read at a time.
        tile : side of a tile in pixels of the image (default 1024), about as large as the images it learned from.
        halo : least distance from what a tile answers for to its border (default: from the sizes of the objects that
            the model learned, or else an eighth of the tile).
        pixel_size : predict at the scale that the model learned: the image's pixel size, such as ``"0.25 um"``, or
            ``"auto"`` for the one that it states (default: pixels are taken as they are). ``tile`` and ``halo`` then
            count pixels of that scale.
        batch : tiles that go through the network together (default 1).
        conf, iou : as for `predict`.

        Yields
        ------
        `Instances` of the whole image's size: the objects that each row of tiles completes, see `apiece.ops.stitch`.

        Raises
        ------
        ImageError, DataError, ConfigError
            As `predict`; if the halos leave nothing of a tile; or if a pixel size is needed and not stated.

        Examples
        --------
        >>> for found in model.predict_tiled("slide.svs", tile=1024):  # doctest: +SKIP
        ...     areas.extend(found.masks.area)
        """
        from apiece.predict.tiles import Tiling, open_large

        options = self.options(conf, iou)
        with open_large(_source(image), self, Tiling(tile, halo, pixel_size=pixel_size)) as large:
            for found in large.found(self, self.classes, options, batch=batch):
                yield options.finished(found)

    def results(
        self,
        sources: Iterable[Source],
        batch: int,
        options: DecodeOptions,
        max_pixels: int,
        on_bad: OnBad | None,
        beside: bool = False,
    ) -> Generator[tuple[Source, Image, Instances]]:
        """Yield each source with its image and instances; without ``on_bad``, a bad image raises.

        With ``beside``, the network is ahead by one batch, in a thread of its own.
        """
        if batch < 1:
            raise ConfigError(Option("batch") + f" must be at least 1, got {batch}")
        return self._pipeline.results(sources, batch, options, max_pixels, on_bad, beside)

    def options(
        self, conf: Conf | None = None, iou: float | None = None, max_instances: int | None = None, edges: bool = False
    ) -> DecodeOptions:
        """Return what decides which instances are kept; an argument that is None comes from the model folder.

        Raises
        ------
        ConfigError, UnknownNameError
            If a value lies outside its range, or the model does not know a class.
        """
        default = DecodeOptions()
        own = tuple(thresholds(conf, self.classes, self.loaded.thresholds or default.conf).tolist())
        if not all(0 <= value <= 1 for value in own):
            raise ConfigError(Option("conf") + f" must be from 0 to 1, got {conf}")
        if iou is not None and not 0 < iou <= 1:
            raise ConfigError(Option("iou") + f" must be above 0 and at most 1, got {iou}")
        if max_instances is not None and max_instances < 1:
            raise ConfigError(Option("max_instances") + f" must be at least 1, got {max_instances}")
        overlap = default.iou if iou is None else float(iou)
        known = self.loaded.edges if edges else None
        return DecodeOptions(own, overlap, max_instances, self.loaded.one_piece, known)


def _warn(error: Bad) -> None:
    _log.warning("left out: %s", error)


def _source(image: One) -> Source:
    if isinstance(image, str | os.PathLike):
        return Source(Path(image).name, Path(image))
    if isinstance(image, Image) or is_array(image):
        return next(iter_sources(image))
    raise DataError(f"cannot predict on {type(image).__name__}; give a path, an array or an Image")
