"""`taxiphone prompts`: what callers hear: list it, build it from its texts, replace it by one's own recordings."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from taxiphone import settings as settings_file
from taxiphone.commands import names
from taxiphone.commands.console import App, err, examples, json_option, out, pass_app, show
from taxiphone.dialplan.asterisk.mirrors import mirror_option
from taxiphone.errors import SettingsError, UsageError
from taxiphone.settings import Settings
from taxiphone.speech import own_recordings, prompts_folder, sound_files, synthesis
from taxiphone.speech.prompt_texts import REFERENCE, SHIPPED, Languages, Texts

_HEARD = "It is heard from the next start of `taxiphone serve`."


def _language_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option("--language", metavar="LANG", help=text)


@click.group()
def prompts() -> None:
    """What callers and consultants hear, in each language.

    Every prompt has a name, a text and a sound. The sounds are made from the texts by a synthesiser; a recording of
    your own takes the place of any of them. The names of consultants and clients are sounds, too.
    """


@prompts.command(name="list", epilog=examples("taxiphone prompts list --language fr"))
@_language_option("Only this language; else all.")
@click.option("--all", "all_clips", is_flag=True, help="Also the words that numbers and amounts are made of.")
@json_option
@pass_app
def list_prompts(app: App, language: str | None, *, all_clips: bool, as_json: bool) -> None:
    """List the prompts: name, text, seconds, and the recording of your own that replaces it, if any.

    A prompt that is missing in a language of your own is heard in English.
    """
    settings = _settings_if_any(app)
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


def _settings_if_any(app: App) -> Settings | None:
    """The settings; None where there are none yet, since what is built in can be listed without."""
    try:
        settings_file.find(app.config)
    except SettingsError:
        if app.config is not None:
            raise
        return None
    return app.settings


def _chosen(settings: Settings | None, language: str | None) -> list[Texts]:
    """The texts of one language; of all of them if none is given."""
    languages = SHIPPED if settings is None else Languages.of_state(settings.state)
    return [languages.texts(code) for code in ((language,) if language else languages.codes)]


@prompts.command(epilog=examples("taxiphone prompts build", "taxiphone prompts build --language fr"))
@_language_option("Only this language; else all.")
@mirror_option
@pass_app
def build(app: App, language: str | None, mirror: str | None) -> None:
    """Make the sounds anew whose texts have changed, with espeak-ng.

    The texts are speech/prompts/*.toml, and those of your own languages prompts/*.toml in the state folder.

    It is fetched into the cache folder where it is not on the PATH.
    """
    every = _chosen(_settings_if_any(app), language)
    if any(synthesis.outdated(texts) for texts in every):
        names.install_synthesiser(mirror=mirror)
    for texts in every:
        outcome = synthesis.build(texts)
        out.print(
            f"{texts.language}: {len(outcome.built)} built, {outcome.kept} as they were, "
            f"{len(outcome.removed)} removed"
        )
        if texts.missing:
            err.print(
                f"{texts.file} lacks these, which are heard in English: {', '.join(texts.missing)}",
                markup=False,
            )


@prompts.command(epilog=examples("taxiphone prompts use welcome ~/bonjour.wav --language fr"))
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_language_option("The language of the recording; else the platform's.")
@pass_app
def use(app: App, name: str, file: Path, language: str | None) -> None:
    """Use FILE, a recording of your own, for the prompt NAME.

    Any format will do (WAV, MP3, M4A, Ogg ...). It is converted for the telephone, trimmed, and made as loud as the
    other prompts. `taxiphone prompts list --language fr` shows the names, and the texts to be read.
    """
    texts = _texts(app, language)
    _check_name(texts, name)
    made = own_recordings.use(app.settings.state, texts.language, name, file)
    out.print(
        f"{name} ({texts.language}) is now your recording, {sound_files.seconds(made):.1f} s: {made}\n{_HEARD}"
    )


@prompts.command(epilog=examples("taxiphone prompts drop welcome --language fr"))
@click.argument("name")
@_language_option("The language of the recording; else the platform's.")
@pass_app
def drop(app: App, name: str, language: str | None) -> None:
    """Remove your recording of the prompt NAME; the one built in is heard again."""
    texts = _texts(app, language)
    _check_name(texts, name)
    if not own_recordings.drop(app.settings.state, texts.language, name):
        raise UsageError(f"there is no recording of your own for {name} in {texts.language}.")
    out.print(f"{name} ({texts.language}) is the one built in again. {_HEARD}")


def _texts(app: App, language: str | None) -> Texts:
    return Languages.of_state(app.settings.state).texts(language or app.settings.platform.language)


def _check_name(texts: Texts, name: str) -> None:
    if name in texts.clips:
        return
    near = difflib.get_close_matches(name, texts.clips, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(
        f"there is no prompt {name!r}.{hint} `taxiphone prompts list --language {texts.language}` shows them all."
    )
