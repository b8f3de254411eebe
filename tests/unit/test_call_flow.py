"""docs/call-flow.md is true: every prompt, key, time-out and ending in it is the program's, and none is left out."""

from __future__ import annotations

import ast
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

from taxiphone.ari_app import call_record, consultation, menu, verbs
from taxiphone.ari_app.conversation import FAREWELLS
from taxiphone.ari_app.steps import after, price, talk
from taxiphone.settings import Settings
from taxiphone.settings_sections import Call
from taxiphone.speech import prompt_texts
from taxiphone.speech.prompt_texts import SHIPPED
from taxiphone.store.calls import Outcome

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "call-flow.md").read_text(encoding="utf-8")
SPEECH = ROOT / "speech" / "sentences.py"
GRAMMARS = [ROOT / "speech" / f"{name}.py" for name in ("grammar", "english", "french")]
OUTCOMES = {outcome.value for outcome in Outcome}
LANGUAGES = SHIPPED.codes
DEFAULTS = {
    name: value if isinstance(value, str) else str(value).lower()
    for name, value in Call().model_dump(mode="json").items()
}


def prompts(language):
    """Every prompt, and every sentence with gaps, of a language -> what it says."""
    data = tomllib.loads((prompt_texts.PROMPTS / f"{language}.toml").read_text(encoding="utf-8"))
    found = {name: said for table in prompt_texts.PROMPT_TABLES for name, said in data[table].items()}
    return {name: said if isinstance(said, str) else said["text"] for name, said in found.items()}


ENGLISH = prompts("en")


# -- the document -----------------------------------------------------------------------------------------------------


def tables(begin, text=TEXT):
    """Headings and rows of each table that begins with this heading."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
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


PROSE = re.sub(r"^```.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
HEARD = [row for _, rows in tables("prompt") for row in rows]
ASKED = [row for _, rows in tables("question") for row in rows]
DIAGRAM = re.findall(r"^```mermaid\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)[0]
EDGES = {
    (start, end)
    for start, ends in re.findall(
        r"^ +(\w+) (?:-->|==>|-\.->)(?:\|\"[^\"]*\"\|)? (.+)$", DIAGRAM, re.MULTILINE
    )
    for end in ends.split(" & ")
}


# -- the program ------------------------------------------------------------------------------------------------------


def parsed(path):
    return ast.parse(Path(path).read_text(encoding="utf-8"))


def strings(node):
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}


def functions(path):
    return [
        each for each in ast.walk(parsed(path)) if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def called(node):
    """The names of the methods that are called."""
    calls = [each.func for each in ast.walk(node) if isinstance(each, ast.Call)]
    return {each.attr for each in calls if isinstance(each, ast.Attribute)}


def said_by_speech():
    """Each method of Speech -> the prompts that it says by itself, or lets a language's grammar say."""
    grammar = {}
    for each in (each for path in GRAMMARS for each in functions(path)):
        grammar.setdefault(each.name, set()).update(strings(each) & ENGLISH.keys())
    return {
        method.name: (strings(method) & ENGLISH.keys()).union(
            *(grammar.get(name, set()) for name in called(method))
        )
        for method in functions(SPEECH)
    }


def said_by_the_program():
    """Every prompt whose name stands in ari_app, or that a method of Speech says which is called there."""
    found, methods = set(), said_by_speech()
    for path in (ROOT / "ari_app").rglob("*.py"):
        tree = parsed(path)
        found |= strings(tree) & ENGLISH.keys()
        found = found.union(*(methods.get(name, set()) for name in called(tree)))
    return found


def outcomes_in(node):
    return {
        Outcome[each.attr].value
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and each.value.id == "Outcome"
    }


def outcomes_of(step):
    """The outcomes that a step can end with: those named in it, in what it uses of its own module and of the record."""
    parts = {}
    for each in parsed(step.__code__.co_filename).body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            parts[each.name] = each
        elif isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            parts[each.targets[0].id] = each
    found, seen, ahead = set(), set(), {step.__name__}
    while ahead:
        part = parts[name := ahead.pop()]
        seen.add(name)
        found |= outcomes_in(part)
        used = {each.id for each in ast.walk(part) if isinstance(each, ast.Name)}
        ahead |= used & parts.keys() - seen
        found |= {outcome for method in asked_of_the_record(part) for outcome in outcomes_in(RECORD[method])}
    return found


def asked_of_the_record(node):
    """The methods that are called as `call.record.method`."""
    return {
        each.attr
        for each in ast.walk(node)
        if isinstance(each, ast.Attribute)
        and ast.unparse(each.value) == "call.record"
        and each.attr in RECORD
    }


RECORD = {
    each.name: each
    for each in ast.walk(parsed(call_record.__file__))
    if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
}
FIRST = (consultation.identify, consultation.offer_to_go_on)
STEPS = [*FIRST, *consultation.A_NEW_ONE, *consultation.REACHED, talk.bridge]


# -- prompts ----------------------------------------------------------------------------------------------------------


def test_every_prompt_that_the_program_says_stands_in_the_document():
    assert said_by_the_program() - {name for row in HEARD for name in quoted(row[0])} == set()


def test_every_prompt_in_the_document_is_said_by_the_program():
    assert {name for row in HEARD for name in quoted(row[0])} - said_by_the_program() == set()


def test_every_prompt_of_the_texts_is_said_by_the_program():
    assert ENGLISH.keys() - said_by_the_program() == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_prompt_in_the_document_is_there_in_every_language(language):
    named = {name for row in HEARD for name in quoted(row[0])}
    with_hyphens = {name for name in quoted(PROSE) if re.fullmatch(r"[a-z]+(-[a-z]+)+", name)}
    assert (named | with_hyphens) - prompts(language).keys() == set()


@pytest.mark.parametrize("row", HEARD, ids=lambda row: row[0])
def test_a_prompt_is_quoted_as_it_is_said(row):
    (name,) = quoted(row[0])
    assert row[1] == ENGLISH[name]


def test_every_table_of_prompts_says_who_hears_them():
    heard_by = {headings[1] for headings, _ in tables("prompt")}
    assert heard_by == {"the client hears", "the consultant hears", "both hear"}


# -- questions --------------------------------------------------------------------------------------------------------


def as_a_row(question):
    """A question as it must stand in the document."""
    keys = [f"`{key}` {meaning}" for key, meaning in question.keys.items()]
    ends = " or ".join(f"`{key}`" for key in question.ends)
    if not keys:
        keys = [f"up to {question.most} digits; {ends} ends them"]
    waits = f"`{question.wait}` ({DEFAULTS[question.wait]})" if question.wait else str(price.SKIP_SECONDS)
    tries = str(question.tries) if question.tries else f"`code_tries` ({DEFAULTS['code_tries']})"
    return [
        f"`{question.name}`",
        question.who,
        "<br>".join(keys),
        waits,
        tries,
        question.silence,
    ]


@pytest.mark.parametrize("question", menu.QUESTIONS, ids=lambda question: question.name)
def test_a_question_stands_in_the_document_with_its_keys_time_out_tries_and_silence(question):
    assert as_a_row(question) in ASKED


def test_the_questions_stand_in_the_document_in_their_order_and_no_others():
    assert [quoted(row[0]) for row in ASKED] == [(question.name,) for question in menu.QUESTIONS]


def test_every_question_of_the_menu_is_in_the_list_of_questions():
    made = [each for each in vars(menu).values() if isinstance(each, menu.Question)]
    assert made == [*menu.QUESTIONS]


def test_the_keys_of_the_talk_stand_in_the_document():
    ((_, rows),) = tables("key in the talk")
    assert [quoted(row[0]) for row in rows] == [
        (menu.END_AT_ONCE,),
        (DEFAULTS["end_key"], "end_key"),
        (DEFAULTS["pause_key"], "pause_key"),
    ]


# -- steps and endings ------------------------------------------------------------------------------------------------


def test_the_diagram_has_the_steps_in_their_order():
    names = [step.__name__ for step in STEPS]
    assert re.findall(r'^ +(\w+)\["\d+ · ', DIAGRAM, re.MULTILINE) == [*names, "talk", "after"]
    ways = {*pairwise([*names, "talk", "after"]), ("after", "talked"), ("offer_to_go_on", "reach")}
    assert {edge for edge in EDGES if edge[1] not in OUTCOMES or edge[1] == "talked"} == ways


def test_the_first_steps_are_those_of_the_consultation():
    tree = parsed(consultation.__file__)
    taken = [
        [arg.id for arg in each.args if isinstance(arg, ast.Name)]
        for each in ast.walk(tree)
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.func.attr == "_steps"
    ]
    assert [step.__name__ for step in FIRST] in taken


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_the_diagram_has_every_outcome_of_a_step(step):
    assert {end for start, end in EDGES if start == step.__name__ and end in OUTCOMES} == outcomes_of(step)


def test_the_diagram_has_the_outcomes_that_any_step_may_end_with():
    anywhere = outcomes_in(parsed(consultation.__file__)) - {"talked"}
    assert {end for start, end in EDGES if start == "anywhere"} == anywhere


@pytest.mark.parametrize("step", STEPS[:-1], ids=lambda step: step.__name__)
def test_what_comes_after_a_step_names_its_outcomes(step):
    number = STEPS.index(step) + 1
    (title,) = re.findall(rf"^## ({number}\. .*)$", TEXT, re.MULTILINE)
    following = section(title).partition("\nNext: ")[2]
    with_it = outcomes_of(talk.bridge) - {"caller_gone"} if step is STEPS[-2] else set()  # told together
    assert {name for name in quoted(following) if name in OUTCOMES} == outcomes_of(step) | with_it


def test_every_ending_without_a_talk_stands_in_the_document_with_its_prompts_in_their_order():
    ((_, rows),) = tables("outcome")
    written = {quoted(row[0])[0]: quoted(row[2]) for row in rows}
    told = {outcome.value: list(names) for outcome, names in FAREWELLS.items()}
    told["no_credit"][1:1] = ["credit-is", "other-call"]  # composed: the balance, and why it is not all of it
    assert written == {name: tuple(names) for name, names in told.items()} | {"caller_gone": ()}
    assert [*written] == [*told, "caller_gone"]
    assert written.keys() == OUTCOMES - {"talked"}


def test_every_end_of_a_talk_stands_in_the_document_with_what_each_side_hears():
    ((_, rows),) = tables("the talk ended")
    written = [(why, quoted(client), quoted(consultant)) for why, client, consultant in rows]
    assert written == [
        (why.value, tuple(filter(None, [client])), tuple(filter(None, [consultant])))
        for why in talk.Why
        for client, consultant in [(after.CLIENT_HEARS.get(why), after.CONSULTANT_HEARS.get(why))]
    ]


def test_what_is_said_with_tell_after_switched_off_begins_with_the_row_that_the_document_tells():
    said = [why in after.NEVER_SILENTLY for why in talk.Why]
    (row,) = re.findall(r"from the (\w+) row of the table on", section("11. After the talk"))
    begins = ["first", "second", "third", "fourth", "fifth"].index(row)
    assert said == [place >= begins for place in range(len(said))]


def test_the_times_that_are_no_settings_stand_in_the_document():
    assert verbs._END_KEY_SECONDS == 1, "the document says: for a second"
    assert "the key that ends it still belongs to them, for a second" in TEXT
    assert f"the second key comes within {talk._TOGETHER_SECONDS:g} s of the first" in TEXT
    assert f"has been silent for {talk._DEAD_SECONDS:g} s, ends it so" in TEXT


# -- settings ---------------------------------------------------------------------------------------------------------


def test_every_setting_of_a_call_stands_in_the_document_with_its_default():
    ((_, rows),) = tables("setting")
    assert {quoted(row[0])[0]: row[1] for row in rows} == DEFAULTS


def test_a_setting_that_is_named_in_passing_has_its_default_beside_it():
    named = re.findall(r"`([a-z_]+)` \(([^)]*)\)", PROSE)
    assert {(name, value) for name, value in named if name in DEFAULTS and value != DEFAULTS[name]} == set()


def test_whatever_is_named_like_a_setting_is_one_or_an_outcome():
    named = {name for name in quoted(PROSE) if re.fullmatch(r"[a-z]+(_[a-z]+)+", name)}
    assert named - DEFAULTS.keys() - OUTCOMES == set()
    for group, name in re.findall(r"`\[([a-z]+)\] ([a-z_]+)`", PROSE):
        assert name in Settings.model_fields[group].annotation.model_fields


def test_the_settings_file_shows_every_setting_of_a_call_with_its_default():
    template = (ROOT / "commands" / "taxiphone.toml.j2").read_text(encoding="utf-8")
    part = re.search(r"^\[call\].*?\n(.*?)^\[", template, re.MULTILINE | re.DOTALL)
    shown = tomllib.loads(re.sub(r"^# ", "", part[1], flags=re.MULTILINE))
    assert shown == Call().model_dump(mode="json")
    assert [*shown] == [*Call.model_fields]
