"""Repositories of the Hugging Face hub: taken from its cache, else fetched, each file whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants, errors

from apiece.errors import ModelFileError
from apiece.models._kit.weight_files import CARD, CONFIG, INDEX, PREPROCESS, TENSORS, parts_of, read_folder
from apiece.models.contract import Checkpoint

log = logging.getLogger("apiece")

TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt"
)  # fmt: skip
"""Files that a tokenizer may have."""

_PATIENCE = 4.0  # seconds until the hub has answered, once; its library would ask six times over


def read_repository(repository: str, revision: str | None, source: str, also: Sequence[str] = ()) -> Checkpoint:
    """Read a repository's files from the Hugging Face cache, else from the hub; optional ones only if online."""
    _, online = _fetch(repository, CONFIG, revision)
    if _cached(repository, TENSORS, revision) is None and (index := _optional(repository, INDEX, revision, online)):
        for part in parts_of(index):
            _fetch(repository, part, revision)
    else:
        _fetch(repository, TENSORS, revision)
    for name in (PREPROCESS, CARD, *also):
        _optional(repository, name, revision, online)
    config, _ = _fetch(repository, CONFIG, revision)  # again: a newer revision of the rest may have come
    return read_folder(config.parent, source)


def _cached(repository: str, name: str, revision: str | None) -> Path | None:
    found = huggingface_hub.try_to_load_from_cache(repository, name, constants.HF_HUB_CACHE, revision)
    return Path(found) if isinstance(found, str) else None


@cache  # what it raises is not kept
def _reach(endpoint: str) -> None:
    """Raise `OSError` where the hub does not answer soon, whatever it answers."""
    try:
        huggingface_hub.get_session().head(endpoint, timeout=_PATIENCE)
    except Exception as error:  # of its HTTP library's own types
        raise OSError(f"{endpoint} does not answer: {error}") from error


def _download(repository: str, name: str, revision: str | None) -> Path:
    if not constants.HF_HUB_OFFLINE:
        _reach(constants.ENDPOINT)
    return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision, cache_dir=constants.HF_HUB_CACHE))


def _optional(repository: str, name: str, revision: str | None, online: bool) -> Path | None:
    found = _cached(repository, name, revision)
    if found is not None or not online:
        return found
    try:
        return _download(repository, name, revision)
    except (OSError, errors.EntryNotFoundError):
        return None


def _fetch(repository: str, name: str, revision: str | None) -> tuple[Path, bool]:
    """Return the file, and whether it was fetched rather than found in the cache."""
    found = _cached(repository, name, revision)
    if found is not None:
        return found, False
    where = f"{repository}@{revision}" if revision else repository
    try:
        log.info("weights: fetching %s of %s from the Hugging Face hub", name, where)
        return _download(repository, name, revision), True
    except (OSError, ValueError, errors.EntryNotFoundError) as error:
        cause = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"hf:{where}",
            f"{name} is not in the Hugging Face cache ({constants.HF_HUB_CACHE}) and cannot be fetched ({cause}). "
            f"Without network: on a machine that has it, run `hf download {repository}"
            f"{f' --revision {revision}' if revision else ''} {CONFIG} {TENSORS}` and either copy its cache folder "
            f"models--{repository.replace('/', '--')} into that folder here (HF_HOME says where it lies), or put the "
            f"two files into any folder and give that folder as weights",
        ) from error
