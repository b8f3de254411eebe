from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from taxiphone.cli import taxiphone
from taxiphone.dialplan.asterisk import locate
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.dialplan.modules import MODULES
from taxiphone.server.checks import check_asterisk, check_network
from taxiphone.settings import Settings, cores
from taxiphone.settings_sections import AsteriskSection, Trunk


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        platform={"cli": "+33199001200"},
        trunk={"host": "127.0.0.1", "port": free_port(socket.SOCK_DGRAM)},
        file=tmp_path / "taxiphone.toml",
    )


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_port_in_use_is_reported_with_the_setting_that_changes_it() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        found = check_asterisk.port_free("SIP", socket.SOCK_DGRAM, "127.0.0.1", port, "sip_port")
    assert found.ok is False
    assert f"udp 127.0.0.1:{port}" in found.what
    assert "[asterisk] sip_port" in found.advice
    assert check_asterisk.port_free("SIP", socket.SOCK_DGRAM, "127.0.0.1", port, "sip_port").ok is True


def test_every_port_of_the_settings_is_looked_at(settings: Settings) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        for key in ("http_port", "ami_port", "agi_port"):
            asterisk = settings.asterisk.model_copy(
                update={"sip_port": free_port(socket.SOCK_DGRAM), key: port}
            )
            found = check_asterisk.ports(settings.model_copy(update={"asterisk": asterisk}), running=False)
            [taken] = [each for each in found if f":{port}" in each.what]
            assert taken.ok is False
            assert f"[asterisk] {key}" in taken.advice


def test_rtp_ports_in_use_are_a_note_until_too_few_remain_for_a_talk() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        taken = min(max(holder.getsockname()[1], 1100), 65_000)
        wide = AsteriskSection(sip_address="127.0.0.1", rtp_start=taken - 15, rtp_end=taken + 16)
        narrow = AsteriskSection(sip_address="127.0.0.1", rtp_start=taken, rtp_end=taken + 3)
        found = check_network.rtp_range(wide, 7)
        assert found.ok is None
        assert str(taken) in found.what
        too_many = check_network.rtp_range(wide, 100)
        assert too_many.ok is None
        assert "most_calls is 100" in too_many.what
        few = check_network.rtp_range(narrow, 1)
        assert few.ok is False
        assert "rtp_start" in few.advice


def test_the_machine_and_the_rtp_ports_bound_the_number_of_calls_unless_it_is_set(settings: Settings) -> None:
    assert settings.most_calls == min(30 * cores(), 250)
    narrow = settings.asterisk.model_copy(update={"rtp_start": 10_000, "rtp_end": 10_042})
    few = settings.model_copy(update={"asterisk": narrow})
    assert few.most_calls == 10
    found = check_network.most_calls(few)
    assert found.ok is True
    assert "calls: 10, by" in found.what
    wanted = few.model_copy(update={"call": settings.call.model_copy(update={"most_calls": 11})})
    assert wanted.most_calls == 11
    found = check_network.most_calls(wanted)
    assert found.ok is None
    assert "most_calls is 11" in found.what
    assert "enough for 10 calls" in found.what


def test_few_open_files_are_a_note_with_the_number_of_talks(monkeypatch: pytest.MonkeyPatch) -> None:
    asterisk = AsteriskSection()
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 1024))
    found = check_network.open_files(asterisk)
    assert found.ok is None
    assert "LimitNOFILE" in found.advice
    monkeypatch.setattr(resource, "getrlimit", lambda _: (65_536, 65_536))
    assert check_network.open_files(asterisk).ok is True


def test_a_private_address_towards_a_public_carrier_asks_for_the_external_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket.socket, "connect", lambda *_: None)
    monkeypatch.setattr(socket.socket, "getsockname", lambda _: ("192.168.1.10", 40_000))
    monkeypatch.setattr(socket.socket, "getpeername", lambda _: ("8.8.8.8", 5060))
    trunk = Trunk(host="sip.example")
    assert check_network.nat(trunk, AsteriskSection()).ok is None
    assert check_network.nat(trunk, AsteriskSection(external_address="198.51.100.7")).ok is True


def test_a_full_table_of_files_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        os,
        "statvfs",
        lambda _: SimpleNamespace(
            f_files=1_000_000, f_favail=3, f_frsize=4096, f_bavail=10, f_blocks=10, f_bfree=10
        ),
    )
    found = check_asterisk.disk_space(tmp_path)
    assert found.ok is False
    assert "df -i" in found.what


def test_our_own_running_asterisk_is_not_a_failure(settings: Settings) -> None:
    assert [found.ok for found in check_asterisk.ports(settings, running=True)] == [True]


def test_a_module_without_its_file_is_named(tmp_path: Path) -> None:
    for name in MODULES:
        (tmp_path / f"{name}.so").touch()
    asterisk = Asterisk(("/x/asterisk",), tmp_path, tmp_path, (22, 10, 1), "22.10.1", "path")
    assert check_asterisk.modules_present(asterisk).ok is True
    (tmp_path / "res_ari.so").unlink()
    found = check_asterisk.modules_present(asterisk)
    assert found.ok is False
    assert found.what.endswith("missing in " + str(tmp_path) + ": res_ari")


def answer_one(carrier: socket.socket, seen: list[bytes]) -> None:
    request, sender = carrier.recvfrom(65535)
    seen.append(request)
    carrier.sendto(b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", sender)


def test_a_trunk_that_answers_options_is_reachable() -> None:
    seen: list[bytes] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as carrier:
        carrier.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=answer_one, args=(carrier, seen))
        thread.start()
        found = check_asterisk.trunk_answers(Trunk(host="127.0.0.1", port=carrier.getsockname()[1]), 5)
        thread.join()
    assert found.ok is True
    assert "SIP/2.0 200 OK" in found.what
    assert seen[0].startswith(b"OPTIONS sip:127.0.0.1:")
    assert seen[0].endswith(b"\r\n\r\n")


def test_a_trunk_that_ignores_options_is_a_note_unless_asterisk_is_to_watch_it(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as carrier:
        carrier.bind(("127.0.0.1", 0))
        port = carrier.getsockname()[1]
        assert check_asterisk.trunk_answers(Trunk(host="127.0.0.1", port=port), 0.05).ok is None
        watched = check_asterisk.trunk_answers(Trunk(host="127.0.0.1", port=port, qualify_seconds=60), 0.05)
        assert watched.ok is False
        assert "qualify_seconds" in watched.advice
        registering = Trunk(
            host="127.0.0.1", port=port, mode="registration", username="a", password_file=tmp_path / "pw"
        )
        assert check_asterisk.trunk_answers(registering, 0.05).ok is None


def test_a_closed_trunk_port_is_reported_at_once() -> None:
    found = check_asterisk.trunk_answers(Trunk(host="127.0.0.1", port=free_port(socket.SOCK_DGRAM)), 30)
    assert found.ok is False
    assert "refused" in found.what


def test_a_state_folder_that_others_can_look_into_is_wrong(tmp_path: Path) -> None:
    folder = tmp_path / "var"
    assert check_asterisk.state_is_private(folder).ok is True
    folder.mkdir(mode=0o755)
    found = check_asterisk.state_is_private(folder)
    assert found.ok is False
    assert found.advice == f"Run: chmod 700 {folder}"


def test_an_event_log_folder_that_cannot_be_written_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_asterisk.cel_writable(tmp_path / "not" / "there" / "yet").ok is True
    (tmp_path / "file").touch()
    assert check_asterisk.cel_writable(tmp_path / "file" / "log").ok is False
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert check_asterisk.cel_writable(tmp_path).ok is False


@pytest.mark.parametrize(("gigabytes", "ok"), [(0.1, False), (2, None), (50, True)])
def test_little_disk_space_is_a_note_and_none_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gigabytes: float, ok: bool | None
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=int(gigabytes * 1024**3)))
    assert check_asterisk.disk_space(tmp_path / "later").ok is ok


def test_a_language_without_sounds_is_wrong(settings: Settings) -> None:
    assert check_asterisk.prompts(settings).ok is True
    klingon = settings.model_copy(
        update={"platform": settings.platform.model_copy(update={"language": "tlh"})}
    )
    found = check_asterisk.prompts(klingon)
    assert found.ok is False
    assert "en, fr" in found.what


def test_a_readable_password_file_is_reported_with_the_command_that_fixes_it(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "pw").write_text("x")
    (tmp_path / "pw").chmod(0o644)
    trunk = Trunk(host="sip.example", mode="registration", username="a", password_file=Path("pw"))
    found = check_asterisk.passwords(settings.model_copy(update={"trunk": trunk}))
    assert found.ok is False
    assert "chmod 600" in found.advice


def test_a_missing_asterisk_is_a_finding_and_not_a_failure(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(locate, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    missing = [found for found in check_asterisk.check(settings) if "no Asterisk" in found.what]
    assert [found.ok for found in missing] == [False]
    assert missing[0].advice == "Run: taxiphone asterisk install"


def test_the_check_ends_with_1_when_something_is_wrong(settings: Settings) -> None:
    port = settings.trunk.port
    settings.file.write_text(
        f'[platform]\ncli = "+33199001200"\n[trunk]\nhost = "127.0.0.1"\nport = {port}\n', encoding="utf-8"
    )
    done = CliRunner().invoke(taxiphone, ["--config", str(settings.file), "asterisk", "check", "--json"])
    assert done.exit_code == 1
    wrong = [found["what"] for found in json.loads(done.output) if found["ok"] is False]
    assert any("the trunk 127.0.0.1" in what for what in wrong)


def test_the_files_for_another_server_are_written_for_the_owner_alone_and_named(
    settings: Settings, tmp_path: Path
) -> None:
    settings.file.write_text(
        '[platform]\ncli = "+33199001200"\n[trunk]\nhost = "127.0.0.1"\n', encoding="utf-8"
    )
    theirs = tmp_path / "theirs"
    done = CliRunner().invoke(
        taxiphone, ["--config", str(settings.file), "asterisk", "config", "--output", str(theirs)]
    )
    assert done.exit_code == 0, done.output
    assert str(theirs / "pjsip.conf") in done.output.splitlines()
    assert {path.stat().st_mode & 0o777 for path in theirs.iterdir()} == {0o600}
    assert settings.cel_file.parent.is_dir()
