"""Factors from labels: intervals of lengths and areas then hold the sizes of objects that were not among them."""

from __future__ import annotations

import numpy as np
import pytest

from apiece import Instances, Masks
from apiece.errors import ConfigError
from apiece.measurements import EdgeFit, Table, measure
from apiece.measurements.contract import edges

LENGTHS = ("feret_max", "feret_min", "rect_length", "rect_width", "major_axis", "minor_axis")


def image(rng: np.random.Generator) -> tuple[Instances, Instances]:
    """Return 24 labelled ellipses, and what a model finds: softer edges are further off."""
    y, x = np.mgrid[:80, :80] + 0.5
    true, found, soft = [], [], []
    for _ in range(24):
        (a, b), turn = rng.uniform(10, 25, 2), rng.uniform(0, np.pi)
        cx, cy = 40 + rng.uniform(-2, 2, 2)
        u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        true.append(np.hypot(u / a, v / b) <= 1)
        soft.append(np.exp(rng.normal(-1.5, 0.5)))
        # an outline that is off as a whole, and here more than there
        around, off = np.arctan2(v, u), rng.normal(0, 3 * soft[-1], 4)
        wave = off[0] / 2 + off[1] * np.cos(2 * around) + off[2] * np.sin(2 * around) + off[3] * np.cos(3 * around)
        found.append(np.hypot(u / (a + wave), v / (b + wave)) <= 1)
    edge = {"edge": np.array(soft)}
    places = np.stack(np.divmod(np.arange(24), 4), 1) * 80  # none lies on another
    one, other = (Masks.from_crops(crops, places, (320, 480)) for crops in (true, found))
    return Instances(one), Instances(other, attributes=edge)


def held(truth: Table, found: Table, name: str) -> np.ndarray:
    return np.asarray(abs(found[name] - truth[name]) <= found[f"{name}_u95"])


def test_intervals_hold_what_was_not_learned_from() -> None:
    rng, fit = np.random.default_rng(0), EdgeFit()
    for _ in range(40):
        truth, found = image(rng)
        fit.add(truth, found)
    assert fit.factors is not None
    (point, mean), hits = fit.factors, {name: [] for name in (*LENGTHS, "area")}
    raw = []
    for _ in range(40):
        truth, found = image(rng)
        soft = found.attributes["edge"]
        sure = found.replace(attributes={"edge": point * soft, "edge_mean": mean * soft})
        tables = [measure(one, uncertainty=True, properties=list(hits)) for one in (truth, sure, found)]
        for name, so_far in hits.items():
            so_far.append(held(tables[0], tables[1], name))
        raw.append(held(tables[0], tables[2], "area"))
    shares = {name: np.concatenate(found).mean() for name, found in hits.items()}
    assert 0.93 <= shares["area"] <= 0.97
    # one factor for six lengths that follow the same outlines: of 960 objects it is known to about 1%
    assert 0.92 <= np.mean([shares[name] for name in LENGTHS]) <= 0.97
    assert np.concatenate(raw).mean() < 0.85  # softness alone, without the factors


def test_too_few_objects_and_what_is_no_match() -> None:
    truth, found = image(np.random.default_rng(1))
    fit = EdgeFit()
    fit.add(truth, found)
    assert (len(fit), fit.factors) == (24, None)
    fit.add(truth.replace(crowd=np.ones(24, bool)), found)
    fit.add(truth, found.with_masks(lambda masks: masks.shift(40, 0)))
    fit.add(truth.replace(classes=("a", "b")), found.replace(labels=np.ones(24, int), classes=("a", "b")))
    fit.add(Instances.empty((320, 480)), found)
    fit.add(truth, Instances.empty((320, 480)).replace(attributes={"edge": np.zeros(0)}))
    assert len(fit) == 24


def test_an_outline_as_a_whole_counts_for_areas_and_at_one_place_for_lengths() -> None:
    masks = Masks.from_boxes([[10, 10, 50, 20]], (60, 60))

    def wide(**attributes: float) -> Table:
        found = Instances(masks, attributes={name: np.array([value]) for name, value in attributes.items()})
        return measure(found, uncertainty=True, properties=["area", "feret_max"])

    both, one = wide(edge=2.0, edge_mean=0.5), wide(edge=2.0)
    assert both["feret_max_u95"] == one["feret_max_u95"]
    assert both["area_u95"] == wide(edge=0.5)["area_u95"] < one["area_u95"]
    # an object of which nothing is known, such as one that was drawn by hand
    assert edges(Instances(masks, attributes={"edge": np.array([np.nan])}), 0.25).mean.tolist() == [0.25]
    with pytest.raises(ConfigError, match="'edge_mean' is a distance"):
        wide(edge_mean=-1.0)
