"""Answers of `eomt`: a class and a mask of each query; answers of one class of stuff are joined."""

from __future__ import annotations

from apiece.models._kit.query_masks import decode_with_stuff as decode

__all__ = ["decode"]
