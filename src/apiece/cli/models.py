"""``apiece models``."""

from __future__ import annotations

from dataclasses import fields

from apiece.cli._output import print_json, print_table

__all__ = ["models"]


def models(name: str | None = None, /, *, json: bool = False) -> None:
    """What architectures there are and what each is good and bad at; with a name, its settings.

    ```
    apiece models
    apiece models embedding
    apiece train --data data/ --model embedding --set norm=group
    ```

    Parameters
    ----------
    name
        Show the settings of this architecture, for --set.
    json
        One JSON object instead of a table.
    """
    from apiece import _plugins

    if name is not None:
        architecture = _plugins.load("apiece.models", name).ARCHITECTURE
        defaults = architecture.config()
        settings = {field.name: getattr(defaults, field.name) for field in fields(architecture.config)}
        if json:
            print_json({"name": name, "summary": architecture.summary, "settings": settings})
            return
        print_table(
            f"{name}: {architecture.summary}", ("setting", "default"), [(k, str(v)) for k, v in settings.items()]
        )
        return
    found = {n: _plugins.load("apiece.models", n).ARCHITECTURE.summary for n in _plugins.names("apiece.models")}
    if json:
        print_json(found)
    else:
        print_table("", ("name", "what it is"), list(found.items()))
