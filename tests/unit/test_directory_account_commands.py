"""PINs, limits, closed accounts and several phones on the command line, on both databases."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from taxiphone.cli import taxiphone
from taxiphone.directory import clients, consultants, pins
from taxiphone.directory.sign_in import Authenticator, SignInResult
from taxiphone.errors import TaxiphoneError, UsageError
from taxiphone.store.calls import Status
from taxiphone.store.models import Call, SignIn
from taxiphone.store.types import now

Run = Callable[..., Result]
CODE, NUMBER = "7001", "+33698765432"


@pytest.fixture
def config(house: Any) -> Path:
    file: Path = house.settings.file
    url = house.settings.database.url
    database = "" if url is None else f'[database]\nurl = "{url}"\n'
    file.write_text(f'[platform]\ncli = "+33199000000"\n[trunk]\nhost = "127.0.0.1"\n{database}')
    file.chmod(0o600)
    house.client()
    house.consultant()
    return file


@pytest.fixture
def run(config: Path) -> Run:
    """Run the command. A known failure is raised, as in `main`."""

    def run(*words: str, typed: str | None = None) -> Result:
        result = CliRunner().invoke(taxiphone, ["--config", str(config), *words], input=typed)
        if isinstance(result.exception, TaxiphoneError):
            raise result.exception
        return result

    return run


def printed(run: Run, *words: str, typed: str | None = None) -> Any:
    result = run(*words, "--json", typed=typed)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def signs_in(house: Any, pin: str, caller: str | None = None) -> SignInResult:
    desk = Authenticator()
    return asyncio.run(desk.check(house.database, house.settings, code=CODE, pin=pin, caller=caller))[0]


def pin_hash(house: Any) -> str | None:
    with house.database.reading() as session:
        client = clients.client_by(session, house.settings, CODE)
        assert client is not None
        return client.pin_hash


def test_a_generated_pin_is_printed_once_and_signs_the_client_in(house: Any, run: Run) -> None:
    assert printed(run, "client", "show", CODE)["pin"] is False
    result = run("client", "pin", CODE)
    (pin,) = [word for word in result.output.split() if word.isdigit() and word != CODE]
    assert len(pin) == 6
    assert "can't be shown again" in result.output
    assert signs_in(house, pin) is SignInResult.RIGHT
    assert printed(run, "client", "show", CODE)["pin"] is True
    for words in (["show", CODE], ["show", CODE, "--json"], ["list"], ["list", "--json"]):
        told = run("client", *words).output
        assert pin not in told
        assert "argon2" not in told


def test_another_pin_makes_the_one_before_void_and_ends_the_pause(house: Any, run: Run) -> None:
    first = printed(run, "client", "pin", CODE)
    assert first.keys() == {"code", "name", "pin"}
    for _ in range(3):
        signs_in(house, "0")
    assert signs_in(house, first["pin"]) is SignInResult.LOCKED_OUT
    second = printed(run, "client", "pin", CODE)["pin"]
    assert signs_in(house, first["pin"]) is SignInResult.WRONG
    assert signs_in(house, second) is SignInResult.RIGHT


def test_a_chosen_pin_comes_from_standard_input_and_is_never_printed(house: Any, run: Run) -> None:
    result = run("client", "pin", CODE, "--ask", typed="2580\n")
    assert result.exit_code == 0
    assert "2580" not in result.output
    assert signs_in(house, "2580") is SignInResult.RIGHT
    assert printed(run, "client", "pin", CODE, "--ask", typed="25801")["pin"] is None
    assert signs_in(house, "25801") is SignInResult.RIGHT


@pytest.mark.parametrize("typed", ["", "\n", "123\n", "1234\n", "7001\n", "25 80\n", "x" * 200 + "\n"])
def test_a_weak_chosen_pin_is_refused_and_changes_nothing(house: Any, run: Run, typed: str) -> None:
    before = pin_hash(house)
    with pytest.raises(UsageError, match="Nothing was changed"):
        run("client", "pin", CODE, "--ask", typed=typed)
    assert pin_hash(house) == before


def test_on_a_terminal_the_pin_is_asked_for_twice_and_not_shown(house: Any, config: Path) -> None:
    ours, theirs = pty.openpty()
    program = [sys.executable, "-c", "from taxiphone.cli import main; main()", "--config", str(config)]
    words = [*program, "client", "pin", CODE, "--ask"]
    with subprocess.Popen(
        words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as command:
        os.close(theirs)
        seen = b""
        # The space comes from getpass, when nothing is echoed any more.
        for prompt in (b"PIN: ", b"Repeat the PIN: "):
            while prompt not in seen:
                seen += os.read(ours, 1000)
            os.write(ours, b"2580\n")
        try:
            while more := os.read(ours, 1000):
                seen += more
        except OSError:  # Linux's way to say that the other end has been closed
            pass
        assert command.wait() == 0
    os.close(ours)
    assert b"2580" not in seen
    assert b"is changed" in seen
    assert signs_in(house, "2580") is SignInResult.RIGHT


def test_a_pin_as_an_argument_is_refused(house: Any, run: Run) -> None:
    assert run("client", "pin", CODE, "2580").exit_code == 2
    assert pin_hash(house) is None


def test_for_a_new_client_the_command_to_set_a_pin_is_printed_and_no_pin(run: Run) -> None:
    result = run("client", "add", "Paul", "--number", "0698765432", "--number", "0144556677")
    assert "taxiphone client pin" in result.output
    assert printed(run, "client", "show", NUMBER)["pin"] is False
    assert printed(run, "client", "show", NUMBER)["numbers"] == ["+33144556677", NUMBER]


def test_a_pause_is_shown_with_its_end_and_unlocked(house: Any, run: Run) -> None:
    run("client", "set", CODE, "--add-number", NUMBER)
    assert printed(run, "client", "show", CODE)["pauses"] == []
    for _ in range(3):
        signs_in(house, "0", NUMBER)
    pauses = printed(run, "client", "show", CODE)["pauses"]
    assert [(each["of"], each["failures"]) for each in pauses] == [(CODE, 3), (NUMBER, 3)]
    assert "(3 wrong)" in run("client", "show", CODE).output
    assert printed(run, "client", "unlock", CODE)["pauses"] == []
    assert signs_in(house, "0") is SignInResult.WRONG


def test_the_list_has_every_field_that_the_client_itself_has(house: Any, run: Run) -> None:
    run("client", "set", CODE, "--add-number", NUMBER, "--add-number", "0144556677", "--daily-limit", "30")
    run("client", "pin", CODE)
    zoe = printed(run, "client", "add", "Zoé", "--number", "+33639980001")["code"]
    run("client", "set", zoe, "--block")
    run("client", "close", zoe)
    for _ in range(3):
        signs_in(house, "0", NUMBER)
    # Made before the clock was set back by an hour.
    later = now() + timedelta(hours=1)
    of_zoe = SignIn(key="number:+33639980001", failures=9, paused_until=later, last_at=later)
    house.database.do(lambda session: session.add(of_zoe))
    claire, last = printed(run, "client", "list")
    assert [len(claire["pauses"]), claire["balance"], last["pauses"]] == [2, "100.00", []]
    assert claire == printed(run, "client", "show", CODE)
    assert last == printed(run, "client", "show", zoe)


@pytest.mark.parametrize(("given", "kept"), [("30", "30.00"), ("0.01", "0.01"), ("99999.99", "99999.99")])
def test_a_daily_limit_is_kept_to_the_cent_and_taken_away(run: Run, given: str, kept: str) -> None:
    assert printed(run, "client", "show", CODE)["daily_limit"] is None
    assert printed(run, "client", "set", CODE, "--daily-limit", given)["daily_limit"] == kept
    assert printed(run, "client", "set", CODE, "--name", "Claire B.")["daily_limit"] == kept
    assert printed(run, "client", "set", CODE, "--daily-limit", "none")["daily_limit"] is None


@pytest.mark.parametrize("limit", ["0", "0.00", "-1", "1.005", "100000"])
def test_an_invalid_daily_limit_is_refused(run: Run, limit: str) -> None:
    with pytest.raises(UsageError):
        run("client", "set", CODE, "--daily-limit", limit)
    assert printed(run, "client", "show", CODE)["daily_limit"] is None


def test_an_invalid_limit_is_a_usage_error(run: Run) -> None:
    assert run("client", "set", CODE, "--daily-limit", "much").exit_code == 2


def test_an_account_is_closed_once_and_opened_again_with_its_credit(run: Run) -> None:
    closed = printed(run, "client", "close", CODE)
    assert (closed["balance"], closed["closed_at"] is None) == ("100.00", False)
    assert printed(run, "client", "close", CODE)["closed_at"] == closed["closed_at"]
    assert closed["closed_at"][:10] in run("client", "list").output
    assert printed(run, "client", "open", CODE)["closed_at"] is None
    assert printed(run, "client", "open", CODE)["closed_at"] is None


@pytest.mark.parametrize("status", [each for each in Status if each not in {Status.RATED, Status.CLOSED}])
def test_an_account_is_not_closed_while_a_call_is_not_priced(house: Any, run: Run, status: Status) -> None:
    with house.database.reading() as session:
        client = clients.client_by(session, house.settings, CODE)
        consultant = consultants.consultant_by_code(session, "101")
    assert client is not None
    assert consultant is not None
    call_id = house.call(client.id, consultant.id, accept=False)

    def at(step: Status) -> None:
        def work(session: Any) -> None:
            session.get_one(Call, call_id).status = step

        house.database.do(work)

    at(status)
    with pytest.raises(UsageError, match=rf"{call_id} .* \(status: {status}\).*--block"):
        run("client", "close", CODE)
    assert printed(run, "client", "show", CODE)["closed_at"] is None
    at(Status.RATED)
    assert printed(run, "client", "close", CODE)["closed_at"] is not None


def test_a_missing_client_can_not_be_given_a_pin_unlocked_closed_or_opened(run: Run) -> None:
    for verb in ("pin", "unlock", "close", "open"):
        with pytest.raises(UsageError, match="no client"):
            run("client", verb, "9999")


def test_further_phones_are_added_shown_and_taken_away(run: Run) -> None:
    words = ["consultant", "add", "Bruno", "--phone", "0612340000", "--price", "1.2", "--code", "102"]
    made = printed(
        run, *words, "--more-phone", "0144556677", "--more-phone", "0698765432", "--ring", "at-once"
    )
    assert made["phones"] == ["+33612340000", "+33144556677", "+33698765432"]
    assert (made["phone"], made["ring"]) == ("+33612340000", "at-once")
    told = run("consultant", "show", "102").output
    assert "calls +33612340000, +33144556677, +33698765432 from" in told
    assert "at-once" in run("consultant", "list").output
    changed = printed(run, "consultant", "set", "102", "--remove-phone", "0612340000", "--ring", "in-turn")
    assert (changed["phones"], changed["ring"]) == (["+33144556677", "+33698765432"], "in-turn")
    changed = printed(run, "consultant", "set", "102", "--more-phone", "0612340000")
    assert changed["phones"] == ["+33144556677", "+33698765432", "+33612340000"]
    with pytest.raises(UsageError, match="already"):
        run("consultant", "set", "102", "--more-phone", "0612340000")
    assert run("consultant", "set", "102", "--ring", "loudly").exit_code == 2


def test_a_pause_of_the_consultants_is_shown_while_it_lasts_and_ended(house: Any, run: Run) -> None:
    consultant = printed(run, "consultant", "show", "101")
    assert consultant["paused_until"] is None

    def pause(until: Any) -> None:
        def work(session: Any) -> None:
            found = consultants.the_consultant(session, "101")
            consultants.pause(session, found.id, until)

        house.database.do(work)

    pause(now() + timedelta(hours=1))
    assert printed(run, "consultant", "list")[0]["paused_until"] is not None
    assert printed(run, "consultant", "set", "101", "--available")["paused_until"] is None
    pause(now() - timedelta(seconds=1))
    assert printed(run, "consultant", "show", "101")["paused_until"] is None


def test_a_pin_that_others_could_guess_from_the_account_is_refused(house: Any, run: Run) -> None:
    run("client", "set", CODE, "--add-number", NUMBER)
    with pytest.raises(UsageError, match="too easy"):
        run("client", "pin", CODE, "--ask", typed="6987\n")
    assert pin_hash(house) is None
    assert pins.checked("6987") == "6987"
