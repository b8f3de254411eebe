from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from taxiphone.cli import taxiphone
from taxiphone.dialplan.asterisk import mirrors, packages
from taxiphone.dialplan.asterisk.mirrors import Source
from taxiphone.errors import SetupError

DEB822 = """\
Types: deb
# a comment in the middle
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://src.example/debian
Suites: bookworm
Components: main
"""

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] https://vendor.example/apt bookworm main
deb http://mirror.example/debian/ trixie main contrib # ours
deb-src http://src.example/debian trixie main
deb https://tool.example/linux/debian trixie stable
"""


def test_both_forms_of_apts_sources_are_read() -> None:
    assert mirrors.parse_sources(DEB822)[0] == Source(
        "http://mirror.example/debian",
        "bookworm",
        ("main", "contrib"),
        "/usr/share/keyrings/debian-archive-keyring.gpg",
    )
    assert [source.suite for source in mirrors.parse_sources(DEB822)] == [
        "bookworm",
        "bookworm-updates",
        "bookworm-security",
    ]
    assert mirrors.parse_sources(ONE_LINE)[0] == Source(
        "https://vendor.example/apt", "bookworm", ("main",), "/k.gpg"
    )


def test_debians_own_archive_goes_before_a_vendors_and_security_is_left_out() -> None:
    sources = mirrors.parse_sources(ONE_LINE) + mirrors.parse_sources(DEB822)
    assert mirrors.debian_mirrors(sources) == ["http://mirror.example/debian", "https://vendor.example/apt"]


@pytest.fixture
def ubuntu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let apt's tools see a machine with Ubuntu's sources."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "ubuntu.sources").write_text(
        "Types: deb\nURIs: http://u.example/ubuntu\nSuites: noble noble-updates\nComponents: main universe\n"
        "Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n"
    )
    conf = tmp_path / "apt.conf"
    conf.write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list";\nDir::Etc::sourceparts "{parts}";\n'
        f'Dir::State "{tmp_path}/state";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(conf))
    monkeypatch.delenv(mirrors.ENVIRONMENT, raising=False)


TEMPLATES = """\
ChangelogURI: http://changes.example/%s

Suite: {series}
BaseURI: http://stable.example/debian/
Component: main

Suite: sid
RepositoryType: deb
BaseURI: http://own.example/debian/
MatchURI: own
"""


@pytest.mark.usefixtures("ubuntu")
def test_on_ubuntu_debians_own_mirror_is_read_from_python_apts_templates(tmp_path: Path) -> None:
    templates = tmp_path / "Debian.info"
    templates.write_text(TEMPLATES)
    assert mirrors.mirrors(templates) == ["http://own.example/debian"]


@pytest.mark.usefixtures("ubuntu")
def test_on_ubuntu_without_a_debian_mirror_the_fix_is_shown(tmp_path: Path) -> None:
    with pytest.raises(
        SetupError, match=r"no Debian mirror.*python-apt-common.*--mirror ADDRESS.*TAXIPHONE_MIRROR"
    ):
        mirrors.mirrors(tmp_path / "none")


@pytest.mark.usefixtures("ubuntu")
def test_a_mirror_that_the_environment_names_goes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(mirrors.ENVIRONMENT, "http://near.example/debian")
    assert mirrors.mirrors(tmp_path / "none") == ["http://near.example/debian"]


@pytest.mark.parametrize(
    "command", [("asterisk", "install", "--force"), ("prompts", "install", "--force"), ("demo",)]
)
def test_every_command_that_fetches_takes_a_mirror(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    done = CliRunner().invoke(taxiphone, [*command, "--mirror", "no address"])
    assert done.exit_code == 1, done.output
    assert "'no address' is not the address of a mirror" in " ".join(str(done.exception).split())


def test_where_no_file_says_it_apt_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrors, "_source_files", list)
    monkeypatch.setattr(mirrors, "output", lambda *_: "http://m.example/debian bookworm main\nodd line\n")
    assert mirrors.mirrors() == ["http://m.example/debian"]


def test_our_own_list_has_one_line_signed_by_debians_keyring() -> None:
    line = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://m.example/debian unstable main\n"
    assert packages.sources_list("http://m.example/debian") == line


@pytest.mark.parametrize("address", ["http://a b", "[trusted=yes] http://a", "http://a\ndeb http://b", "a"])
def test_an_address_that_is_more_than_one_word_is_refused(address: str) -> None:
    with pytest.raises(SetupError, match="not the address of a mirror"):
        packages.sources_list(address)


def test_of_the_machines_apt_settings_only_those_for_downloads_are_used(tmp_path: Path) -> None:
    machine = 'Acquire "";\nAcquire::Check-Valid-Until "false";\nAPT::Update::Post-Invoke:: "rm -rf /";\n'
    text = packages.apt_conf(tmp_path, machine, "amd64")
    assert 'Acquire::Check-Valid-Until "false";' in text
    assert "Post-Invoke" not in text
    assert f'Dir::State::status "{tmp_path}/status";' in text


def test_a_name_with_an_epoch_gives_its_version() -> None:
    assert packages._name_and_version("asterisk_1%3a22.10.1-1_amd64.deb") == ("asterisk", "1:22.10.1-1")


def test_a_tree_without_its_marker_is_not_taken_for_a_whole_one(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    assert packages.read(tree) is None
    (tree / packages.MARKER).write_text('{"packages": ')
    assert packages.read(tree) is None


def test_a_whole_tree_is_taken_without_asking_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / packages.MARKER).write_text(json.dumps({"packages": {"asterisk": "22", "libc6": "2"}}))
    monkeypatch.setattr(packages, "_check_tools", lambda: pytest.fail("looked for apt"))
    assert packages.fetch(["asterisk"], tree).packages["asterisk"] == "22"


def test_without_apt_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(packages.shutil, "which", lambda name: None if name == "apt-get" else name)
    with pytest.raises(SetupError, match="apt-get not found"):
        packages.fetch(["asterisk"], tmp_path / "tree")


def test_without_debians_keyring_the_line_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(packages, "KEYRING", tmp_path / "none.gpg")
    monkeypatch.setattr(packages.shutil, "which", lambda name: name)
    with pytest.raises(SetupError, match="apt-get install debian-archive-keyring"):
        packages.fetch(["asterisk"], tmp_path / "tree")
