from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from taxiphone.ari_app import menu
from taxiphone.dialplan import config, credentials
from taxiphone.dialplan.asterisk.home import Folders
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.dialplan.credentials import Secrets
from taxiphone.errors import SettingsError
from taxiphone.settings import Settings
from taxiphone.settings_sections import Call
from taxiphone.speech import own_recordings

SECRETS = Secrets("ari-secret", "trunk;secret")
ASTERISK = Asterisk(
    ("/opt/asterisk",), Path("/opt/modules"), Path("/opt/data"), (22, 10, 1), "22.10.1", "cache"
)


def settings(folder: Path, trunk: dict[str, Any] | None = None, **sections: Any) -> Settings:
    return Settings(
        platform={"cli": "+33199001200"},
        trunk={"host": "192.0.2.7", **(trunk or {})},
        file=folder / "taxiphone.toml",
        **sections,
    )


def registering(folder: Path) -> Settings:
    trunk = {
        "host": "sip.example",
        "mode": "registration",
        "username": "account1",
        "password_file": "pw",
        "match": ["192.0.2.0/24", "198.51.100.9"],
    }
    return settings(folder, trunk)


def sections(text: str) -> list[tuple[str, dict[str, list[str]]]]:
    """Parse the sections of an Asterisk file without comments. A key may occur more than once."""
    found: list[tuple[str, dict[str, list[str]]]] = []
    for raw in text.splitlines():
        line = re.split(r"(?<!\\);", raw)[0].strip()
        if head := re.fullmatch(r"\[([^\]]+)\]", line):
            found.append((head.group(1), {}))
        elif line:
            key, value = re.split(r"\s*=>?\s*", line, maxsplit=1)
            found[-1][1].setdefault(key, []).append(value)
    return found


def one(text: str, kind: str) -> dict[str, list[str]]:
    (found,) = [values for _, values in sections(text) if values.get("type") == [kind]]
    return found


def test_a_trunk_by_address_is_known_by_its_host_and_has_no_password(tmp_path: Path) -> None:
    text = config.render(settings(tmp_path), SECRETS, ASTERISK)["pjsip.conf"]
    assert one(text, "identify")["match"] == ["192.0.2.7"]
    assert one(text, "aor")["contact"] == ["sip:192.0.2.7:5060"]
    assert one(text, "endpoint")["allow"] == ["alaw,ulaw"]
    assert "secret" not in text
    assert not [values for _, values in sections(text) if values["type"] in (["registration"], ["auth"])]


def test_a_registering_trunk_has_its_account_and_is_known_by_line_and_networks(tmp_path: Path) -> None:
    text = config.render(registering(tmp_path), SECRETS, ASTERISK)["pjsip.conf"]
    registration = one(text, "registration")
    assert registration["line"] == ["yes"]
    assert registration["endpoint"] == ["trunk"]
    assert registration["client_uri"] == ["sip:account1@sip.example"]
    assert one(text, "auth")["password"] == [r"trunk\;secret"]
    assert one(text, "endpoint")["outbound_auth"] == ["trunk"]
    assert one(text, "identify")["match"] == ["192.0.2.0/24", "198.51.100.9/32"]


def test_strangers_are_refused_and_neither_party_learns_the_others_number(tmp_path: Path) -> None:
    files = config.render(settings(tmp_path), SECRETS, ASTERISK)
    endpoints = [(name, v) for name, v in sections(files["pjsip.conf"]) if v["type"] == ["endpoint"]]
    assert [name for name, _ in endpoints] == ["trunk"]
    endpoint = endpoints[0][1]
    assert endpoint["identify_by"] == ["ip"]
    assert endpoint["send_connected_line"] == ["no"]
    assert endpoint["direct_media"] == ["no"]
    assert "anonymous" not in files["modules.conf"].split("[modules]")[1]
    assert "app_dial.so" not in files["modules.conf"]


def test_ami_is_on_loopback_and_its_one_user_may_do_nothing_but_what_belongs_to_a_call(
    tmp_path: Path,
) -> None:
    chosen = settings(tmp_path, asterisk={"ami_port": 5123})
    (_, general), (_, user) = sections(config.render(chosen, SECRETS, ASTERISK)["manager.conf"])
    assert (general["bindaddr"], general["port"], general["webenabled"]) == (["127.0.0.1"], ["5123"], ["no"])
    assert user["secret"] == [SECRETS.ami_secret]
    assert (user["write"], user.get("read")) == (["call"], None)
    assert (user["deny"], user["permit"]) == (["0.0.0.0/0.0.0.0"], ["127.0.0.1/255.255.255.255"])


def test_http_is_on_loopback_only(tmp_path: Path) -> None:
    ports = settings(tmp_path, asterisk={"http_port": 8123, "sip_address": "192.0.2.1"})
    ((_, http),) = sections(config.render(ports, SECRETS, ASTERISK)["http.conf"])
    assert http["bindaddr"] == ["127.0.0.1"]
    assert http["bindport"] == ["8123"]


def test_the_external_address_is_sent_to_the_carrier_and_not_to_the_local_network(tmp_path: Path) -> None:
    behind = settings(tmp_path, asterisk={"external_address": "203.0.113.5"})
    transport = one(config.render(behind, SECRETS, ASTERISK)["pjsip.conf"], "transport")
    assert transport["external_media_address"] == ["203.0.113.5"]
    assert "192.168.0.0/16" in transport["local_net"]
    plain = one(config.render(settings(tmp_path), SECRETS, ASTERISK)["pjsip.conf"], "transport")
    assert "external_media_address" not in plain


def test_every_folder_is_named_and_lies_in_the_home(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    directories = dict(sections(config.render(chosen, SECRETS, ASTERISK)["asterisk.conf"]))["directories"]
    modules = directories.pop("astmoddir")
    assert modules == ["/opt/modules"]
    run = Folders(chosen.asterisk_home).run
    inside = [Path(value[0]) for key, value in directories.items() if key != "astrundir"]
    assert all(folder.is_relative_to(chosen.asterisk_home) for folder in inside)
    assert directories["astrundir"] == [str(run)]


def test_files_for_another_server_name_the_folder_they_lie_in(tmp_path: Path) -> None:
    text = config.render(settings(tmp_path), SECRETS, None, etc=tmp_path / "theirs")["asterisk.conf"]
    directories = dict(sections(text))["directories"]
    assert directories["astetcdir"] == [str(tmp_path / "theirs")]
    assert "astmoddir" not in directories


def test_the_control_socket_is_never_too_long_for_the_system(tmp_path: Path) -> None:
    short = Folders(Path("/srv/taxiphone/asterisk"))
    assert short.run == Path("/srv/taxiphone/asterisk/run")
    long = Folders(tmp_path / ("deep" * 30))
    assert len(os.fsencode(long.run / "asterisk.ctl")) < 108
    assert long.run != Folders(tmp_path / ("deep" * 31)).run


def test_the_event_log_lands_in_the_meters_file_with_the_columns_of_the_meter(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    files = config.render(chosen, SECRETS, ASTERISK)
    ((_, mapping),) = sections(files["cel_custom.conf"])
    ((file, (columns,)),) = mapping.items()
    assert file == str(chosen.cel_file)
    wanted = (
        "eventtype eventtime uniqueid linkedid channame userdeftype userdeftype appname userfield eventextra"
    )
    assert re.findall(r"(\w+)[)}]+(?:,|$)", columns) == wanted.split()
    assert "dateformat" not in dict(sections(files["cel.conf"]))["general"]


def test_nothing_that_a_caller_chooses_is_in_the_event_log(tmp_path: Path) -> None:
    files = config.render(settings(tmp_path), SECRETS, ASTERISK)
    assert not re.search(r"CALLERID|exten|appdata", files["cel_custom.conf"])
    notes = re.findall(r"Set\(CHANNEL\(userfield\)=(.*)\)$", files["extensions.conf"], re.MULTILINE)
    digits = re.sub(r"\$\{FILTER\(\+0-9,\$\{(EXTEN|CALLERID\(num\))\}\):0:24\}", "", "".join(notes))
    assert not re.search(r"EXTEN|CALLERID\(num\)", digits)


def test_only_digits_can_be_dialled(tmp_path: Path) -> None:
    text = config.render(settings(tmp_path), SECRETS, ASTERISK)["extensions.conf"]
    entry = next(values for name, values in sections(text) if name == "from-trunk")["exten"]
    patterns = [value.split(",1,")[0] for value in entry]
    assert "_[+0-9]XXXXXXXXXXX" in patterns
    assert "s" in patterns
    assert all(re.fullmatch(r"s|_\[\+0-9\]X*", pattern) for pattern in patterns)


def test_the_dialplan_has_the_ports_and_folders_and_plays_the_apology_itself(tmp_path: Path) -> None:
    chosen = settings(tmp_path, asterisk={"agi_port": 4999})
    text = config.render(chosen, SECRETS, ASTERISK)["extensions.conf"]
    assert "Stasis(taxiphone,inbound,${FILTER(+0-9,${EXTEN})}," in text
    assert f"AGI(agi://127.0.0.1:4999/apology,{SECRETS.agi_secret}," in text
    assert SECRETS.ari_password not in text
    assert "Playback(taxiphone/unavailable)" in text
    assert f"MixMonitor({chosen.captured}/${{FILTER(a-z0-9-,${{TAXIPHONE_CALL}})}}.wav,b)" in text


@pytest.mark.parametrize("password", ["a\nb = c", "a\r", "tab\there", "nul\0"])
def test_a_line_break_in_a_free_text_is_refused(tmp_path: Path, password: str | None) -> None:
    with pytest.raises(SettingsError, match="line break"):
        config.render(registering(tmp_path), Secrets("x", password), ASTERISK)


@pytest.mark.parametrize("state", ["a;b", "a[b", "a,b", "a$b", 'a"b'])
def test_a_folder_that_asterisks_files_cannot_hold_is_refused(tmp_path: Path, state: str) -> None:
    with pytest.raises(SettingsError, match="folder"):
        config.render(settings(tmp_path, paths={"state": state}), SECRETS, ASTERISK)


@pytest.mark.parametrize(
    ("cli", "country"), [("+33199001200", "fr"), ("+442079460000", "uk"), ("+35226123456", "fr")]
)
def test_the_ringing_tone_is_that_of_the_platforms_country(tmp_path: Path, cli: str, country: str) -> None:
    chosen = settings(tmp_path).model_copy(
        update={"platform": settings(tmp_path).platform.model_copy(update={"cli": cli})}
    )
    tones = dict(sections(config.render(chosen, SECRETS, ASTERISK)["indications.conf"]))
    assert tones["general"]["country"] == [country]
    assert tones[country]["ring"]


def test_aris_password_is_made_once_for_us_alone(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    first = credentials.ari_password(chosen)
    assert len(first) >= 40
    assert credentials.ari_password(chosen) == first
    file = chosen.state / "ari.password"
    assert file.stat().st_mode & 0o777 == 0o600
    assert chosen.state.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in chosen.state.iterdir()] == ["ari.password"]


def test_a_password_that_others_can_read_is_refused(tmp_path: Path) -> None:
    chosen = settings(tmp_path)
    credentials.ari_password(chosen)
    (chosen.state / "ari.password").chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        credentials.ari_password(chosen)


def test_passwords_are_not_shown() -> None:
    assert "secret" not in repr(SECRETS)


def test_no_call_is_in_the_application_before_its_time_out_is_set(tmp_path: Path) -> None:
    chosen = settings(tmp_path, call={"code_tries": 1, "key_seconds": 2})
    text = config.render(chosen, SECRETS, ASTERISK)["extensions.conf"]
    inbound = text.split("[inbound]")[1].split("\n[")[0]
    into_it = [each for each in inbound.split("\nexten => ")[1:] if "Stasis(" in each]
    assert len(into_it) == 3
    for extension in into_it:
        assert extension.index(f"Set(TIMEOUT(absolute)={chosen.call.menu_seconds})") < extension.index(
            "Stasis("
        )


@pytest.mark.parametrize(
    ("trunk", "header"),
    [
        ({"did_from": "to"}, "${PJSIP_HEADER(read,To)}"),
        ({"did_from": "p-called-party-id"}, "${PJSIP_HEADER(read,P-Called-Party-ID)}"),
    ],
)
def test_the_number_dialled_is_looked_for_where_the_settings_say(
    tmp_path: Path, trunk: dict[str, Any], header: str
) -> None:
    text = config.render(settings(tmp_path, trunk), SECRETS, ASTERISK)["extensions.conf"]
    assert f"Set(TAXIPHONE_HEADER={header})" in text
    assert "exten => _[+0-9],1,Goto(did,${EXTEN},1)" in text


def test_a_registered_account_is_called_by_its_name(tmp_path: Path) -> None:
    text = config.render(registering(tmp_path), SECRETS, ASTERISK)["extensions.conf"]
    assert "exten => account1,1,Goto(did,${EXTEN},1)" in text
    assert "${PJSIP_HEADER(read,To)}" in text
    plain = config.render(settings(tmp_path), SECRETS, ASTERISK)["extensions.conf"]
    assert "exten => _[+0-9],1,Goto(inbound,${EXTEN},1)" in plain
    assert "account1" not in plain


@pytest.mark.parametrize("key_seconds", [1, 5, 60])
def test_a_slow_answer_does_not_exceed_asterisks_timeout(key_seconds: int) -> None:
    chosen = Call(key_seconds=key_seconds)
    for question in menu.QUESTIONS:
        keys = question.most + len(question.ends[:1])
        assert chosen.menu_seconds >= 30 + keys * key_seconds + own_recordings.LONGEST, question.name


def test_no_caller_is_held_for_long_after_the_program_has_died() -> None:
    assert Call().menu_seconds == 195, "docs/call-flow.md and docs/sip.md say so"


def test_who_was_in_the_menu_hears_the_apology_when_the_time_out_is_over(tmp_path: Path) -> None:
    text = config.render(settings(tmp_path), SECRETS, ASTERISK)["extensions.conf"]
    inbound = text.split("[inbound]")[1].split("\n[")[0]
    [freed] = [each for each in inbound.split("\nexten => ") if each.startswith("T,1,")]
    assert "Playback(taxiphone/unavailable)" in freed
    assert "${TAXIPHONE_TALK}" in freed, "and nobody who has talked is told that nothing was charged"
