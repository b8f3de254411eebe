"""Writes docs/settings.md: every setting, from settings_sections.py (`make docs`)."""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from taxiphone import settings_faults, settings_sections
from taxiphone.settings import Settings
from taxiphone.settings_sections import Needs, Section
from taxiphone.settings_types import shown

_HEAD = """\
# Settings

Every setting of `taxiphone.toml`. This page is generated from `settings_sections.py` by `make docs`.

`taxiphone init` writes the file with all settings, the defaults commented out. Taxiphone looks for it in this order:
`taxiphone --config FILE`, `$TAXIPHONE_CONFIG`, `./taxiphone.toml`, `/etc/taxiphone/taxiphone.toml`. Relative paths are
relative to the file's folder. Amounts and shares are strings (`"5.00"`), so that they stay exact. An unknown key or an
impossible value is refused with a message that names the key; `taxiphone doctor` checks the rest.

## After a change

Commands read the file each time they run. `taxiphone serve` reads it when it starts. The last column says what else a change
needs:

| column | embedded Asterisk (the default) | your own Asterisk (`embedded = false`) |
| --- | --- | --- |
| nothing | nothing | nothing |
| restart `serve` | restart `taxiphone serve` | restart `taxiphone serve` |
| restart `serve`, reload Asterisk | restart `taxiphone serve` | `taxiphone asterisk config`, `asterisk -rx "core reload"`, restart `taxiphone serve` |
| restart `serve` and Asterisk | restart `taxiphone serve` | `taxiphone asterisk config`, restart Asterisk, restart `taxiphone serve` |

A restart of `serve` ends the calls in progress, and with `--drain` waits for them; it writes the files of an embedded
Asterisk and starts that again too. Calls keep the price that was announced to them.
"""


def text() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(name, model) for name, model in sections())])


def sections() -> Iterator[tuple[str, type[Section]]]:
    """The tables of the file by name, in the order in which `Settings` has them."""
    for name, field in Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield name, field.annotation


def needs(model: type[Section], key: str) -> Needs:
    """What a change of a setting needs: its own mark, else its section's."""
    own = [each for each in model.model_fields[key].metadata if isinstance(each, Needs)]
    return own[0] if own else model.needs


def _section(name: str, model: type[Section]) -> str:
    meanings = _meanings(model)
    lines = [
        f"## [{name}]",
        "",
        inspect.cleandoc(model.__doc__ or ""),
        "",
        "| setting | values | default | example | meaning | a change needs |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for key, field in model.model_fields.items():
        values = settings_faults.may_be((name, key), Settings).partition(", such as")[0]
        cells = (
            f"`{key}`",
            values,
            _default(field),
            _example(name, key, field),
            meanings[key],
            needs(model, key).value,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _meanings(model: type[Section]) -> dict[str, str]:
    """The string below each setting of a section, which Python itself does not keep."""
    tree = ast.parse(Path(inspect.getfile(settings_sections)).read_text(encoding="utf-8"))
    body = next(
        node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == model.__name__
    )
    found = {}
    for setting, after in itertools.pairwise(body):
        match setting, after:
            case ast.AnnAssign(target=ast.Name(id=key)), ast.Expr(value=ast.Constant(value=str(said))):
                found[key] = said
    return found


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "none; it must be set"
    return "not set" if field.default is None else f"`{_toml(field.default)}`"


def _example(name: str, key: str, field: FieldInfo) -> str:
    example = next(iter(field.examples or ()), None)
    if example is None:
        schema = settings_faults.schema_of((name, key), Settings)
        of_item = schema.get("items", {}).get("examples")
        example = of_item[:1] if of_item else next(iter(schema.get("examples", ())), field.default)
    return f"`{key} = {_toml(example)}`"


def _toml(value: Any) -> str:
    return shown(list(value) if isinstance(value, tuple) else value)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
