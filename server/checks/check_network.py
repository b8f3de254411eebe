"""Checks of the machine's network and limits: the RTP ports, the address behind a NAT, the open files."""

from __future__ import annotations

import resource
import socket
from ipaddress import ip_address

from taxiphone.server.checks.findings import Finding
from taxiphone.settings_sections import AsteriskSection, Trunk

_PORTS_OF_A_TALK = 4  # two legs, each with one port for RTP and the next one for RTCP (RFC 3550, section 11)
_SHOWN = 5
_OTHER_FILES = 256  # of Asterisk's own: modules, logs, connections


def rtp_range(asterisk: AsteriskSection, most_calls: int) -> Finding:
    """Whether the UDP ports of the voices are free, and enough for one talk, or for as many calls as are let in.

    Args:
        asterisk: whose range it is.
        most_calls: that are taken at once.
    """
    first, last = asterisk.rtp_start, asterisk.rtp_end
    where = f"RTP at udp {first}-{last}"
    advice = f"See who holds them (ss -lunp 'sport >= :{first} and sport <= :{last}'), or choose others: [asterisk] rtp_start, rtp_end"
    taken = [port for port in range(first, last + 1) if not _free(asterisk.sip_address, port)]
    talks = (last - first + 1 - len(taken)) // _PORTS_OF_A_TALK
    if not talks:
        return Finding(
            ok=False,
            what=f"{where}: {last - first + 1 - len(taken)} ports are free; a talk needs 4",
            advice=advice,
        )
    if talks < most_calls:
        what = f"{where}: {len(taken)} are taken; the rest is enough for {talks} talks at once, and [call] most_calls is {most_calls}"
        return Finding(
            ok=None, what=what, advice="Widen [asterisk] rtp_start and rtp_end, or lower most_calls."
        )
    if taken:
        named = ", ".join(map(str, taken[:_SHOWN])) + (" ..." if len(taken) > _SHOWN else "")
        what = f"{where}: {len(taken)} are taken ({named}); the rest is enough for {talks} talks at once"
        return Finding(ok=None, what=what, advice=advice)
    return Finding(ok=True, what=f"{where} is free: enough for {talks} talks at once")


def _free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def open_files(asterisk: AsteriskSection) -> Finding:
    """Whether the limit on open files, which an embedded Asterisk inherits, is enough for every RTP port."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    ports = asterisk.rtp_end - asterisk.rtp_start + 1
    if limit == resource.RLIM_INFINITY or limit >= ports + _OTHER_FILES:
        return Finding(ok=True, what=f"{limit} files may be open at once")
    talks = max(0, limit - _OTHER_FILES) // _PORTS_OF_A_TALK
    return Finding(
        ok=None,
        what=f"{limit} files may be open at once: enough for about {talks} talks, fewer than the RTP ports allow",
        advice="Raise the limit where `taxiphone serve` is started: LimitNOFILE= of systemd, or ulimit -n",
    )


def nat(trunk: Trunk, asterisk: AsteriskSection) -> Finding:
    """Whether the carrier could answer to the address that Asterisk will tell it."""
    if asterisk.external_address:
        return Finding(ok=True, what=f"the carrier is told the address {asterisk.external_address}")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((trunk.host, trunk.port))  # sends nothing
            ours, theirs = (ip_address(end[0]) for end in (probe.getsockname(), probe.getpeername()))
    except OSError as error:
        return Finding(ok=None, what=f"no way to the trunk is known: {error.strerror or error}")
    if ours.is_private and theirs.is_global:
        return Finding(
            ok=None,
            what=f"this machine's address towards the carrier is {ours}, which the carrier can't reach",
            advice="Behind a NAT, set [asterisk] external_address to the public one; else callers hear nothing.",
        )
    return Finding(ok=True, what=f"the carrier is told the address {ours}")
