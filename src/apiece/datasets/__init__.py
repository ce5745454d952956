"""Label files with their images: opened, divided, merged, converted, described; and synthetic scenes.

>>> from apiece.datasets import SceneConfig, scene
>>> scene(SceneConfig(size=(64, 64), objects=(3, 3), seed=1), 0).image.size
(64, 64)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy

if TYPE_CHECKING:
    from apiece.datasets._convert import convert
    from apiece.datasets._merge import Joined, SameImage, merge, together
    from apiece.datasets._split import class_counts, split, write_split
    from apiece.datasets._stuff import with_stuff
    from apiece.datasets._views import View
    from apiece.datasets.anything import AnythingConfig, any_scene
    from apiece.datasets.classes import Dropped, map_classes
    from apiece.datasets.dataset import (
        BadEntries,
        Dataset,
        FoundLabels,
        Subset,
        fingerprint,
        image_folders,
        open_data,
        open_sources,
        readable,
        sound,
    )
    from apiece.datasets.summary import Summary, summarise
    from apiece.datasets.synthetic import Scene, SceneConfig, SyntheticSet, scene, write_dataset
    from apiece.datasets.write import WriteOptions, Written, check_apart

__all__ = [
    "AnythingConfig",
    "BadEntries",
    "Dataset",
    "Dropped",
    "FoundLabels",
    "Joined",
    "SameImage",
    "Scene",
    "SceneConfig",
    "Subset",
    "Summary",
    "SyntheticSet",
    "View",
    "WriteOptions",
    "Written",
    "any_scene",
    "check_apart",
    "class_counts",
    "convert",
    "fingerprint",
    "image_folders",
    "map_classes",
    "merge",
    "open_data",
    "open_sources",
    "readable",
    "scene",
    "sound",
    "split",
    "summarise",
    "together",
    "with_stuff",
    "write_dataset",
    "write_split",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.datasets._convert": "convert",
            "apiece.datasets._merge": "Joined SameImage merge together",
            "apiece.datasets._split": "class_counts split write_split",
            "apiece.datasets._stuff": "with_stuff",
            "apiece.datasets._views": "View",
            "apiece.datasets.anything": "AnythingConfig any_scene",
            "apiece.datasets.classes": "Dropped map_classes",
            "apiece.datasets.dataset": "BadEntries Dataset FoundLabels Subset fingerprint image_folders open_data "
            "open_sources readable sound",
            "apiece.datasets.summary": "Summary summarise",
            "apiece.datasets.synthetic": "Scene SceneConfig SyntheticSet scene write_dataset",
            "apiece.datasets.write": "WriteOptions Written check_apart",
        },
    )
