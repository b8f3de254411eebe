"""Calls, their call events and their recordings."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from taxiphone.store.models.base import Base, IntegerId
from taxiphone.store.models.people import Client, Consultant
from taxiphone.store.types import now

if TYPE_CHECKING:
    from taxiphone.store.models.money import Receipt


class Call(Base):
    """One call from its arrival to its receipt. `store.calls` defines the order of the statuses."""

    __tablename__ = "call"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    status: Mapped[str] = mapped_column(String(16), index=True)
    outcome: Mapped[str | None] = mapped_column(String(24))  # how it ended, in one word
    # Asterisk's unique id of the client's leg.
    client_channel: Mapped[str] = mapped_column(String(80), unique=True)
    # The unique id of the leg of the phone that accepted.
    consultant_channel: Mapped[str | None] = mapped_column(String(80))
    dialled: Mapped[str] = mapped_column(String(40))  # in E.164 if possible, else as the trunk sent it
    caller: Mapped[str | None] = mapped_column(String(40))
    language: Mapped[str] = mapped_column(String(8))
    client_id: Mapped[int | None] = mapped_column(ForeignKey("client.id"), index=True)
    consultant_id: Mapped[int | None] = mapped_column(ForeignKey("consultant.id"), index=True)
    mode: Mapped[str] = mapped_column(String(16), default="per_minute")
    tariff: Mapped[dict[str, Any] | None]  # copied when the consultant accepts
    recording_asked: Mapped[bool] = mapped_column(default=False)
    max_seconds: Mapped[int | None]  # the longest talk allowed, after which Asterisk itself ends it
    # Seconds without a packet after which Asterisk hangs up a leg of this call.
    rtp_timeout: Mapped[int | None]
    # The dropped call that this one continues.
    continues_id: Mapped[str | None] = mapped_column(ForeignKey("call.id"), index=True)
    arrived_at: Mapped[datetime] = mapped_column(default=now, index=True)
    ended_at: Mapped[datetime | None]  # when all legs were hung up, by the program's clock
    talk_from: Mapped[datetime | None]  # when both were in the bridge, by Asterisk's event log
    talk_to: Mapped[datetime | None]  # when the first left it, or was last heard
    billed_seconds: Mapped[int | None]
    priced_us: Mapped[int | None] = mapped_column(BigInteger)  # microseconds of talk that are priced
    # When the last packet of a side that fell silent arrived; nothing after it is billed.
    heard_until: Mapped[datetime | None]
    # A network fault during the talk, which is then not billed.
    fault: Mapped[str | None] = mapped_column(String(40))
    # The talk ended although neither side hung up on purpose.
    dropped: Mapped[bool] = mapped_column(default=False, server_default="0")
    stars: Mapped[int | None]  # the client's rating, 1 to 5
    review: Mapped[str | None] = mapped_column(String(200))  # why a person should review it
    unpriced: Mapped[str | None] = mapped_column(
        String(200)
    )  # why it could not be priced although it is over

    client: Mapped[Client | None] = relationship()
    consultant: Mapped[Consultant | None] = relationship()
    continues: Mapped[Call | None] = relationship(remote_side="Call.id")
    events: Mapped[list[CallEvent]] = relationship(order_by="CallEvent.id")
    recording: Mapped[Recording | None] = relationship(back_populates="call")
    receipt: Mapped[Receipt | None] = relationship(back_populates="call")


class CallEvent(Base):
    """What the program did or saw in a call, by both clocks of this machine."""

    __tablename__ = "mark"

    id: Mapped[int] = mapped_column(IntegerId, primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"), index=True)
    at: Mapped[datetime]
    monotonic_us: Mapped[int] = mapped_column(BigInteger)
    boot: Mapped[str | None] = mapped_column(String(36))  # the boot from which the monotonic clock counts
    what: Mapped[str] = mapped_column(String(40))
    detail: Mapped[str | None] = mapped_column(String(200))


class Recording(Base):
    """The recording of a talk: MixMonitor's WAV, then a verified MP3, until it is deleted."""

    __tablename__ = "recording"

    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"), primary_key=True)
    status: Mapped[str] = mapped_column(String(16), index=True)
    wav: Mapped[str] = mapped_column(String(80))  # the file's name in the capture folder
    mp3: Mapped[str | None] = mapped_column(String(80))  # the file's name in the recordings folder
    milliseconds: Mapped[int | None]
    sha256: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None] = mapped_column(String(200))
    tries: Mapped[int] = mapped_column(default=0)
    kept_until: Mapped[date | None]  # through the end of this day, in the platform's time zone
    created_at: Mapped[datetime] = mapped_column(default=now)

    call: Mapped[Call] = relationship(back_populates="recording")
