"""Consultants with their phones, clients with their numbers, the platform's numbers, and failures to sign in."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from taxiphone.store.models.base import Base, IntegerId
from taxiphone.store.types import now


class Consultant(Base):
    """A consultant, who is called and paid."""

    __tablename__ = "consultant"

    id: Mapped[int] = mapped_column(IntegerId, primary_key=True)
    code: Mapped[str] = mapped_column(String(8), unique=True)  # what a client keys in
    name: Mapped[str] = mapped_column(String(120))
    phone: Mapped[str] = mapped_column(String(16))  # E.164; the first to be rung
    # Whether all phones are rung at once, rather than one after the other.
    ring_at_once: Mapped[bool] = mapped_column(default=False, server_default="0")
    language: Mapped[str] = mapped_column(String(8))
    price_per_minute: Mapped[Decimal]
    free_minutes: Mapped[int] = mapped_column(default=0)
    package_price: Mapped[Decimal | None]
    package_minutes: Mapped[int | None]
    recording_allowed: Mapped[bool] = mapped_column(default=False)
    commission: Mapped[Decimal | None]  # None: the platform's
    available: Mapped[bool] = mapped_column(default=True)
    paused_until: Mapped[datetime | None]  # set when the consultant presses *
    version: Mapped[int] = mapped_column(default=1, server_default="1")  # grows with each edit
    created_at: Mapped[datetime] = mapped_column(default=now)

    dids: Mapped[list[Did]] = relationship(back_populates="consultant")
    more_phones: Mapped[list[ConsultantPhone]] = relationship(
        back_populates="consultant", cascade="all, delete-orphan", order_by="ConsultantPhone.position"
    )

    __table_args__ = (
        CheckConstraint("(package_price IS NULL) = (package_minutes IS NULL)", name="package_whole"),
        CheckConstraint("free_minutes >= 0", name="free_minutes"),
    )


class ConsultantPhone(Base):
    """A further phone of a consultant, rung after the first or together with it."""

    __tablename__ = "consultant_phone"

    consultant_id: Mapped[int] = mapped_column(ForeignKey("consultant.id"), primary_key=True)
    number: Mapped[str] = mapped_column(String(16), primary_key=True)  # E.164
    position: Mapped[int]

    consultant: Mapped[Consultant] = relationship(back_populates="more_phones")


class Client(Base):
    """A client, who calls and pays."""

    __tablename__ = "client"

    id: Mapped[int] = mapped_column(IntegerId, primary_key=True)
    code: Mapped[str] = mapped_column(String(8), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    language: Mapped[str] = mapped_column(String(8))
    blocked: Mapped[bool] = mapped_column(default=False)
    closed_at: Mapped[datetime | None]  # when the account was closed; no more calls are taken
    pin_hash: Mapped[str | None] = mapped_column(String(200))  # Argon2; without one, no PIN is accepted
    daily_limit: Mapped[int | None] = mapped_column(BigInteger)  # minor units per day, chosen by the client
    version: Mapped[int] = mapped_column(default=1, server_default="1")  # grows with each edit
    created_at: Mapped[datetime] = mapped_column(default=now)

    numbers: Mapped[list[ClientNumber]] = relationship(back_populates="client", cascade="all, delete-orphan")


class ClientNumber(Base):
    """A number that a client calls from. It belongs to one client only."""

    __tablename__ = "client_number"

    number: Mapped[str] = mapped_column(String(16), primary_key=True)  # E.164
    client_id: Mapped[int] = mapped_column(ForeignKey("client.id"), index=True)

    client: Mapped[Client] = relationship(back_populates="numbers")


class SignIn(Base):
    """Consecutive failures to sign in, by caller's number or client code. The lockout grows with each."""

    __tablename__ = "sign_in"

    key: Mapped[str] = mapped_column(String(40), primary_key=True)  # "number:+33…" or "code:…"
    failures: Mapped[int]
    paused_until: Mapped[datetime | None]
    last_at: Mapped[datetime]


class Did(Base):
    """A number that clients dial: one consultant's own, or shared by all, in which case the client keys in a code."""

    __tablename__ = "did"

    number: Mapped[str] = mapped_column(String(16), primary_key=True)  # E.164
    consultant_id: Mapped[int | None] = mapped_column(ForeignKey("consultant.id"), index=True)
    language: Mapped[str] = mapped_column(String(8))
    version: Mapped[int] = mapped_column(default=1, server_default="1")  # grows with each edit

    consultant: Mapped[Consultant | None] = relationship(back_populates="dids")
