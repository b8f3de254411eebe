"""Checks the RTP ports, the address behind NAT and the limit of open files."""

from __future__ import annotations

import resource
import socket
from ipaddress import ip_address

from taxiphone.server.checks.findings import Finding
from taxiphone.settings import PORTS_OF_A_CALL, Settings, cores
from taxiphone.settings_sections import AsteriskSection, Trunk

_SHOWN = 5
# Files that Asterisk opens itself: modules, logs, connections.
_OTHER_FILES = 256


def rtp_range(asterisk: AsteriskSection, most_calls: int) -> Finding:
    """Check that enough RTP ports are free for the maximum number of calls.

    Args:
        asterisk: the settings with the range.
        most_calls: the maximum number of concurrent calls.
    """
    first, last = asterisk.rtp_start, asterisk.rtp_end
    where = f"RTP on udp {first}-{last}"
    advice = (
        f"Find the programs that use them (ss -lunp 'sport >= :{first} and sport <= :{last}'), or change "
        "[asterisk] rtp_start and rtp_end."
    )
    taken = [port for port in range(first, last + 1) if not _free(asterisk.sip_address, port)]
    talks = (last - first + 1 - len(taken)) // PORTS_OF_A_CALL
    if not talks:
        return Finding(
            ok=False,
            what=f"{where}: {last - first + 1 - len(taken)} ports are free, but a talk needs {PORTS_OF_A_CALL}",
            advice=advice,
        )
    if talks < most_calls:
        what = f"{where}: enough for {talks} concurrent talks ({len(taken)} in use), but [call] most_calls is {most_calls}"
        return Finding(
            ok=None, what=what, advice="Widen [asterisk] rtp_start and rtp_end, or lower most_calls."
        )
    if taken:
        named = ", ".join(map(str, taken[:_SHOWN])) + (" ..." if len(taken) > _SHOWN else "")
        what = (
            f"{where}: {len(taken)} are in use ({named}); the others are enough for {talks} concurrent talks"
        )
        return Finding(ok=None, what=what, advice=advice)
    return Finding(ok=True, what=f"{where} is free: enough for {talks} concurrent talks")


def most_calls(settings: Settings) -> Finding:
    """Check that the RTP ports are enough for the maximum number of calls, and say what it is."""
    asterisk, most = settings.asterisk, settings.most_calls
    if most > settings.ports_for_calls:
        return Finding(
            ok=None,
            what=f"[call] most_calls is {most}, but the RTP ports {asterisk.rtp_start}-{asterisk.rtp_end} are enough for "
            f"{settings.ports_for_calls} calls",
            advice="Widen [asterisk] rtp_start and rtp_end, or lower most_calls.",
        )
    what = f"maximum number of concurrent calls: {most}"
    if settings.call.most_calls is None:
        what += f", by {cores()} cores and RTP ports for {settings.ports_for_calls} calls"
    return Finding(ok=True, what=what)


def _free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def open_files(asterisk: AsteriskSection) -> Finding:
    """Check that the limit of open files, which an embedded Asterisk inherits, is enough for every RTP port."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    ports = asterisk.rtp_end - asterisk.rtp_start + 1
    if limit == resource.RLIM_INFINITY or limit >= ports + _OTHER_FILES:
        return Finding(ok=True, what=f"limit of open files: {limit}")
    talks = max(0, limit - _OTHER_FILES) // PORTS_OF_A_CALL
    return Finding(
        ok=None,
        what=f"limit of open files: {limit}, enough for about {talks} talks, fewer than the RTP ports allow",
        advice="Raise the limit for `taxiphone serve`: LimitNOFILE= of systemd, or ulimit -n.",
    )


def nat(trunk: Trunk, asterisk: AsteriskSection) -> Finding:
    """Check that the carrier can reach the address that Asterisk sends."""
    if asterisk.external_address:
        return Finding(ok=True, what=f"address sent to the carrier: {asterisk.external_address}")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            # Connecting a UDP socket sends nothing.
            probe.connect((trunk.host, trunk.port))
            ours, theirs = (ip_address(end[0]) for end in (probe.getsockname(), probe.getpeername()))
    except OSError as error:
        return Finding(ok=None, what=f"no route to the trunk: {error.strerror or error}")
    if ours.is_private and theirs.is_global:
        return Finding(
            ok=None,
            what=f"this machine's address towards the carrier is {ours}, which the carrier can't reach",
            advice="Behind NAT, set [asterisk] external_address to the public address; otherwise callers hear nothing.",
        )
    return Finding(ok=True, what=f"address sent to the carrier: {ours}")
