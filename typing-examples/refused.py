"""What mypy --strict and pyright must refuse: each line that ends in ``# refused``, and no other. Never run."""

import numpy as np

import apiece
from apiece.formats import Holds

found = apiece.Instances.from_label_map(np.eye(3, dtype=int))

apiece.train(modle="swift")  # refused
apiece.train("data/")  # refused
apiece.train(epochs="three")  # refused
apiece.train(balance="some")  # refused
apiece.training.TrainConfig(learning_rate=0.1)  # refused
apiece.load(3)  # refused
apiece.load("runs/bolts").predict("photo.jpg", confidence=0.5)  # refused
apiece.read_image("a.png", 0)  # refused
apiece.read(path=3)  # refused
apiece.write([found], "out.json")  # refused
apiece.write([("a.png", found)], "out.json", lossy=True)  # refused
apiece.evaluate("predictions.json", "val.json", metrics=3)  # refused
apiece.measure(found, pixel_size=0.5)  # refused
apiece.iou(np.eye(3), found)  # refused
apiece.formats.load(3)  # refused
apiece.formats.load("coco").holds.hole  # refused
apiece.models.load("swift").strides  # refused
apiece.Maskss  # refused
found.maskes  # refused
found.scores[0]  # refused
Holds(hole=True)  # refused
