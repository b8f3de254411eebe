"""A websocket (RFC 6455) to a server on this machine, for text messages, without extensions.

The protocol is that of the library websockets, in its form without I/O. A message is passed on in the turn of the event loop
in which it arrives, and sent in the turn in which it is written: the library's asyncio connection gives each message a
queue, a future and a lock, which took more time than the rest of a call (docs/adr/0001). Messages in one frame, which is how
Asterisk sends them all, and what is sent, are framed here. The library handles the handshake and all other frames.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event, State
from websockets.uri import parse_uri
from websockets.utils import apply_mask

OnMessage = Callable[[str], None]

_OPEN_SECONDS = 10.0
# A ping is sent this often. If nothing at all has arrived for two of these, the connection is dead.
_PING_SECONDS = 10.0
_CLOSED = "it closed the connection"
_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
_HEAD_END = b"\r\n\r\n"
# The first byte of a whole text message, and in the second byte: the flag of a masked payload, and two values that say how
# many bytes of length follow (RFC 6455, section 5.2).
_TEXT, _MASKED, _TWO_BYTES, _EIGHT_BYTES = 0x81, 0x80, 126, 127


class HandshakeError(Exception):
    """The server did not open a websocket.

    Attributes:
        status: the HTTP status of its answer; None if it was no HTTP.
    """

    def __init__(self, status: int | None) -> None:
        super().__init__("it sent no HTTP response" if status is None else f"it answered {status}")
        self.status = status


class WebSocket(asyncio.Protocol):
    """A websocket. `open` opens it, once.

    Attributes:
        closed: set when the connection has ended, to the reason in a few words.
    """

    _protocol: ClientProtocol
    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[str] = self._loop.create_future()
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._on_message: OnMessage | None = None
        self._before_listening: list[str] = []
        self._parts: list[bytes] = []  # of a message in several frames
        self._rest = b""  # of what has arrived: the beginning of a frame
        self._heard = True
        self._ping: asyncio.TimerHandle | None = None

    async def open(self, address: str, target: str, headers: Mapping[str, str]) -> None:
        """Connect, and open a websocket.

        Args:
            address: the server's host and port, such as `127.0.0.1:8088`.
            target: the path with the query.
            headers: further headers of the request.

        Raises:
            OSError: no connection, or it was lost.
            HandshakeError: the server refused.
            TimeoutError: it did not answer.
        """
        host, _, port = address.rpartition(":")
        self._protocol = ClientProtocol(parse_uri(f"ws://{address}{target}"), max_size=None)
        request = self._protocol.connect()
        request.headers.update(headers)
        async with asyncio.timeout(_OPEN_SECONDS):
            await self._loop.create_connection(lambda: self, host, int(port))
            try:
                self._protocol.send_request(request)
                self._flush()
                await self._opened
            except BaseException:
                self._transport.abort()
                raise
        self._ping = self._loop.call_later(_PING_SECONDS, self._check_alive)

    def listen(self, on_message: OnMessage) -> None:
        """Pass on each message from now on, and those that have arrived since the websocket was opened.

        Args:
            on_message: called on the event loop with each message. Must not raise.
        """
        self._on_message = on_message
        waiting, self._before_listening = self._before_listening, []
        for message in waiting:
            on_message(message)

    def send(self, message: str) -> None:
        """Send a message, unless the connection has ended."""
        if self._protocol.state is State.OPEN and not self.closed.done():
            self._transport.write(_text_frame(message.encode()))

    def abort(self) -> None:
        """End the connection at once, without a close frame."""
        self._end("it was closed")
        self._transport.abort()

    # -- asyncio.Protocol -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection has ended."""
        if not self._opened.done():
            self._opened.set_exception(error or ConnectionResetError(_CLOSED))
        self._end(str(error) if error else _CLOSED)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        self._heard = True
        if self._opened.done():
            self._take(data)
            return
        self._rest += data
        head, end, frames = self._rest.partition(_HEAD_END)
        if head.startswith(b"HTTP/1.1 101") and end:
            self._rest = b""
            self._to_library(head + end)
            self._take(frames)
        elif not head.startswith(b"HTTP/1.1 101"[: len(head)]):
            self._rest = b""
            self._to_library(head + end + frames)

    def eof_received(self) -> None:
        """Take it that nothing more arrives."""
        self._protocol.receive_eof()
        self._handle_events()

    # -- messages -------------------------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        """Take the whole frames, and keep the rest until more arrives."""
        if self._rest:
            data = self._rest + data
        at = 0
        while at < len(data) and not self.closed.done():
            begin, end = _payload(data, at)
            if end > len(data):
                break
            if data[at] == _TEXT and begin > at and not self._parts:
                self._message(data[begin:end])
            else:
                self._to_library(data[at:end])
            at = end
        self._rest = data[at:]

    def _to_library(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        self._handle_events()

    def _handle_events(self) -> None:
        events = self._protocol.events_received()
        for event in events:
            if isinstance(event, Frame):
                self._frame(event)
        self._flush()
        if not self._opened.done():
            self._check_opened(events)
        if self._protocol.state in {State.CLOSING, State.CLOSED}:
            error = self._protocol.parser_exc
            self._end(_CLOSED if error is None or isinstance(error, EOFError) else str(error))

    def _check_opened(self, events: Sequence[Event]) -> None:
        if self._protocol.handshake_exc is not None:
            answer = next((event for event in events if isinstance(event, Response)), None)
            self._opened.set_exception(HandshakeError(answer.status_code if answer else None))
        elif self._protocol.state is not State.CONNECTING:
            self._opened.set_result(None)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode not in _DATA:
            return
        self._parts.append(bytes(frame.data))
        if frame.fin:
            payload = b"".join(self._parts)
            self._parts.clear()
            self._message(payload)

    def _message(self, payload: bytes) -> None:
        message = payload.decode("utf-8", "replace")
        if self._on_message is None:
            self._before_listening.append(message)
        else:
            self._on_message(message)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)

    def _check_alive(self) -> None:
        if not self._heard:
            self._end(f"it sent nothing for {2 * _PING_SECONDS:g} s")
            self._transport.abort()  # closing it would wait until everything is sent
            return
        self._heard = False
        self._protocol.send_ping(b"")
        self._flush()
        self._ping = self._loop.call_later(_PING_SECONDS, self._check_alive)

    def _end(self, reason: str) -> None:
        if self._ping is not None:
            self._ping.cancel()
        if not self.closed.done():
            self.closed.set_result(reason)
            self._transport.close()


def _payload(data: bytes, at: int) -> tuple[int, int]:
    """Return where the payload of the frame at `at` begins and ends; the end is beyond `data` if more must arrive.

    A frame that a server must not send is all that has arrived; the library says what is wrong with it.
    """
    begin = at + 2
    if len(data) < begin:
        return begin, begin
    length = data[at + 1]
    if length & _MASKED:
        return at, len(data)
    if length >= _TWO_BYTES:
        begin += 2 if length == _TWO_BYTES else 8
        if len(data) < begin:
            return begin, begin
        length = int.from_bytes(data[at + 2 : begin], "big")
    return begin, begin + length


def _text_frame(payload: bytes) -> bytes:
    """Build the frame of a message to a server, whose payload is masked."""
    length = len(payload)
    if length < _TWO_BYTES:
        head = bytes((_TEXT, _MASKED | length))
    elif length < 1 << 16:
        head = bytes((_TEXT, _MASKED | _TWO_BYTES)) + length.to_bytes(2, "big")
    else:
        head = bytes((_TEXT, _MASKED | _EIGHT_BYTES)) + length.to_bytes(8, "big")
    key = os.urandom(4)
    return head + key + apply_mask(payload, key)
