"""Builds detached objects of the ORM from rows, for reads in the hot path of a call.

Loading an object through a session takes ten times as long as its query. These objects are read like those of a session that
has been closed: what was not in the row can't be read, and changing them changes nothing in the database.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar, cast

from sqlalchemy import Column, Table
from sqlalchemy.orm import class_mapper, make_transient_to_detached

from taxiphone.store.models import Base

Entity = TypeVar("Entity", bound=Base)


def columns(model: type[Base]) -> list[Column[Any]]:
    """Return the columns of the model's table, in the order in which `detached` expects their values."""
    return list(cast(Table, model.__table__).columns)


def detached(model: type[Entity], values: Sequence[Any]) -> Entity | None:
    """Build an object from the values of its columns; None if they are those of an outer join without a match."""
    names, keys = _names(model)
    if any(values[key] is None for key in keys):
        return None
    # Not by the model's constructor, which records each value as a change.
    entity = class_mapper(model).class_manager.new_instance()
    entity.__dict__.update(zip(names, values, strict=True))
    make_transient_to_detached(entity)
    return entity


@cache
def _names(model: type[Base]) -> tuple[list[str], list[int]]:
    """Return the names of the columns, and the positions of the primary key."""
    table = cast(Table, model.__table__)
    return table.columns.keys(), [
        position for position, column in enumerate(table.columns) if column.primary_key
    ]
