"""A `Drift` as text for a Prometheus server."""

from __future__ import annotations

import math

from apiece.monitor._drift import Drift


def to_prometheus(drift: Drift, labels: dict[str, str] | None = None) -> str:
    """Return gauges in Prometheus' text format 0.0.4, for a file that its node exporter collects.

    Parameters
    ----------
    labels : put on every gauge: ``{"model": "bolts", "line": "3"}``.
    """
    common = dict(labels or {})
    lines: list[str] = []

    def gauge(name: str, summary: str, rows: list[tuple[dict[str, str], float]]) -> None:
        lines.append(f"# HELP {name} {summary}")
        lines.append(f"# TYPE {name} gauge")
        for own, value in rows:
            if math.isfinite(value):
                keys = ",".join(f'{k}="{_escaped(v)}"' for k, v in {**common, **own}.items())
                lines.append(f"{name}{{{keys}}} {value:.9g}" if keys else f"{name} {value:.9g}")

    gauge("apiece_drift_alarm", "1 if any test gives an alarm.", [({}, float(drift.alarm))])
    sides = [({"side": side}, float(n)) for side, n in zip(("baseline", "now"), drift.images, strict=True)]
    gauge("apiece_drift_images", "Images compared.", sides)
    gauge("apiece_drift_p", "P-value after correction, by test.", [({"test": t.name}, t.adjusted) for t in drift.tests])
    values = [
        ({"test": t.name, "side": side}, value)
        for t in drift.tests
        for side, value in (("baseline", t.before), ("now", t.now))
    ]
    gauge("apiece_drift_value", "What the test compares: a median or a share.", values)
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
