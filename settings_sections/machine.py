"""The sections about this machine, its Asterisk and its carrier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from taxiphone.settings_sections.base import Needs, Section
from taxiphone.settings_types import (
    FilePath,
    Network,
    NumberFormat,
    PlainName,
    Port,
)


class Trunk(Section):
    """The SIP trunk to the carrier (RFC 3261)."""

    needs: ClassVar[Needs] = Needs.RELOAD

    mode: Literal["address", "registration"] = "address"
    """`address`: you and the carrier identify each other by IP address. `registration`: Asterisk registers with user name and password."""
    host: Annotated[PlainName, Field(examples=["sip.carrier.example"])]
    """The carrier's host name or IP address."""
    port: Port = 5060
    """The carrier's UDP port for SIP."""
    match: tuple[Network, ...] = ()
    """Addresses and networks that the carrier's calls come from. If empty, `host`. Requests from anywhere else are refused."""
    username: Annotated[PlainName | None, Field(examples=["account"])] = None
    """The account name, with `mode = "registration"`."""
    password_file: Annotated[FilePath | None, Field(examples=["trunk.password"])] = None
    """A file of mode 0600 that holds the trunk's password, with `mode = "registration"`."""
    did_from: Annotated[Literal["request-uri", "to", "p-called-party-id"] | None, Field(examples=["to"])] = (
        None
    )
    """Which part of an INVITE has the dialled number. If not set: `to` with `mode = "registration"`, else `request-uri`. See docs/sip.md."""
    codecs: tuple[Literal["alaw", "ulaw", "g722"], ...] = ("alaw", "ulaw")
    """Codecs, in order of preference."""
    number_format: Annotated[NumberFormat, Needs.SERVE, Field(examples=["e164"])] = "auto"
    """How the carrier writes numbers that begin with neither `+` nor `00`. `e164`: with country code. `national`: as national numbers of `cli`'s country. `auto`: either, if only one reading is possible; otherwise the caller is asked for code and PIN (docs/numbers.md)."""
    qualify_seconds: Annotated[int, Field(ge=0, le=3600, examples=[60])] = 0
    """Seconds between OPTIONS requests to the carrier; 0 sends none. A carrier that doesn't answer them is treated as down and gets no calls."""

    @model_validator(mode="after")
    def _registration(self) -> Self:
        if self.mode == "registration" and not (self.username and self.password_file):
            raise ValueError('mode = "registration" requires username and password_file')
        return self

    @property
    def dids_from(self) -> str:
        """Where an INVITE has the dialled number.

        With a registration, the request URI has the contact, which is the account's name, so the default is `to`.
        """
        return self.did_from or ("to" if self.mode == "registration" else "request-uri")


class Paths(Section):
    """Where files are kept."""

    needs: ClassVar[Needs] = Needs.ASTERISK

    state: Annotated[FilePath, Field(examples=["/var/lib/taxiphone"])] = Path("var")
    """The state folder: database, recordings, prompts, secrets and Asterisk's files. Only its owner can read it."""


class DatabaseSection(Section):
    """The database; without a URL, SQLite in the state folder."""

    url: Annotated[
        str | None,
        Field(repr=False, examples=["postgresql+psycopg://taxiphone@db.example.org/taxiphone"]),
    ] = None
    """SQLAlchemy URL: `sqlite:///` and an absolute path, or `postgresql+psycopg://`. If it contains a password, the settings file must have mode 0600."""
    password_file: Annotated[FilePath | None, Field(examples=["database.password"])] = None
    """A file of mode 0600 that holds the database password, instead of a password in `url`."""


class AsteriskSection(Section):
    """Which Asterisk is used, and where it listens."""

    needs: ClassVar[Needs] = Needs.RELOAD

    embedded: Annotated[bool, Needs.ASTERISK] = True
    """Whether `serve` starts and monitors Asterisk. If false, you run Asterisk yourself (docs/deploy.md)."""
    group: Annotated[PlainName | None, Needs.ASTERISK, Field(examples=["asterisk"])] = None
    """The group that your own Asterisk runs as, if it runs as another user. Only with `embedded = false`."""
    binary: Annotated[FilePath | None, Needs.ASTERISK, Field(examples=["/usr/sbin/asterisk"])] = None
    """The Asterisk program. If not set, the one on the PATH if it is recent enough, otherwise the one from `taxiphone asterisk install`."""
    # The trunk's SIP comes from outside; who may call is decided by [trunk] match.
    sip_address: Annotated[PlainName, Needs.ASTERISK, Field(examples=["198.51.100.7"])] = "0.0.0.0"  # noqa: S104
    """The local address for SIP. The default is all IPv4 addresses."""
    sip_port: Annotated[Port, Needs.ASTERISK] = 5060
    """The UDP port for SIP."""
    external_address: Annotated[PlainName | None, Needs.ASTERISK, Field(examples=["198.51.100.7"])] = None
    """Behind a NAT: the public address that the carrier sees."""
    rtp_start: Port = 10000
    """The first UDP port for RTP. A talk uses four ports."""
    rtp_end: Port = 10999
    """The last UDP port for RTP."""
    http_port: Port = 8088
    """The TCP port for ARI, on loopback only."""
    agi_port: Port = 4573
    """The TCP port for FastAGI, on loopback only."""
    ami_port: Port = 5038
    """The TCP port for AMI, on loopback only. It is used to pause recordings."""
    hep_port: Port = 9060
    """The UDP port for HEP, on loopback only. Asterisk sends copies of SIP messages and RTCP reports to `serve` there."""
    log_megabytes: Annotated[int, Needs.SERVE, Field(ge=1, le=1000)] = 10
    """The size at which each of Asterisk's logs is rotated; four rotated files of each are kept (docs/logs.md)."""

    @model_validator(mode="after")
    def _range(self) -> Self:
        if self.rtp_end <= self.rtp_start:
            raise ValueError("rtp_end must be greater than rtp_start")
        tcp_ports = [self.http_port, self.agi_port, self.ami_port]
        if len(set(tcp_ports)) < len(tcp_ports):
            raise ValueError("http_port, agi_port and ami_port must differ")
        if self.group is not None and self.embedded:
            raise ValueError("group requires embedded = false: an embedded Asterisk runs as this user")
        return self
