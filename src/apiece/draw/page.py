"""What every page is made of: a frame of one file that loads nothing, and pictures within it."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape
from importlib import resources
from typing import Literal

import cv2
import numpy as np

from apiece._arrays import UInt8
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.draw._overlay import to_display

__all__ = ["data_uri", "html_page", "picture", "scaled"]


def html_page(
    title: str,
    subtitle: str,
    headline: Sequence[tuple[str, str]],
    sections: Sequence[tuple[str, str, str]],
    style: str = "",
) -> str:
    """Return a whole page, in light and dark, on screen and on paper.

    Parameters
    ----------
    title, subtitle : text, escaped here.
    headline : the few numbers that matter most, (value, what it is), escaped here.
    sections : (anchor, heading, HTML), which are not escaped.
    style : CSS beyond that of all pages.
    """
    cards = "".join(f"<li><b>{escape(v)}</b><span>{escape(k)}</span></li>" for v, k in headline)
    links = "".join(f'<a href="#{anchor}">{heading}</a>' for anchor, heading, _ in sections)
    body = "".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-h"><h2 id="{anchor}-h">{heading}</h2>{html}</section>'
        for anchor, heading, html in sections
    )
    common = resources.files("apiece.draw").joinpath("report.css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="generator" content="apiece">'
        f"<title>{escape(title)}</title><style>{common}{style}</style></head><body>"
        f'<header><h1>{escape(title)}</h1><p class="subtitle">{escape(subtitle)}</p>'
        f'<ul class="headline">{cards}</ul><nav aria-label="Sections">{links}</nav></header>'
        f"<main>{body}</main></body></html>\n"
    )


def scaled(image: Image, instances: Instances, factor: float) -> tuple[Image, Instances]:
    """Return both resized, to be looked at: outlines are smoothed, what gets too thin for a pixel may vanish."""
    height, width = image.size
    size = max(round(height * factor), 1), max(round(width * factor), 1)
    method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    shown = cv2.resize(to_display(image), size[::-1], interpolation=method)
    fx, fy = size[1] / width, size[0] / height

    def resized(masks: Masks) -> Masks:
        crops, corners = masks.to_crops()
        placed, where = [], []
        for crop, (x, y) in zip(crops, corners.tolist(), strict=True):
            h, w = crop.shape
            x0, y0 = math.floor(x * fx) - 1, math.floor(y * fy) - 1
            wide, high = math.ceil((x + w) * fx) + 1 - x0, math.ceil((y + h) * fy) + 1 - y0
            # centre of new pixel i lies at (i + 0.5 + x0) / fx - x - 0.5 in the crop
            move = np.array([[1 / fx, 0, (x0 + 0.5) / fx - x - 0.5], [0, 1 / fy, (y0 + 0.5) / fy - y - 0.5]])
            flags, source = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, crop.astype(np.float32)
            placed.append(cv2.warpAffine(source, move, (wide, high), flags=flags) >= 0.5 if crop.size else crop)
            where.append((x0, y0))
        return Masks.from_crops(placed, np.array(where, np.int64).reshape(-1, 2), size)

    return Image(shown), instances.with_masks(resized)


def picture(pixels: UInt8, alt: str, caption: str) -> str:
    """Return uint8 RGB (H, W, 3) as an HTML figure; ``alt`` is escaped here, ``caption`` is HTML."""
    image = f'<img src="{data_uri(pixels)}" loading="lazy" alt="{escape(alt)}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def data_uri(pixels: UInt8, kind: Literal["jpeg", "webp"] = "jpeg") -> str:
    """Return uint8 RGB (H, W, 3) as an address that a page holds itself.

    WebP takes less than half the bytes, but has colour at half the resolution: outlines need 3 pixels to keep theirs.
    """
    full = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    options = {"jpeg": [cv2.IMWRITE_JPEG_QUALITY, 86, *full], "webp": [cv2.IMWRITE_WEBP_QUALITY, 80]}
    done, data = cv2.imencode(f".{kind}", pixels[:, :, ::-1], options[kind])
    if not done:
        raise OSError(f"OpenCV could not encode an array of shape {pixels.shape}")
    return f"data:image/{kind};base64," + base64.b64encode(data.tobytes()).decode("ascii")
