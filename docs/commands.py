"""Write docs/reference/commands.md from the commands' own help: ``python docs/commands.py``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from apiece import cli

PAGE = Path(__file__).with_name("reference") / "commands.md"
BEGIN, END = "<!-- commands: python docs/commands.py -->", "<!-- end -->"
NOT_RUN = "<!-- not run: examples of the help, with files that are not here; a test parses each line -->"


def commands() -> str:
    """Return a section for each command: what it does, examples, arguments and options, as Markdown."""
    return "\n\n".join(_command(name) for name in cli.commands())


def _command(name: str) -> str:
    app = cli._app(name)
    chosen = app[name]
    about, _, _ = inspect.cleandoc(chosen.help).partition("\nParameters\n---")
    about = re.sub(r"^```\n", f"{NOT_RUN}\n```bash\n", about.rstrip(), count=1, flags=re.MULTILINE)
    found = chosen.assemble_argument_collection(default_parameter=app.default_parameter, parse_docstring=True)
    shown = [argument for argument in found if argument.show]
    tables = [
        *_table("argument", [a for a in shown if a.index is not None]),
        *_table("option", [a for a in shown if a.index is None]),
    ]
    return "\n".join([f"## apiece {name}", "", about, *tables])


def _table(head: str, arguments: list[Any]) -> Iterator[str]:
    if arguments:
        yield from ("", f"| {head} | default | meaning |", "| --- | --- | --- |")
    for argument in arguments:
        names = ", ".join(f"`{name}`" for name in _names(argument))
        yield f"| {names} | {_default(argument)} | {_cell(argument.parameter.help or '')}{_choices(argument)} |"


def _names(argument: Any) -> list[str]:
    """Return the names of an option, and in front of them the word that stands for a positional one."""
    word = [] if argument.index is None else [argument.field_info.name.upper()]
    return list(dict.fromkeys([*word, *argument.names]))


def _default(argument: Any) -> str:
    value, say = argument.field_info.default, argument.parameter.show_default
    value = say(value) if callable(say) else value
    if argument.required:
        return "required"
    if value is None or value is False or value == ():
        return ""
    if value is True:
        return "on"
    return f"`{','.join(map(str, value)) if isinstance(value, tuple) else value}`"


def _choices(argument: Any) -> str:
    choices = argument.get_choices()
    return f" One of {', '.join(f'`{choice}`' for choice in choices)}." if choices and len(choices) > 1 else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("``", "`").replace("|", "\\|")


def page(text: str) -> str:
    """Return the page with the commands as they are now."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{commands()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
