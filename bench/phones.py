"""The telephones of the benchmark, implemented in the dialplan of the public network's Asterisk, with an event log.

They ring, answer, press 1, speak and hang up without any program between them and the measured side.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from taxiphone.ari_app.client import path
from taxiphone.bench.lines import Line
from taxiphone.demo import platform, sound
from taxiphone.demo.network import PublicNetwork
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.errors import NotFoundError

RING_SECONDS = 0.3
TALK_SECONDS = 2.0
_TONE_SECONDS = 60
# A client's phone hangs up if nobody else does.
_LONGEST_SECONDS = 15
# A machine that is full to the brim answers late, and shall still be measured.
_ANSWER_SECONDS = 60.0

_PHONES = """\
[general]
static = yes
writeprotect = yes

; The consultants' phones: they ring, are answered, press 1 (once more a second later, if the first came too early),
; speak, and hang up, unless the talks are to be long.
[from-platform]
exten => _+33639982XXX,1,Ringing()
 same => n,Wait({ring})
 same => n,Answer()
 same => n,Wait(0.5)
 same => n,SendDTMF(1)
 same => n,Playback({talk})
 same => n,SendDTMF(1)
 same => n,Playback({talk})
 same => n,GotoIf($["${{LONG_TALKS}}" != ""]?speak)
 same => n,Hangup()
 same => n(speak),Playback({tone})
 same => n,Goto(speak)

; The clients' phones: they press keys if they have any, and speak until they are hung up.
[phone]
exten => s,1,GotoIf($["${{LONG_TALKS}}" != ""]?keys)
 same => n,Set(TIMEOUT(absolute)={longest})
 same => n(keys),GotoIf($["${{KEYS}}" = ""]?speak)
 same => n,SendDTMF(${{KEYS}})
 same => n(speak),Playback({tone})
 same => n,Goto(speak)
"""

# Modules of the public network that these telephones don't use. Several of them look at each SIP message or event.
_NOT_NEEDED = (
    *("app_dial", "app_mixmonitor", "bridge_softmix", "bridge_holding", "chan_bridge_media"),
    *("codec_a_mu", "codec_g722", "codec_gsm", "codec_resample", "format_gsm", "format_sln", "format_wav"),
    *("func_cut", "func_devstate", "func_dialplan", "func_groupcount"),
    *("res_agi", "res_ari_bridges", "res_ari_endpoints", "res_ari_playbacks"),
    *("res_hep", "res_hep_pjsip", "res_hep_rtcp", "res_security_log", "res_speech"),
    *("res_pjsip_dlg_options", "res_pjsip_dtmf_info", "res_pjsip_empty_info", "res_pjsip_logger"),
    *("res_pjsip_outbound_registration", "res_pjsip_refer", "res_pjsip_registrar"),
)

# As in dialplan/templates/stasis.conf.j2, and the reports received: nobody reads them here.
_DECLINED = """\
[declined_message_types]
decline = ast_channel_varset_type
decline = ast_device_state_message_type
decline = ast_rtp_rtcp_sent_type
decline = ast_rtp_rtcp_received_type
"""

_SECOND_TRUNK = """
[plain]
type = endpoint
transport = transport-udp
context = from-platform
aors = plain
disallow = all
allow = alaw,ulaw
direct_media = no
dtmf_mode = rfc4733

[plain]
type = aor
contact = sip:{address}:{port}
"""


@dataclass(frozen=True)
class Side:
    """One of the two sides that are compared.

    Attributes:
        name: for people.
        trunk: its endpoint's name on the public network.
        cel_file: the event log of its Asterisk.
        asterisk: the process id of its Asterisk.
        program: the process id of Taxiphone; None on the plain side.
        database: the process id of PostgreSQL; None if there is none.
    """

    name: str
    trunk: str
    cel_file: Path
    asterisk: int
    program: int | None = None
    database: int | None = None


class Phones(PublicNetwork):
    """The public network, with telephones implemented in the dialplan, a second trunk, and a separate event log."""

    def __init__(
        self, asterisk: Asterisk, home: Path, *, taxiphone_port: int, plain_port: int, rtp_ports: int
    ) -> None:
        super().__init__(
            asterisk,
            home,
            platform_port=taxiphone_port,
            rtp_ports=rtp_ports,
            answer_seconds=_ANSWER_SECONDS,
        )
        self._plain_port = plain_port

    @property
    def cel_file(self) -> Path:
        """The event log of the telephones' Asterisk: event, time, unique id, number dialled."""
        return self.server.folders.log / "cel-custom" / "phones.csv"

    async def dial(self, side: Side, line: Line, leg: str, keys: str = "") -> None:
        """Let a client call; returns at once.

        Args:
            side: the side to call.
            line: the line whose client calls.
            leg: the unique id for the client's leg.
            keys: what the client presses once the call is answered, in the notation of SendDTMF().
        """
        query = {
            "endpoint": f"PJSIP/{line.did}@{side.trunk}",
            "channelId": leg,
            "context": "phone",
            "extension": "s",
            "priority": 1,
            "callerId": f"<{line.client}>",
            "timeout": 30,
            "formats": "alaw",  # otherwise what is heard is converted to µ-law
        }
        await self.ari.request("POST", path("channels"), query, {"variables": {"KEYS": keys}})

    async def talk_long(self, long: bool) -> None:
        """Choose whether new calls last until `hang_up`, or a talk of two seconds."""
        value = "yes" if long else ""
        await self.ari.request(
            "POST", path("asterisk", "variable"), {"variable": "LONG_TALKS", "value": value}
        )

    async def hang_up(self, leg: str) -> None:
        """Hang up a leg; it may have gone."""
        with suppress(NotFoundError):
            await self.ari.request("DELETE", path("channels", leg))

    async def hang_up_all(self) -> None:
        """Hang up all legs."""
        for channel in await self.ari.request("GET", path("channels")):
            await self.hang_up(channel["id"])

    async def answers_only(self) -> None:
        """Switch off the events: nobody listens to them here."""
        await self.ari.request(
            "PUT",
            path("applications", self.ari.application, "eventFilter"),
            body={"allowed": [{"type": "RESTResponse"}]},
        )

    def _files(self) -> dict[str, str]:
        files = super()._files()
        for hertz, seconds in ((700, _TONE_SECONDS), (1100, TALK_SECONDS / 2)):
            self._tones.mkdir(parents=True, exist_ok=True)
            # In the talks' codec, so that the telephones needn't convert it.
            sound.write_tone(self._tones / f"{hertz}.alaw", hertz, seconds)
        files["extensions.conf"] = _PHONES.format(
            ring=RING_SECONDS,
            talk=self._tones / "1100",
            tone=self._tones / "700",
            longest=_LONGEST_SECONDS,
        )
        files["modules.conf"] = _without(files["modules.conf"], _NOT_NEEDED) + "load = app_senddtmf.so\n"
        files["stasis.conf"] = _DECLINED
        files["pjsip.conf"] += _SECOND_TRUNK.format(address=platform.ADDRESS, port=self._plain_port)
        files["cel.conf"] = "[general]\nenable = yes\napps =\nevents = CHAN_START,HANGUP\n"
        columns = ("eventtype", "eventtime", "CHANNEL(uniqueid)", "CHANNEL(exten)")
        quoted = ",".join(f"${{CSV_QUOTE(${{{column}}})}}" for column in columns)
        files["cel_custom.conf"] = f"[mappings]\n{self.cel_file} => {quoted}\n"
        return files


def _without(modules_conf: str, modules: Collection[str]) -> str:
    left_out = {f"load = {module}.so" for module in modules}
    return "".join(line for line in modules_conf.splitlines(keepends=True) if line.strip() not in left_out)
