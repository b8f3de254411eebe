"""The tables. Amounts are whole minor units of the platform's currency (cents of EUR); prices are exact decimals.

Who is who:   Consultant, ConsultantPhone, Client, ClientNumber, Did; SignIn (wrong PINs, and how long they are paused)
The calls:    Call (its row is written before each command to Asterisk), CallEvent (what the program saw, when)
The meter:    CelRow, CelPosition, LogGap (Asterisk's own event log, how far it was read, and what of it was lost)
The money:    Account, Posting, Entry (double entry), FreeMinutes (claimed once), Receipt, CreditNote
The record:   Recording
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Integer,
    MetaData,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from taxiphone.store.types import ExactDecimal, UtcDateTime, now

_id = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Names every constraint, so that a migration can speak of it."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        Decimal: ExactDecimal,
        dict[str, Any]: JSON,
        list[Any]: JSON,
    }


class Consultant(Base):
    """Who is called, on which phone, and at what prices."""

    __tablename__ = "consultant"

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    code: Mapped[str] = mapped_column(String(8), unique=True)  # what a client keys in
    name: Mapped[str] = mapped_column(String(120))
    phone: Mapped[str] = mapped_column(String(16))  # E.164; the first that is rung
    # Rings all phones at once, else one after the other.
    ring_at_once: Mapped[bool] = mapped_column(default=False, server_default="0")
    language: Mapped[str] = mapped_column(String(8))
    price_per_minute: Mapped[Decimal]
    free_minutes: Mapped[int] = mapped_column(default=0)
    package_price: Mapped[Decimal | None]
    package_minutes: Mapped[int | None]
    recording_allowed: Mapped[bool] = mapped_column(default=False)
    commission: Mapped[Decimal | None]  # else the platform's
    available: Mapped[bool] = mapped_column(default=True)
    paused_until: Mapped[datetime | None]  # by the key * on the consultant's own phone
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
    """A further phone of a consultant's, rung after the first or together with it."""

    __tablename__ = "consultant_phone"

    consultant_id: Mapped[int] = mapped_column(ForeignKey("consultant.id"), primary_key=True)
    number: Mapped[str] = mapped_column(String(16), primary_key=True)  # E.164
    position: Mapped[int]

    consultant: Mapped[Consultant] = relationship(back_populates="more_phones")


class Client(Base):
    """Who calls and pays."""

    __tablename__ = "client"

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    code: Mapped[str] = mapped_column(String(8), unique=True)
    name: Mapped[str] = mapped_column(String(120))
    language: Mapped[str] = mapped_column(String(8))
    blocked: Mapped[bool] = mapped_column(default=False)
    closed_at: Mapped[datetime | None]  # the account is closed: no call any more
    pin_hash: Mapped[str | None] = mapped_column(String(200))  # Argon2; none: this client can't key in a PIN
    daily_limit: Mapped[int | None] = mapped_column(BigInteger)  # minor units a day; the client's own wish
    created_at: Mapped[datetime] = mapped_column(default=now)

    numbers: Mapped[list[ClientNumber]] = relationship(back_populates="client", cascade="all, delete-orphan")


class ClientNumber(Base):
    """A phone that a client calls from; it belongs to one client only."""

    __tablename__ = "client_number"

    number: Mapped[str] = mapped_column(String(16), primary_key=True)  # E.164
    client_id: Mapped[int] = mapped_column(ForeignKey("client.id"), index=True)

    client: Mapped[Client] = relationship(back_populates="numbers")


class SignIn(Base):
    """Wrong PINs in a row, of a caller's number or for a client's code; both wait longer after each."""

    __tablename__ = "sign_in"

    key: Mapped[str] = mapped_column(String(40), primary_key=True)  # "number:+33…" or "code:…"
    failures: Mapped[int]
    paused_until: Mapped[datetime | None]
    last_at: Mapped[datetime]


class Did(Base):
    """A number of the platform's that clients dial: one consultant's own, or everybody's (then a code is keyed in)."""

    __tablename__ = "did"

    number: Mapped[str] = mapped_column(String(16), primary_key=True)  # E.164
    consultant_id: Mapped[int | None] = mapped_column(ForeignKey("consultant.id"), index=True)
    language: Mapped[str] = mapped_column(String(8))

    consultant: Mapped[Consultant | None] = relationship(back_populates="dids")


class Call(Base):
    """One call from its arrival to its receipt. `store.calls` says which statuses follow which."""

    __tablename__ = "call"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    status: Mapped[str] = mapped_column(String(16), index=True)
    outcome: Mapped[str | None] = mapped_column(String(24))  # how it ended, in one word
    # Asterisk's unique id of the client's leg.
    client_channel: Mapped[str] = mapped_column(String(80), unique=True)
    # Of the phone that accepted; else the first's.
    consultant_channel: Mapped[str | None] = mapped_column(String(80))
    dialled: Mapped[str] = mapped_column(String(40))  # as the trunk sent it; E.164 where it is one
    caller: Mapped[str | None] = mapped_column(String(40))
    language: Mapped[str] = mapped_column(String(8))
    client_id: Mapped[int | None] = mapped_column(ForeignKey("client.id"), index=True)
    consultant_id: Mapped[int | None] = mapped_column(ForeignKey("consultant.id"), index=True)
    mode: Mapped[str] = mapped_column(String(16), default="per_minute")
    tariff: Mapped[dict[str, Any] | None]  # frozen when the consultant accepts
    recording_asked: Mapped[bool] = mapped_column(default=False)
    max_seconds: Mapped[int | None]  # Asterisk itself cuts the talk here: the end of the credit
    # Seconds without a packet after which Asterisk itself ended a leg of this call.
    rtp_timeout: Mapped[int | None]
    # The call whose line dropped: one consultation with it.
    continues_id: Mapped[str | None] = mapped_column(ForeignKey("call.id"), index=True)
    arrived_at: Mapped[datetime] = mapped_column(default=now, index=True)
    ended_at: Mapped[datetime | None]  # the program's clock; the talk's own times are below
    talk_from: Mapped[datetime | None]  # both in the bridge, by Asterisk's event log
    talk_to: Mapped[datetime | None]  # the first has left it
    billed_seconds: Mapped[int | None]
    priced_us: Mapped[int | None] = mapped_column(BigInteger)  # microseconds of talk that the price is for
    # One side fell silent: its last packet, and the end of what is billed.
    heard_until: Mapped[datetime | None]
    # A network fault seen in the talk, which is then not billed.
    fault: Mapped[str | None] = mapped_column(String(40))
    # The talk ended as neither side asked for.
    dropped: Mapped[bool] = mapped_column(default=False, server_default="0")
    stars: Mapped[int | None]  # 1 to 5, by the client's key
    review: Mapped[str | None] = mapped_column(String(200))  # why a person should look at it
    unpriced: Mapped[str | None] = mapped_column(String(200))  # it is over, and why it could not be priced

    client: Mapped[Client | None] = relationship()
    consultant: Mapped[Consultant | None] = relationship()
    continues: Mapped[Call | None] = relationship(remote_side="Call.id")
    events: Mapped[list[CallEvent]] = relationship(order_by="CallEvent.id")
    recording: Mapped[Recording | None] = relationship(back_populates="call")
    receipt: Mapped[Receipt | None] = relationship(back_populates="call")


class CallEvent(Base):
    """What the program did or saw in a call, by this machine's two clocks: evidence beside Asterisk's event log."""

    __tablename__ = "mark"

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"), index=True)
    at: Mapped[datetime]
    monotonic_us: Mapped[int] = mapped_column(BigInteger)
    boot: Mapped[str | None] = mapped_column(String(36))  # which boot the monotonic clock counts from
    what: Mapped[str] = mapped_column(String(40))
    detail: Mapped[str | None] = mapped_column(String(200))


class CelRow(Base):
    """A line of Asterisk's channel event log, as it was read, once."""

    __tablename__ = "cel_row"

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    file: Mapped[str] = mapped_column(String(64))  # the file's identity: a hash of its first line
    offset: Mapped[int] = mapped_column(BigInteger)  # the line's first byte in it
    event: Mapped[str] = mapped_column(String(32))
    at: Mapped[datetime]
    channel: Mapped[str] = mapped_column(String(80), index=True)  # unique id
    linked: Mapped[str] = mapped_column(String(80), index=True)
    name: Mapped[str] = mapped_column(String(120))
    extra: Mapped[dict[str, Any]]

    __table_args__ = (UniqueConstraint("file", "offset"),)


class CelPosition(Base):
    """How far a log file was read; moves in the same transaction as its rows and their postings."""

    __tablename__ = "cel_position"

    file: Mapped[str] = mapped_column(String(64), primary_key=True)
    path: Mapped[str] = mapped_column(String(400))
    offset: Mapped[int] = mapped_column(BigInteger)
    read_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class LogGap(Base):
    """Rows of Asterisk's event log that are lost, or may be: an alarm until a person has settled it."""

    __tablename__ = "log_gap"

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    key: Mapped[str] = mapped_column(String(120), unique=True)  # the same loss is noted once
    noticed_at: Mapped[datetime] = mapped_column(default=now)
    text: Mapped[str] = mapped_column(String(400))  # one sentence: which file, which bytes, why
    settled_at: Mapped[datetime | None]  # a person has looked at it
    settled_why: Mapped[str | None] = mapped_column(String(200))


class Account(Base):
    """An account of the ledger: of a kind, and whose (a client, a consultant, a call, or nobody: the platform's).

    The balance is kept where it guards something: it is the sum of the entries. Of the platform's own accounts it is
    not (None), for all calls would wait for each other there; `ledger.balance` adds their entries up.
    """

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    owner: Mapped[str] = mapped_column(String(24), default="")
    currency: Mapped[str] = mapped_column(String(3))
    balance: Mapped[int | None] = mapped_column(BigInteger, default=0)  # credit is positive

    __table_args__ = (
        UniqueConstraint("kind", "owner", "currency"),
        CheckConstraint("kind NOT IN ('wallet', 'hold') OR balance >= 0", name="never_negative"),
    )


class Posting(Base):
    """A posting: entries that sum to zero. Its key says what for and which kind, and can't come twice.

    Its entries are written first and it comes last: the database then checks their sum, and takes no other entry to
    it, no change and no deletion any more (migration 0003, docs/adr/0009).
    """

    __tablename__ = "posting"

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    key: Mapped[str] = mapped_column(String(80), unique=True)
    kind: Mapped[str] = mapped_column(String(24))
    call_id: Mapped[str | None] = mapped_column(ForeignKey("call.id"), index=True)
    at: Mapped[datetime] = mapped_column(default=now)
    memo: Mapped[str] = mapped_column(String(200), default="")
    # Each posting is reversed at most once.
    reverses_id: Mapped[int | None] = mapped_column(ForeignKey("posting.id"), unique=True)

    entries: Mapped[list[Entry]] = relationship(back_populates="posting", order_by="Entry.id")


class Entry(Base):
    """One account's part of a posting, in minor units; credit is positive, debit negative."""

    __tablename__ = "entry"

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    posting_id: Mapped[int] = mapped_column(
        ForeignKey("posting.id", deferrable=True, initially="DEFERRED"), index=True
    )
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    amount: Mapped[int] = mapped_column(BigInteger)

    posting: Mapped[Posting] = relationship(back_populates="entries")
    account: Mapped[Account] = relationship()

    __table_args__ = (CheckConstraint("amount <> 0", name="not_nothing"),)


class FreeMinutes(Base):
    """The free minutes of a client, claimed by the one call that has them; the row goes where they were not used."""

    __tablename__ = "free_minutes"

    id: Mapped[int] = mapped_column(_id, primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("client.id"))
    scope: Mapped[str] = mapped_column(String(24))  # a consultant's id, or "platform"
    consultant_id: Mapped[int] = mapped_column(ForeignKey("consultant.id"), index=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"), unique=True)
    least_seconds: Mapped[int]  # a talk below this was a network fault, and leaves them unused
    claimed_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (UniqueConstraint("client_id", "scope"),)


class Receipt(Base):
    """What the client is shown of a priced call, and the consultant's statement line; amounts in minor units."""

    __tablename__ = "receipt"

    number: Mapped[int] = mapped_column(_id, primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"), unique=True)
    issued_at: Mapped[datetime] = mapped_column(default=now)
    currency: Mapped[str] = mapped_column(String(3))
    lines: Mapped[list[Any]]  # {"what", "seconds", "amount"}; their amounts sum to total
    total: Mapped[int] = mapped_column(BigInteger)
    commission: Mapped[int] = mapped_column(BigInteger)
    consultant_share: Mapped[int] = mapped_column(BigInteger)
    # Contained in total; borne by the platform.
    vat: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    recording_pending: Mapped[bool] = mapped_column(default=False)
    former: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")  # its earlier versions

    call: Mapped[Call] = relationship(back_populates="receipt")

    __table_args__ = (CheckConstraint("commission + consultant_share = total", name="shares_sum"),)


class CreditNote(Base):
    """A refund of a receipt; amounts in minor units, all of them deducted."""

    __tablename__ = "credit_note"

    number: Mapped[int] = mapped_column(_id, primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"), index=True)
    key: Mapped[str] = mapped_column(String(80), unique=True)  # of its posting
    issued_at: Mapped[datetime] = mapped_column(default=now)
    currency: Mapped[str] = mapped_column(String(3))
    amount: Mapped[int] = mapped_column(BigInteger)  # to the client's wallet, tax included
    vat: Mapped[int] = mapped_column(BigInteger)  # the tax inside it
    commission: Mapped[int] = mapped_column(BigInteger)
    consultant_share: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[str] = mapped_column(String(200))

    __table_args__ = (
        CheckConstraint("amount > 0 AND commission + consultant_share = amount", name="shares_sum"),
        CheckConstraint("vat >= 0 AND vat <= amount", name="tax_inside"),
    )


class Recording(Base):
    """A talk's sound on its way from MixMonitor's WAV to a verified MP3, until its day of deletion."""

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
