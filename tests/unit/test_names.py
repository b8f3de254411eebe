"""The sounds of people's names: where they are stored, which one is played, and what the synthesizer receives."""

from __future__ import annotations

import stat
import struct
import subprocess
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from taxiphone.cli import taxiphone
from taxiphone.errors import SetupError, TaxiphoneError, UsageError
from taxiphone.settings import Settings
from taxiphone.speech import names, prompts_folder, synthesizer
from taxiphone.speech.prompt_texts import SHIPPED
from taxiphone.speech.sentences import Speech

Run = Callable[..., str]


@pytest.fixture(scope="module", autouse=True)
def espeak() -> None:
    """The synthesizer, downloaded if this machine has none."""
    synthesizer.installed()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        platform={"cli": "+33199001200"}, trunk={"host": "192.0.2.7"}, file=tmp_path / "taxiphone.toml"
    )


def hum(path: Path, seconds: float = 1.0) -> Path:
    """A recording that the conversion can't distinguish from a microphone's."""
    frames = ((at * 37 % 200 - 100) * 60 for at in range(int(16000 * seconds)))
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(b"".join(struct.pack("<h", frame) for frame in frames))
    return path


def heard(settings: Settings, sound: str, language: str) -> bytes:
    """Return the file that Asterisk finds for a sound on a channel with this language."""
    return (settings.asterisk_home / "data/sounds" / language / f"{sound}.alaw").read_bytes()


def test_a_name_that_was_never_made_has_no_sound(settings: Settings) -> None:
    assert names.spoken(settings, "consultant", "4271", "fr") is None


def test_a_name_is_said_in_every_language_also_when_it_comes_while_asterisk_runs(settings: Settings) -> None:
    prompts_folder.link_prompts(settings)
    names.make(settings, "consultant", "4271", "Anne Dupont")
    told = {}
    for language in ("en", "fr"):
        sounds = names.spoken(settings, "consultant", "4271", language)
        assert sounds == (f"taxiphone/names/{language}/consultant/4271",)
        told[language] = heard(settings, sounds[0], language)
        assert 0.4 < len(told[language]) / 8000 < 2
    assert told["en"] != told["fr"]
    assert names.spoken(settings, "client", "4271", "fr") is None


def test_a_name_can_be_put_into_a_sentence(settings: Settings) -> None:
    names.make(settings, "consultant", "4271", "Anne Dupont")
    sounds = names.spoken(settings, "consultant", "4271", "fr")
    assert sounds
    speech = Speech("fr")
    assert speech.consultant_is(sounds)[-1:] == sounds
    assert speech.text(speech.consultant_is(sounds)) == "Votre consultant est (consultant 4271)"


def test_only_the_owner_can_read_the_folder(settings: Settings, tmp_path: Path) -> None:
    names.make(settings, "client", "12345678", "Paul")
    names.use(settings, "client", "12345678", hum(tmp_path / "paul.wav"))
    home = settings.state / "sounds"
    for path in (home, *home.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_the_recorded_name_comes_first_in_every_language_until_it_is_dropped(
    settings: Settings, tmp_path: Path
) -> None:
    names.make(settings, "consultant", "4271", "Anne Dupont")
    own = names.use(settings, "consultant", "4271", hum(tmp_path / "anne.wav"))
    for language in ("en", "fr"):
        assert names.spoken(settings, "consultant", "4271", language) == (
            "taxiphone/names/own/consultant/4271",
        )
    prompts_folder.link_prompts(settings)
    assert heard(settings, "taxiphone/names/own/consultant/4271", "fr") == own.read_bytes()
    assert names.drop_recording(settings, "consultant", "4271")
    assert not names.drop_recording(settings, "consultant", "4271")
    assert names.spoken(settings, "consultant", "4271", "fr") == ("taxiphone/names/fr/consultant/4271",)


def test_a_recording_too_long_for_a_name_is_refused_and_nothing_changes(
    settings: Settings, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"a name must last from 0.1 to 8 s"):
        names.use(settings, "consultant", "4271", hum(tmp_path / "speech.wav", 9))
    assert names.spoken(settings, "consultant", "4271", "fr") is None


def test_only_names_that_are_missing_or_have_changed_are_made_again(settings: Settings) -> None:
    people = [("4271", "Anne Dupont"), ("4272", "Bernard")]
    names.make(settings, "consultant", *people[0])
    assert names.missing(settings, "consultant", people) == [people[1]]
    assert names.missing(settings, "consultant", [("4271", "Anne Durand")]) == [("4271", "Anne Durand")]


def test_a_respelled_name_stays_until_the_name_itself_changes(settings: Settings) -> None:
    names.make(settings, "consultant", "4271", "Nguyen", say="Nouyène")
    assert names.missing(settings, "consultant", [("4271", "Nguyen")]) == []


@pytest.mark.parametrize("code", ["", "../x", "4271/..", "42 71", "٤٢", "123456789"])
def test_no_file_is_named_after_user_input(settings: Settings, code: str) -> None:
    with pytest.raises(UsageError, match="1 to 8 digits"):
        names.make(settings, "consultant", code, "Anne")
    assert names.spoken(settings, "consultant", code, "fr") is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Jean-Luc d\N{RIGHT SINGLE QUOTATION MARK}Estaing", "Jean-Luc d'Estaing"),
        ("Dr. Anne & Fils, 3e", "Dr. Anne & Fils, 3e"),
        ("[[b@'loU]] Anne", "b 'loU Anne"),
        ("<voice name='en'>Anne</voice>", "voice name 'en' Anne voice"),
        ("-w /etc/passwd", "w etc passwd"),
        ("Anne $(id) `id`; id | id > x\n\x01 2S", "Anne id id id id x 2S"),
        ("Łukasz Ñúñez-Šťastný", "Łukasz Ñúñez-Šťastný"),
    ],
)
def test_the_synthesizer_reads_a_name_only_as_text(name: str, said: str) -> None:
    assert names.sayable(name) == said


def test_a_name_is_handed_over_as_text_never_as_an_argument(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []
    run = subprocess.run

    def spy(command, **options):  # type: ignore[no-untyped-def]
        commands.append(command)
        assert not options.get("shell")
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", spy)
    names.make(settings, "consultant", "4271", "--version Zebulon")
    spoken = [command for command in commands if any("espeak" in part for part in command)]
    assert len(spoken) == len(SHIPPED.codes)
    assert not any("Zebulon" in part or "--version" in part for command in spoken for part in command)


@pytest.mark.parametrize("name", ["", "...", "[[ ]]", "- -"])
def test_a_name_without_a_letter_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(UsageError, match="contains nothing that can be spoken"):
        names.make(settings, "consultant", "4271", name)
    assert not names.try_make(settings, "consultant", "4271", name)


def test_without_a_synthesizer_the_install_command_is_shown_and_add_continues(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SetupError, match="taxiphone prompts install"):
        names.make(settings, "consultant", "4271", "Anne")
    with caplog.at_level("INFO"):
        assert not names.try_make(settings, "consultant", "4271", "Anne")
    assert "taxiphone prompts install" in caplog.text
    with pytest.raises(SetupError, match="only on Debian"):
        synthesizer.installed()


def test_an_unpacked_synthesizer_is_run_with_its_own_libraries_and_voices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tree = synthesizer.tree()
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    for path in (libraries / "ld-linux-x86-64.so.2", tree / "usr/bin/espeak-ng"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tree / ".taxiphone-packages.json").write_text('{"packages": {"espeak-ng": "1.52"}}', encoding="utf-8")
    assert synthesizer.installed() == (
        f"{libraries}/ld-linux-x86-64.so.2",
        "--library-path",
        f"{libraries}:{libraries}/pulseaudio",
        f"{tree}/usr/bin/espeak-ng",
        f"--path={libraries}",
    )


# The commands


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command on a platform with a consultant and a client."""
    config = tmp_path / "taxiphone.toml"
    config.write_text('[platform]\ncli = "+33199000000"\n[trunk]\nhost = "127.0.0.1"\n', encoding="utf-8")

    def run(*words: str | Path) -> str:
        result = CliRunner().invoke(taxiphone, ["--config", str(config), *map(str, words)])
        if isinstance(result.exception, TaxiphoneError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    run("consultant", "add", "Anne", "--phone", "0612345678", "--price", "1.55", "--code", "4271")
    run("client", "add", "Paul", "--number", "0698765432")
    for path in (tmp_path / "var/sounds/names").rglob("*.*"):
        path.unlink()
    return run


def made(folder: Path) -> list[str]:
    home = folder / "var/sounds/names"
    return sorted(str(path.relative_to(home).parent) for path in home.rglob("*.alaw"))


def test_one_command_makes_all_missing_names(run: Run, tmp_path: Path) -> None:
    assert run("prompts", "names") == "2 names synthesised."
    assert made(tmp_path) == ["en/client", "en/consultant", "fr/client", "fr/consultant"]
    assert run("prompts", "names") == "0 names synthesised."


def test_a_name_that_can_not_be_spoken_does_not_stop_the_others(run: Run) -> None:
    run("consultant", "add", "***", "--phone", "0612345679", "--price", "1.55", "--code", "4272")
    assert run("prompts", "names").endswith("2 names synthesised.")


def test_one_name_is_made_respelled_recorded_and_the_recording_dropped(run: Run, tmp_path: Path) -> None:
    assert run("prompts", "name", "consultant", "4271") == "Anne (consultant 4271) is spoken by name."
    sound = tmp_path / "var/sounds/names/fr/consultant/4271.alaw"
    before = sound.read_bytes()
    run("prompts", "name", "consultant", "4271", "--say", "Aneu")
    assert sound.read_bytes() != before
    run("prompts", "name", "consultant", "4271", "--recording", hum(tmp_path / "anne.wav"))
    assert "own/consultant" in made(tmp_path)
    assert (
        run("prompts", "name", "consultant", "4271", "--drop-recording")
        == "The recording of Anne was removed."
    )
    with pytest.raises(UsageError, match="no recording"):
        run("prompts", "name", "consultant", "4271", "--drop-recording")


def test_a_client_is_named_by_a_number_too(run: Run, tmp_path: Path) -> None:
    run("prompts", "name", "client", "0698765432")
    assert made(tmp_path) == ["en/client", "fr/client"]


def test_only_people_in_the_directory_have_names(run: Run) -> None:
    with pytest.raises(UsageError, match="no consultant"):
        run("prompts", "name", "consultant", "9999")


def test_the_synthesizer_that_is_there_is_not_fetched_again(run: Run) -> None:
    assert "espeak-ng" in run("prompts", "install")
