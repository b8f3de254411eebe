"""Brings up the embedded Asterisk: starts one, or takes over one that is running with its calls."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import AsyncExitStack

from taxiphone.dialplan import config, credentials
from taxiphone.dialplan.asterisk import locate, sharing
from taxiphone.dialplan.asterisk.home import outdated
from taxiphone.dialplan.asterisk.log_keeper import Bounds
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.errors import SetupError
from taxiphone.server.checks import check_asterisk
from taxiphone.server.refused_summary import RefusedSummary
from taxiphone.settings import Settings
from taxiphone.speech.prompts_folder import link_prompts

log = logging.getLogger(__name__)

Say = Callable[[str], None]

_NO_CHANNEL = re.compile(r"^0 active channels$", re.MULTILINE)


async def start_asterisk(
    settings: Settings, stack: AsyncExitStack, *, say: Say, was_up: Callable[[], bool]
) -> AsteriskServer | None:
    """Return a running Asterisk with our configuration; None if the operator runs it.

    Args:
        settings: validated settings.
        stack: stops Asterisk when the process exits.
        say: prints a line for the person who started the process.
        was_up: whether the process ever took calls. If the start fails, an Asterisk that was already running with calls
            is left running.

    Raises:
        SetupError: it can't be started.
    """
    if not settings.asterisk.embedded:
        # Sounds recorded since `asterisk config` are used from this start on, as with an embedded Asterisk.
        link_prompts(settings)
        sharing.share(settings)
        say("Asterisk: your own, configured by `taxiphone asterisk config`")
        return None
    found = locate.find(settings)
    bounds = Bounds(settings.asterisk.log_megabytes * 1_000_000)
    server = AsteriskServer(found, settings.asterisk_home, bounds)
    link_prompts(settings)
    files = config.render(settings, credentials.load(settings), found)
    if await _take_over(server, files, say):
        say(f"Asterisk {found.version_text}: already running; taken over with its calls")
    else:
        for port in check_asterisk.asterisk_ports(settings.asterisk):
            if port.ok is False:
                raise SetupError(f"{port.what}. {port.advice}")
        server.write(files)
        await server.start()
        say(f"Asterisk {found.version_text}: started")

    async def leave() -> None:
        if server.adopted and not was_up():
            server.release()
        else:
            await server.stop()

    stack.push_async_callback(leave)
    summary = asyncio.create_task(RefusedSummary(server.folders.log).run(), name="refused requests")
    stack.callback(summary.cancel)
    return server


async def _take_over(server: AsteriskServer, files: dict[str, str], say: Say) -> bool:
    """Take over a running Asterisk. If it has no calls and was started with other files, stop it instead."""
    if not await server.adopt():
        return False
    other, closed = outdated(server.folders.etc, files)
    others = sorted([*other, *closed])
    if not others:
        return True
    if _NO_CHANNEL.search(await server.rx("core show channels count")):
        log.info("restarting Asterisk, because its configuration has changed: %s", ", ".join(others))
        await server.stop()
        return False
    say(
        f"Asterisk: has calls and runs with an older configuration: {', '.join(others)}. New calls may fail until "
        "it is restarted. When no call is in progress, restart `taxiphone serve`."
    )
    return True
