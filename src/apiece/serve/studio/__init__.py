"""The studio: a set of images on this machine, opened in a browser to look at labels and to correct them."""

from __future__ import annotations

from apiece.serve.studio.routes import studio_app

__all__ = ["studio_app"]
