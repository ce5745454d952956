"""The command line: one command per file, imported only when it is the one that was asked for.

A file ``foo.py`` holds a function ``foo``, whose signature is the command's options and whose docstring is its help. A
command of two words has an underscore for the space.
"""

from __future__ import annotations

import ast
import logging
import os
import re
import sys
from collections.abc import Sequence
from importlib import resources

from cyclopts import App, CycloptsError, MissingArgumentError, Parameter, UnusedCliTokensError

from apiece import __version__, _plugins
from apiece._extras import extras
from apiece.cli._options import shown_default
from apiece.cli._output import forget, remember, tell_cut
from apiece.errors import ApieceError, on_command_line

__all__ = ["commands", "main"]

_OF_SPLIT = re.compile("(train|val|test)=")

_HELP = """Every object in an image, apiece: mask, class, box, score, id.

A first look, without data: `apiece demo`. Help with examples: `apiece COMMAND --help`.

The data set is the first argument of a command, or `--data`. A list is written `a,b` or `a b`, or its option is
repeated; double quotes keep a comma within a name: `--classes '"nut, hex",bolt'`.

Exit codes: 0 done; 1 the input or the work failed; 2 the command line is wrong; 130 interrupted. `check` and `monitor`
answer by exit code: 0 nothing found, 1 something found, 2 failed.
"""


def _app(asked: str) -> App:
    # a flag has a --no- only where it says so: where it is on, or left to the data, by default
    plain = Parameter(negative_bool=(), negative_iterable=(), show_default=shown_default)
    app = App(name="apiece", help=_HELP, version=__version__, help_format="markdown", default_parameter=plain)
    for name in commands():
        module = name.replace(" ", "_")
        # a line given here would stand in place of the command's own help, examples and all
        line = {} if name == asked else {"help": _summary(module)}
        app.command(f"apiece.cli.{module}:{module}", name=name, **line)
    return app


def commands() -> list[str]:
    """Return every command as a person types it."""
    return [name.replace("_", " ") for name in _plugins.names("apiece.cli")]


def _summary(name: str) -> str:
    """Return the first line of a command's help from its source text, so that a list of commands imports none."""
    tree = ast.parse((resources.files(__name__) / f"{name}.py").read_text(encoding="utf-8"))
    command = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return (ast.get_docstring(command) or "").partition("\n")[0]


class _Words(logging.Formatter):
    """Write lines of the log with options as a person types them."""

    def format(self, record: logging.LogRecord) -> str:
        shown = logging.makeLogRecord({**record.__dict__, "msg": on_command_line(record.msg)})
        if isinstance(record.args, tuple):
            shown.args = tuple(on_command_line(arg) if isinstance(arg, ApieceError) else arg for arg in record.args)
        return super().format(shown)


class _ToStandardError(logging.Handler):
    """Write lines of the log to what is standard error at the time."""

    def emit(self, record: logging.LogRecord) -> None:
        _say(self.format(record))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code; ``apiece --help`` explains the codes."""
    tokens = _one_word(list(sys.argv[1:] if arguments is None else arguments))
    command = tokens[0] if tokens else ""
    _log_to_standard_error()
    try:
        app = _app(command)
        with extras():
            code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        tell_cut()
    except CycloptsError as error:
        known = command in commands()
        _say(f"apiece: {_wrong(error, tokens)}" + (f"\napiece {command} --help shows examples" if known else ""))
        code = 2
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        # the reader of our output, such as head, has gone; say nothing more, not even when Python flushes at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except (ApieceError, OSError) as error:
        _say(f"apiece: {_told(error)}")
        code = getattr(sys.modules.get(f"apiece.cli.{command.replace(' ', '_')}"), "FAILED", 1)
    sys.exit(code if isinstance(code, int) else 0)


def _one_word(tokens: list[str]) -> list[str]:
    """Return the words with a command of two words, and the folders of splits behind ``--images``, as one word each.

    >>> _one_word(["info", "--images", "train=a", "val=b", "data"])
    ['info', '--images', 'train=a,val=b', 'data']
    """
    joined: list[str] = []
    if " ".join(tokens[:2]) in commands():
        tokens = [" ".join(tokens[:2]), *tokens[2:]]
    for token in tokens:
        goes_on = joined[-2:-1] == ["--images"] and all(map(_OF_SPLIT.match, (joined[-1], token)))
        joined[-1:] = [f"{joined[-1]},{token}"] if goes_on else [*joined[-1:], token]
    return joined


def _log_to_standard_error() -> None:
    log = logging.getLogger("apiece")
    forget()
    if not log.handlers:
        handler = _ToStandardError()
        handler.setFormatter(_Words())
        handler.addFilter(remember)
        log.addHandler(handler)
        log.setLevel(logging.INFO)


def _say(text: str) -> None:
    print(text, file=sys.stderr)  # noqa: T201  # the one place where errors become text


def _wrong(error: CycloptsError, tokens: Sequence[str]) -> str:
    """Tell what is wrong with the command line."""
    if isinstance(error, UnusedCliTokensError):
        return f"too many arguments: {' '.join(error.unused_tokens or ())}"
    if not isinstance(error, MissingArgumentError) or error.argument is None or error.keyword is not None:
        return str(error).strip()
    missing = error.argument
    if missing.index is None:
        return f"{missing.name} is missing"
    options = any(token.startswith("-") for token in tokens)
    hint = "; the words behind a list option are its list, so write it last" if options else ""
    return f"{missing.field_info.name.upper()} is missing{hint}"


def _told(error: ApieceError | OSError) -> str:
    if isinstance(error, ApieceError):
        return on_command_line(error)
    # no permission, no space, a file where a folder is needed
    place = f"{error.filename}: " if error.filename is not None else ""
    return f"{place}{error.strerror or error}"
