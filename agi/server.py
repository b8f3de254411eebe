"""FastAGI with panoramisk: the dialplan asks for a line by name, the line is a coroutine that reads top-down.

panoramisk 1.4's own connection handler never returns when the peer closes before its headers are complete, so the
headers are read here, bounded in size and time; its request object and the parsing of answers are used as they are.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from panoramisk.fast_agi import Request

from taxiphone.errors import SetupError

log = logging.getLogger(__name__)

Line = Callable[[Request], Awaitable[None]]

_HEADER_SECONDS = 5
_LINE_SECONDS = 120


class AgiServer:
    """Serves the lines on loopback.

    Args:
        port: TCP port on 127.0.0.1.
        lines: name in `agi://127.0.0.1:PORT/NAME` -> the line.
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
            headers = dict(
                line.split(": ", 1) for line in block.decode("utf-8", "replace").splitlines() if ": " in line
            )
            name = headers.get("agi_network_script", "")
            line = self._lines.get(name)
            if line is None:
                log.warning("Asterisk asked for the line %r, which there is not", name)
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
