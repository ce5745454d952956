"""The contract of each kind of plugin, as tests: an outside plugin is tested by what tests the plugins of apiece.

>>> from apiece.testing import check_measurement
>>> check_measurement("shape")

In a test of the package that brings the plugin::

    def test_my_format() -> None:
        apiece.testing.check_format(my_package.arrays.FORMAT)

A function takes the plugin, or the name of one that is installed. It checks every promise of the contract and raises
one `AssertionError`, which says which promises are broken, and how. No test framework is needed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from apiece._extras import extras
from apiece.check.contract import ROOM as CHECKS
from apiece.check.contract import Check
from apiece.formats.contract import ROOM as FORMATS
from apiece.formats.contract import LabelFormat
from apiece.images.contract import ROOM as READERS
from apiece.images.contract import ImageReader
from apiece.measurements.contract import ROOM as MEASUREMENTS
from apiece.measurements.contract import Measure
from apiece.metrics.contract import ROOM as METRICS
from apiece.metrics.contract import Metric
from apiece.models.contract import ROOM as ARCHITECTURES
from apiece.models.contract import Architecture
from apiece.prompts.contract import ROOM as BACKENDS
from apiece.prompts.contract import Backend, Opening
from apiece.rules.contract import ROOM as RULES
from apiece.rules.contract import RuleKind

__all__ = [
    "check_architecture",
    "check_backend",
    "check_check",
    "check_format",
    "check_image_reader",
    "check_measurement",
    "check_metric",
    "check_rule",
]


def check_format(format: LabelFormat | str, *, slow: bool = False) -> None:
    """Check that a label format keeps its contract: lossless or refused, atomic, and no error but `FormatError`.

    Parameters
    ----------
    format : the format, or its name.
    slow : also write 70,000 instances, which takes some seconds.

    Raises
    ------
    AssertionError
        naming every promise that is broken.
    """
    from apiece.testing import _formats, _promises

    found = FORMATS.load(format) if isinstance(format, str) else format
    fits = FORMATS.fits(found)  # if not, `check` says so
    _promises.check(FORMATS, format, _formats.promises(found, slow) if fits else ())


def check_metric(metric: type[Metric] | str) -> None:
    """Check that a metric keeps its contract: batches add up, ``reset`` forgets, draws are what was drawn.

    Parameters
    ----------
    metric : the metric's class, or its name.

    Raises
    ------
    AssertionError
        naming every promise that is broken.
    """
    from apiece.testing import _metrics, _promises

    _promises.check(METRICS, metric, _metrics.PROMISES)


def check_check(family: Check | str) -> None:
    """Check that a family of label checks keeps its contract: true places, no errors on clean labels, small memory.

    Parameters
    ----------
    family : the family, or its name.

    Raises
    ------
    AssertionError
        naming every promise that is broken.
    """
    from apiece.testing import _checks, _promises

    _promises.check(CHECKS, family, _checks.PROMISES)


def check_measurement(family: Measure | str) -> None:
    """Check that a family of measurements keeps its contract: a row for each mask, in the units that it declares.

    Parameters
    ----------
    family : the family, or its name.

    Raises
    ------
    AssertionError
        naming every promise that is broken.
    """
    from apiece.testing import _measurements, _promises

    _promises.check(MEASUREMENTS, family, _measurements.PROMISES)


def check_rule(kind: RuleKind | str) -> None:
    """Check that a kind of rule keeps its contract: its example is read, and judges any picture with reasons.

    Parameters
    ----------
    kind : the kind, or its name.

    Raises
    ------
    AssertionError
        naming every promise that is broken.
    """
    from apiece.testing import _promises, _rules

    _promises.check(RULES, kind, _rules.PROMISES)


def check_architecture(architecture: Architecture | str, *, slow: bool = False) -> None:
    """Check that an architecture keeps its contract: it learns, decodes, repeats itself and keeps memory small.

    Parameters
    ----------
    architecture : the architecture, or its name.
    slow : also learn four images by heart, which takes minutes.

    Raises
    ------
    AssertionError
        naming every promise that is broken.
    MissingExtraError
        if torch is not installed.
    """
    with extras():
        from apiece.testing import _architectures, _promises

    _promises.check(ARCHITECTURES, architecture, _architectures.PROMISES + slow * _architectures.SLOW)


def check_backend(backend: Backend | str, opening: Opening = Opening()) -> None:  # noqa: B008  # frozen
    """Check that a backend of prompts keeps its contract: a mask for each object, which depends on no other object.

    Parameters
    ----------
    backend : the backend, or its name.
    opening : small weights for it, if it needs any; random ones do.

    Raises
    ------
    AssertionError
        naming every promise that is broken.
    """
    with extras():
        from apiece.testing import _backends, _promises

        found = BACKENDS.load(backend) if isinstance(backend, str) else backend
        segments = not BACKENDS.fits(found) or found.takes - {"text"}
        _promises.check(BACKENDS, backend, _backends.SEGMENTS if segments else _backends.READS, opening)


def check_image_reader(reader: ImageReader | str, files: Iterable[Path | str]) -> None:
    """Check that an image reader keeps its contract on these files: exact sizes, limits, no pixel made up.

    Parameters
    ----------
    reader : the reader, or its name.
    files : small whole image files of its kind, of one image each.

    Raises
    ------
    AssertionError
        naming every promise that is broken.
    """
    from apiece.testing import _images, _promises

    _promises.check(READERS, reader, _images.PROMISES, [Path(file) for file in files])
