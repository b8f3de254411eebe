"""Error messages for mistakes in taxiphone.toml: the file, the key and the values allowed."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from taxiphone.cli import taxiphone
from taxiphone.commands.console import App
from taxiphone.errors import SettingsError
from taxiphone.settings import Settings, load
from taxiphone.settings_sections import Section

PLATFORM = '[platform]\ncli = "+33199001200"\n'
TRUNK = '[trunk]\nhost = "192.0.2.10"\n'

# Messages of pydantic, Python or tomllib that users should never see.
FOREIGN = (
    "valid tuple",
    "valid integer",
    "valid string",
    "Input should",
    "instance of",
    "Decimal",
    "True",
    "False",
    "None",
    "datetime",
    "pattern",
    "validation error",
    "Traceback",
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "taxiphone.toml"


def refused(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(file)
    sentence = str(caught.value)
    assert sentence.startswith(str(file))
    assert not [words for words in FOREIGN if words in sentence]
    return sentence.removeprefix(f"{file}: ")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("port = true", "trunk.port must be a whole number from 1 to 65535, not true."),
        ('port = "5060"', 'trunk.port must be a whole number from 1 to 65535, not "5060".'),
        ("port = 5060.0", "trunk.port must be a whole number from 1 to 65535, not 5060.0."),
        ("port = 0", "trunk.port must be a whole number from 1 to 65535, not 0."),
        ("port = [5060]", "trunk.port must be a whole number from 1 to 65535, not [5060]."),
        ("port = {a = 1}", "trunk.port must be a whole number from 1 to 65535, not a table."),
        (
            "port = 2026-11-27",
            "trunk.port must be a whole number from 1 to 65535, not the date or time 2026-11-27.",
        ),
        ("mode = 1", 'trunk.mode must be "address" or "registration", not 1.'),
        (
            'codecs = "alaw"',
            'trunk.codecs must be a list in brackets, each item "alaw", "ulaw" or "g722", not "alaw".',
        ),
        ('codecs = ["alaw", "x"]', 'trunk.codecs, item 2 must be "alaw", "ulaw" or "g722", not "x".'),
        ("username = 3", "trunk.username must be a name of letters, digits, dots, hyphens and underscores"),
        ("password_file = 3", "trunk.password_file: 3 is not a path"),
        ('password_file = "a\\u0000b"', "trunk.password_file:"),
        (
            'match = "192.0.2.1"',
            'trunk.match must be a list in brackets, each item text in quotes, such as "192.0.2.10", not',
        ),
        ("match = [5]", "trunk.match, item 1: 5 is not an IP address"),
        ("prot = 5060", "trunk.prot: no such setting. Did you mean trunk.port?"),
    ],
)
def test_a_wrong_type_is_reported_with_the_key_and_the_values_allowed(
    file: Path, line: str, sentence: str
) -> None:
    assert refused(file, f"{PLATFORM}{TRUNK}{line}\n").startswith(sentence)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("[asterisk]\nembedded = 1", "asterisk.embedded must be true or false, not 1."),
        ('[asterisk]\nembedded = "true"', 'asterisk.embedded must be true or false, not "true".'),
        ("[billing]\nrecording_fee = 5.0", 'billing.recording_fee: write it in quotes, "5.0"'),
        ("[billing]\nrecording_fee = []", "billing.recording_fee must be an amount of at least 0, in quotes"),
        ('[billing]\nvat = "2"', "billing.vat must be a number from 0 to 1, in quotes"),
        ("[invoice]\naddress = 5", "invoice.address must be a list in brackets"),
        ("[call]\nend_key = 5", 'call.end_key: 5 is not a key from "0" to "9".'),
        ('[paths]\nstate = ""', 'paths.state: "" is not a path'),
        ("[trunks]\nport = 1", "trunks: no such setting. Did you mean trunk?"),
        ("[asterisk]\nrtp_start = 11000", "asterisk: rtp_end must be greater than rtp_start."),
    ],
)
def test_a_wrong_value_in_any_table_is_reported(file: Path, table: str, sentence: str) -> None:
    assert refused(file, f"{PLATFORM}{TRUNK}{table}\n").startswith(sentence)


@pytest.mark.parametrize(
    "value",
    ["true", "1", "1.5", '"x"', "[]", "[[]]", "[{}]", "{}", "2026-11-27", "10:00:00", "nan", '"\\u0000"'],
)
def test_no_value_of_any_setting_gives_a_message_of_python(
    file: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every setting is tried with every kind of value: it is accepted, or refused with our own message."""
    schema = Settings.model_json_schema()
    # It is the same for all of them, and takes longer than all the rest.
    monkeypatch.setattr(Settings, "model_json_schema", lambda: schema)
    for section, field in Settings.model_fields.items():
        if not isinstance(field.annotation, type) or not issubclass(field.annotation, Section):
            continue
        for key in field.annotation.model_fields:
            tables = {"platform": {"cli": '"+33199001200"'}, "trunk": {"host": '"192.0.2.10"'}}
            tables.setdefault(section, {})[key] = value
            file.write_text(
                "".join(
                    f"[{name}]\n" + "".join(f"{key} = {text}\n" for key, text in rows.items())
                    for name, rows in tables.items()
                )
            )
            file.chmod(0o600)
            said = ""
            try:
                load(file)
            except SettingsError as error:
                said = str(error)
            assert not said or said.startswith(f"{file}: {section}")
            assert not [words for words in FOREIGN if words in said], said


def test_a_missing_table_and_a_missing_setting_are_named(file: Path) -> None:
    assert refused(file, PLATFORM) == "the table [trunk] is missing."
    missing = refused(file, "[platform]\n" + TRUNK)
    assert missing == 'platform.cli is missing; it must be text in quotes, such as "+33199001200".'
    assert refused(file, "trunk = 5\n" + PLATFORM).startswith("trunk must be a table: a line [NAME]")


def test_a_file_that_begins_with_a_byte_order_mark_is_read(file: Path) -> None:
    file.write_text(PLATFORM + TRUNK, encoding="utf-8-sig")
    assert load(file).platform.cli == "+33199001200"


@pytest.mark.parametrize(
    "data", ["x = 05", "[platform", "a = " + "[" * 5000, "a = " + "1" * 6000], ids=["0", "[", "deep", "long"]
)
def test_invalid_toml_is_refused_in_one_sentence(file: Path, data: str) -> None:
    assert refused(file, data).startswith(f"{file} is not valid TOML: ")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_invalid_utf8_is_refused_in_one_sentence(file: Path, encoding: str) -> None:
    file.write_bytes((PLATFORM + 'name = "Allô"\n' + TRUNK).encode(encoding))
    with pytest.raises(SettingsError, match="is not UTF-8 at byte"):
        load(file)


def test_amounts_in_quotes_and_whole_numbers_stay_exact(file: Path) -> None:
    file.write_text(f'{PLATFORM}{TRUNK}[billing]\nvat = "0.20"\nrecording_fee = 5\n', encoding="utf-8")
    billing = load(file).billing
    assert (billing.vat, billing.recording_fee) == (Decimal("0.20"), Decimal(5))


def test_a_language_without_prompts_is_refused_by_every_command(file: Path) -> None:
    file.write_text(f'{PLATFORM}language = "xx"\n{TRUNK}', encoding="utf-8")
    with pytest.raises(SettingsError, match=r'platform\.language must be one of en, fr, not "xx"') as caught:
        _ = App(config=file).settings
    assert "docs/prompts.md" in str(caught.value)
    result = CliRunner().invoke(taxiphone, ["--config", str(file), "client", "list"])
    assert isinstance(result.exception, SettingsError)


def test_a_language_of_the_operators_own_is_taken(file: Path) -> None:
    (file.parent / "var" / "prompts").mkdir(parents=True)
    (file.parent / "var" / "prompts" / "de.toml").write_text("", encoding="utf-8")
    file.write_text(f'{PLATFORM}language = "de"\n{TRUNK}', encoding="utf-8")
    assert App(config=file).settings.platform.language == "de"


def test_a_password_file_without_text_is_reported(file: Path) -> None:
    secret = file.parent / "trunk.password"
    secret.touch(0o600)
    secret.write_bytes(b"\xff\xfe\x00")
    file.write_text(
        f'{PLATFORM}{TRUNK}mode = "registration"\nusername = "a"\npassword_file = "trunk.password"\n',
        encoding="utf-8",
    )
    with pytest.raises(SettingsError, match="one line of printable characters"):
        load(file).trunk_password()
