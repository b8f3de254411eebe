"""An Asterisk run by the operator: what `asterisk config` writes, who can read it, and what `doctor` reports."""

from __future__ import annotations

import fcntl
import grp
import os
import pwd
import socket
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from taxiphone import settings as settings_file
from taxiphone.cli import taxiphone
from taxiphone.dialplan.asterisk import sharing
from taxiphone.errors import SettingsError, SetupError
from taxiphone.server.checks import check_asterisk, check_external_asterisk
from taxiphone.settings import Settings
from taxiphone.speech import names, prompts_folder, synthesizer

GROUP = grp.getgrgid(os.getgid()).gr_name
NOBODY = pwd.getpwnam("nobody").pw_uid


def written(folder: Path, asterisk: str) -> Settings:
    file = folder / "taxiphone.toml"
    file.write_text(
        f'[platform]\ncli = "+33199001200"\n[trunk]\nhost = "127.0.0.1"\n[asterisk]\n{asterisk}\n',
        encoding="utf-8",
    )
    return settings_file.load(file)


def run(settings: Settings, *arguments: str) -> str:
    done = CliRunner().invoke(taxiphone, ["--config", str(settings.file), *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def own_recording(settings: Settings) -> None:
    settings.state.mkdir(mode=0o700)
    for place in (
        "sounds/fr/welcome.alaw",
        "prompts/br/welcome.alaw",
        "sounds/names/own/consultant/4271.alaw",
    ):
        path = settings.state / place
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(b"\xd5" * 800)
    (settings.state / "prompts/br.toml").write_text("", encoding="utf-8")


def test_the_sounds_are_part_of_what_is_laid_out(tmp_path: Path) -> None:
    settings = written(tmp_path, "embedded = false")
    own_recording(settings)
    run(settings, "asterisk", "config", "--output", str(tmp_path / "theirs"))
    laid_out = settings.asterisk_home / "data/sounds"
    for language in ("en", "fr", "br"):
        assert (laid_out / language / "taxiphone/price-is.alaw").is_file()
    assert (laid_out / "fr/taxiphone/welcome.alaw").read_bytes() == b"\xd5" * 800
    assert (laid_out / "br/taxiphone/welcome.alaw").read_bytes() == b"\xd5" * 800
    assert (laid_out / "br/taxiphone/names/own/consultant/4271.alaw").is_file()
    assert (
        f"astdatadir => {settings.asterisk_home / 'data'}" in (tmp_path / "theirs/asterisk.conf").read_text()
    )
    assert mode(settings.state) == 0o700


def test_a_group_gets_what_asterisk_needs_and_nothing_else(tmp_path: Path) -> None:
    settings = written(tmp_path, f'embedded = false\ngroup = "{GROUP}"')
    own_recording(settings)
    theirs = tmp_path / "theirs"
    run(settings, "asterisk", "config", "--output", str(theirs))
    home = settings.asterisk_home
    assert mode(settings.state) == 0o710, "it is passed through, not listed"
    assert mode(settings.state / "ari.password") == 0o600
    for folder in ("log", "log/cel-custom", "spool", "spool/captured", "db", "run"):
        assert mode(home / folder) == 0o2770
    for folder in (home, home / "data", home / "data/sounds", theirs, settings.state / "sounds"):
        assert mode(folder) == 0o2750
    assert {mode(path) for path in theirs.iterdir()} == {0o640}
    sound = home / "data/sounds/en/taxiphone/price-is.alaw"
    assert not sound.is_symlink(), "the package may lie where another user can't look"
    assert mode(sound.resolve()) == 0o640
    assert mode(settings.state / "sounds/names/own/consultant/4271.alaw") == 0o640
    for path in (sound, theirs / "pjsip.conf", home / "log/cel-custom"):
        assert path.stat().st_gid == os.getgid()
    assert check_asterisk.state_is_private(settings.state, shared=True).ok is True
    settings.state.chmod(0o755)
    assert check_asterisk.state_is_private(settings.state, shared=True).ok is False


def test_a_name_that_is_made_later_is_open_to_the_group_at_once(tmp_path: Path) -> None:
    synthesizer.installed()
    settings = written(tmp_path, f'embedded = false\ngroup = "{GROUP}"')
    run(settings, "asterisk", "config")
    names.make(settings, "consultant", "4271", "Camille Martin")
    made = settings.asterisk_home / "data/sounds/fr/taxiphone/names/fr/consultant/4271.alaw"
    assert mode(made) == 0o640
    assert {mode(folder) for folder in made.resolve().parents[:3]} == {0o2750}


def test_a_group_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = written(tmp_path, 'embedded = false\ngroup = "no-such-group"')
    with pytest.raises(SetupError, match="the group 'no-such-group' does not exist"):
        sharing.share(settings)


def test_a_group_for_an_embedded_asterisk_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="group requires embedded = false"):
        written(tmp_path, f'group = "{GROUP}"')


def test_who_may_read_a_file_is_told_by_its_modes_and_those_of_its_folders(tmp_path: Path) -> None:
    open_file = Path("/etc/passwd")
    assert check_external_asterisk.readable(open_file, NOBODY)
    sound = tmp_path / "a.alaw"
    sound.touch(mode=0o644)
    tmp_path.chmod(0o700)
    assert check_external_asterisk.readable(sound, os.getuid())
    assert not check_external_asterisk.readable(sound, NOBODY)
    link = tmp_path / "link"
    link.symlink_to(open_file)
    assert not check_external_asterisk.readable(link, NOBODY), "the way to the link counts too"


def test_an_asterisk_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = written(tmp_path, f"embedded = false\nhttp_port = {port}")
    [found] = check_asterisk.external(settings)
    assert found.ok is False
    assert "unreachable" in found.what
    assert "No calls are accepted" in found.what


def test_a_running_serve_is_known_by_its_lock(tmp_path: Path) -> None:
    assert not check_asterisk.serve_runs(tmp_path)
    with (tmp_path / "serve.lock").open("w", encoding="utf-8") as lock:
        assert not check_asterisk.serve_runs(tmp_path)
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert check_asterisk.serve_runs(tmp_path)
    assert not check_asterisk.serve_runs(tmp_path)


def test_the_folder_of_names_is_there_before_the_first_name(tmp_path: Path) -> None:
    settings = written(tmp_path, "embedded = false")
    prompts_folder.link_prompts(settings)
    assert (settings.asterisk_home / "data/sounds/en/taxiphone/names").is_dir()
