"""ARI over websockets: one for events, and some for requests.

Since 20.14 and 22.4, Asterisk offers its REST interface over the event websocket ("REST over WebSocket"), which saves a TCP
connection and an HTTP exchange for each command. Asterisk carries out the requests of a connection one after the other, and
most of them wait for the channel's own thread, so that one connection can't serve many calls (docs/adr/0001).
"""

from __future__ import annotations

import asyncio
import base64
import functools
import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from taxiphone.ari_app.ports import Event
from taxiphone.ari_app.websocket import HandshakeError, WebSocket
from taxiphone.errors import (
    AriConnectionError,
    AriRequestError,
    AriTimeoutError,
    ConflictError,
    NotFoundError,
)

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_UNAUTHORIZED = 401
# With these, 30 requests for each call, and up to 20 ms for each request, there is no queue at 10 calls a second.
_COMMAND_CONNECTIONS = 8
# How often to look for requests that have not been answered in time.
_SWEEP_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that has been sent.

    Attributes:
        answer: gets the answer.
        until: when it must have been answered, by the loop's clock.
        what: the request, for an error message.
    """

    answer: asyncio.Future[Event]
    until: float
    what: str


class AriClient:
    """A connection to Asterisk's ARI that reconnects by itself. Implements `ports.Ari`.

    Args:
        address: host and port of Asterisk's HTTP server, such as `127.0.0.1:8088`.
        user: a user of ari.conf.
        password: that user's password.
        application: the name of the Stasis application, whose events are received.
        answer_seconds: time-out of a request.
        command_connections: the number of connections for requests. Each is a Stasis application of its own, without events.

    Attributes:
        requests: the number of requests sent.
        events: the number of events received, by type. Answers to requests are not counted.
    """

    def __init__(
        self,
        address: str,
        user: str,
        password: str,
        application: str,
        *,
        answer_seconds: float = 5.0,
        command_connections: int = _COMMAND_CONNECTIONS,
    ) -> None:
        self.application = application
        self.requests, self.events = 0, Counter[str]()
        # All channels of this Asterisk belong to Taxiphone. Subscribing to all saves a request, and a race, for each leg.
        self._address, self._target = address, _target(application, subscribeAll="true")
        self._command_targets = [
            _target(f"{application}-commands-{number}") for number in range(1, command_connections + 1)
        ]
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        self._answer_seconds = answer_seconds
        self._numbers = itertools.count(1)
        self._waiting: dict[str, _Asked] = {}  # by the request's number, oldest first
        self._sweep: asyncio.TimerHandle | None = None
        self._connections: list[WebSocket] = []
        self._requests_on: dict[WebSocket, int] = {}  # unanswered, by the connection for requests
        self._up = asyncio.Event()
        self._gone = False

    async def wait_connected(self, seconds: float) -> None:
        """Wait until requests can be sent.

        Raises:
            AriConnectionError: no connection within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._up.wait()
        except TimeoutError:
            raise AriConnectionError(f"Asterisk's ARI did not answer within {seconds:g} s.") from None

    def asterisk_has_gone(self) -> None:
        """Note that Asterisk is known to have ended, so that the lost connection isn't logged."""
        self._gone = True

    async def run(
        self, on_event: Callable[[Event], None], on_connect: Callable[[], None] = lambda: None
    ) -> None:
        """Stay connected until cancelled; see `ports.Ari.run`.

        Raises:
            AriRequestError: the password is refused; trying again would not help.
        """
        pause = _FIRST_PAUSE
        lost_because: str | None = None  # None until a connection has been lost
        logged = False
        while True:
            try:
                events = await self._open(self._target)
                for target in self._command_targets:
                    self._requests_on[await self._open(target)] = 0
                if lost_because is None:
                    log.info("connected to Asterisk's ARI")
                else:
                    log.warning("Asterisk's ARI answers again at %s", self._address)
                lost_because, logged = None, False
                for connection in self._requests_on:
                    connection.listen(self._answered)
                self._up.set()
                pause = _FIRST_PAUSE
                on_connect()
                events.listen(lambda message: self._received(message, on_event))
                closed = [connection.closed for connection in self._connections]
                await asyncio.wait(closed, return_when=asyncio.FIRST_COMPLETED)
                lost_because = next(each.result() for each in closed if each.done())
            except HandshakeError as error:
                if error.status == _UNAUTHORIZED:
                    raise AriRequestError(
                        "Asterisk's ARI refuses our password: its ari.conf is not the one that Taxiphone wrote. "
                        "Run `taxiphone asterisk config` and reload it.",
                        _UNAUTHORIZED,
                    ) from None
                log.warning("Asterisk's ARI can't be used: %s", error)
            except OSError as error:
                log.debug("no connection to Asterisk's ARI: %s", error)
                if lost_because is not None and not logged and not self._gone:
                    # Only at the second failure: a connection that returns at once needs no alarm, and by then a
                    # process that started Asterisk knows whether it has died.
                    log.error(
                        "Asterisk's ARI at %s can't be reached (%s). No calls are taken until it is back; a talk that "
                        "continues there is billed from its event log. Is Asterisk running? See: taxiphone doctor",
                        self._address,
                        error,
                    )
                    logged = True
            finally:
                self._lost()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _open(self, target: str) -> WebSocket:
        connection = WebSocket()
        await connection.open(self._address, target, self._headers)
        self._connections.append(connection)
        return connection

    def _received(self, message: str, on_event: Callable[[Event], None]) -> None:
        kind = None
        try:
            event: Event = json.loads(message)
            kind = event.get("type")
            self.events[str(kind)] += 1
            on_event(event)
        except Exception:
            # One event that can't be handled must not end the connection of all calls.
            log.exception("an event from Asterisk could not be handled: %s", kind)

    def _answered(self, message: str) -> None:
        try:
            event: Event = json.loads(message)
            if event.get("type") == "RESTResponse":
                asked = self._waiting.pop(event["request_id"], None)
                if asked is not None and not asked.answer.done():
                    asked.answer.set_result(event)
        except Exception:
            log.exception("an answer from Asterisk could not be understood")

    def _lost(self) -> None:
        self._up.clear()
        for connection in self._connections:
            connection.abort()
        self._connections.clear()
        self._requests_on.clear()
        waiting, self._waiting = self._waiting, {}
        for asked in waiting.values():
            if not asked.answer.done():
                asked.answer.set_exception(
                    AriConnectionError("the connection to Asterisk was lost before it answered.")
                )

    def _expire(self) -> None:
        """Give up the requests that have not been answered in time. One timer for all costs less than one for each."""
        self._sweep = None
        loop = asyncio.get_running_loop()
        for asked in list(self._waiting.values()):
            if asked.until > loop.time():
                break
            if not asked.answer.done():
                asked.answer.set_exception(
                    AriTimeoutError(f"Asterisk did not answer {asked.what} in {self._answer_seconds:g} s.")
                )
        if self._waiting:
            self._sweep = loop.call_later(_SWEEP_SECONDS, self._expire)

    async def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Send a request and return the decoded answer; see `ports.Ari.request`.

        Raises:
            AriError: one of its kinds, as `ports.Ari.request` lists them.
        """
        if not self._up.is_set():
            raise AriConnectionError("there is no connection to Asterisk.")
        number = str(next(self._numbers))
        self.requests += 1
        parameters = {key: value for key, value in (query or {}).items() if value is not None}
        message: dict[str, Any] = {
            "type": "RESTRequest",
            "request_id": number,
            "method": method,
            "uri": path + ("?" + urlencode(parameters, quote_via=quote) if parameters else ""),
        }
        if body is not None:
            message["content_type"] = "application/json"
            message["message_body"] = json.dumps(body)
        loop = asyncio.get_running_loop()
        connection = min(self._requests_on, key=self._requests_on.__getitem__)
        self._requests_on[connection] += 1
        asked = _Asked(loop.create_future(), loop.time() + self._answer_seconds, f"{method} {path}")
        self._waiting[number] = asked
        if self._sweep is None:
            self._sweep = loop.call_later(_SWEEP_SECONDS, self._expire)
        try:
            connection.send(json.dumps(message))
            response = await asked.answer
        finally:
            self._waiting.pop(number, None)
            if connection in self._requests_on:
                self._requests_on[connection] -= 1
        return _decode(response, asked.what)


def _target(application: str, **options: str) -> str:
    return "/ari/events?" + urlencode({"app": application, **options})


def path(*parts: str) -> str:
    """The path of a request, with each part quoted (RFC 3986)."""
    return "/".join(map(_quoted, parts))


@functools.lru_cache(maxsize=1000)
def _quoted(part: str) -> str:
    return quote(part, safe="")


def _decode(response: Event, request: str) -> Any:
    status = int(response["status_code"])
    text = response.get("message_body") or ""
    if status < 400:  # noqa: PLR2004 - HTTP status codes from 400 on are errors
        return json.loads(text) if text else None
    try:
        reason = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        reason = text or response.get("reason_phrase", "")
    sentence = f"Asterisk refused {request}: {status} {reason}"
    match status:
        case 404:
            raise NotFoundError(sentence, status)
        case 409:
            raise ConflictError(sentence, status)
        case _:
            raise AriRequestError(sentence, status)
