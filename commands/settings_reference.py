"""Writes docs/settings.md: every setting, from settings_sections/ (`make docs`)."""

from __future__ import annotations

import sys
from pathlib import Path

from taxiphone.commands.settings_descriptions import Setting, Table, tables

_HEAD = """\
# Settings

Every setting of `taxiphone.toml`. This page is generated from `settings_sections/` by `make docs`.

`taxiphone init` writes the file with all settings; the defaults are commented out. Taxiphone looks for it in this order:
`taxiphone --config FILE`, `$TAXIPHONE_CONFIG`, `./taxiphone.toml`, `/etc/taxiphone/taxiphone.toml`. Relative paths are
relative to the file's folder. Amounts and shares are strings (`"5.00"`), because floats aren't exact. An unknown key or an
impossible value is refused with a message that names the key; `taxiphone doctor` checks everything else.

## Applying a change

Commands read the file each time they run. `taxiphone serve` reads it when it starts. The last column of each table says what
else to do after a change:

| column | embedded Asterisk (the default) | your own Asterisk (`embedded = false`) |
| --- | --- | --- |
| nothing | nothing | nothing |
| restart `serve` | restart `taxiphone serve` | restart `taxiphone serve` |
| restart `serve`, reload Asterisk | restart `taxiphone serve` | `taxiphone asterisk config`, `asterisk -rx "core reload"`, restart `taxiphone serve` |
| restart `serve` and Asterisk | restart `taxiphone serve` | `taxiphone asterisk config`, restart Asterisk, restart `taxiphone serve` |

Restarting `serve` ends the calls in progress, or waits for them with `--drain`. It also writes the configuration of an
embedded Asterisk and restarts it. Calls keep the price that was announced.
"""


def text() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *(_table(table) for table in tables())])


def _table(table: Table) -> str:
    lines = [
        f"## [{table.name}]",
        "",
        table.meaning,
        "",
        "| setting | values | default | example | meaning | after a change |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for setting in table.settings:
        cells = (
            f"`{setting.key}`",
            setting.values,
            _default(setting),
            f"`{setting.key} = {setting.example}`",
            setting.meaning,
            setting.needs.value,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _default(setting: Setting) -> str:
    if setting.required:
        return "none; it must be set"
    return "not set" if setting.default is None else f"`{setting.default}`"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
