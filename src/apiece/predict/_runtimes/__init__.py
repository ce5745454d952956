"""Runtimes, one a file: each has ``open_runtime(model, device)``, see `apiece.predict.runtime`."""
