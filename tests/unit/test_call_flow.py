"""The generated parts of docs/call-flow.md are up to date, and the handwritten parts are complete.

That each prompt in it is heard, in its order, is shown by whole calls in tests/scenarios/test_call_flow_heard.py.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from taxiphone.ari_app import consultation, menu, prompter
from taxiphone.ari_app.end_reasons import ALWAYS_SAID, EndReason
from taxiphone.ari_app.endings import FAREWELLS, OUTCOMES, NoTalkError, may_end_with
from taxiphone.ari_app.steps import talk
from taxiphone.commands import settings_file
from taxiphone.commands.call_flow_reference import ANYWHERE, STEPS, defaults, fill, prompts
from taxiphone.settings import Settings
from taxiphone.settings_sections import Call
from taxiphone.speech.prompt_texts import SHIPPED
from taxiphone.store.calls import Outcome

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "call-flow.md").read_text(encoding="utf-8")
PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
DEFAULTS = defaults()
NAMES = [step.__name__ for step, _, _ in STEPS]


def tables(begin):
    """Yield headings and rows of each table whose first heading starts like this."""
    for block in re.findall(r"(?:^\|.*\n)+", TEXT, re.MULTILINE):
        headings, _, *rows = [
            [cell.strip() for cell in line.strip()[1:-1].split("|")] for line in block.splitlines()
        ]
        if headings[0].startswith(begin):
            yield headings, rows


def quoted(cell):
    return tuple(re.findall(r"`([^`]+)`", cell))


def section(title):
    return re.split(r"^## ", TEXT, flags=re.MULTILINE)[
        1 + re.findall(r"^## (.*)$", TEXT, re.MULTILINE).index(title)
    ]


HEARD = [row for _, rows in tables("prompt") for row in rows]
ASKED = [row for _, rows in tables("question") for row in rows]


def test_what_is_generated_is_up_to_date():
    assert fill(TEXT) == TEXT, "run: make docs"


# -- prompts ----------------------------------------------------------------------------------------------------------


def test_the_document_lists_exactly_the_prompts_of_the_texts():
    assert {name for row in HEARD for name in quoted(row[0])} == prompts().keys()


@pytest.mark.parametrize("language", SHIPPED.codes)
def test_every_prompt_in_the_document_is_there_in_every_language(language):
    named = {name for row in HEARD for name in quoted(row[0])}
    with_hyphens = {name for name in quoted(PROSE) if re.fullmatch(r"[a-z]+(-[a-z]+)+", name)}
    assert (named | with_hyphens) - prompts(language).keys() == set()


def test_every_table_of_prompts_says_who_hears_them():
    heard_by = {headings[1] for headings, _ in tables("prompt")}
    assert heard_by == {"the client hears", "the consultant hears", "both hear"}


# -- questions --------------------------------------------------------------------------------------------------------


def test_the_document_lists_exactly_the_questions_in_order():
    assert [quoted(row[0]) for row in ASKED] == [(question.name,) for question in menu.QUESTIONS]


def test_every_question_of_the_menu_is_in_the_list_of_questions():
    made = [each for each in vars(menu).values() if isinstance(each, menu.Question)]
    assert made == [*menu.QUESTIONS]


def test_the_keys_of_the_talk_are_in_the_document():
    ((_, rows),) = tables("key in the talk")
    assert [quoted(row[0]) for row in rows] == [
        (menu.END_AT_ONCE,),
        (DEFAULTS["end_key"], "end_key"),
        (DEFAULTS["pause_key"], "pause_key"),
    ]


# -- steps and endings ------------------------------------------------------------------------------------------------


def test_the_steps_of_the_diagram_are_those_of_the_consultation():
    assert {*NAMES} == OUTCOMES.keys()
    assert all(getattr(consultation, name) is step for name, (step, _, _) in zip(NAMES, STEPS, strict=True))


def test_every_outcome_is_declared_by_a_step_or_comes_anywhere_or_without_any():
    declared = {outcome for outcomes in OUTCOMES.values() for outcome in outcomes}
    assert declared | ANYWHERE.keys() == {*Outcome} - {
        Outcome.TALKED,
        Outcome.APOLOGY,
        Outcome.ALL_LINES_BUSY,
    }


async def test_an_outcome_that_a_step_does_not_declare_is_logged(caplog, monkeypatch):
    monkeypatch.delitem(OUTCOMES, "step", raising=False)

    @may_end_with(Outcome.BUSY)
    async def step(outcome):
        raise NoTalkError(outcome)

    assert OUTCOMES.pop("step") == (Outcome.BUSY,)
    with pytest.raises(NoTalkError):
        await step(Outcome.BUSY)
    assert not caplog.records
    with pytest.raises(NoTalkError):
        await step(Outcome.BLOCKED)
    assert "step ended a call with blocked, which it does not declare" in caplog.text


@pytest.mark.parametrize("name", NAMES[:-1])
def test_what_comes_after_a_step_names_its_outcomes(name):
    number = NAMES.index(name) + 1
    (title,) = re.findall(rf"^## ({number}\. .*)$", TEXT, re.MULTILINE)
    following = section(title).partition("\nNext: ")[2]
    # The bridge's outcomes are listed with the previous step's.
    with_it = {*OUTCOMES[NAMES[-1]]} if name == NAMES[-2] else set()
    assert {each for each in quoted(following) if each in {*Outcome}} == {*OUTCOMES[name]} | with_it


def test_every_ending_without_a_talk_says_when_it_comes():
    ((_, rows),) = tables("outcome")
    assert {quoted(row[0])[0] for row in rows} == FAREWELLS.keys() | {Outcome.CALLER_GONE}
    assert {*Outcome} - {Outcome.TALKED} == FAREWELLS.keys() | {Outcome.CALLER_GONE}
    assert [row for row in rows if not row[1]] == []


def test_what_is_said_with_tell_after_switched_off_begins_with_the_row_that_the_document_tells():
    said = [reason in ALWAYS_SAID for reason in EndReason]
    (row,) = re.findall(r"from the (\w+) row of the table on", section("11. After the talk"))
    begins = ["first", "second", "third", "fourth", "fifth"].index(row)
    assert said == [place >= begins for place in range(len(said))]


def test_the_fixed_times_are_in_the_document():
    assert prompter.END_KEY_SECONDS == 1, "the document says: within a second"
    assert "if the key that ends a number follows within a second" in " ".join(TEXT.split())
    assert f"if the second key comes within {talk.TOGETHER_SECONDS:g} s of the first" in TEXT
    assert f"has been silent for {talk.DEAD_SECONDS:g} s" in " ".join(TEXT.split())


# -- settings ---------------------------------------------------------------------------------------------------------


def test_every_setting_of_a_call_says_what_it_is():
    ((_, rows),) = tables("setting")
    assert {quoted(row[0])[0] for row in rows} == DEFAULTS.keys()
    assert [row for row in rows if not row[2]] == []


def test_whatever_is_named_like_a_setting_is_one_or_an_outcome():
    named = {name for name in quoted(PROSE) if re.fullmatch(r"[a-z]+(_[a-z]+)+", name)}
    assert named - DEFAULTS.keys() - {*Outcome} == set()
    for group, name in re.findall(r"`\[([a-z]+)\] ([a-z_]+)`", PROSE):
        assert name in Settings.model_fields[group].annotation.model_fields


def test_the_settings_file_shows_every_setting_of_a_call_with_its_default():
    text = settings_file.text({})
    part = re.search(r"^\[call\].*?\n(.*?)^\[", text, re.MULTILINE | re.DOTALL)
    shown = tomllib.loads(re.sub(r"^#(?! )", "", part[1], flags=re.MULTILINE))
    by_default = Call().model_dump(mode="json")
    assert by_default["most_calls"] is None, "the file has an example"
    assert shown | {"most_calls": None} == by_default
    assert [*shown] == [*Call.model_fields]
