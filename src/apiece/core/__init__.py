"""Masks, boxes, instances and images: what everything else stands on. NumPy and SciPy only."""

from apiece.core.image import Image, ImageRef, PixelSize
from apiece.core.instances import Instances
from apiece.core.masks import Masks

__all__ = ["Image", "ImageRef", "Instances", "Masks", "PixelSize"]
