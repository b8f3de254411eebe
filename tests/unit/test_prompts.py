"""The prompt texts, the sounds made from them, and the commands that change them."""

from __future__ import annotations

import json
import math
import struct
import subprocess
import wave
from datetime import date
from decimal import Decimal
from pathlib import Path

import imageio_ffmpeg
import pytest
from click.testing import CliRunner

from taxiphone.cli import taxiphone
from taxiphone.errors import SettingsError, SetupError, TaxiphoneError, UsageError
from taxiphone.settings import load
from taxiphone.speech import prompt_texts, prompts_folder, sound_files, synthesis
from taxiphone.speech.grammar import Grammar
from taxiphone.speech.prompt_texts import SHIPPED, Languages
from taxiphone.speech.sentences import Speech

BOTH = [SHIPPED.texts(language) for language in SHIPPED.codes]
EVERY = [(texts.language, name) for texts in BOTH for name in texts.clips]
VOICE = '[voice]\nname = "fr"\nspeed = 150\npitch = 50\n'
SPOKEN = [(language, name) for language, name in EVERY if name != "silence"]


def _linear(code: int) -> int:
    """One A-law byte as a 16-bit sample (ITU-T G.711, table 1a)."""
    code ^= 0x55
    exponent, mantissa = code >> 4 & 7, code & 15
    value = (mantissa << 4) + 8 if exponent == 0 else (mantissa << 4) + 0x108 << exponent - 1
    return value if code & 0x80 else -value


SAMPLES = [_linear(code) for code in range(256)]
SQUARES = [sample * sample for sample in SAMPLES]


def _dbfs(amplitude: float) -> float:
    return 20 * math.log10(amplitude / 32768)


def _sound(language: str, name: str) -> bytes:
    return synthesis.sound_path(language, name).read_bytes()


# The texts


def test_every_language_has_the_same_prompts_and_words() -> None:
    keys = [
        {name for name, clip in texts.own.items() if clip.table not in {"own", prompt_texts.TEMPLATES}}
        | set(texts.templates)
        for texts in BOTH
    ]
    for texts, there in zip(BOTH, keys, strict=True):
        assert not texts.missing, f"{texts.file} lacks {', '.join(texts.missing)}"
        assert there == set.union(*keys), f"{texts.language} lacks {set.union(*keys) - there}"


def test_every_number_below_a_hundred_has_a_word() -> None:
    for texts in BOTH:
        assert {f"n/{n}" for n in range(100)} <= set(texts.clips)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[voice]\nname = "fr"\n', "name, speed and pitch"),
        ("[voice", "TOML"),
        ('[sentences]\nWelcome = "x"\n', "a-z"),
        ("[sentences]\nwelcome = 3\n", "must be"),
        ('[sentences]\nwelcome = ""\n', "must be"),
        ('[sentences]\nwelcome = "x"\n[parts]\nwelcome = "y"\n', "already"),
        ('[phrases]\nwelcome = "x"\n', "unknown table"),
        (f'{VOICE}[templates]\nit-costs = "It costs much."\n', "gaps in braces"),
        (f'{VOICE}[templates]\nit-costs = "It costs {{Amount}}."\n', "gaps in braces"),
        (
            f'{VOICE}[templates]\nit-costs = "It costs {{price}}."\n',
            "must contain each of these gaps once: {amount}",
        ),
        (
            f'{VOICE}[templates]\nit-costs = {{ text = "It costs {{amount}}.", say = "It costs." }}\n',
            "the same ones in text and say",
        ),
        (f'{VOICE}[sentences]\nit-costs-1 = "x"\n', "the name it-costs-1 is reserved"),
    ],
)
def test_a_wrong_text_file_is_refused_with_a_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "xx.toml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=sentence):
        Languages((tmp_path,)).texts("xx")


# The sounds


@pytest.mark.parametrize("texts", BOTH, ids=lambda texts: texts.language)
def test_the_sounds_were_made_from_these_texts(texts: prompt_texts.Texts) -> None:
    assert synthesis.outdated(texts) == (), "run: taxiphone prompts build"


@pytest.mark.parametrize("texts", BOTH, ids=lambda texts: texts.language)
def test_no_sound_is_without_a_text(texts: prompt_texts.Texts) -> None:
    home = synthesis.SOUNDS / texts.language
    found = {path.relative_to(home).with_suffix("").as_posix() for path in home.rglob("*.alaw")}
    assert found == set(texts.clips)


def test_every_sound_is_equally_loud_and_none_clips() -> None:
    for language, name in SPOKEN:
        sound = _sound(language, name)
        frames = [sound[at : at + 160] for at in range(0, len(sound), 160)]
        levels = [math.sqrt(sum(SQUARES[code] for code in frame) / len(frame)) for frame in frames]
        spoken = [level for level in levels if level > max(levels) / 10]
        loudness = _dbfs(math.sqrt(sum(level * level for level in spoken) / len(spoken)))
        assert -21 < loudness < -19, f"{language}/{name} is at {loudness:.1f} dBFS"
        peak = _dbfs(max(abs(SAMPLES[code]) for code in set(sound)))
        assert peak < -3, f"{language}/{name} peaks at {peak:.1f} dBFS"


def test_every_sound_lasts_as_long_as_its_words_need() -> None:
    for texts in BOTH:
        for name, clip in texts.clips.items():
            seconds = len(_sound(texts.language, name)) / 8000
            if clip.table != prompt_texts.TONES:
                assert 0.2 + 0.03 * len(clip.text) < seconds + 0.1 < 1.1 + 0.11 * len(clip.text), name


def test_words_begin_and_end_almost_at_once_so_that_figures_flow() -> None:
    for texts in BOTH:
        for name, clip in texts.clips.items():
            if clip.table in {"n", "money", "word", "own"}:
                loud = [
                    at for at, code in enumerate(_sound(texts.language, name)) if abs(SAMPLES[code]) > 100
                ]
                assert loud[0] < 0.06 * 8000, name
                assert len(_sound(texts.language, name)) - loud[-1] < 0.1 * 8000, name


def test_the_start_tone_is_short() -> None:
    assert len(_sound("fr", "tone-start")) == 3200


def test_all_sounds_are_small_enough_to_ship() -> None:
    assert sum(len(_sound(language, name)) for language, name in EVERY) < 8_000_000


# Building


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A third language: English with other words and no grammar of its own."""
    english = prompt_texts.PROMPTS.joinpath("en.toml").read_text(encoding="utf-8")
    folder = tmp_path / "prompts"
    folder.mkdir()
    common = english[: english.index("[own]")]
    replaced = common.replace('"a minute"', '"la minutin"').replace('"euro"', '"yuro"')
    (folder / "xx.toml").write_text(replaced, encoding="utf-8")
    return folder


def test_a_third_language_needs_no_more_than_a_text_file(toy: Path) -> None:
    speech, numbers = Speech("xx", Languages((toy,))), Grammar(Languages((toy,)).texts("xx").clips)
    price = speech.price_per_minute(Decimal("1.55"), "EUR")
    assert speech.text(price) == "one yuro fifty-five la minutin"
    assert speech.text(numbers.number(254_321)) == (
        "two hundred fifty-four thousand three hundred twenty-one"
    )
    assert speech.text(speech.date(date(2026, 11, 22))) == "twenty-two November two thousand twenty-six"
    assert speech.text(speech.duration(3600 * 25 + 62)) == "twenty-five hours one minute and two seconds"
    assert speech.text(speech.free_minutes(3)) == "The first three minutes are free."


def test_a_build_makes_what_is_missing_and_only_that(tmp_path: Path) -> None:
    texts = _tones(tmp_path, 'silence = "(silence)"\ntone-start = "(beep)"\n')
    sounds = tmp_path / "sounds"
    told: list[str] = []
    first = synthesis.build(texts, sounds, told.append)
    assert set(first.built) == {"silence", "tone-start"} == set(told)
    before = (sounds / "xx" / "tone-start.alaw").read_bytes()
    assert before == _sound("fr", "tone-start")
    assert synthesis.build(texts, sounds).built == ()

    (sounds / "xx" / "tone-start.alaw").write_bytes(b"something else")
    (sounds / "xx" / "old.alaw").write_bytes(b"no text has it")
    again = synthesis.build(texts, sounds)
    assert (again.built, again.removed, again.kept) == (("tone-start",), ("old",), 1)
    assert (sounds / "xx" / "tone-start.alaw").read_bytes() == before


def test_a_build_without_espeak_names_the_line_that_installs_it(
    tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(SetupError, match="taxiphone prompts install"):
        synthesis.build(Languages((toy,)).texts("xx"), tmp_path / "sounds")


def test_a_tone_that_nobody_can_play_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tone-start"):
        synthesis.build(_tones(tmp_path, 'gong = "(gong)"\n'), tmp_path / "sounds")


def _tones(folder: Path, tones: str) -> prompt_texts.Texts:
    text = f'[voice]\nname = "fr"\nspeed = 150\npitch = 50\n[tones]\n{tones}'
    (folder / "xx.toml").write_text(text, encoding="utf-8")
    return Languages((folder,)).texts("xx")


# The commands


@pytest.fixture
def house_file(tmp_path: Path) -> Path:
    """A settings file of a platform that speaks French."""
    path = tmp_path / "taxiphone.toml"
    path.write_text('[platform]\ncli = "+33123456789"\n[trunk]\nhost = "127.0.0.1"\n', encoding="utf-8")
    return path


def _wav(path: Path, *, seconds: float = 1.0, amplitude: int = 900) -> Path:
    """Write a quiet hum in stereo at 44.1 kHz, like a microphone recording."""
    frames = (round(amplitude * math.sin(at * 0.06)) for at in range(int(44100 * seconds)))
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(44100)
        sound.writeframes(b"".join(struct.pack("<hh", frame, frame) for frame in frames))
    return path


def _run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(taxiphone, [str(argument) for argument in arguments], catch_exceptions=True)
    if isinstance(result.exception, TaxiphoneError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_the_prompts_are_listed_without_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TAXIPHONE_CONFIG", raising=False)
    rows = json.loads(_run("prompts", "list", "--json"))
    welcome = next(row for row in rows if (row["language"], row["name"]) == ("en", "welcome"))
    assert welcome["text"] == "Hello, and welcome."
    assert 1 < welcome["seconds"] < 3
    assert welcome["own_recording"] is None
    assert not any(row["name"].startswith("n/") for row in rows)
    assert any(row["name"] == "n/21" for row in json.loads(_run("prompts", "list", "--all", "--json")))


def test_a_missing_settings_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"settings file .* does not exist"):
        _run("--config", tmp_path / "none.toml", "prompts", "list")


def test_the_operators_recording_replaces_a_prompt_until_it_is_dropped(
    tmp_path: Path, house_file: Path
) -> None:
    config = ("--config", house_file)
    told = _run(*config, "prompts", "use", "welcome", _wav(tmp_path / "hum.wav"))
    own = tmp_path / "var" / "sounds" / "fr" / "welcome.alaw"
    assert str(own) in told.replace("\n", "")
    assert abs(len(own.read_bytes()) / 8000 - 1.2) < 0.1
    loudest = max(abs(SAMPLES[code]) for code in set(own.read_bytes()))
    assert -20 < _dbfs(loudest) < -15, "a quiet recording is made as loud as the prompts"

    rows = {
        row["name"]: row for row in json.loads(_run(*config, "prompts", "list", "--language", "fr", "--json"))
    }
    assert rows["welcome"]["own_recording"] == str(own)
    assert rows["welcome"]["seconds"] == pytest.approx(1.2, abs=0.1)
    assert rows["goodbye"]["replaced"] is False

    _run(*config, "prompts", "drop", "welcome")
    assert not own.exists()
    with pytest.raises(UsageError, match="no recording of yours"):
        _run(*config, "prompts", "drop", "welcome")


def test_a_new_recording_takes_the_place_of_one_in_another_format(tmp_path: Path, house_file: Path) -> None:
    folder = tmp_path / "var" / "sounds" / "en" / "n"
    folder.mkdir(parents=True)
    old = _wav(folder / "21.wav")
    _run("--config", house_file, "prompts", "use", "n/21", _wav(tmp_path / "hum.wav"), "--language", "en")
    assert not old.exists()
    assert (folder / "21.alaw").is_file()


@pytest.mark.parametrize(
    ("name", "sound", "sentence"),
    [
        ("wellcome", {}, "Did you mean welcome"),
        ("../../welcome", {}, "no prompt"),
        ("welcome", {"amplitude": 0}, "is silent"),
        ("welcome", {"seconds": 0.05}, "a prompt must last"),
    ],
)
def test_an_unusable_recording_is_refused_and_nothing_changes(
    tmp_path: Path, house_file: Path, name: str, sound: dict[str, float], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        _run("--config", house_file, "prompts", "use", name, _wav(tmp_path / "hum.wav", **sound))
    assert not (tmp_path / "var").exists()


def test_a_file_that_is_no_sound_is_refused(tmp_path: Path, house_file: Path) -> None:
    text = tmp_path / "text.mp3"
    text.write_text("this is not music", encoding="utf-8")
    with pytest.raises(UsageError, match="can't be read as sound"):
        _run("--config", house_file, "prompts", "use", "welcome", text)


@pytest.mark.parametrize("name", ["welcome", "rate-offer", "package-2", "it-costs-1", "credit-is", "n/21"])
def test_asterisk_is_given_every_sound_and_the_operators_before_the_shipped(
    tmp_path: Path, house_file: Path, name: str
) -> None:
    _run("--config", house_file, "prompts", "use", name, _wav(tmp_path / "hum.wav"))
    settings = load(house_file)
    for texts in BOTH:
        assert set(prompts_folder.sounds(settings, texts.language)) == set(texts.clips)
    own = tmp_path / "var" / "sounds" / "fr" / f"{name}.alaw"
    assert prompts_folder.sounds(settings, "fr")[name] == own
    prompts_folder.link_prompts(settings)
    heard = settings.asterisk_home / "data" / "sounds" / "fr" / "taxiphone" / f"{name}.alaw"
    assert heard.read_bytes() == own.read_bytes()


def _stereo(path: Path, *, seconds: float, right: int) -> Path:
    """A hum on the left; on the right the same times `right`."""
    hum = [round(9000 * math.sin(at * 0.3)) for at in range(8000)]
    second = b"".join(struct.pack("<hh", each, each * right) for each in hum)
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        for _ in range(round(seconds)):
            sound.writeframes(second)
    return path


@pytest.mark.parametrize("right", [-1, 0, 1])
def test_a_recording_is_heard_whatever_its_two_channels_are_to_each_other(
    tmp_path: Path, house_file: Path, right: int
) -> None:
    """A wrongly wired microphone gives channels of opposite phase, whose sum is silence."""
    _run(
        *("--config", house_file, "prompts", "use", "welcome", "--language", "fr"),
        _stereo(tmp_path / "stereo.wav", seconds=2, right=right),
    )
    made = tmp_path / "var" / "sounds" / "fr" / "welcome.alaw"
    assert 2 <= sound_files.seconds(made) < 2.5
    assert len(set(made.read_bytes())) > 20


@pytest.mark.parametrize("ending", ["wav", "mp3"])
def test_a_recording_that_is_far_too_long_is_refused_by_its_header(
    tmp_path: Path, house_file: Path, ending: str
) -> None:
    long = _stereo(tmp_path / "long.wav", seconds=700, right=1)
    if ending == "mp3":
        made = tmp_path / "long.mp3"
        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        subprocess.run([ffmpeg, "-v", "error", "-i", str(long), "-b:a", "32k", str(made)], check=True)
        long = made
    with pytest.raises(UsageError, match="lasts 700 s, but a recording may last at most 180 s"):
        _run("--config", house_file, "prompts", "use", "welcome", long)


def test_a_false_header_does_not_cause_the_whole_file_to_be_read(tmp_path: Path, house_file: Path) -> None:
    long = _stereo(tmp_path / "long.wav", seconds=200, right=1)
    data = bytearray(long.read_bytes())
    data[40:44] = (0).to_bytes(4, "little")  # as of a recorder that was cut off
    long.write_bytes(data)
    with pytest.raises(UsageError, match=r"lasts|can't be read"):
        _run("--config", house_file, "prompts", "use", "welcome", long)
