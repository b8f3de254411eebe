"""`taxiphone prompts list`, `build`, `use` and `drop`: the sounds of the prompts."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from taxiphone.commands.console import App, examples, json_option, note, pass_app, say, show
from taxiphone.commands.prompts.synthesizer import install_synthesizer
from taxiphone.dialplan.asterisk.mirrors import mirror_option
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.speech import own_recordings, prompts_folder, sound_files, synthesis
from taxiphone.speech.prompt_texts import REFERENCE, SHIPPED, Languages, Texts

_HEARD = "Callers hear it after the next start of `taxiphone serve`."


def _language_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--language", metavar="LANG", help=text)


@click.command("list", epilog=examples("taxiphone prompts list", "taxiphone prompts list --language fr"))
@_language_option("Only this language. Default: all.")
@click.option(
    "--all", "all_clips", is_flag=True, help="Also list the words that numbers and amounts are made of."
)
@json_option
@pass_app
def list_prompts(app: App, language: str | None, *, all_clips: bool, as_json: bool) -> None:
    """List the prompts: name, text, duration, and whether you replaced the sound.

    A prompt that is missing in a language that you added is spoken in English.
    """
    settings = app.settings_if_any
    rows = [
        row for texts in _chosen(settings, language) for row in _rows(texts, settings, all_clips=all_clips)
    ]
    columns = [
        "name",
        "text",
        "seconds",
        "replaced",
        *(["missing"] if any(row["missing"] for row in rows) else []),
    ]
    show(rows, columns if language else ["language", *columns], as_json=as_json)


def _rows(texts: Texts, settings: Settings | None, *, all_clips: bool) -> Iterator[dict[str, Any]]:
    heard = prompts_folder.sounds(settings, texts.language) if settings else {}
    for clip in texts.clips.values():
        if not (clip.is_prompt or all_clips):
            continue
        spoken = SHIPPED.texts(REFERENCE) if clip.name in texts.borrowed else texts
        built = synthesis.sound_path(spoken.language, clip.name, synthesis.home(spoken))
        path = heard.get(clip.name, built)
        length = own_recordings.length(path) if path.is_file() else None
        own = None if path.resolve() == built.resolve() else path
        yield {
            "language": texts.language,
            "name": clip.name,
            "text": clip.text,
            "seconds": None if length is None else round(length, 2),
            "replaced": own is not None,
            "own_recording": own,
            "missing": clip.name in texts.borrowed,
        }


def _chosen(settings: Settings | None, language: str | None) -> list[Texts]:
    """The texts of one language, or of all languages if none is given."""
    languages = SHIPPED if settings is None else Languages.of_state(settings.state)
    return [languages.texts(code) for code in ((language,) if language else languages.codes)]


@click.command(epilog=examples("taxiphone prompts build", "taxiphone prompts build --language fr"))
@_language_option("Only this language. Default: all.")
@mirror_option
@pass_app
def build(app: App, language: str | None, mirror: str | None) -> None:
    """Synthesise the prompts whose texts have changed, with espeak-ng.

    The texts are in speech/prompts/*.toml; those of languages that you added are in prompts/*.toml in the state folder. If
    espeak-ng is not on the PATH, it is fetched into the cache folder.
    """
    every = _chosen(app.settings_if_any, language)
    if any(synthesis.outdated(texts) for texts in every):
        install_synthesizer(mirror=mirror)
    for texts in every:
        outcome = synthesis.build(texts)
        say(
            f"{texts.language}: {len(outcome.built)} built, {outcome.kept} unchanged, {len(outcome.removed)} removed"
        )
        if texts.missing:
            note(f"{texts.file} lacks these prompts; they are spoken in English: {', '.join(texts.missing)}")


@click.command(epilog=examples("taxiphone prompts use welcome ~/bonjour.wav --language fr"))
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_language_option("The language of the recording. Default: the platform's.")
@pass_app
def use(app: App, name: str, file: Path, language: str | None) -> None:
    """Use the recording FILE for the prompt NAME.

    FILE can have any usual format (WAV, MP3, M4A, Ogg and others). It is trimmed, converted for the telephone and adjusted
    to the loudness of the other prompts. `taxiphone prompts list --language fr` shows the names and the texts to read.
    """
    texts = _texts(app, language)
    _check_name(texts, name)
    made = own_recordings.use(app.settings.state, texts.language, name, file)
    say(
        f"{name} ({texts.language}) now uses your recording, {sound_files.seconds(made):.1f} s: {made}\n{_HEARD}"
    )


@click.command(epilog=examples("taxiphone prompts drop welcome --language fr"))
@click.argument("name")
@_language_option("The language of the recording. Default: the platform's.")
@pass_app
def drop(app: App, name: str, language: str | None) -> None:
    """Remove your recording of the prompt NAME and use the built-in sound again."""
    texts = _texts(app, language)
    _check_name(texts, name)
    if not own_recordings.drop(app.settings.state, texts.language, name):
        raise UsageError(f"there is no recording of yours for {name} in {texts.language}.")
    say(f"{name} ({texts.language}) uses the built-in sound again. {_HEARD}")


def _texts(app: App, language: str | None) -> Texts:
    return Languages.of_state(app.settings.state).texts(language or app.settings.platform.language)


def _check_name(texts: Texts, name: str) -> None:
    if name in texts.clips:
        return
    near = difflib.get_close_matches(name, texts.clips, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(
        f"there is no prompt {name!r}.{hint} `taxiphone prompts list --language {texts.language}` lists them."
    )
