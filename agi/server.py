"""A FastAGI server. The dialplan names a script, and each script is a coroutine.

The connection handler of panoramisk 1.4 never returns when the peer closes before its headers are complete. The headers
are therefore read here, with limits on size and time. The package's request object and response parser are used unchanged.
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


class AgiScript(Protocol):
    """A script that the dialplan runs.

    Attributes:
        secret: the first argument that Asterisk must send. A request without it is refused.
    """

    secret: str

    async def __call__(self, request: Request) -> None:
        """Run the script, from its first AGI command to its last."""


_HEADER_SECONDS = 5
_SCRIPT_SECONDS = 120


class AgiServer:
    """Serves the scripts on loopback.

    Args:
        port: TCP port on 127.0.0.1.
        scripts: scripts by their name in `AGI(agi://127.0.0.1:PORT/NAME,SECRET)`.
    """

    def __init__(self, port: int, scripts: Mapping[str, AgiScript]) -> None:
        self._port = port
        self._scripts = dict(scripts)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Start listening.

        Raises:
            SetupError: the port is in use.
        """
        try:
            self._server = await asyncio.start_server(self._handle, "127.0.0.1", self._port)
        except OSError as error:
            raise SetupError(
                f"FastAGI can't listen on 127.0.0.1:{self._port}: {error.strerror}. "
                "Set another agi_port in [asterisk] of taxiphone.toml."
            ) from None

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_HEADER_SECONDS):
                block = await reader.readuntil(b"\n\n")
            headers = _headers(block)
            script = self._scripts.get(headers.get("agi_network_script", ""))
            if script is None:
                log.warning(
                    "FastAGI received a request for an unknown script; Asterisk's configuration may be out of date"
                )
                return
            if not hmac.compare_digest(headers.get("agi_arg_1", "").encode(), script.secret.encode()):
                log.warning("FastAGI refused a request without its secret")
                return
            async with asyncio.timeout(_SCRIPT_SECONDS):
                await script(Request(app=None, headers=headers, reader=reader, writer=writer))
        except (
            TimeoutError,
            asyncio.IncompleteReadError,
            asyncio.LimitOverrunError,
            ConnectionError,
        ) as error:
            log.info("a FastAGI request ended early: %s", error or type(error).__name__)
        except Exception:
            log.exception("a FastAGI script failed; Asterisk continues in its dialplan")
        finally:
            writer.close()


def _headers(block: bytes) -> dict[str, str]:
    """Return the headers by name. If a name occurs twice, the first counts: values set by a caller come last."""
    headers: dict[str, str] = {}
    for line in block.decode("utf-8", "replace").split("\n"):
        name, separator, value = line.partition(": ")
        if separator:
            headers.setdefault(name, value)
    return headers
