"""The websocket under the ARI client, against a server that sends what the test says, byte by byte."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from taxiphone.ari_app.client import AriClient
from taxiphone.ari_app.websocket import HandshakeError, WebSocket
from taxiphone.errors import AriConnectionError, AriRequestError, AriTimeoutError


class Server:
    """One connection, opened by a client that has sent a correct request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.request: list[str] = []

    async def accept(self) -> None:
        self.request = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        key = next(line.split(": ")[1] for line in self.request if line.startswith("Sec-WebSocket-Key"))
        text = f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).digest()
        self.writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
        )

    def send(self, payload: bytes, opcode: int = 0x81) -> None:
        self.writer.write(frame(payload, opcode))

    async def receive(self) -> tuple[int, bytes]:
        opcode, length = await self.reader.readexactly(2)
        assert length & 0x80, "a client masks its frames"
        length &= 0x7F
        if length >= 126:
            length = int.from_bytes(await self.reader.readexactly(2 if length == 126 else 8), "big")
        key, payload = await self.reader.readexactly(4), await self.reader.readexactly(length)
        return opcode, bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


def frame(payload: bytes, opcode: int = 0x81) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes((opcode, length)) + payload
    if length < 65536:
        return bytes((opcode, 126)) + length.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + length.to_bytes(8, "big") + payload


@asynccontextmanager
async def listening(serve: Callable[[Server], Any]) -> AsyncIterator[str]:
    """A server's address."""
    tasks = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())
        try:
            await serve(Server(reader, writer))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def opened(serve: Callable[[Server], Any]) -> AsyncIterator[tuple[WebSocket, asyncio.Queue[str]]]:
    async with listening(serve) as address:
        socket, messages = WebSocket(), asyncio.Queue[str]()
        await socket.open(address, "/ari/events?app=a", {"Authorization": "Basic eDp5"})
        socket.listen(messages.put_nowait)
        try:
            yield socket, messages
        finally:
            socket.abort()


MESSAGES = ["", "{}", "é" * 62, "x" * 125, "x" * 126, "x" * 65535, "x" * 65536]


async def test_messages_of_every_length_arrive_in_both_directions() -> None:
    async def serve(server: Server) -> None:
        await server.accept()
        assert server.request[0] == "GET /ari/events?app=a HTTP/1.1"
        assert "Authorization: Basic eDp5" in server.request
        while True:
            opcode, payload = await server.receive()
            server.send(payload, opcode)

    async with opened(serve) as (socket, messages):
        for message in MESSAGES:
            socket.send(message)
        assert [await messages.get() for _ in MESSAGES] == MESSAGES


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_frames_may_be_cut_anywhere_and_arrive_together_with_the_handshake(size: int) -> None:
    async def serve(server: Server) -> None:
        await server.accept()
        whole = b"".join(frame(message.encode()) for message in MESSAGES[:5])
        for at in range(0, len(whole), size):
            server.writer.write(whole[at : at + size])
            await server.writer.drain()
            await asyncio.sleep(0)
        await server.reader.read()

    async with opened(serve) as (_, messages):
        assert [await messages.get() for _ in MESSAGES[:5]] == MESSAGES[:5]


async def test_a_message_in_several_frames_is_one_message_and_a_ping_between_them_is_answered() -> None:
    answers = asyncio.Queue[tuple[int, bytes]]()

    async def serve(server: Server) -> None:
        await server.accept()
        server.send(b"one ", 0x01)
        server.send(b"ping", 0x89)
        server.send(b"two ", 0x00)
        server.send(b"three", 0x80)
        answers.put_nowait(await server.receive())

    async with opened(serve) as (_, messages):
        assert await messages.get() == "one two three"
        assert await answers.get() == (0x8A, b"ping")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "closed"),
        (frame(b"\x03\xe8bye", 0x88), "closed"),
        (bytes((0x81, 0x81)) + b"keyyx", "masking"),
        (frame(b"{}", 0xC1), "reserved bits"),
    ],
)
async def test_the_end_of_a_connection_has_a_reason(data: bytes, reason: str) -> None:
    async def serve(server: Server) -> None:
        await server.accept()
        server.writer.write(data)

    async with opened(serve) as (socket, messages):
        assert reason in await socket.closed
        socket.send("into the void")
        assert messages.empty()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", 401),
        (b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n", 101),
        (b"SIP/2.0 200 OK\r\n\r\n", None),
    ],
)
async def test_another_answer_than_a_websocket_is_an_error_with_its_status(
    answer: bytes, status: int | None
) -> None:
    async def serve(server: Server) -> None:
        await server.reader.readuntil(b"\r\n\r\n")
        server.writer.write(answer)

    async with listening(serve) as address:
        with pytest.raises(HandshakeError) as raised:
            await WebSocket().open(address, "/", {})
        assert raised.value.status == status


# -- the client above it ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def connected(serve: Callable[[Server], Any], **options: Any) -> AsyncIterator[AriClient]:
    async with listening(serve) as address:
        client = AriClient(address, "x", "y", "taxiphone", command_connections=1, **options)
        running = asyncio.create_task(client.run(lambda _: None))
        try:
            await client.wait_connected(5)
            yield client
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_each_request_gets_its_own_answer_in_whatever_order_they_come() -> None:
    async def serve(server: Server) -> None:
        await server.accept()
        asked = [json.loads((await server.receive())[1]) for _ in range(3)]
        for request in reversed(asked):
            answer = {
                "type": "RESTResponse",
                "request_id": request["request_id"],
                "status_code": 200,
                "message_body": json.dumps(request["uri"]),
            }
            server.send(json.dumps(answer).encode())
        await server.reader.read()

    async with connected(serve) as client:
        answers = await asyncio.gather(
            *(client.request("GET", f"channels/{n}", {"a": "b c"}) for n in range(3))
        )
        assert answers == [f"channels/{n}?a=b%20c" for n in range(3)]


async def test_a_request_without_an_answer_ends_at_its_time_and_one_on_a_lost_connection_at_once() -> None:
    async def serve(server: Server) -> None:
        await server.accept()
        await server.receive()
        await server.receive()

    async with connected(serve, answer_seconds=0.1) as client:
        with pytest.raises(AriTimeoutError, match=r"GET channels in 0\.1 s"):
            await client.request("GET", "channels")
        with pytest.raises(AriConnectionError):
            await client.request("GET", "channels")


async def test_a_request_that_is_answered_late_delays_no_other() -> None:
    late = asyncio.Event()

    async def serve(server: Server) -> None:
        await server.accept()
        while True:
            request = json.loads((await server.receive())[1])
            if request["uri"] == "slow":
                await late.wait()
            answer = {"type": "RESTResponse", "request_id": request["request_id"], "status_code": 204}
            server.send(json.dumps(answer).encode())

    async with listening(serve) as address:
        client = AriClient(address, "x", "y", "taxiphone", command_connections=2)
        running = asyncio.create_task(client.run(lambda _: None))
        await client.wait_connected(5)
        slow = asyncio.create_task(client.request("POST", "slow"))
        await asyncio.sleep(0)
        for _ in range(3):
            await client.request("POST", "fast")
        assert not slow.done()
        late.set()
        await slow
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_event_that_is_no_json_does_not_end_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def serve(server: Server) -> None:
        await server.accept()
        server.send(b"\xff{")
        request = json.loads((await server.receive())[1])
        answer = {"type": "RESTResponse", "request_id": request["request_id"], "status_code": 204}
        server.send(json.dumps(answer).encode())
        await server.reader.read()

    async with connected(serve) as client:
        assert await client.request("GET", "channels") is None
    assert "could not be handled" in caplog.text


async def test_a_refused_password_is_not_tried_again() -> None:
    async def serve(server: Server) -> None:
        await server.reader.readuntil(b"\r\n\r\n")
        server.writer.write(b"HTTP/1.1 401 Unauthorized\r\n\r\n")

    async with listening(serve) as address:
        with pytest.raises(AriRequestError, match="refuses our password"):
            await AriClient(address, "x", "y", "taxiphone").run(lambda _: None)
