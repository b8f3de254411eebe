"""Recordings are paused over AMI. Only Asterisk's confirmation counts as paused, and nothing is left behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio
from panoramisk import Manager

from taxiphone.ari_app.ami import AmiRecordingControl

SECRET = "right"  # noqa: S105 - of the little server below
CHANNEL = "261122-7gq4mk.consultant"

Message = dict[str, str]


class Ami:
    """A small AMI server: a greeting, then messages of `Key: value` lines, each ended by an empty line."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.actions: list[Message] = []
        self.answer: Callable[[Message], str | None] = lambda _: "Success"
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            writer.write(b"Asterisk Call Manager/9.0.0\r\n")
            while (message := await self._read(reader)) is not None:
                await self._respond(message, writer)
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _read(self, reader: asyncio.StreamReader) -> Message | None:
        lines: list[str] = []
        while line := (await reader.readline()).decode().strip():
            lines.append(line)
        pairs = (line.partition(": ") for line in lines)
        return {key: value for key, _, value in pairs} if lines else None

    async def _respond(self, message: Message, writer: asyncio.StreamWriter) -> None:
        if message["Action"] == "Login":
            right = message["Secret"] == SECRET
            response: str | None = "Success" if right else "Error"
        else:
            self.actions.append(message)
            response = self.answer(message)
        if response is None:
            return
        text = "Authentication failed" if message["Action"] == "Login" else "No such channel"
        writer.write(
            f"Response: {response}\r\nActionID: {message['ActionID']}\r\nMessage: {text}\r\n\r\n".encode()
        )
        await writer.drain()

    async def until_closed(self) -> None:
        while self.open:
            await asyncio.sleep(0)


@pytest_asyncio.fixture
async def ami() -> AsyncIterator[Ami]:
    made = Ami()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def control(port: int, secret: str) -> AmiRecordingControl:
    """A recording control with a short time-out."""
    return AmiRecordingControl(port, secret, answer_seconds=0.3)


class Left:
    """What is left after use: tasks and pending timers."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._before = asyncio.all_tasks()

    async def nothing(self, ami: Ami | None = None) -> bool:
        if ami is not None:
            async with asyncio.timeout(5):
                await ami.until_closed()
        for _ in range(5):  # what was cancelled ends, and what was closed is told so
            await asyncio.sleep(0)
        return not {task for task in asyncio.all_tasks() - self._before if "serve" not in repr(task)}


@pytest.mark.parametrize("muted", [True, False])
async def test_a_recording_is_paused_and_resumed_by_asterisks_word(ami: Ami, muted: bool) -> None:
    left = Left()
    assert await control(ami.port, SECRET).mute(CHANNEL, muted)
    (action,) = ami.actions
    assert {key: action[key] for key in ("Action", "Channel", "Direction", "State")} == {
        "Action": "MixMonitorMute",
        "Channel": CHANNEL,
        "Direction": "both",
        "State": str(int(muted)),
    }
    assert await left.nothing(ami)


async def test_asterisks_error_is_believed_and_logged(ami: Ami, caplog: pytest.LogCaptureFixture) -> None:
    ami.answer = lambda _: "Error"
    left = Left()
    assert not await control(ami.port, SECRET).mute(CHANNEL, True)
    assert "No such channel" in caplog.text
    assert await left.nothing(ami)


async def test_a_wrong_secret_pauses_nothing_and_is_logged_without_it(
    ami: Ami, caplog: pytest.LogCaptureFixture
) -> None:
    ami.answer = lambda _: "Error"
    left = Left()
    assert not await control(ami.port, "wrong-secret").mute(CHANNEL, True)
    assert "ERROR" in caplog.text
    assert "wrong-secret" not in caplog.text
    assert await left.nothing(ami)


async def test_an_asterisk_without_ami_pauses_nothing_and_is_logged(
    ami: Ami, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    left = Left()
    assert not await control(unused_tcp_port, SECRET).mute(CHANNEL, True)
    assert str(unused_tcp_port) in caplog.text
    assert await left.nothing()
    assert ami.connections == 0


async def test_who_does_not_answer_is_given_up_and_asked_nothing_later(
    ami: Ami, caplog: pytest.LogCaptureFixture
) -> None:
    ami.answer = lambda _: None
    left = Left()
    assert not await control(ami.port, SECRET).mute(CHANNEL, True)
    assert str(ami.port) in caplog.text
    assert await left.nothing(ami)


@pytest.mark.parametrize("listens", [True, False], ids=["it hangs up on us", "it is not there"])
async def test_no_connection_is_retried_later(
    ami: Ami, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch, listens: bool
) -> None:
    def hang_up(_: Message) -> str:
        raise ConnectionResetError

    ami.answer = hang_up
    monkeypatch.setitem(Manager.defaults, "reconnect_timeout", 0)  # panoramisk would do it at once
    loop, tries = asyncio.get_running_loop(), []
    usual = loop.create_connection

    async def create_connection(*args: Any, **more: Any) -> Any:
        tries.append(args)
        return await usual(*args, **more)

    monkeypatch.setattr(loop, "create_connection", create_connection)
    left = Left()
    assert not await control(ami.port if listens else unused_tcp_port, SECRET).mute(CHANNEL, True)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(tries) == 1
    assert await left.nothing(ami)


async def test_each_use_has_its_own_connection(ami: Ami) -> None:
    recorder, left = control(ami.port, SECRET), Left()
    ami.answer = lambda _: "Error"
    assert not await recorder.mute(CHANNEL, True)
    ami.answer = lambda _: "Success"
    assert await recorder.mute(CHANNEL, False)
    assert [action["State"] for action in ami.actions] == ["1", "0"]
    assert ami.connections == 2
    assert await left.nothing(ami)
