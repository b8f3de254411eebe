"""The base class of all tables: names of constraints, column types by annotation, and the type of generated ids."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Integer, MetaData
from sqlalchemy.orm import DeclarativeBase

from taxiphone.store.types import ExactDecimal, UtcDateTime

# SQLite generates ids only for a column that is declared INTEGER.
IntegerId = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """Base class of the tables. It names every constraint, so that a migration can refer to it."""

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
