"""FastAGI with panoramisk: the dialplan asks for a line by name, the line is a coroutine that reads top-down.

panoramisk 1.4's own connection handler never returns when the peer closes before its headers are complete, so the
headers are read here, bounded in size and time; its request object and the parsing of answers are used as they are.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Mapping
from typing import Protocol

from panoramisk.fast_agi import Request

from taxiphone.errors import SetupError

log = logging.getLogger(__name__)


class Line(Protocol):
    """A line.

    Attributes:
        secret: what Asterisk gives as the first argument; whoever does not know it is not Asterisk.
    """

    secret: str

    async def __call__(self, request: Request) -> None:
        """Do all that the line does, from the first command to the last."""


_HEADER_SECONDS = 5
_LINE_SECONDS = 120


class AgiServer:
    """Serves the lines on loopback.

    Args:
        port: TCP port on 127.0.0.1.
        lines: name in `AGI(agi://127.0.0.1:PORT/NAME,SECRET)` -> the line.
    """

    def __init__(self, port: int, lines: Mapping[str, Line]) -> None:
        self._port = port
        self._lines = dict(lines)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            SetupError: the port is taken.
        """
        try:
            self._server = await asyncio.start_server(self._handle, "127.0.0.1", self._port)
        except OSError as error:
            raise SetupError(
                f"FastAGI can't listen on 127.0.0.1:{self._port}: {error.strerror}. "
                "Set another agi_port in [asterisk] of taxiphone.toml."
            ) from None

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEADER_SECONDS):
                block = await reader.readuntil(b"\n\n")
            headers = _headers(block)
            line = self._lines.get(headers.get("agi_network_script", ""))
            if line is None:
                log.warning("FastAGI was asked for a line that there is not; Asterisk's files may be old")
                return
            if not hmac.compare_digest(headers.get("agi_arg_1", "").encode(), line.secret.encode()):
                log.warning("FastAGI was asked by somebody without its secret, and did nothing")
                return
            async with asyncio.timeout(_LINE_SECONDS):
                await line(Request(app=None, headers=headers, reader=reader, writer=writer))
        except (
            TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            ConnectionError,
        ) as error:
            log.info("a FastAGI request ended early: %s", error or type(error).__name__)
        except Exception:
            log.exception("a FastAGI line failed; Asterisk goes on in its dialplan")
        finally:
            writer.close()


def _headers(block: bytes) -> dict[str, str]:
    """Name to value. Of two of a name the first counts: what a caller chooses comes after what Asterisk says."""
    headers: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\n"):
        name, separator, value = line.partition(": ")
        if separator:
            headers.setdefault(name, value)
    return headers
