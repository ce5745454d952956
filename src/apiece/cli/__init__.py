"""The command line: one command per file, imported only when it is the one that was asked for.

A file ``foo.py`` holds a function ``foo``, whose signature is the command's options and whose docstring is its help.
"""

from __future__ import annotations

import ast
import logging
import os
import sys
from collections.abc import Sequence
from importlib import resources

from cyclopts import App, CycloptsError, Parameter

from apiece import __version__, _plugins
from apiece._extras import extras
from apiece.errors import ApieceError, on_command_line

__all__ = ["main"]

_HELP = """Every object in an image, apiece: mask, class, box, score, id.

A first look, without data: `apiece demo`. Help with examples: `apiece COMMAND --help`.
"""


def _app(asked: str) -> App:
    # a flag has a --no- only where it says so: where it is on, or left to the data, by default
    plain = Parameter(negative_bool=(), negative_iterable=())
    app = App(name="apiece", help=_HELP, version=__version__, help_format="markdown", default_parameter=plain)
    for name in _plugins.names("apiece.cli"):
        # a line given here would stand in place of the command's own help, examples and all
        line = {} if name == asked else {"help": _summary(name)}
        app.command(f"apiece.cli.{name}:{name}", name=name, **line)
    return app


def _summary(name: str) -> str:
    """First line of a command's help, read from its source so that listing the commands imports none."""
    tree = ast.parse((resources.files(__name__) / f"{name}.py").read_text(encoding="utf-8"))
    command = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return (ast.get_docstring(command) or "").partition("\n")[0]


class _Words(logging.Formatter):
    """Lines of the log, with options as a person types them."""

    def format(self, record: logging.LogRecord) -> str:
        shown = logging.makeLogRecord({**record.__dict__, "msg": on_command_line(record.msg)})
        if isinstance(record.args, tuple):
            shown.args = tuple(on_command_line(arg) if isinstance(arg, ApieceError) else arg for arg in record.args)
        return super().format(shown)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code.

    0: done. 1: the input or the work failed, for a reason that is printed. 2: the command line itself is wrong.
    130: interrupted.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    log = logging.getLogger("apiece")
    if not log.handlers:
        handler = logging.StreamHandler()  # standard error
        handler.setFormatter(_Words())
        log.addHandler(handler)
        log.setLevel(logging.INFO)
    try:
        app = _app(tokens[0] if tokens else "")
        with extras():
            code = app(tokens, exit_on_error=False, print_error=True, result_action="return_value")
    except CycloptsError:
        if tokens and tokens[0] in _plugins.names("apiece.cli"):
            print(f"apiece {tokens[0]} --help shows examples", file=sys.stderr)  # noqa: T201
        code = 2
    except ApieceError as error:
        print(f"apiece: {on_command_line(error)}", file=sys.stderr)  # noqa: T201  # the one place where errors become text
        code = 1
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # the reader of our output, such as head, has gone; say nothing more, not even when Python flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as error:  # no permission, no space, a file where a folder is needed
        place = f"{error.filename}: " if error.filename is not None else ""
        print(f"apiece: {place}{error.strerror or error}", file=sys.stderr)  # noqa: T201
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
