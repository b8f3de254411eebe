"""Lines of a script are parsed, or refused with a message that says what is allowed."""

from __future__ import annotations

import pytest

from taxiphone.errors import UsageError
from taxiphone.simulate.script import Deed, Does, Since, deed, parse

PROMPTS = {"enter-code", "accept-menu", "n/12"}

LINES = {
    "client hears enter-code: press 1234#": Deed("client", Does.PRESS, keys="1234#", hears="enter-code"),
    "client hears enter-code: after 2.5, press *": Deed(
        "client", Does.PRESS, keys="*", hears="enter-code", after=2.5
    ),
    "client hears n/12: hang up": Deed("client", Does.HANG_UP, hears="n/12"),
    "consultant 2 hears accept-menu: nothing": Deed("consultant", Does.NOTHING, hears="accept-menu", phone=2),
    "consultant hears accept-menu: line dies": Deed("consultant", Does.DIE, hears="accept-menu"),
    "consultant rings: answer": Deed("consultant", Does.ANSWER),
    "consultant 1 rings: after 8, decline": Deed("consultant", Does.DECLINE, phone=1, after=8),
    "talk 75: client hangs up": Deed("client", Does.HANG_UP, since=Since.TALK, after=75),
    "talk 30: client presses #*": Deed("client", Does.PRESS, keys="#*", since=Since.TALK, after=30),
    "talk 0: consultant's line dies": Deed("consultant", Does.DIE, since=Since.TALK),
    "talk 1.5: client's line drops": Deed("client", Does.DROP, since=Since.TALK, after=1.5),
    "ringing 5: client hangs up": Deed("client", Does.HANG_UP, since=Since.RINGING, after=5),
    "at 0: client hangs up": Deed("client", Does.HANG_UP, since=Since.ARRIVAL),
}

WRONG = {
    "client hears welcom: press 1": "there is no prompt 'welcom'",
    "client hears enter-code: press A": "is not possible there. Possible are: press KEYS",
    "client hears enter-code: answer": "is not possible there",
    "client 2 hears enter-code: press 1": "there is only one client",
    "consultant rings: press 1": "is not possible there. Possible are: answer, busy",
    "client rings: answer": "can't be parsed; a line is one of",
    "talk 75: everybody sings": "is not possible then",
    "talk: client hangs up": "can't be parsed",
    "# a comment": "can't be parsed",
}


@pytest.mark.parametrize(("line", "expected"), LINES.items(), ids=LINES.keys())
def test_a_line_is_a_deed(line, expected):
    assert deed(line, PROMPTS) == expected


@pytest.mark.parametrize(("line", "reason"), WRONG.items(), ids=WRONG.keys())
def test_a_wrong_line_is_named_with_its_number_and_what_would_be_right(line, reason):
    with pytest.raises(UsageError, match=r"^line 3 of the script, ") as refused:
        parse(f"// first\n\n  {line}\n", PROMPTS)
    assert reason in str(refused.value)
    assert repr(line) in str(refused.value)


def test_comments_and_empty_lines_say_nothing_and_spaces_do_not_matter():
    (part,) = parse("; one\n// two\n\n  talk  75 :  client   hangs up \n", PROMPTS)
    assert [each.line for each in part.deeds] == [4]


def test_what_comes_after_calls_again_is_the_next_calls():
    first, second = parse(
        "talk 30: client's line drops\nclient calls again after 60\nconsultant rings: busy", PROMPTS
    )
    assert (first.pause, second.pause) == (0, 60)
    assert [each.does for each in second.deeds] == [Does.BUSY]


def test_an_empty_script_is_a_call_in_which_nobody_does_anything():
    assert [part.deeds for part in parse("", PROMPTS)] == [()]
