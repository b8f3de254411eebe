"""The FastAGI server and the apology, tested over a socket that behaves like Asterisk."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from taxiphone.agi.caller_language import CallerLanguages
from taxiphone.agi.scripts import agi_scripts
from taxiphone.agi.server import AgiScript, AgiServer
from taxiphone.dialplan import credentials
from taxiphone.settings import Settings
from taxiphone.store.database import Database
from taxiphone.store.engines import THREADS
from taxiphone.store.models import Call

PLAYED = "EXEC Playback taxiphone/unavailable"


def apology(settings: Settings, database: Database) -> AgiScript:
    return agi_scripts(settings, database)["apology"]


async def ask(script: AgiScript, *arguments: str, extension: str = "+33199000001") -> list[str]:
    """Send a FastAGI request and return the commands that Asterisk receives."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = AgiServer(port, {"apology": script})
    await server.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        headers = [
            "agi_network: yes",
            "agi_network_script: apology",
            f"agi_request: agi://127.0.0.1:{port}/apology",
            "agi_uniqueid: 1763846400.1",
            "agi_callerid: +33612345678",
            f"agi_extension: {extension}",
            *(f"agi_arg_{number}: {value}" for number, value in enumerate(arguments, 1)),
        ]
        writer.write(("\n".join(headers) + "\n\n").encode())
        told: list[str] = []
        async with asyncio.timeout(20):
            while line := await reader.readline():
                told.append(line.decode().strip())
                writer.write(b"200 result=0\n")
        writer.close()
        return told
    finally:
        await server.stop()


def calls(database: Database) -> list[str]:
    return database.do(lambda session: [call.client_channel for call in session.query(Call)])


async def test_who_knows_the_secret_is_served(house: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = credentials.load(house.settings).agi_secret
    told = await ask(apology(house.settings, house.database), secret)
    assert PLAYED in told
    assert told[-1] == "HANGUP"
    assert calls(house.database) == []  # the meter notes it, from Asterisk's log
    assert secret not in caplog.text


@pytest.mark.parametrize("arguments", [(), ("",), ("wrong",), ("é",)])
async def test_whoever_does_not_is_told_nothing_and_writes_nothing(
    house: Any, arguments: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    assert await ask(apology(house.settings, house.database), *arguments) == []
    assert calls(house.database) == []
    assert "without its secret" in caplog.text


async def test_a_line_break_in_what_a_caller_chooses_changes_nothing_that_asterisk_has_said(
    house: Any,
) -> None:
    secret = credentials.load(house.settings).agi_secret
    forged = "+33199000001\nagi_uniqueid: forged\nagi_network_script: other"
    assert PLAYED in await ask(apology(house.settings, house.database), secret, extension=forged)
    assert calls(house.database) == []  # the meter notes it, from Asterisk's log


async def test_without_a_database_the_apology_is_said_in_the_platforms_language(
    house: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    empty = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    try:
        told = await ask(apology(house.settings, empty), credentials.load(house.settings).agi_secret)
    finally:
        empty.close()
    assert PLAYED in told
    assert f"SET VARIABLE CHANNEL(language) {house.settings.platform.language}" in told
    assert "the database did not respond" in caplog.text


async def test_a_caller_who_is_refused_is_only_given_a_language(house: Any) -> None:
    secret = credentials.load(house.settings).agi_secret
    told = await ask(agi_scripts(house.settings, house.database)["language"], secret)
    assert told == [f"SET VARIABLE CHANNEL(language) {house.settings.platform.language}"]


async def test_a_database_that_is_slow_keeps_no_caller_waiting(house: Any) -> None:
    database, going_on = house.database, threading.Event()
    languages = CallerLanguages(house.settings, database, seconds=0.05)
    busy = [asyncio.create_task(database.query(lambda _: going_on.wait())) for _ in range(THREADS)]
    assert await languages.of({"agi_extension": "+33199000001"}) == house.settings.platform.language
    going_on.set()
    await asyncio.gather(*busy)
