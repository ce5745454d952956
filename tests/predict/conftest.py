"""The model folder whose answers are known beforehand."""

from tests.predict.known_model import folder, model, picture

__all__ = ["folder", "model", "picture"]
