"""Draw the picture of the page on clicks, boxes and words: three photos, what was asked, and what was answered.

    python docs/click_box_words.py

The photos are scikit-image's `coffee` (CC0), `chelsea` (CC0) and `coins` (no known copyright restrictions).
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from skimage import data

import apiece
from apiece.core.prompts import Prompts

ASKED = {
    "coffee": Prompts.of([(300, 220), (300, 120), (90, 60)], [1, 1, 0]),
    "chelsea": Prompts.of(boxes=[120, 20, 330, 290]),
    "coins": Prompts.of([(x, y) for x, y in ((42, 62), (95, 60), (150, 65), (200, 62))], objects=[0, 1, 2, 3]),
}
BACKENDS = ("click", "watershed", "grabcut")
HEIGHT = 220


def drawn(image: apiece.Image, prompts: Prompts, found: apiece.Instances | None) -> np.ndarray:
    """Return a picture with answers and prompts."""
    pixels = apiece.draw.overlay(image, found, names=False) if found else apiece.draw.to_display(image)
    for (x, y), positive in zip(prompts.points.astype(int).tolist(), prompts.positive.tolist(), strict=True):
        for colour, radius in ((255, 255, 255), 8), ((20, 160, 60) if positive else (220, 30, 30), 6):
            cv2.circle(pixels, (x, y), radius, colour, -1, cv2.LINE_AA)
    for box in prompts.boxes[prompts.boxed].astype(int).tolist():
        cv2.rectangle(pixels, box[:2], box[2:], (255, 255, 255), 3)
        cv2.rectangle(pixels, box[:2], box[2:], (20, 160, 60), 1)
    width = round(pixels.shape[1] * HEIGHT / pixels.shape[0])
    return cv2.resize(pixels, (width, HEIGHT), interpolation=cv2.INTER_AREA)


def main() -> None:
    rows = []
    for name, prompts in ASKED.items():
        image = apiece.Image(getattr(data, name)())
        answers = [apiece.prompt(image, backend=backend).ask(prompts) for backend in BACKENDS]
        rows.append(np.concatenate([drawn(image, prompts, found) for found in (None, *answers)], axis=1))
    widest = max(row.shape[1] for row in rows)
    page = [np.pad(row, ((0, 6), (0, widest - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    path = Path(__file__).parent / "pictures" / "click-box-words.jpg"
    cv2.imwrite(str(path), np.concatenate(page)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
