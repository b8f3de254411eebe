"""docs/settings.md is up to date, and what it says about applying changes matches Asterisk's configuration."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from taxiphone.commands import settings_descriptions, settings_file, settings_reference
from taxiphone.dialplan import config
from taxiphone.dialplan.credentials import Secrets
from taxiphone.settings import Settings, load
from taxiphone.settings_faults import schema_of
from taxiphone.settings_sections import Needs, Section

ROOT = Path(__file__).parents[2]
SETTINGS = {
    (table.name, setting.key): setting
    for table in settings_descriptions.tables()
    for setting in table.settings
}
KEYS = [*SETTINGS]
BASE = {
    "platform": {"cli": "+33199001200"},
    "trunk": {"host": "192.0.2.7", "mode": "registration", "username": "a", "password_file": "pw"},
}
OTHERS = {
    "platform.cli": "+442079460000",
    "platform.currency": "USD",
    "platform.language": "en",
    "trunk.mode": "address",
    "trunk.codecs": ["g722"],
    "trunk.did_from": "p-called-party-id",
    "asterisk.embedded": False,
    "call.end_key": "7",
    "call.most_calls": 61,
    "call.pause_key": "7",
    "paths.state": "elsewhere",
}
# These change who runs Asterisk, which program it is, or what is in a file beside the settings.
NOT_WRITTEN = {"asterisk.embedded", "asterisk.group", "asterisk.binary", "trunk.password_file"}


def settings(folder: Path, data: dict[str, dict[str, Any]]) -> Settings:
    file = folder / "taxiphone.toml"
    lines = []
    for name, values in data.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    file.write_text("\n".join(lines), encoding="utf-8")
    return load(file)


def field_of(name: str, key: str) -> FieldInfo:
    model = Settings.model_fields[name].annotation
    assert isinstance(model, type)
    assert issubclass(model, Section)
    return model.model_fields[key]


def other(name: str, key: str) -> Any:
    """Return a value of a setting that differs from BASE and the default."""
    if f"{name}.{key}" in OTHERS:
        return OTHERS[f"{name}.{key}"]
    field = field_of(name, key)
    schema = schema_of((name, key), Settings)
    default = field.default
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    choices = [*schema.get("enum", ()), *schema.get("items", {}).get("enum", ())]
    if choices:
        value = next(each for each in choices if each != default)
    else:
        value = (field.examples or schema.get("examples") or ["0"])[0]
        value = (
            schema.get("items", {}).get("examples", [value])[0] if schema.get("type") == "array" else value
        )
    is_list = schema.get("type") == "array" and not isinstance(value, list)
    return [value] if is_list else value


def changed_files(folder: Path, name: str, key: str) -> dict[str, tuple[str, str]]:
    secrets = Secrets("secret", "secret")
    before = config.render(settings(folder, BASE), secrets, None)
    with_it = {"embedded": False} if key == "group" else {}
    changed = {**BASE, name: {**BASE.get(name, {}), **with_it, key: other(name, key)}}
    after = config.render(settings(folder, changed), secrets, None)
    return {file: (text, after[file]) for file, text in before.items() if text != after[file]}


def transport(text: str) -> str:
    found = re.search(r"^\[transport-udp\]$.*?^\[", text, re.MULTILINE | re.DOTALL)
    assert found
    return found[0]


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs/settings.md").read_text("utf-8") == settings_reference.text(), "run: make docs"


@pytest.mark.parametrize(("name", "key"), KEYS, ids=[f"{name}.{key}" for name, key in KEYS])
def test_a_change_of_a_setting_needs_what_the_page_says(tmp_path: Path, name: str, key: str) -> None:
    """If the output of `asterisk config` changes, Asterisk must reload or restart."""
    files = changed_files(tmp_path, name, key)
    said = SETTINGS[name, key].needs
    if f"{name}.{key}" in NOT_WRITTEN:
        assert not files
        assert said in {Needs.ASTERISK, Needs.RELOAD}
        return
    # Neither asterisk.conf nor a transport of PJSIP is read again by a reload.
    restart = "asterisk.conf" in files or (
        "pjsip.conf" in files and transport(files["pjsip.conf"][0]) != transport(files["pjsip.conf"][1])
    )
    if restart:
        assert said is Needs.ASTERISK
    elif files:
        assert said is Needs.RELOAD
    else:
        assert said in {Needs.SERVE, Needs.NOTHING}


# -- the file that init writes ----------------------------------------------------------------------------------------

SET = {"platform": {"cli": "+33199001200"}, "trunk": {"host": "192.0.2.7", "port": 5062}}


def written(*, uncommented: bool) -> dict[str, dict[str, Any]]:
    text = settings_file.text(SET)
    return tomllib.loads(re.sub("^#(?! )", "", text, flags=re.MULTILINE) if uncommented else text)


def test_the_file_sets_what_init_fills_in_and_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "taxiphone.toml"
    file.write_text(settings_file.text(SET), encoding="utf-8")
    assert written(uncommented=False) == {table.name: {} for table in settings_descriptions.tables()} | SET
    assert load(file) == Settings(**SET, file=file)


def test_every_setting_is_in_the_file_with_its_meaning_and_its_default() -> None:
    file = written(uncommented=True)
    assert [(name, key) for name, settings in file.items() for key in settings] == KEYS
    words = " ".join(re.sub("^# ", "", settings_file.text(SET), flags=re.MULTILINE).split())
    for (name, key), setting in SETTINGS.items():
        assert setting.meaning in words
        default = field_of(name, key).default
        if key not in SET.get(name, {}) and default not in {None, ()}:
            assert file[name][key] == json.loads(json.dumps(default, default=str)), key


def test_each_example_in_the_file_is_accepted(tmp_path: Path) -> None:
    data = written(uncommented=True)
    data["asterisk"]["embedded"] = False  # a group is only for an Asterisk of one's own
    found = settings(tmp_path, data)
    assert (found.asterisk.group, found.trunk.port) == ("asterisk", 5062)
