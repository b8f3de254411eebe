"""Asterisk's event log in the database: its rows, the position up to which each file was read, and its gaps."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from taxiphone.store.models.base import Base, IntegerId
from taxiphone.store.types import now


class CelRow(Base):
    """A line of Asterisk's channel event log. Each line is stored once."""

    __tablename__ = "cel_row"

    id: Mapped[int] = mapped_column(IntegerId, primary_key=True)
    file: Mapped[str] = mapped_column(String(64))  # the file's identity: a hash of its first line
    offset: Mapped[int] = mapped_column(BigInteger)  # of the line's first byte in the file
    event: Mapped[str] = mapped_column(String(32))
    at: Mapped[datetime]
    channel: Mapped[str] = mapped_column(String(80), index=True)  # unique id
    linked: Mapped[str] = mapped_column(String(80), index=True)
    name: Mapped[str] = mapped_column(String(120))
    extra: Mapped[dict[str, Any]]

    __table_args__ = (UniqueConstraint("file", "offset"),)


class CelPosition(Base):
    """How far a log file was read. Updated in the same transaction as its rows and their postings."""

    __tablename__ = "cel_position"

    file: Mapped[str] = mapped_column(String(64), primary_key=True)
    path: Mapped[str] = mapped_column(String(400))
    offset: Mapped[int] = mapped_column(BigInteger)
    read_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class LogGap(Base):
    """Rows of Asterisk's event log that are missing, or may be. Reported until a person settles it."""

    __tablename__ = "log_gap"

    id: Mapped[int] = mapped_column(IntegerId, primary_key=True)
    key: Mapped[str] = mapped_column(String(120), unique=True)  # so that the same gap is recorded once
    noticed_at: Mapped[datetime] = mapped_column(default=now)
    text: Mapped[str] = mapped_column(String(400))  # one sentence: which file, which bytes, why
    settled_at: Mapped[datetime | None]  # when a person settled it
    settled_why: Mapped[str | None] = mapped_column(String(200))
