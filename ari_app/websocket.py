"""A websocket (RFC 6455) to a server on this machine, for text messages, without extensions.

The protocol is that of the library websockets, in its form without I/O. A message is passed on in the turn of the event loop
in which it arrives, and sent in the turn in which it is written: the library's asyncio connection gives each message a
queue, a future and a lock, which took more time than the rest of a call (docs/adr/0001).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import Event, State
from websockets.uri import parse_uri

OnMessage = Callable[[str], None]

_OPEN_SECONDS = 10.0
# A ping is sent this often. If nothing at all has arrived for two of these, the connection is dead.
_PING_SECONDS = 10.0
_CLOSED = "it closed the connection"
_DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})


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
            self._protocol.send_text(message.encode())
            self._flush()

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
        self._protocol.receive_data(data)
        self._handle_events()

    def eof_received(self) -> None:
        """Take it that nothing more arrives."""
        self._protocol.receive_eof()
        self._handle_events()

    # -- messages -------------------------------------------------------------------------------------------------

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
            message = b"".join(self._parts).decode("utf-8", "replace")
            self._parts.clear()
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
