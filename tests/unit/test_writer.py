"""SQLite's one writer: units of work share a commit, and each gets its own answer, after it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import IntegrityError, OperationalError

from taxiphone.store.database import Database
from taxiphone.store.engines import PATIENCE_SECONDS
from taxiphone.store.writer import Priority, Writer

SECONDS = 60


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database with a table of words, and one that refers to it; the reference is checked at the commit."""
    made = Database(f"sqlite:///{tmp_path / 'words.db'}")

    def tables(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE word (id INTEGER PRIMARY KEY, word TEXT UNIQUE)"))
        connection.execute(
            text("CREATE TABLE use (word INTEGER REFERENCES word(id) DEFERRABLE INITIALLY DEFERRED)")
        )

    made.write_now(tables)
    yield made
    made.close()


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    """A writer that puts whatever waits into one group, however slow the machine is."""
    made = Writer(database.engine, group_seconds=SECONDS)
    yield made
    made.close()


class Pause:
    """A unit of work that keeps the writer busy until it is released."""

    def __init__(self, writer: Writer) -> None:
        self._begun, self._released = threading.Event(), threading.Event()
        self.future = writer.submit(self._work)
        assert self._begun.wait(SECONDS)

    def _work(self, _connection: Connection) -> None:
        self._begun.set()
        assert self._released.wait(SECONDS)

    def release(self) -> None:
        """The units that were submitted meanwhile are done now."""
        self._released.set()
        self.future.result(SECONDS)


def add(word: str) -> Callable[[Connection], str]:
    def work(connection: Connection) -> str:
        connection.execute(text("INSERT INTO word (word) VALUES (:word)"), {"word": word})
        return word

    return work


def words(database: Database) -> list[str]:
    return database.read(lambda session: list(session.scalars(text("SELECT word FROM word ORDER BY id"))))


def outcomes(futures: list[Future[Any]]) -> list[Any]:
    wait(futures, SECONDS)
    return [future.exception(0) or future.result(0) for future in futures]


def test_units_that_wait_at_the_same_time_share_one_commit(database: Database, writer: Writer) -> None:
    commits: list[object] = []
    event.listen(database.engine, "commit", commits.append)
    pause = Pause(writer)
    futures = [writer.submit(add(f"word {number}")) for number in range(20)]
    pause.release()
    assert outcomes(futures) == words(database) == [f"word {number}" for number in range(20)]
    assert len(commits) == 1


def test_a_unit_that_fails_leaves_nothing_and_the_others_are_kept(database: Database, writer: Writer) -> None:
    def fails(connection: Connection) -> None:
        add("half done")(connection)
        raise ValueError("no")

    pause = Pause(writer)
    futures: list[Future[Any]] = [writer.submit(work) for work in (add("a"), fails, add("a"), add("b"))]
    pause.release()
    first, refused, twice, last = outcomes(futures)
    assert (first, last) == ("a", "b")
    assert isinstance(refused, ValueError)
    assert isinstance(twice, IntegrityError)
    assert words(database) == ["a", "b"]


def test_an_answer_comes_after_the_commit_also_when_it_is_a_refusal(
    database: Database, writer: Writer
) -> None:
    """The refusal may rest on what another unit of the group has written."""

    def refuse(connection: Connection) -> None:
        assert connection.scalar(text("SELECT count(*) FROM word")) == 1
        raise ValueError("there is one already")

    done_at_commit: list[bool] = []
    pause = Pause(writer)
    futures: list[Future[Any]] = [writer.submit(add("a")), writer.submit(refuse)]
    event.listen(
        database.engine, "commit", lambda _: done_at_commit.append(any(future.done() for future in futures))
    )
    pause.release()
    assert isinstance(outcomes(futures)[1], ValueError)
    assert set(done_at_commit) == {False}


def test_a_unit_that_makes_the_commit_fail_fails_alone(database: Database, writer: Writer) -> None:
    def dangling(connection: Connection) -> None:
        connection.execute(text("INSERT INTO use (word) VALUES (99)"))

    pause = Pause(writer)
    futures: list[Future[Any]] = [writer.submit(work) for work in (add("a"), dangling, add("b"))]
    pause.release()
    first, failed, last = outcomes(futures)
    assert (first, last) == ("a", "b")
    assert isinstance(failed, IntegrityError)
    assert words(database) == ["a", "b"]


def test_a_full_disk_is_told_to_the_unit_that_needs_the_space(database: Database, writer: Writer) -> None:
    @event.listens_for(database.engine, "begin")
    def _small(connection: Any) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 20")

    pause = Pause(writer)
    futures: list[Future[Any]] = [writer.submit(work) for work in (add("a"), add("b" * 200_000), add("c"))]
    pause.release()
    first, full, last = outcomes(futures)
    assert (first, last) == ("a", "c")
    assert isinstance(full, OperationalError)
    assert "full" in str(full.orig)
    assert words(database) == ["a", "c"]


def test_a_unit_inside_a_unit_is_refused_instead_of_waiting_for_itself(database: Database) -> None:
    with pytest.raises(RuntimeError, match="can't wait for another one"):
        database.write_now(lambda _connection: database.write_now(add("a")))
    assert database.write_now(add("b")) == "b"


def test_calls_go_before_housekeeping_which_is_not_kept_waiting_for_ever(
    database: Database, writer: Writer
) -> None:
    pause = Pause(writer)
    later = [writer.submit(add(f"file {number}"), Priority.HOUSEKEEPING) for number in range(3)]
    calls = [writer.submit(add(f"call {number}")) for number in range(200)]
    pause.release()
    wait([*later, *calls], SECONDS)
    found = words(database)
    assert [word for word in found if word.startswith("call")] == [f"call {number}" for number in range(200)]
    assert found.index("call 0") < found.index("file 0") < found.index("call 199")


def test_another_process_that_holds_the_lock_is_waited_for(database: Database, writer: Writer) -> None:
    assert database.file is not None
    with closing(sqlite3.connect(database.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        future = writer.submit(add("a"))
        other.execute("INSERT INTO word (word) VALUES ('first')")
        other.execute("COMMIT")
    assert future.result(SECONDS) == "a"
    assert words(database) == ["first", "a"]


def test_a_lock_that_is_never_released_is_an_error_that_callers_know(database: Database) -> None:
    assert database.file is not None
    database = Database(database.engine.url.render_as_string(), patience_seconds=0.05)
    with closing(sqlite3.connect(database.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="locked"):
            database.write_now(add("a"))
        other.execute("ROLLBACK")
    assert database.write_now(add("b")) == "b"
    assert words(database) == ["b"]
    database.close()


def test_a_writer_that_never_rests_leaves_the_lock_to_another_process(database: Database) -> None:
    writer = Writer(database.engine)
    through = threading.Event()

    def other_process() -> None:
        with (
            closing(Database(database.engine.url.render_as_string())) as other,
            other.engine.begin() as connection,
        ):
            add("from outside")(connection)
        through.set()

    outside = threading.Thread(target=other_process)
    waiting = [writer.submit(add(f"first {number}")) for number in range(200)]
    outside.start()
    number = 0
    while not through.is_set() and number < 200_000:
        waiting = [future for future in waiting if not future.done()]
        for _ in range(200 - len(waiting)):
            waiting.append(writer.submit(add(f"word {(number := number + 1)}")))
        wait(waiting[:1], SECONDS)
    outside.join()
    wait(waiting, SECONDS)
    writer.close()
    assert "from outside" in words(database)


def test_what_was_submitted_is_done_before_the_writer_is_closed(database: Database, writer: Writer) -> None:
    futures = [writer.submit(add(f"word {number}")) for number in range(100)]
    writer.close()
    assert all(future.done() for future in futures)
    assert len(words(database)) == 100


KILLED_AFTER_THE_COMMIT = """
import os, signal, sys, threading
from sqlalchemy import event, text
from taxiphone.store.database import Database
from taxiphone.store.writer import Writer

database = Database(sys.argv[1])
writer = Writer(database.engine, group_seconds=60)
begun = threading.Event()

def first(connection):
    begun.set()
    go.wait()

def add(number):
    return lambda connection: connection.execute(text("INSERT INTO word (word) VALUES (:n)"), {"n": f"word {number}"}) and None

go = threading.Event()
writer.submit(first)
begun.wait()
futures = [writer.submit(add(number)) for number in range(10)]
for future in futures:
    future.add_done_callback(lambda done: print("answered", flush=True))
real = database.engine.dialect.do_commit

def commit(connection):
    real(connection)
    os.kill(os.getpid(), signal.SIGKILL)

database.engine.dialect.do_commit = commit
go.set()
futures[-1].result()
"""


def test_killed_between_a_groups_commit_and_its_answers_it_keeps_the_group_whole(database: Database) -> None:
    url = database.engine.url.render_as_string()
    done = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER_THE_COMMIT, url],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "answered" not in done.stdout
    assert words(database) == [f"word {number}" for number in range(10)]
    assert database.write_now(add("later")) == "later"


WRITES_CONSTANTLY = """
import sys, threading
from concurrent.futures import FIRST_COMPLETED, wait
from sqlalchemy import text
from taxiphone.store.database import Database
from taxiphone.store.writer import Writer

database = Database(sys.argv[1])
writer, ending, number = Writer(database.engine), threading.Event(), 0
threading.Thread(target=lambda: (sys.stdin.read(), ending.set()), daemon=True).start()

def add(number):
    return lambda connection: connection.execute(text("INSERT INTO word (word) VALUES (:n)"), {"n": f"call {number}"}) and None

waiting = set()
print("writing", flush=True)
while not ending.is_set():
    while len(waiting) < 200:
        waiting.add(writer.submit(add(number := number + 1)))
    done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
    for each in done:
        each.result()
wait(waiting)
writer.close()
"""


def test_several_commands_get_their_turn_beside_a_program_that_writes_constantly(database: Database) -> None:
    url = database.engine.url.render_as_string()
    command = [sys.executable, "-c", WRITES_CONSTANTLY, url]
    waited: list[float] = []

    def commands(name: int) -> None:
        with closing(Database(url)) as own:
            for number in range(5):
                began = time.monotonic()
                own.write_now(add(f"command {name} {number}"))
                waited.append(time.monotonic() - began)

    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdout.readline()
        others = [threading.Thread(target=commands, args=(name,)) for name in range(3)]
        for other in others:
            other.start()
        for other in others:
            other.join()
        program.stdin.close()
        assert program.wait(SECONDS) == 0
    # A program that never rests yields after a tenth of a second; the rest is for a busy machine.
    assert max(waited) < PATIENCE_SECONDS / 2
    found = words(database)
    assert len([word for word in found if word.startswith("command")]) == 15
    assert len([word for word in found if word.startswith("call")]) >= 200, "it wrote all the while"
