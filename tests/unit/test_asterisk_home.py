from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from taxiphone.dialplan.asterisk import home
from taxiphone.dialplan.asterisk.home import Folders
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.errors import AsteriskStartError, SetupError
from taxiphone.settings import Settings
from taxiphone.speech.prompts_folder import link_prompts


@pytest.fixture
def over(tmp_path: Path) -> AsteriskServer:
    asterisk = Asterisk(
        (str(tmp_path / "gone"),), tmp_path, tmp_path / "data", (22, 10, 1), "22.10.1", "path"
    )
    made = AsteriskServer(asterisk, tmp_path / "home")
    made.write({"asterisk.conf": "[directories]\n"})
    return made


def test_its_folders_and_files_are_the_owners_alone(over: AsteriskServer) -> None:
    assert {folder.stat().st_mode & 0o777 for folder in over.folders.all()} == {0o700}
    assert over.conf.stat().st_mode & 0o777 == 0o600
    over.write({"asterisk.conf": "[options]\n"})
    assert over.conf.read_text() == "[options]\n"
    assert [path.name for path in over.folders.etc.iterdir()] == ["asterisk.conf"]


def test_every_folder_on_the_way_is_the_owners_alone_whatever_is_made_first(tmp_path: Path) -> None:
    settings = Settings(
        platform={"cli": "+33199001200"}, trunk={"host": "127.0.0.1"}, file=tmp_path / "taxiphone.toml"
    )
    link_prompts(settings)
    folders = [path for path in settings.state.rglob("*") if path.is_dir() and not path.is_symlink()]
    assert settings.asterisk_home / "data" in folders
    assert {path.stat().st_mode & 0o777 for path in (settings.state, *folders)} == {0o700}


def test_folders_that_an_earlier_version_left_open_are_closed(over: AsteriskServer) -> None:
    for folder in over.folders.all():
        folder.chmod(0o755)
    over.write({})
    assert {folder.stat().st_mode & 0o777 for folder in over.folders.all()} == {0o700}


async def test_what_asterisk_says_is_the_owners_alone(over: AsteriskServer) -> None:
    console = over.folders.log / "console.log"
    with pytest.raises(AsteriskStartError):
        await over.start()
    assert console.stat().st_mode & 0o777 == 0o600
    console.chmod(0o644)
    with pytest.raises(AsteriskStartError):
        await over.start()
    assert console.stat().st_mode & 0o777 == 0o600


def test_a_control_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    folders = Folders(tmp_path / "home")
    folders.home.mkdir()
    (tmp_path / "elsewhere").mkdir()
    folders.run.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SetupError, match="belongs to another user"):
        home.write_files(folders, {})


def test_a_home_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="can't be written"):
        home.write_files(Folders(tmp_path / "file" / "home"), {})


async def test_a_program_that_is_not_there_is_one_sentence(over: AsteriskServer) -> None:
    with pytest.raises(AsteriskStartError, match="asterisk check"):
        await over.start()
    assert not over.running


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("/x/asterisk", "-C", "CONF", "-f"), True),
        (("/x/asterisk", "-C", "CONF", "-rx", "core show version"), False),
        (("/bin/less", "CONF", "-f"), False),
        (("/x/asterisk", "-C", "/other/asterisk.conf", "-f"), False),
    ],
)
def test_only_the_server_of_this_exact_file_is_recognised(
    tmp_path: Path, arguments: tuple[str, ...], found: bool
) -> None:
    conf = tmp_path / "asterisk.conf"
    named = [str(conf) if argument == "CONF" else argument for argument in arguments]
    # Any program, waiting for its input, with the command line of the other.
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *named], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            assert (home.find_process(conf) == process.pid) is found
        finally:
            process.kill()
