from __future__ import annotations

from pathlib import Path

import pytest

from taxiphone.settings import Settings
from taxiphone.speech import prompts_folder


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    shipped = tmp_path / "shipped"
    put(shipped / "fr/price-is.alaw", "ours")
    put(shipped / "fr/n/12.alaw", "douze")
    put(shipped / "fr/manifest.json", "{}")
    put(shipped / "en/price-is.alaw", "ours")
    monkeypatch.setattr(prompts_folder, "SHIPPED", shipped)
    return Settings(
        platform={"cli": "+33199001200"}, trunk={"host": "192.0.2.7"}, file=tmp_path / "taxiphone.toml"
    )


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def heard(settings: Settings, language: str) -> dict[str, str]:
    folder = settings.asterisk_home / "data/sounds" / language / "taxiphone"
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def test_the_shipped_sounds_are_linked_and_nothing_else(settings: Settings) -> None:
    prompts_folder.link_prompts(settings)
    assert heard(settings, "fr") == {"price-is.alaw": "ours", "n/12.alaw": "douze"}
    assert heard(settings, "en") == {"price-is.alaw": "ours"}


def test_the_operators_own_recording_wins_in_whatever_format(settings: Settings) -> None:
    put(settings.state / "sounds/fr/price-is.wav", "theirs")
    put(settings.state / "sounds/fr/n/12.alaw", "their twelve")
    prompts_folder.link_prompts(settings)
    assert heard(settings, "fr") == {"price-is.wav": "theirs", "n/12.alaw": "their twelve"}


def test_removing_a_recording_restores_the_shipped_prompt(settings: Settings) -> None:
    put(settings.state / "sounds/fr/price-is.wav", "theirs")
    prompts_folder.link_prompts(settings)
    (settings.state / "sounds/fr/price-is.wav").unlink()
    prompts_folder.link_prompts(settings)
    assert heard(settings, "fr")["price-is.alaw"] == "ours"
    folder = settings.asterisk_home / "data/sounds/fr"
    assert len(list(folder.glob("links-*"))) == 1


def test_a_language_of_the_operators_own_is_there_too(settings: Settings) -> None:
    put(settings.state / "sounds/br/price-is.ulaw", "breton")
    put(settings.state / "sounds/not a language/price-is.ulaw", "no")
    prompts_folder.link_prompts(settings)
    assert prompts_folder.languages(settings) == ["br", "en", "fr"]
    assert heard(settings, "br") == {"price-is.ulaw": "breton"}
