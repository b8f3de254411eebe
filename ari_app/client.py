"""ARI over one websocket: events, requests and answers share a connection.

Since 20.14 and 22.4, Asterisk offers its REST interface over the event websocket ("REST over WebSocket"), which saves a TCP
connection and an HTTP exchange for each command. docs/adr/0001 explains why no existing library is used.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage, InvalidStatus

from taxiphone.ari_app.ports import Event
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


class AriClient:
    """A connection to Asterisk's ARI that reconnects by itself. Implements `ports.Ari`.

    Args:
        address: host and port of Asterisk's HTTP server, such as `127.0.0.1:8088`.
        user: a user of ari.conf.
        password: that user's password.
        application: the name of the Stasis application, whose events are received.
        answer_seconds: time-out of a request.

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
    ) -> None:
        self.application = application
        self.requests, self.events = 0, Counter[str]()
        # All channels of this Asterisk belong to Taxiphone. Subscribing to all saves a request, and a race, for each leg.
        query = urlencode({"app": application, "subscribeAll": "true"})
        self._address = address
        self._url = f"ws://{address}/ari/events?{query}"
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        self._answer_seconds = answer_seconds
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[Event]] = {}
        self._connection: ClientConnection | None = None
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
                async with connect(
                    self._url, additional_headers=self._headers, max_size=None, proxy=None, ping_interval=10
                ) as connection:
                    if lost_because is None:
                        log.info("connected to Asterisk's ARI")
                    else:
                        log.warning("Asterisk's ARI answers again at %s", self._address)
                    lost_because, logged = None, False
                    self._connection = connection
                    self._up.set()
                    pause = _FIRST_PAUSE
                    on_connect()
                    await self._read(connection, on_event)
                    lost_because = "it closed the connection"
            except InvalidStatus as error:
                if error.response.status_code == _UNAUTHORIZED:
                    raise AriRequestError(
                        "Asterisk's ARI refuses our password: its ari.conf is not the one that Taxiphone wrote. "
                        "Run `taxiphone asterisk config` and reload it.",
                        _UNAUTHORIZED,
                    ) from None
                log.warning("Asterisk's ARI answered %s", error.response.status_code)
            except (OSError, InvalidHandshake, InvalidMessage, ConnectionClosed) as error:
                log.debug("no connection to Asterisk's ARI: %s", error)
                if self._up.is_set():
                    lost_because = str(error)
                elif lost_because is not None and not logged and not self._gone:
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

    async def _read(self, connection: ClientConnection, on_event: Callable[[Event], None]) -> None:
        async for message in connection:
            event: Event = json.loads(message)
            if event.get("type") == "RESTResponse":
                answer = self._waiting.pop(event["request_id"], None)
                if answer is not None and not answer.done():
                    answer.set_result(event)
                continue
            self.events[str(event.get("type"))] += 1
            try:
                on_event(event)
            except Exception:
                # One event that can't be handled must not end the connection of all calls.
                log.exception("an event from Asterisk could not be handled: %s", event.get("type"))

    def _lost(self) -> None:
        self._up.clear()
        self._connection = None
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(
                    AriConnectionError("the connection to Asterisk was lost before it answered.")
                )

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
        connection = self._connection
        if connection is None:
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
        answer: asyncio.Future[Event] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(self._answer_seconds):
                await connection.send(json.dumps(message))
                response = await answer
        except TimeoutError:
            raise AriTimeoutError(
                f"Asterisk did not answer {method} {path} in {self._answer_seconds:g} s."
            ) from None
        except ConnectionClosed:
            raise AriConnectionError("the connection to Asterisk was lost before it answered.") from None
        finally:
            self._waiting.pop(number, None)
            answer.cancel()
        return _decode(response, f"{method} {path}")


def path(*parts: str) -> str:
    """The path of a request, with each part quoted (RFC 3986)."""
    return "/".join(quote(part, safe="") for part in parts)


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
