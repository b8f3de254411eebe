"""Checks that Asterisk's SIP and AMI ports are open: calls need SIP, and pausing a recording needs AMI."""

from __future__ import annotations

from taxiphone.ari_app.client import path
from taxiphone.ari_app.ports import Ari, RecordingControl
from taxiphone.errors import AsteriskStartError, NotFoundError
from taxiphone.settings_sections import AsteriskSection

TRANSPORT = path("asterisk", "config", "dynamic", "res_pjsip", "transport", "transport-udp")


async def check_ports(ari: Ari, recording_control: RecordingControl, settings: AsteriskSection) -> None:
    """Ask Asterisk whether its SIP transport and AMI are up.

    Raises:
        AsteriskStartError: one is not; the message names the port and its setting.
        AriError: Asterisk did not answer.
    """
    try:
        # Asterisk keeps no transport object whose socket it could not bind.
        await ari.request("GET", TRANSPORT)
    except NotFoundError:
        raise AsteriskStartError(
            _message("SIP", "udp", settings.sip_address, settings.sip_port, "sip_port")
        ) from None
    why = await recording_control.unavailable()
    if why is not None:
        raise AsteriskStartError(
            f"{_message('AMI', 'tcp', '127.0.0.1', settings.ami_port, 'ami_port')} (AMI: {why})"
        )


def _message(name: str, protocol: str, address: str, port: int, key: str) -> str:
    return (
        f"Asterisk does not listen for {name} at {protocol} {address}:{port}, so no calls are taken: another program "
        f"uses the port, or the address is not this machine's. Find the program (ss -lunpt 'sport = :{port}'), or "
        f"set another port: [asterisk] {key}"
    )
