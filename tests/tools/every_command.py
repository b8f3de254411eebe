"""Every command of `taxiphone` with arguments to run it, on a platform that has data for each.

A command that is not here fails tests/unit/test_every_command.py: what is promised of all of them is tried with all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import click

from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.rating import settle_recording
from taxiphone.cli import taxiphone
from taxiphone.store.calls import add_event
from taxiphone.store.models import Call, Client, Consultant, Recording

CALL = "261122-call01"
NAME = "Émilie Łukasz Ωμέγα"
SOUND = b"ID3 and then the sound"

# Only reads: never takes the write lock, and may be run again and again.
READS = {
    "doctor": [],
    "consultant list": [],
    "consultant show": ["101"],
    "consultant statement": ["101", "--from", "2025-01-01"],
    "client list": [],
    "client show": ["7001"],
    "number list": [],
    "quote": ["--consultant", "101", "--seconds", "60,61"],
    "call list": [],
    "call show": [CALL],
    "call explain": [CALL],
    "receipt show": [CALL],
    "receipt export": [CALL, "{folder}/receipt.txt", "--force"],
    "payout list": [],
    "ledger balances": [],
    "ledger check": [],
    "ledger gaps": [],
    "billing what-if": ["--from", "2025-01-01", "--to", "2027-01-01", "--set", "price_per_minute=1.80"],
    "recording list": [],
    "recording export": [CALL, "{folder}/talk.mp3", "--force"],
    "asterisk check": [],
    "prompts list": ["--language", "fr"],
    "db version": [],
    "completion": ["bash"],
    "man": [],
}

# Writes, in an order in which each finds what it needs.
WRITES = {
    "db upgrade": [],
    "db copy": ["sqlite:///{folder}/copy.db"],
    "consultant add": ["Ανδρέας", "--phone", "+33639980009", "--price", "2"],
    "consultant set": ["101", "--available"],
    "client add": ["Zoë", "--number", "+33639980008"],
    "client set": ["7001", "--language", "en"],
    "client close": ["7002"],
    "client open": ["7002"],
    "client pin": ["7001"],
    "client unlock": ["7001"],
    "client top-up": ["7001", "20"],
    "number add": ["+33199001234", "--consultant", "101"],
    "number set": ["+33199001234", "--language", "en"],
    "call rate": ["--again", CALL],
    "call simulate": ["--script", "{folder}/talk.txt"],
    "refund": [CALL, "1.00", "--reason", "réseau"],
    "payout run": [],
    "ledger release-holds": [],
    "recording delete": [CALL],
    "asterisk config": ["--output", "{folder}/etc"],
    "init": ["{folder}/other.toml", "--cli", "+33199001200", "--trunk", "192.0.2.10"],
}

# Ends with a message on standard error, because there is no Asterisk and no recording.
REFUSED = {
    "asterisk status": [],
    "asterisk stop": [],
    "asterisk cli": ["core", "show", "uptime"],
    "prompts use": ["nosuch", "{folder}/talk.txt"],
    "prompts drop": ["welcome"],
    "prompts name": ["consultant", "101", "--drop-recording"],
}

# Prints no data: it confirms an action, or prints a format for another program.
NO_JSON = {
    "init",
    "serve",
    "recording export",
    "recording delete",
    "asterisk uninstall",
    "asterisk stop",
    "asterisk cli",
    "prompts build",
    "prompts use",
    "prompts drop",
    "prompts name",
    "prompts names",
    "prompts install",
    "completion",
    "man",
}

# Not run here, for the reason given.
LEFT_OUT = {
    "serve": "runs until it is ended: tests/e2e",
    "demo": "a real call: tests/e2e",
    "asterisk install": "fetches packages",
    "asterisk uninstall": "removes what other tests need",
    "prompts install": "fetches packages",
    "prompts names": "fetches the synthesizer",
    "prompts build": "makes the package's own sounds anew",
}


def leaves() -> Iterator[tuple[str, click.Command]]:
    """Return every command that isn't a group, by its words."""
    yield from _below(taxiphone, ())


def _below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(words), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        assert found is not None
        yield from _below(found, (*words, name))


def words_of(name: str, folder: Path) -> list[str]:
    """Return the command line of a command, without the program's name."""
    words = (READS | WRITES | REFUSED)[name]
    return [*name.split(), *(word.format(folder=folder) for word in words)]


def furnish(house: Any) -> Path:
    """Fill a house (see the fixture) with data for every command to print, and return its settings file."""
    settings = house.settings
    file: Path = settings.file
    file.write_text(
        '[platform]\ncli = "+33199000000"\nname = "Allô"\n[trunk]\nhost = "127.0.0.1"\n'
        f'[database]\nurl = "{settings.database.url}"\n'
    )
    file.chmod(0o600)
    (file.parent / "talk.txt").write_text("at 3: client hangs up\n")
    client = house.client()
    house.client(code="7002")
    consultant = house.consultant(recording_allowed=True, code="101")
    call = house.call(client, consultant, recorded=True)
    assert call == CALL
    house.database.do(lambda session: add_event(session.connection(), call, "accepted"))
    house.write(*house.talk(call, "83.4"))
    Meter(settings, house.database).read_once()
    settings.recordings.mkdir(mode=0o700)
    (settings.recordings / "a.mp3").write_bytes(SOUND)

    def work(session: Any) -> None:
        for table in (Client, Consultant):
            session.get_one(table, 1).name = NAME
        found = session.get_one(Recording, call)
        found.status, found.mp3, found.milliseconds = "ready", "a.mp3", 83_400
        found.sha256, found.kept_until = hashlib.sha256(SOUND).hexdigest(), date(2027, 2, 20)
        settle_recording(session, session.get_one(Call, call), ready=True)

    house.database.do(work)
    return file
