"""Receives what Asterisk's events don't say about a call's audio: the agreed direction, and whether RTCP still arrives.

Asterisk sends a copy of each SIP message and RTCP report to a UDP port on loopback (HEP version 3, hep.conf). From SIP
messages, only the direction of the far end's audio is kept (RFC 3264: `recvonly`, `inactive` ...); RTCP reports (RFC 3550)
are only counted. Everything else is discarded.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import socket
import struct
from collections import OrderedDict

from taxiphone.ari_app.bounded import keep
from taxiphone.dialplan.config import USER_AGENT
from taxiphone.errors import SetupError

log = logging.getLogger(__name__)

# Maximum number of entries of each kind; the least recently used one is dropped.
_MOST = 10_000
_MAGIC, _HEADER, _CHUNK = b"HEP3", 6, 6
_KEY, _PAYLOAD, _CALL_ID, _PROTOCOL = 0x0E, 0x0F, 0x11, 0x0B  # chunk types
_SIP, _RTCP = 1, 5  # protocol types
_SENDS = frozenset({"sendrecv", "sendonly"})
_DIRECTION = re.compile(rb"^a=(sendrecv|sendonly|recvonly|inactive)\s*$", re.MULTILINE)
_AUDIO = re.compile(rb"^m=audio ", re.MULTILINE)
_MEDIA = re.compile(rb"^m=", re.MULTILINE)
# How Asterisk's own messages identify themselves (pjsip.conf). They give its direction, not the far end's.
_OWN = re.compile(
    rb"^(?:User-Agent|Server):\s*" + USER_AGENT.encode() + rb"\s*$", re.MULTILINE | re.IGNORECASE
)
_CSEQ = re.compile(rb"^CSeq:\s*(\d+)\s+(INVITE|UPDATE|ACK|BYE)\s*$", re.MULTILINE | re.IGNORECASE)
_SUCCESS = re.compile(rb"^SIP/2\.0 2\d\d ")
_RESPONSE = b"SIP/2.0 "


class HepListener(asyncio.DatagramProtocol):
    """Receives copies of the SIP and RTCP between Asterisk and the phones. Implements `ports.MediaSignalling`.

    Args:
        secret: sent by Asterisk with each copy to authenticate it.
    """

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        # Call-ID -> the agreed direction, if the far end sends nothing
        self._silent: OrderedDict[str, str] = OrderedDict()
        # (Call-ID, CSeq) -> a direction that was offered and isn't agreed yet
        self._offered: OrderedDict[tuple[str, int], str] = OrderedDict()
        # Call-ID -> source -> number of reports
        self._reports: OrderedDict[str, dict[int, int]] = OrderedDict()
        self._transport: asyncio.DatagramTransport | None = None

    async def listen(self, port: int) -> None:
        """Listen on this port of loopback.

        Raises:
            SetupError: the port is in use.
        """
        # Bound here, because another event loop's error may not say why a port can't be used.
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            receiver.bind(("127.0.0.1", port))
            receiver.setblocking(False)
            self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
                lambda: self, sock=receiver
            )
        except OSError as error:
            receiver.close()
            raise SetupError(
                f"HEP can't listen on 127.0.0.1:{port}: {error.strerror}. "
                "Set another hep_port in [asterisk] of taxiphone.toml."
            ) from None

    def close(self) -> None:
        """Stop listening."""
        if self._transport is not None:
            self._transport.close()

    # -- queries --------------------------------------------------------------------------------------------

    def sends_nothing(self, call_id: str | None) -> bool:
        """Whether the far end of a SIP call has agreed to send no audio: it only listens, or has the call on hold.

        Args:
            call_id: the SIP Call-ID; None if unknown.
        """
        if call_id is None or call_id not in self._silent:
            return False
        # Strangers' SIP messages must not displace the entry of a talk in progress.
        self._silent.move_to_end(call_id)
        return True

    def reports(self, call_id: str | None, ours: int | None) -> int:
        """The number of RTCP reports received from the far end of a SIP call.

        Args:
            call_id: the SIP Call-ID; None if unknown.
            ours: the SSRC of Asterisk's own reports, which are not counted.
        """
        return sum(count for source, count in self._reports.get(call_id or "", {}).items() if source != ours)

    # -- packets -----------------------------------------------------------------------------------------------

    def datagram_received(self, data: bytes, _: tuple[str | None, int]) -> None:
        """Handle a packet. Whatever it contains, it must not disturb a call."""
        try:
            chunks = _chunks(data)
            if not hmac.compare_digest(chunks.get(_KEY, b""), self._secret):
                return
            payload, protocol = chunks.get(_PAYLOAD, b""), chunks.get(_PROTOCOL, b"\0")[0]
            call_id = chunks.get(_CALL_ID, b"").decode("utf-8", "replace")
            if protocol == _SIP:
                self._sip(call_id, payload)
            elif protocol == _RTCP:
                self._rtcp(call_id, payload)
        except (ValueError, TypeError, struct.error, LookupError, AttributeError) as error:
            log.debug("a HEP packet could not be read: %r", error)

    def _sip(self, call_id: str, message: bytes) -> None:
        head, _, body = message.partition(b"\r\n\r\n")
        head = head.replace(b"\r\n", b"\n")
        cseq = _CSEQ.search(head)
        if cseq is None:
            return
        number, method = int(cseq[1]), cseq[2].upper()
        if method == b"BYE":
            self._silent.pop(call_id, None)
            return
        if _OWN.search(head):
            if _SUCCESS.match(head):  # accepts the far end's offer
                agreed = self._offered.pop((call_id, number), None)
                if agreed is not None:
                    self._agreed(call_id, agreed)
            return
        direction = _direction(body.replace(b"\r\n", b"\n"))
        if direction is None:
            return
        if head.startswith(_RESPONSE) or method == b"ACK":  # answers Asterisk's offer
            self._agreed(call_id, direction)
        else:
            keep(self._offered, (call_id, number), direction, _MOST)

    def _agreed(self, call_id: str, direction: str) -> None:
        self._silent.pop(call_id, None)
        if direction not in _SENDS:
            keep(self._silent, call_id, direction, _MOST)

    def _rtcp(self, call_id: str, report: bytes) -> None:
        source = int(json.loads(report)["ssrc"])
        counts = self._reports.get(call_id, {})
        counts[source] = counts.get(source, 0) + 1
        keep(self._reports, call_id, counts, _MOST)


def _chunks(data: bytes) -> dict[int, bytes]:
    """The chunks of a packet by type, except vendor-specific ones."""
    if data[:4] != _MAGIC:
        return {}
    chunks, offset = {}, _HEADER
    while offset + _CHUNK <= len(data):
        vendor, kind, length = struct.unpack_from("!HHH", data, offset)
        if length < _CHUNK:
            break
        if not vendor:
            chunks[kind] = data[offset + _CHUNK : offset + length]
        offset += length
    return chunks


def _direction(sdp: bytes) -> str | None:
    """The direction of the first audio stream from the SDP author's point of view (RFC 4566); None without audio.

    The address 0.0.0.0 is the old way to put a stream on hold (RFC 3264, section 8.4). A rejected stream has port 0.
    """
    audio = _AUDIO.search(sdp)
    if audio is None:
        return None
    first = _MEDIA.search(sdp)
    session = sdp[: first.start()] if first else b""
    rest = sdp[audio.end() :]
    after = _MEDIA.search(rest)
    media = rest[: after.start()] if after else rest
    if media.startswith(b"0 ") or b"c=IN IP4 0.0.0.0" in media:
        return "inactive"
    if b"c=IN IP4 0.0.0.0" in session and b"c=" not in media:
        return "inactive"
    attribute = _DIRECTION.search(media) or _DIRECTION.search(session)
    return attribute[1].decode() if attribute else "sendrecv"
