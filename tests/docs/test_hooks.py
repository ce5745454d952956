"""The site is refused where a page loads anything from another host."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://unpkg.com/x"></script>',
        "<script async src=//cdn.example/x.js></script>",
        '<link rel="stylesheet" href="https://fonts.example/css">',
        '<link href="https://fonts.example" rel="preconnect">',
        '<img alt="a > b" src="http://example.org/a.png">',
        "<iframe src='https://example.org'></iframe>",
        "body { background: url(https://example.org/a.png) }",
        '@import "https://example.org/a.css";',
    ],
)
def test_what_a_page_loads_is_found(hooks: ModuleType, text: str) -> None:
    assert len(hooks.loads(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '<a href="https://example.org">a link to click</a>',
        '<script src="assets/bundle.js"></script><link rel="stylesheet" href="assets/main.css">',
        '<img src="data:image/png;base64,AA//BB">',
        '<svg xmlns="http://www.w3.org/2000/svg"></svg>',
        "<p>https://example.org in words</p>",
    ],
)
def test_what_stays_here_is_not(hooks: ModuleType, text: str) -> None:
    assert not hooks.loads(text)


def test_the_site_is_refused(hooks: ModuleType, tmp_path: Path) -> None:
    mkdocs = pytest.importorskip("mkdocs.exceptions")
    (tmp_path / "a.html").write_text("<p>a page</p>")
    hooks.on_post_build(SimpleNamespace(site_dir=tmp_path))
    (tmp_path / "b.html").write_text('<script src="https://example.org/x.js"></script>')
    with pytest.raises(mkdocs.PluginError, match=r"b\.html loads https://example\.org/x\.js"):
        hooks.on_post_build(SimpleNamespace(site_dir=tmp_path))


def test_every_public_room_has_a_page(hooks: ModuleType) -> None:
    pytest.importorskip("griffe")
    import apiece

    pages = hooks.reference()
    rooms = {name for name in apiece.__all__ if (Path(apiece.__file__).parent / name).is_dir()}
    assert rooms <= set(pages)
    masks = pages["index"].partition("::: apiece.core.masks.Masks")[2].partition(":::")[0]
    assert "inherited_members: true" in masks  # its stored form lies in a private module
    assert pages["index"].count("inherited_members: true") == 1
    assert "::: apiece.formats.contract.LabelSet" in pages["formats"]
