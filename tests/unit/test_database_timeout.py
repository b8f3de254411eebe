"""A call waits for the database only briefly, and the status it writes last is written last."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from taxiphone.ari_app.database_timeout import DatabaseWithTimeout
from taxiphone.store.database import Database


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path / 'db.sqlite3'}")
    made.create_if_new()
    made.do(lambda session: session.execute(text("CREATE TABLE word (said TEXT)")))
    yield made
    made.close()


def says(word):
    return lambda session: session.execute(text("INSERT INTO word VALUES (:word)"), {"word": word})


def said(database):
    return database.read(lambda session: [row.said for row in session.execute(text("SELECT said FROM word"))])


@pytest.fixture
def locked(database):
    """Hold a write lock in another thread until stopped."""
    begun, stop = threading.Event(), threading.Event()

    def write():
        with database.transaction() as session:
            session.execute(text("INSERT INTO word VALUES ('somebody else')"))
            begun.set()
            stop.wait(30)

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait(30)
    yield stop
    stop.set()
    thread.join()


async def test_a_slow_write_is_given_up_and_still_precedes_the_final_status(database, locked):
    patient = DatabaseWithTimeout(database, seconds=0.1)
    with pytest.raises(SQLAlchemyError, match=r"did not answer in 0\.1 s"):
        await patient.run(says("late"))
    last = asyncio.create_task(patient.write_to_the_end(says("last")))
    await asyncio.sleep(0)
    locked.set()
    await last
    assert said(database) == ["somebody else", "late", "last"]


async def test_what_the_database_answers_in_time_is_handed_on(database):
    patient = DatabaseWithTimeout(database)
    await patient.run(says("word"))
    assert await patient.query(lambda session: session.scalar(text("SELECT said FROM word"))) == "word"
    with pytest.raises(SQLAlchemyError, match="no such table"):
        await patient.query(lambda session: session.execute(text("SELECT * FROM missing")))
