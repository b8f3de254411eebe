"""The settings file that `taxiphone init` writes: every setting with its meaning, from settings_sections/."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from taxiphone.commands.settings_descriptions import Setting, Table, tables, toml

_WIDTH = 100
_HEAD = """\
# Settings of Taxiphone. A line such as `#port = 5060` shows the default, or an example if it says
# so. To change such a setting, remove the "#". Relative paths are relative to this file's folder.
# docs/settings.md has all settings and what a change needs. To check this machine: taxiphone doctor
"""


def text(values: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole file.

    Args:
        values: by section and key, the settings that are set. All others are commented out.
    """
    return "\n".join([_HEAD, *(_table(table, values.get(table.name, {})) for table in tables())])


def _table(table: Table, values: Mapping[str, Any]) -> str:
    lines = [f"[{table.name}]", *_comment(table.meaning), ""]
    for setting in table.settings:
        lines += _comment(setting.meaning)
        if not all(f"`{choice}`" in setting.meaning for choice in setting.choices):
            lines += _comment(f"Possible values: {', '.join(map(toml, setting.choices))}.")
        if setting.key in values:
            lines.append(f"{setting.key} = {toml(values[setting.key])}")
        elif _has_no_default(setting):
            lines += [*_comment("Not set by default. Example:"), f"#{setting.key} = {setting.example}"]
        else:
            lines.append(f"#{setting.key} = {setting.default}")
        lines.append("")
    return "\n".join(lines)


def _has_no_default(setting: Setting) -> bool:
    return setting.default in {None, "[]"}


def _comment(words: str) -> Iterator[str]:
    for line in textwrap.wrap(words, _WIDTH - 2, break_long_words=False, break_on_hyphens=False):
        yield f"# {line}"
