"""The ledger in double entry, free minutes, receipts and credit notes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from taxiphone.store.models.base import Base, IntegerId
from taxiphone.store.models.calls import Call
from taxiphone.store.types import now


class Account(Base):
    """An account of the ledger, of a kind and an owner: a client, a consultant, a call, or "" for the platform.

    The balance is the sum of the entries, stored where it is checked. It is None for the platform's own accounts, because
    all calls would have to wait for each other to update it; `balances.balance` adds up their entries.
    """

    __tablename__ = "account"

    id: Mapped[int] = mapped_column(IntegerId, primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    owner: Mapped[str] = mapped_column(String(24), default="")
    currency: Mapped[str] = mapped_column(String(3))
    balance: Mapped[int | None] = mapped_column(BigInteger, default=0)  # credit is positive

    __table_args__ = (
        UniqueConstraint("kind", "owner", "currency"),
        CheckConstraint("kind NOT IN ('wallet', 'hold') OR balance >= 0", name="never_negative"),
    )


class Posting(Base):
    """A posting: entries that sum to zero. Its key, which says what the posting is for, is unique.

    The entries are written first. When the posting is inserted, the database checks their sum, and from then on refuses
    further entries, changes and deletions (migration 0003, docs/adr/0009).
    """

    __tablename__ = "posting"

    id: Mapped[int] = mapped_column(IntegerId, primary_key=True)
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

    id: Mapped[int] = mapped_column(IntegerId, primary_key=True)
    posting_id: Mapped[int] = mapped_column(
        ForeignKey("posting.id", deferrable=True, initially="DEFERRED"), index=True
    )
    account_id: Mapped[int] = mapped_column(ForeignKey("account.id"), index=True)
    amount: Mapped[int] = mapped_column(BigInteger)

    posting: Mapped[Posting] = relationship(back_populates="entries")
    account: Mapped[Account] = relationship()

    __table_args__ = (CheckConstraint("amount <> 0", name="not_nothing"),)


class FreeMinutes(Base):
    """A client's free minutes, claimed by one call. The row is deleted if the call doesn't use them up."""

    __tablename__ = "free_minutes"

    id: Mapped[int] = mapped_column(IntegerId, primary_key=True)
    client_id: Mapped[int] = mapped_column(ForeignKey("client.id"))
    scope: Mapped[str] = mapped_column(String(24))  # a consultant's id, or "platform"
    consultant_id: Mapped[int] = mapped_column(ForeignKey("consultant.id"), index=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"), unique=True)
    least_seconds: Mapped[int]  # a talk shorter than this counts as a network fault and doesn't use them up
    claimed_at: Mapped[datetime] = mapped_column(default=now)

    __table_args__ = (UniqueConstraint("client_id", "scope"),)


class Receipt(Base):
    """The receipt of a priced call for the client, and its line on the consultant's statement; amounts in minor units."""

    __tablename__ = "receipt"

    number: Mapped[int] = mapped_column(IntegerId, primary_key=True)
    call_id: Mapped[str] = mapped_column(ForeignKey("call.id"), unique=True)
    issued_at: Mapped[datetime] = mapped_column(default=now)
    currency: Mapped[str] = mapped_column(String(3))
    lines: Mapped[list[Any]]  # {"what", "seconds", "amount"}; their amounts sum to total
    total: Mapped[int] = mapped_column(BigInteger)
    commission: Mapped[int] = mapped_column(BigInteger)
    consultant_share: Mapped[int] = mapped_column(BigInteger)
    # Included in the total; owed by the platform.
    vat: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    recording_pending: Mapped[bool] = mapped_column(default=False)
    former: Mapped[list[Any]] = mapped_column(default=list, server_default="[]")  # its earlier versions

    call: Mapped[Call] = relationship(back_populates="receipt")

    __table_args__ = (CheckConstraint("commission + consultant_share = total", name="shares_sum"),)


class CreditNote(Base):
    """A refund of a receipt; amounts in minor units, all of them deducted."""

    __tablename__ = "credit_note"

    number: Mapped[int] = mapped_column(IntegerId, primary_key=True)
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
