"""Copies a whole database into an empty one, for example from SQLite to PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Integer, Table, bindparam, func, select, text, update
from sqlalchemy.orm import Session

from taxiphone.errors import SetupError, UsageError
from taxiphone.store.database import Database
from taxiphone.store.models import Base

_BATCH = 1000  # rows
# Each table's foreign keys point to a table before it, or to itself.
TABLES = tuple(Base.metadata.sorted_tables)


def copy(source: Database, target: Database) -> dict[str, int]:
    """Copy every row into another database in one transaction; ids, amounts and times stay as they are.

    Both databases must be at this program's schema version. The source is read in one snapshot.

    Returns:
        the number of rows by table name.

    Raises:
        UsageError: the target isn't empty; nothing was copied.
        SetupError: the target doesn't contain what was written; nothing was copied.
    """
    with source.reading() as read, target.transaction() as writing:
        into = writing.connection()
        _check_empty(into, target)
        # The ledger's guards (migration 0003) move balances with each entry. Here the balances are copied too.
        with _without_triggers(into):
            counts = {table.name: _copy_table(read, into, table) for table in TABLES}
        for table in TABLES:
            if into.execute(select(func.count()).select_from(table)).scalar_one() != counts[table.name]:
                raise SetupError(f"table {table.name} of {target.name} doesn't hold what was copied to it.")
            _move_sequence(into, table)
    return counts


def _check_empty(into: Connection, target: Database) -> None:
    for table in TABLES:
        if into.execute(select(func.count()).select_from(table)).scalar_one():
            raise UsageError(
                f"the database {target.name} isn't empty: table {table.name} has rows. Nothing was copied. "
                "Copy into a new database."
            )


def _copy_table(read: Session, into: Connection, table: Table) -> int:
    """Copy a table's rows. References to rows of the same table are filled in at the end."""
    own_references = [key.parent.name for key in table.foreign_keys if key.column.table is table]
    key, *_ = table.primary_key.columns
    copied, updates = 0, list[dict[str, Any]]()
    result = read.execute(select(table).execution_options(yield_per=_BATCH)).mappings()
    for batch in result.partitions():
        rows = [dict(row) for row in batch]
        for row in rows:
            if any(row[name] is not None for name in own_references):
                updates.append({"of": row[key.name], **{f"new_{name}": row[name] for name in own_references}})
                row.update(dict.fromkeys(own_references))
        into.execute(table.insert(), rows)
        copied += len(rows)
    if updates:
        values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in own_references}
        into.execute(update(table).where(key == bindparam("of")).values(values), updates)
    return copied


@contextmanager
def _without_triggers(into: Connection) -> Iterator[None]:
    """Disable the triggers during the block. If the transaction fails, they are restored by its rollback."""
    if into.dialect.name == "sqlite":
        triggers = into.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        for name, _ in triggers:
            into.exec_driver_sql(f'DROP TRIGGER "{name}"')
        yield
        for _, statement in triggers:
            into.exec_driver_sql(statement)
        return
    for table in TABLES:
        into.exec_driver_sql(f'ALTER TABLE "{table.name}" DISABLE TRIGGER USER')
    yield
    # A table with deferred checks that are still pending can't be altered.
    into.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")
    for table in TABLES:
        into.exec_driver_sql(f'ALTER TABLE "{table.name}" ENABLE TRIGGER USER')


def _move_sequence(into: Connection, table: Table) -> None:
    """Set PostgreSQL's sequence to the last id of a table. SQLite needs no such step."""
    key, *more = table.primary_key.columns
    if into.dialect.name == "sqlite" or more or not isinstance(key.type, Integer):
        return
    last = into.execute(select(func.max(key))).scalar_one()
    sequence = func.pg_get_serial_sequence(f'"{table.name}"', key.name)
    if last is not None:
        into.execute(select(func.setval(sequence, last)))
