"""A simulated public network: a second Asterisk as the carrier, with phones.

It has its own home, ports and loopback address (127.0.0.2), so that the platform identifies the carrier by its address.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from taxiphone.ari_app.channels import Channels
from taxiphone.ari_app.client import AriClient, path
from taxiphone.ari_app.ports import Event
from taxiphone.ari_app.router import Leg, Router
from taxiphone.demo import sound
from taxiphone.demo.phone import RECORDED_AS, Phone
from taxiphone.demo.ports import free_port, free_range
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.dialplan.asterisk.server import AsteriskServer
from taxiphone.dialplan.config import render_asterisk_conf
from taxiphone.dialplan.modules import MODULES

ADDRESS = "127.0.0.2"
_TONE_SECONDS = 120


@dataclass
class Softphone:
    """An account for a real softphone (`--keep`)."""

    name: str
    number: str
    password: str = field(default_factory=lambda: secrets.token_urlsafe(9), repr=False)


class PublicNetwork:
    """A carrier with phones.

    Args:
        asterisk: the Asterisk to run.
        home: its folder.
        platform_port: the SIP port of the platform on 127.0.0.1.
        account: name and password with which the platform registers; None: it is identified by its address.
        softphones: accounts for real softphones.
        rtcp_seconds: interval of a phone's RTCP reports. Asterisk treats a report as a packet of audio, so a phone that
            is to seem dead must send none.
        rtp_ports: the number of UDP ports for RTP, four for each talk.
        answer_seconds: time-out of a request to this Asterisk.
    """

    def __init__(
        self,
        asterisk: Asterisk,
        home: Path,
        *,
        platform_port: int,
        account: tuple[str, str] | None = None,
        softphones: tuple[Softphone, ...] = (),
        rtcp_seconds: int = 5,
        rtp_ports: int = 400,
        answer_seconds: float = 5.0,
    ) -> None:
        self.server = AsteriskServer(asterisk, home)
        self.sip_port = free_port(ADDRESS)
        self.softphones = softphones
        self._asterisk = asterisk
        self._http_port = free_port("127.0.0.1")
        self._password = secrets.token_urlsafe(24)
        self._platform_port = platform_port
        self._account = account
        self._rtcp_seconds = rtcp_seconds
        self._rtp_ports = rtp_ports
        self._phones: dict[str, Phone] = {}
        # Captures of SIP messages; the last one is being written.
        self.captures: list[Path] = []
        self.router = Router(self._arrived)
        self.ari = AriClient(
            f"127.0.0.1:{self._http_port}",
            "network",
            self._password,
            "network",
            answer_seconds=answer_seconds,
        )
        self._channels = Channels(self.ari)
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start Asterisk and connect to it.

        Raises:
            SetupError: Asterisk can't be started.
        """
        self.server.write(self._files())
        await self.server.start()
        self._running = asyncio.create_task(self.ari.run(self.router.route), name="public network")
        await self.ari.wait_connected(10)

    async def stop(self) -> None:
        """Stop Asterisk."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self.server.stop()

    def phone(self, name: str, number: str, hertz: int) -> Phone:
        """Return a phone with this number."""
        tone = self._tones / f"{hertz}.wav"
        if not tone.exists():
            self._tones.mkdir(parents=True, exist_ok=True)
            sound.write_tone(tone, hertz, _TONE_SECONDS)
        phone = Phone(name, number, hertz, self.ari, self.router, self._channels, self._spool, self._tones)
        self._phones[number] = phone
        return phone

    async def capture_sip(self) -> list[Path]:
        """Start a new capture of SIP messages and return the finished ones, in libpcap's format."""
        self.captures.append(self.server.folders.log / f"sip-{len(self.captures)}.pcap")
        await self.server.rx(f"pjsip set logger pcap {self.captures[-1]}")
        if len(self.captures) == 1:
            await self.server.rx("pjsip set logger verbose off")
            await self.server.rx("pjsip set logger on")
        return self.captures[:-1]

    async def channels(self) -> int:
        """Return the number of channels."""
        return len(await self.ari.request("GET", "channels"))

    async def platform_registered(self) -> bool:
        """Tell whether the platform has registered with the carrier."""
        found = await self.ari.request("GET", path("endpoints", "PJSIP", "platform"))
        return str(found["state"]) == "online"

    # -- inside ---------------------------------------------------------------------------------------------------

    @property
    def _spool(self) -> Path:
        return self.server.folders.spool / "heard"

    @property
    def _tones(self) -> Path:
        return self.server.folders.data / "tones"

    def _arrived(self, leg: Leg, event: Event) -> None:
        match event.get("args", []):
            case ["called", number, dialog] if number in self._phones:
                # The channel is in the application but not answered; `Phone.answer` answers it.
                caller = event["channel"]["caller"]
                self._phones[number].ring(leg, caller["number"], caller["name"], dialog)
            case _:
                self._closing = asyncio.create_task(self._channels.hang_up(leg))

    def _files(self) -> dict[str, str]:
        self._spool.mkdir(mode=0o700, parents=True, exist_ok=True)
        start, end = free_range(self._rtp_ports)
        values = {
            "address": ADDRESS,
            "sip_port": self.sip_port,
            "platform_address": "127.0.0.1",
            "platform_port": self._platform_port,
            "account": self._account[0] if self._account else None,
            "account_password": self._account[1] if self._account else None,
            "softphones": self.softphones,
            "http_port": self._http_port,
            "ari_password": self._password,
            "rtp_start": start,
            "rtp_end": end,
            "rtcp_seconds": self._rtcp_seconds,
            "spool": self._spool,
            "recorded_as": RECORDED_AS,
            "module_names": (*MODULES, *_MORE_MODULES),
        }
        environment = Environment(  # noqa: S701 - not HTML; every value is ours
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        files = {
            name.removesuffix(".j2"): environment.get_template(name).render(values)
            for name in environment.list_templates()
        }
        files["asterisk.conf"] = render_asterisk_conf(self.server.home, self._asterisk)
        return files


# Modules that only the carrier needs: registrations, and Dial() between phones and trunk.
_MORE_MODULES = (
    "res_pjsip_registrar",
    "res_pjsip_endpoint_identifier_user",
    "func_devstate",
    "app_dial",
)
