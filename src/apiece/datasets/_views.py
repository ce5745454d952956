"""Label sets made of another one: `Subset`, and what views that change each record share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from apiece.core.image import ImageRef, Shape
from apiece.formats import LabelSet, Record
from apiece.formats.contract import Cut, in_pieces


@dataclass(frozen=True)
class View:
    """A `LabelSet` of the same images, each record as `seen` returns it; ``classes`` are up to the subclass."""

    labels: LabelSet
    """The original set."""

    @property
    def refs(self) -> tuple[ImageRef, ...]:
        """Every image, also images without a remaining instance."""
        return tuple(map(self.image, self.labels.refs))

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The original metadata, which refers to classes by name."""
        return self.labels.metadata

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Record:
        return self.seen(self.labels[index])

    def __iter__(self) -> Iterator[Record]:
        return map(self.seen, self.labels)

    def seen(self, record: Record) -> Record:
        """Return a record of the original set as this view has it."""
        return record

    def piece_by_piece(self) -> Iterator[Record]:
        """Yield pieces of the original set as this view has them, where `seen` needs no more than a piece."""
        before = now = None
        for ref, instances in in_pieces(self.labels):
            seen, found = self.seen((ref, instances))
            before, now = ref, (now if ref is before and now is not None else seen)  # pieces share one reference
            yield now, found

    def image(self, ref: ImageRef) -> ImageRef:
        """Return an image of the original set as this view has it."""
        return ref if not ref.shapes else replace(ref, shapes=tuple(self.shapes(ref.shapes)))

    def shapes(self, shapes: Iterable[Shape]) -> Iterable[Shape]:
        """Return what is no mask as this view has it."""
        return shapes


@dataclass(frozen=True)
class Subset(View):
    """Some images of a `LabelSet`, in the order of ``indices``."""

    indices: tuple[int, ...]
    """Positions in the original set."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the original set."""
        return self.labels.classes

    @cached_property
    def refs(self) -> tuple[ImageRef, ...]:
        """The chosen images."""
        refs = self.labels.refs
        return tuple(refs[i] for i in self.indices)

    @property
    def cut(self) -> Mapping[int, Sequence[Cut]]:
        """The outlines that were cut at the border, as `OpenedLabels.cut` has them."""
        cut: Mapping[int, Sequence[Cut]] = getattr(self.labels, "cut", {})
        return {k: cut[i] for k, i in enumerate(self.indices) if i in cut}

    @property
    def boxes_only(self) -> bool:
        """Whether these are boxes without masks."""
        return bool(getattr(self.labels, "boxes_only", False))

    def __getstate__(self) -> dict[str, Any]:
        # data-loader processes can make the references themselves
        return {k: v for k, v in self.__dict__.items() if k != "refs"}

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Record:
        return self.labels[self.indices[index]]

    def __iter__(self) -> Iterator[Record]:
        return (self.labels[i] for i in self.indices)
