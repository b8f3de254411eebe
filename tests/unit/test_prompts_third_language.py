"""An operator's own language: a text file and sounds in the state folder, and nothing in the package."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from taxiphone.cli import taxiphone
from taxiphone.demo.sound import write_tone
from taxiphone.errors import TaxiphoneError, UsageError
from taxiphone.settings import Settings, load
from taxiphone.speech import names, prompts_folder, synthesis, synthesizer
from taxiphone.speech.prompt_texts import Languages
from taxiphone.speech.sentences import Speech

Run = Callable[..., str]
ROOT = Path(__file__).parents[2]

ESPERANTO = """
[voice]
name = "eo"
speed = 148
pitch = 46

[sentences]
welcome = "Saluton, kaj bonvenon."

[templates]
it-costs = "{amount} kostas ĝi, imposto inkluzive."
package = "Dum {time} la pakaĵo kostas {amount}, kaj poste {price}."

[n]
1 = "unu"
2 = "du"
50 = "kvindek"
55 = "kvindek kvin"

[word]
hour = "horo"
hours = "horoj"
per-minute = "por minuto"

[money]
eur-one = "eŭro"
eur-many = "eŭroj"
eur-cent-one = "cendo"
eur-cent-many = "cendoj"
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """The settings file of a platform with an Esperanto text file by the operator."""
    synthesizer.installed()
    config = tmp_path / "taxiphone.toml"
    config.write_text('[platform]\ncli = "+33199000000"\n[trunk]\nhost = "127.0.0.1"\n', encoding="utf-8")
    texts = tmp_path / "var/prompts/eo.toml"
    texts.parent.mkdir(parents=True)
    texts.write_text(ESPERANTO, encoding="utf-8")
    return config


@pytest.fixture
def run(house: Path) -> Run:
    def run(*words: str) -> str:
        result = CliRunner().invoke(taxiphone, ["--config", str(house), *words])
        if isinstance(result.exception, TaxiphoneError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    return run


@pytest.fixture
def built(run: Run, house: Path) -> Settings:
    run("prompts", "build", "--language", "eo")
    return load(house)


def test_a_build_makes_its_sounds_beside_its_text_and_says_what_is_missing(run: Run, tmp_path: Path) -> None:
    told = run("prompts", "build", "--language", "eo")
    assert told.startswith("eo: 16 built, 0 unchanged, 0 removed")
    assert "lacks these prompts; they are spoken in English: " in told
    assert " goodbye, " in told
    assert "n/3, " in told
    assert " credit-is, " in told
    assert "welcome" not in told
    sounds = {
        path.relative_to(tmp_path / "var/prompts/eo").as_posix()
        for path in (tmp_path / "var/prompts").rglob("*.alaw")
    }
    assert {"welcome.alaw", "n/1.alaw", "package-3.alaw", "it-costs.alaw"} <= sounds
    assert run("prompts", "build", "--language", "eo").startswith("eo: 0 built, 16 unchanged")


def test_its_figures_and_sentences_are_said_in_its_own_order_by_the_plain_grammar(built: Settings) -> None:
    assert built
    speech = Speech("eo", Languages.of_state(built.state))
    assert speech.text(speech.it_costs(155, "EUR")) == "unu eŭro kvindek kvin kostas ĝi, imposto inkluzive."
    assert (
        speech.text(speech.package(5000, 120, Decimal("1.55"), "EUR"))
        == "Dum du horoj la pakaĵo kostas kvindek eŭroj, kaj poste unu eŭro kvindek kvin por minuto"
    )


def test_missing_prompts_are_played_in_english(built: Settings) -> None:
    speech = Speech("eo", Languages.of_state(built.state))
    assert speech.text(speech.prompt("goodbye")) == "Thank you for your call. Goodbye."
    assert speech.text(speech.credit_is(200, "EUR")) == "Your credit is du eŭroj"
    heard = prompts_folder.sounds(built, "eo")
    assert heard["goodbye"] == synthesis.sound_path("en", "goodbye")
    assert heard["welcome"] == built.state / "prompts/eo/welcome.alaw"
    for name in Languages.of_state(built.state).texts("eo").clips:
        assert heard[name].is_file(), name


def test_asterisk_finds_it_and_the_operators_recordings_come_first(built: Settings) -> None:
    own = built.state / "sounds/eo/welcome.wav"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"recorded")
    prompts_folder.link_prompts(built)
    folder = built.asterisk_home / "data/sounds/eo/taxiphone"
    assert (folder / "welcome.wav").read_bytes() == b"recorded"
    assert (folder / "it-costs.alaw").read_bytes() == (built.state / "prompts/eo/it-costs.alaw").read_bytes()


def test_it_is_a_language_like_the_others_for_clients_and_for_names(run: Run, built: Settings) -> None:
    assert Languages.of_state(built.state).codes == ("en", "eo", "fr")
    run("client", "add", "Zamenhof", "--number", "0698765432", "--language", "eo")
    names.make(built, "client", "555", "Zamenhof")
    assert names.spoken(built, "client", "555", "eo") == ("taxiphone/names/eo/client/555",)
    rows = {
        row["name"]: row for row in json.loads(run("prompts", "list", "--language", "eo", "--all", "--json"))
    }
    assert (rows["welcome"]["missing"], rows["goodbye"]["missing"]) == (False, True)
    assert rows["goodbye"]["seconds"] > 1
    assert not rows["welcome"]["replaced"]


def test_an_unknown_language_is_refused_with_the_list_of_languages(run: Run) -> None:
    with pytest.raises(UsageError, match="en, eo, fr"):
        run("prompts", "build", "--language", "de")


def recording(folder: Path) -> Path:
    sound = folder / "recording.wav"
    write_tone(sound, 440, 1)
    return sound


TALK = (
    "client hears mode-choice: press 1\nconsultant rings: answer\nconsultant hears accept-menu: press 1\n"
    "talk 75: client hangs up\n"
)


def test_the_simulation_speaks_it_with_sounds_of_their_real_length(
    run: Run, built: Settings, tmp_path: Path
) -> None:
    (tmp_path / "talk.txt").write_text(TALK, encoding="utf-8")
    words = (
        "call",
        "simulate",
        "--number",
        "+33199001234",
        "--language",
        "eo",
        "--script",
        str(tmp_path / "talk.txt"),
        "--json",
    )
    events = json.loads(run(*words))["events"]
    place = next(n for n, event in enumerate(events) if event["text"].startswith("Saluton"))
    length = (built.state / "prompts/eo/welcome.alaw").stat().st_size / 8000
    assert events[place + 1]["at"] - events[place]["at"] >= length > 1
    assert any("por minuto" in event["text"] for event in events)


def test_a_settings_file_can_be_written_with_it_and_not_with_one_that_there_is_not(
    house: Path,
) -> None:
    house.unlink()
    words = ["init", str(house), "--cli", "+33199000000", "--trunk", "127.0.0.1", "--language"]
    refused = CliRunner().invoke(taxiphone, [*words, "de"])
    assert isinstance(refused.exception, UsageError)
    assert "en, eo, fr" in str(refused.exception)
    assert not house.exists()
    assert CliRunner().invoke(taxiphone, [*words, "eo"]).exit_code == 0
    assert load(house).platform.language == "eo"


def test_its_sounds_are_their_owners_only(run: Run, built: Settings, tmp_path: Path) -> None:
    folder = built.state / "prompts/eo"
    (folder / "welcome.alaw").chmod(0o644)  # as an earlier version left them
    run("prompts", "build", "--language", "eo")
    run("prompts", "use", "welcome", str(recording(tmp_path)), "--language", "eo")
    made = [*folder.rglob("*"), *(built.state / "sounds").rglob("*")]
    assert {path.name: oct(path.stat().st_mode & 0o077) for path in made if path.stat().st_mode & 0o077} == {}


def test_the_documented_example_works_unchanged(house: Path, tmp_path: Path) -> None:
    manual = (ROOT / "docs/prompts.md").read_text(encoding="utf-8")
    [copying] = re.findall(r"^ +(\(umask .*\))$", manual, re.MULTILINE)
    (tmp_path / "speech").symlink_to(ROOT / "speech")
    for made_before in (True, False):
        subprocess.run(["/bin/bash", "-c", copying], cwd=tmp_path, check=True)
        copied = tmp_path / "var/prompts/de.toml"
        made = [copied, *([] if made_before else copied.parents[:2])]
        assert [path.name for path in made if path.stat().st_mode & 0o077] == []
        words = ("--config", str(house), "prompts", "list", "--language", "de", "--json")
        assert {row["missing"] for row in json.loads(CliRunner().invoke(taxiphone, words).output)} == {False}
        shutil.rmtree(tmp_path / "var")
