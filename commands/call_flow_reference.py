"""Writes the generated parts of docs/call-flow.md (`make docs`).

The rest of the page is written by hand. These parts are generated:

- the diagram: the steps in their order, with the outcomes that each of them declares (`endings.may_end_with`);
- in a table of prompts, the text of each prompt;
- in a table of questions, the whole row of each question (`menu.QUESTIONS`);
- in the table of outcomes, what the client hears (`endings.FAREWELLS`), and any missing rows;
- the table of end reasons (`end_reasons`);
- in the table of settings, the default; and in the text, the default in brackets after each setting.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

from taxiphone.ari_app import menu
from taxiphone.ari_app.end_reasons import CLIENT_HEARS, CONSULTANT_HEARS, EndReason
from taxiphone.ari_app.endings import FAREWELLS, OUTCOMES
from taxiphone.ari_app.menu import Question
from taxiphone.ari_app.steps import agree, bridge, price, reach, recording, who, whom
from taxiphone.settings_sections import Call
from taxiphone.speech.prompt_texts import PROMPT_TABLES, REFERENCE, SHIPPED
from taxiphone.store.calls import Outcome

STEPS: tuple[tuple[Callable[..., object], str, str], ...] = (
    (who.identify, "identify: who is calling?", "client, not blocked"),
    (whom.offer_continuation, "offer_continuation: did the line drop?", "no, or a new one"),
    (whom.choose_consultant, "choose_consultant", ""),
    (price.announce_price, "announce_price: all prices", "can pay"),
    (price.choose_mode, "choose_mode: per minute, or package", ""),
    (recording.offer_recording, "offer_recording", ""),
    (reach.reach, "reach: the consultant's phones", "1: accepted"),
    (agree.agree, "agree: fix the price, hold credit, beep", ""),
    (bridge.bridge, "bridge: the meter starts", "costs from here"),
)
"""The steps before the talk, in the order of ari_app/consultation.py, with their labels and the labels of the arrows to the next step."""

ANYWHERE = {Outcome.CALLER_GONE: "caller hangs up", Outcome.FAILED: "error"}
"""The outcomes with which any step before the talk may end the call, and why."""

# Prompts that are played in addition to an outcome's own: the balance, and why part of it isn't available.
_COMPOSED = {Outcome.NO_CREDIT: ("credit-is", "other-call")}

_NOT_SET = "not set"

Row = list[str]


def fill(page: str) -> str:
    """Return the page with its generated parts up to date."""
    page = re.sub(
        r"(?<=^```mermaid\n).*?(?=^```$)", lambda _: diagram(), page, flags=re.MULTILINE | re.DOTALL
    )
    page = re.sub(r"^(?:\|.*\n)+", lambda found: _table(found[0]), page, flags=re.MULTILINE)
    return re.sub(r"`([a-z_]+)` \([^()\n]*\)", lambda found: _with_default(found[0], found[1]), page)


def diagram() -> str:
    """Return a Mermaid diagram of the steps and the outcomes with which they can end the call."""
    names = [step.__name__ for step, _, _ in STEPS]
    labels = [label for _, label, _ in STEPS]
    boxes = [*zip(names, labels, strict=True), ("talk", "talk"), ("after", "after: amount and balance")]
    lines = ["flowchart TD"]
    lines += [f'    {name}["{number} · {label}"]' for number, (name, label) in enumerate(boxes, 1)]
    lines += ['    anywhere["at any of the steps before the talk"]', ""]
    for (step, _, how), (following, _) in zip(STEPS, boxes[1:-1], strict=True):
        arrow = "==>" if step is bridge.bridge else "-->"
        lines.append(f"    {step.__name__} {_arrow(arrow, how)} {following}")
        if step is whom.offer_continuation:
            lines.append(f"    {step.__name__} {_arrow('-->', '1: continue')} reach")
    lines += [f"    talk {_arrow('==>', 'costs to here')} after", "    after --> talked", ""]
    lines += [f"    {name} --> {' & '.join(OUTCOMES[name])}" for name in names if OUTCOMES[name]]
    lines += [f"    anywhere {_arrow('-.->', why)} {outcome}" for outcome, why in ANYWHERE.items()]
    ends = dict.fromkeys(outcome for name in names for outcome in OUTCOMES[name]) | dict.fromkeys(ANYWHERE)
    lines += ["", "    classDef outcome stroke-dasharray: 4", f"    class {','.join(ends)} outcome"]
    return "\n".join(lines) + "\n"


def prompts(language: str = REFERENCE) -> dict[str, str]:
    """Return the text of each prompt by name. Placeholders are in braces."""
    data = tomllib.loads(SHIPPED.texts(language).file.read_text(encoding="utf-8"))
    said = {name: text for table in PROMPT_TABLES for name, text in data[table].items()}
    return {name: text if isinstance(text, str) else text["text"] for name, text in said.items()}


def defaults() -> dict[str, str]:
    """Return the default of each setting of [call], as shown on the page."""
    shown = Call().model_dump(mode="json", exclude_none=True).items()
    written = {name: value if isinstance(value, str) else str(value).lower() for name, value in shown}
    return {name: written.get(name, _NOT_SET) for name in Call.model_fields}


def _arrow(arrow: str, label: str) -> str:
    return f'{arrow}|"{label}"|' if label else arrow


def _table(table: str) -> str:
    """Fill the generated cells of a table. Other tables are returned unchanged."""
    lines = table.splitlines()
    rows = [_cells(line) for line in lines[2:]]
    headings = _cells(lines[0])
    match headings:
        case ["prompt", *_]:
            rows = [_prompt(row) for row in rows]
        case ["question", *_]:
            rows = [_question(row) for row in rows]
        case ["outcome", _, _]:
            rows = _outcomes({_name(row): row for row in rows})
        case ["end reason", _, _]:
            rows = _ends()
        case ["setting", _, _]:
            rows = _settings({_name(row): row for row in rows})
        case _:
            return table
    return "".join(f"{line}\n" for line in [*lines[:2], *map(_line, rows)])


def _cells(line: str) -> Row:
    return [cell.strip() for cell in line.strip()[1:-1].split("|")]


def _line(cells: Row) -> str:
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def _name(row: Row) -> str:
    return row[0].strip("`")


def _prompt(row: Row) -> Row:
    return [row[0], prompts().get(_name(row), row[1]), *row[2:]]


def _question(row: Row) -> Row:
    questions = {question.name: question for question in menu.QUESTIONS}
    return question_row(questions[_name(row)]) if _name(row) in questions else row


def question_row(question: Question) -> Row:
    """Return a question's row: name, who is asked, keys, seconds, tries, and what happens if no key is pressed."""
    keys = [f"`{key}` {meaning}" for key, meaning in question.keys.items()]
    ends = " or ".join(f"`{key}`" for key in question.ends)
    if not keys:
        keys = [f"up to {question.most} digits; {ends} ends them"]
    return [
        f"`{question.name}`",
        question.who,
        "<br>".join(keys),
        _setting(question.wait) if question.wait else str(price.SKIP_SECONDS),
        str(question.tries) if question.tries else _setting("code_tries"),
        question.silence,
    ]


def _setting(name: str) -> str:
    return f"`{name}` ({defaults()[name]})"


def _outcomes(written: Mapping[str, Row]) -> list[Row]:
    """Return a row for every ending without a talk. The second cell is written by hand."""
    rows = []
    for outcome, names in {**FAREWELLS, Outcome.CALLER_GONE: ()}.items():
        heard = [*names[:1], *_COMPOSED.get(outcome, ()), *names[1:]]
        when = written[outcome][1] if outcome in written else ""
        rows.append([f"`{outcome}`", when, " ".join(f"`{name}`" for name in heard)])
    return rows


def _ends() -> list[Row]:
    """Return a row for every end reason, with what each side hears."""
    sides = (CLIENT_HEARS, CONSULTANT_HEARS)
    return [
        [reason.value, *(f"`{side[reason]}`" if reason in side else "" for side in sides)]
        for reason in EndReason
    ]


def _settings(written: Mapping[str, Row]) -> list[Row]:
    """Return a row for every setting of [call]. The third cell is written by hand."""
    return [
        [f"`{name}`", value, written[name][2] if name in written else ""]
        for name, value in defaults().items()
    ]


def _with_default(text: str, name: str) -> str:
    return _setting(name) if defaults().get(name, _NOT_SET) != _NOT_SET else text


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(fill(file.read_text(encoding="utf-8")), encoding="utf-8")
