"""What mkdocs runs while it builds the site: it writes the reference, and refuses pages that load from elsewhere.

mkdocs.yml names this file. The reference has one page for each public room, written from the source as it stands, so a
new module needs no list to be edited.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGE = "apiece"
PLUGINS = ("check", "formats", "images", "measurements", "metrics", "models", "rules", "track")
"""Rooms whose modules beside `contract` are plugins: their docstring says what they do; they have no names to call."""

# ---------------------------------------------------------------- reference pages


def reference() -> dict[str, str]:
    """Return the reference pages: file name to Markdown, in the order of the navigation."""
    import griffe

    package = griffe.load(PACKAGE, search_paths=[str(ROOT / "src")], resolve_aliases=True)
    shown: set[str] = set()
    rooms = [name for name in package.exports if _is_room(package, name)]
    pages = {"index": _front(package, rooms, shown)}
    for room in rooms:
        pages[room] = _room(package[room], shown)
    return pages


def _is_room(package: Any, name: str) -> bool:
    return name in package.members and package[name].is_module


def _front(package: Any, rooms: list[str], shown: set[str]) -> str:
    lines = [
        "# Python reference",
        "",
        "`import apiece` gives these names. A room is imported when it is first used.",
        "",
    ]
    lines += ["| room | what it is for |", "| --- | --- |"]
    lines += [f"| [`apiece.{room}`]({room}.md) | {_first_line(package[room])} |" for room in rooms]
    lines += ["", *_names(package, [name for name in package.exports if name not in rooms], shown)]
    lines += [
        "## Rooms of plugins",
        "",
        f"`{', '.join(PLUGINS)}` each have `names`, `load` and `describe`, the methods of this class:",
        "",
    ]
    lines += [f"::: {PACKAGE}._plugins.Room", "    options:", "      heading_level: 3", ""]
    return "\n".join(lines)


def _room(room: Any, shown: set[str]) -> str:
    lines = [f"# {room.path}", "", *_about(room)]
    lines += _names(room, [name for name in room.exports or () if not _is_room(room, name)], shown)
    for name, module in sorted(room.modules.items()):
        if not name.startswith("_"):
            lines += [f"## {module.path}", "", *_about(module)]
            if name == "contract" or room.name not in PLUGINS:
                lines += _names(module, list(module.exports or ()), shown, level=3)
    return "\n".join(lines)


def _about(module: Any) -> list[str]:
    """Return a directive for the docstring of a module, without its members."""
    options = ("members: false", "show_root_heading: false", "show_root_toc_entry: false")
    return [f"::: {module.path}", "    options:", *(f"      {option}" for option in options), ""]


def _names(module: Any, names: list[str], shown: set[str], level: int = 2) -> list[str]:
    """Return a directive for each name, and links for names that another place shows already."""
    lines, links = [], []
    for name in names:
        if name not in module.members:  # names, load, describe = ROOM.names, ROOM.load, ROOM.describe
            links.append(f"[`{name}`][{PACKAGE}._plugins.Room.{name}]")
            continue
        target = module[name].canonical_path
        if target in shown:
            links.append(f"[`{name}`][{target}]")
        else:
            lines += [f"::: {target}", "    options:", f"      heading_level: {level}"]
            lines += ["      inherited_members: true"] * _has_private_base(module[name]) + [""]
        shown.add(target)
    return [*([f"Also here: {', '.join(links)}.", ""] if links else []), *lines]


def _has_private_base(target: Any) -> bool:
    """Return whether a class has a base of a private module, whose members no other place shows."""
    return target.is_class and any(base.module.name.startswith("_") for base in target.resolved_bases)


def _first_line(module: Any) -> str:
    return module.docstring.value.partition("\n")[0] if module.docstring else ""


def on_files(files: Any, config: Any) -> Any:
    """Add the reference pages to what is built."""
    from mkdocs.structure.files import File

    for name, text in reference().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_config(config: Any) -> Any:
    """Put the reference pages where the navigation says so."""
    import griffe

    package = griffe.load(PACKAGE, search_paths=[str(ROOT / "src")])
    rooms = [name for name in package.exports if _is_room(package, name)]
    pages = ["reference/index.md", *({f"{PACKAGE}.{room}": f"reference/{room}.md"} for room in rooms)]
    for entry in config.nav or []:
        if "Reference" in entry:
            entry["Reference"] = [*entry["Reference"], *pages]
    return config


# ---------------------------------------------------------------- nothing from another host

_LINKS = {"stylesheet", "preload", "modulepreload", "preconnect", "prefetch", "dns-prefetch", "icon", "manifest"}
_STYLE = re.compile(r"""url\(\s*["']?((?:https?:)?//[^"')\s]+)|@import\s+["']((?:https?:)?//[^"']+)""", re.IGNORECASE)


class _Loads(HTMLParser):
    """Collects what the elements of a page load by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        names = ["src", "srcset", "data", "poster"] if tag not in ("a", "area", "base", "link") else []
        if tag == "link" and _LINKS & set(given.get("rel", "").split()):
            names = ["href"]
        self.found += [given[name] for name in names if re.match(r"\s*(https?:)?//", given.get(name, ""))]


def loads(text: str) -> list[str]:
    """Return every address on another host that a page or style sheet loads by itself; links to click are none."""
    parser = _Loads()
    parser.feed(text)
    return parser.found + [match[1] or match[2] for match in _STYLE.finditer(text)]


def on_post_build(config: Any) -> None:
    """Refuse a site of which a page loads anything from another host."""
    from mkdocs.exceptions import PluginError

    site = Path(config.site_dir)
    files = [file for ending in ("html", "css") for file in sorted(site.rglob(f"*.{ending}"))]
    found = [
        f"{file.relative_to(site)} loads {address}" for file in files for address in loads(file.read_text("utf-8"))
    ]
    if found:
        raise PluginError("a page must not load from another host:\n" + "\n".join(found[:20]))
