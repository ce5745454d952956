"""Every command line and every piece of Python in README, CONTRIBUTING and docs/ works, or says why it is not run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests.docs.page_blocks import KINDS, ROOT, RUN, blocks, comments, pages, parse, prepared, run
from tests.docs.prepared import Shop

NAMES = [page.relative_to(ROOT).as_posix() for page in pages()]
SLOW = {"model", "second model", "old model"}
"""A page whose folder holds a trained model, or which trains one, runs with the slow tests."""
SHOWN = ("text", "yaml", "json", "csv", "xml", "toml", "css")


def _is_slow(name: str) -> bool:
    run = [block for block in blocks(ROOT / name) if block.kind in RUN and "not run" not in block.notes]
    trains = any("apiece train" in block.text or "apiece.train(" in block.text for block in run)
    return trains or "slow" in comments(ROOT / name) or bool(SLOW & set(prepared(ROOT / name)))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if _is_slow(n) else []) for n in NAMES])
def test_the_page_works(name: str, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for thing in prepared(ROOT / name):
        shop.put(thing, tmp_path)
    namespace: dict[str, Any] = {"__name__": "__page__"}
    for block in blocks(ROOT / name):
        run(block, namespace)


@pytest.mark.parametrize("name", NAMES)
def test_links_and_pictures_are_there(name: str) -> None:
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", (ROOT / name).read_text("utf-8"))
    assert [target for target in targets if not (ROOT / name).parent.joinpath(target).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_what_is_not_run(name: str) -> None:
    for block in blocks(ROOT / name):
        assert block.kind in RUN + SHOWN, f"{block}: name a language: {', '.join(RUN + SHOWN)}"
        assert set(block.notes) <= set(KINDS), f"{block}: {sorted(set(block.notes) - set(KINDS))}"
        assert len(block.notes.get("not run", "a reason")) > 5, f"{block}: give a reason"
        assert block.kind != "text" or not block.text.lstrip("$ ").startswith("apiece "), f"{block}: this is bash"
    assert set(prepared(ROOT / name)) <= set(Shop(ROOT).names())


@pytest.mark.parametrize("name", NAMES)
def test_command_lines_that_are_not_run_are_right(name: str) -> None:
    for block in blocks(ROOT / name):
        if block.kind in ("bash", "console") and "not run" in block.notes:
            for command in block.commands:
                if command.startswith("apiece "):
                    parse(command)
