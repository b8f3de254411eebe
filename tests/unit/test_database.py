"""Opening a database by its URL: what is refused, what is retried, and upgrades that keep the rows."""

import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import bindparam, event, text
from sqlalchemy.exc import DBAPIError, OperationalError

from taxiphone import settings as settings_file
from taxiphone.billing.ledger import balances, postings
from taxiphone.billing.ledger_check import check
from taxiphone.errors import SchemaError, SettingsError
from taxiphone.store import schema
from taxiphone.store.database import Database
from taxiphone.store.models import Base, Call, FreeMinutes, Receipt
from taxiphone.store.types import UtcDateTime
from taxiphone.store.versions import head, revisions

PLAIN = '[platform]\ncli = "+33199000000"\n[trunk]\nhost = "127.0.0.1"\n[database]\n'


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any schema."""
    sqlite = f"sqlite:///{tmp_path / 'empty.db'}"
    database = Database(
        sqlite if request.param == "sqlite" else request.getfixturevalue("empty_postgres_url")
    )
    yield database
    database.close()


# -- the URL ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "is not a URL"),
        ("nosuch://x/y", "is not a URL"),
        ("mysql+pymysql://x/y", "not installed|not supported"),
        ("postgresql+psycopg2://x/y", "not installed|not supported"),
        ("postgresql://x/y", r"not installed|not supported"),
    ],
)
def test_a_url_that_can_not_be_used_is_refused_in_one_sentence(url: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Database(url)


def test_a_password_is_never_shown(tmp_path: Path) -> None:
    database = Database(f"postgresql+psycopg://me:sesame@/x?host={tmp_path}")
    assert "sesame" not in database.name
    with pytest.raises(SchemaError, match="can't be opened") as error:
        database.version()
    assert "sesame" not in str(error.value)
    database.close()


def load(path: Path, text: str, mode: int = 0o644) -> settings_file.Settings:
    path.write_text(PLAIN + text)
    path.chmod(mode)
    return settings_file.load(path)


def test_a_password_in_the_settings_asks_for_a_file_that_others_can_not_read(tmp_path: Path) -> None:
    file, url = tmp_path / "taxiphone.toml", "postgresql+psycopg://me:sesame@db/x"
    with pytest.raises(SettingsError, match="chmod 600") as error:
        load(file, f'url = "{url}"\n')
    assert "sesame" not in str(error.value)
    with pytest.raises(SettingsError, match="chmod 600"):
        load(file, 'url = "postgresql+psycopg://me@db/x?password=sesame"\n')
    assert load(file, f'url = "{url}"\n', 0o600).database_url == url
    assert "sesame" not in repr(load(file, f'url = "{url}"\n', 0o600))


def test_a_password_can_be_in_a_separate_file(tmp_path: Path) -> None:
    file, secret = tmp_path / "taxiphone.toml", tmp_path / "secret"
    secret.write_text("se/s@me\n")
    secret.chmod(0o600)
    named = 'url = "postgresql+psycopg://me@db/x"\npassword_file = "secret"\n'
    assert load(file, named).database_url == "postgresql+psycopg://me:se%2Fs%40me@db/x"
    secret.chmod(0o644)
    with pytest.raises(SettingsError, match=r"the database password file .* is readable by other users"):
        _ = load(file, named).database_url
    with pytest.raises(SettingsError, match="with a user and no password"):
        _ = load(file, 'url = "postgresql+psycopg:///x"\npassword_file = "secret"\n').database_url


# -- the schema -------------------------------------------------------------------------------------------------------


def test_a_schema_is_made_once_and_another_program_is_refused(empty: Database) -> None:
    with pytest.raises(SchemaError, match="Run: taxiphone db upgrade"):
        empty.check_version()
    empty.upgrade()
    empty.upgrade()
    empty.check_version()
    assert empty.version() == head()
    empty.do(lambda s: s.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(SchemaError, match="newer than this program"):
        empty.check_version()


def test_the_migrations_make_the_tables_that_the_models_describe(empty: Database) -> None:
    empty.upgrade()
    with empty.engine.connect() as connection:
        # PostgreSQL can't compare a default of type json.
        defaults = connection.dialect.name == "sqlite"
        context = MigrationContext.configure(connection, opts={"compare_server_default": defaults})
        assert compare_metadata(context, Base.metadata) == []


def test_a_migrations_file_is_named_by_its_version() -> None:
    scripts = ScriptDirectory.from_config(schema.config())
    assert scripts.get_heads() == [head()]
    assert {script.revision for script in scripts.walk_revisions()} == revisions()


# What the first version left: a call that was priced with tax and free minutes, and one that is going on.
FIRST_VERSION = """
INSERT INTO client (id, code, name, language, blocked, created_at) VALUES (1, '7001', 'C', 'fr', false, :at);
INSERT INTO consultant (id, code, name, phone, language, price_per_minute, free_minutes, recording_allowed, available,
    created_at) VALUES (1, '101', 'A', '+33612345678', 'fr', '1.00', 10, false, true, :at);
INSERT INTO call (id, status, client_channel, dialled, language, client_id, consultant_id, mode, tariff, recording_asked,
    arrived_at, billed_seconds) VALUES ('c1', 'rated', 'a', '', 'fr', 1, 1, 'per_minute', :tariff, false, :at, 1200);
INSERT INTO call (id, status, client_channel, dialled, language, client_id, consultant_id, mode, tariff, recording_asked,
    arrived_at) VALUES ('c2', 'talking', 'b', '', 'fr', 1, 1, 'per_minute', :tariff, false, :at);
INSERT INTO account (id, kind, owner, currency, balance) VALUES (1, 'wallet', '1', 'EUR', 4000),
    (2, 'top_up', '', 'EUR', -5000), (3, 'earnings', '1', 'EUR', 700), (4, 'commission', '', 'EUR', 300);
INSERT INTO posting (id, key, kind, call_id, at, memo) VALUES (1, 'top_up:1:a', 'top_up', NULL, :at, '');
INSERT INTO posting (id, key, kind, call_id, at, memo) VALUES (2, 'call:c1:talk', 'charge', 'c1', :at, '');
INSERT INTO entry (posting_id, account_id, amount) VALUES (1, 1, 5000), (1, 2, -5000), (2, 1, -1000), (2, 3, 700),
    (2, 4, 300);
INSERT INTO receipt (number, call_id, issued_at, currency, lines, total, commission, consultant_share,
    recording_pending) VALUES (1, 'c1', :at, 'EUR', :lines, 1000, 300, 700, false);
"""
FIRST_TARIFF = {
    "currency": "EUR",
    "digits": 2,
    "fee": "0",
    "vat": "0.20",
    "segments": [
        {"from": 0, "price_per_minute": "0", "first": 1, "step": 1},
        {"from": 600, "price_per_minute": "1.00", "first": 1, "step": 1},
    ],
}


def fill(database: Database) -> None:
    values = {
        "at": datetime(2026, 11, 22, 18, tzinfo=UTC),
        "tariff": json.dumps(FIRST_TARIFF),
        "lines": json.dumps([{"what": "talk", "seconds": 600, "amount": 1000}]),
    }

    def work(session: Any) -> None:
        for statement in FIRST_VERSION.strip().split(";\n"):
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            typed = [bindparam("at", type_=UtcDateTime())] if "at" in used else []
            session.execute(text(statement.rstrip(";")).bindparams(*typed), used)
        if not database.sqlite:
            for sequence in ("account_id_seq", "posting_id_seq", "receipt_number_seq"):
                session.execute(text(f"SELECT setval('{sequence}', 10)"))

    database.do(work)


def test_the_rows_of_the_first_version_are_migrated_and_the_ledger_is_correct(empty: Database) -> None:
    empty.upgrade("0001")
    fill(empty)
    empty.upgrade()

    def look(session: Any) -> Any:
        assert check(session) == []
        assert session.get_one(Receipt, 1).vat == 167
        assert [claim.call_id for claim in session.query(FreeMinutes)] == ["c1"]
        return [balances.balance(session, kind) for kind in ("commission", "vat", "top_up")]

    assert empty.read(look) == [133, 167, -5000]
    assert empty.do(lambda s: postings.top_up(s, 1, 1, "EUR", "second")) == 4001


def test_migrating_back_and_forth_keeps_the_ledger(empty: Database) -> None:
    empty.upgrade("0001")
    fill(empty)
    empty.upgrade()
    schema.downgrade(empty.engine, "0002")
    empty.upgrade()
    assert empty.read(check) == []


def test_the_talk_that_a_price_is_for_is_known_of_older_calls_too(empty: Database) -> None:
    """Columns: duration, longest duration, billed seconds, continued call, fault; what is priced."""
    calls = {
        "plain": ("60.5", 900, 61, None, None, 60_500_000),
        "cut": ("60.5", 60, 60, None, None, 60_000_000),
        "gaps": ("300", 900, 100, None, None, 100_000_000),
        "short": ("20", 900, 0, None, None, 20_000_000),
        "part": ("50.4", 900, 50, "plain", None, 50_400_000),
        "fault": ("60", 900, 0, None, "one-way audio", 0),
        "none": (None, None, None, None, None, None),
    }
    begin = datetime(2026, 11, 22, 18, tzinfo=UTC)

    def insert(session: Any) -> None:
        for call_id, (length, longest, billed, continues, fault, _) in calls.items():
            end = None if length is None else begin + timedelta(microseconds=int(Decimal(length).scaleb(6)))
            call = text(
                "INSERT INTO call (id, status, client_channel, dialled, language, mode, recording_asked, dropped, "
                "arrived_at, talk_from, talk_to, max_seconds, billed_seconds, continues_id, fault) VALUES "
                "(:id, 'rated', :id, '', 'fr', 'per_minute', false, false, :at, :begun, :end, :longest, :billed, "
                ":continues, :fault)"
            ).bindparams(*(bindparam(name, type_=UtcDateTime()) for name in ("at", "begun", "end")))
            begun = None if end is None else begin
            values = {"id": call_id, "at": begin, "begun": begun, "end": end, "longest": longest}
            session.execute(call, {**values, "billed": billed, "continues": continues, "fault": fault})

    empty.upgrade("0007")
    empty.do(insert)
    empty.upgrade()
    found = empty.read(lambda s: {call.id: call.priced_us for call in s.query(Call)})
    assert found == {call_id: expected for call_id, (*_, expected) in calls.items()}


# -- a transaction that the database takes back -----------------------------------------------------------------------


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[Database]:
    database = Database(postgres_url)
    yield database
    database.close()


def failing(times: int, how: Callable[[Any], None]) -> Callable[[Any], int]:
    tries = 0

    def work(session: Any) -> int:
        nonlocal tries
        tries += 1
        postings.post(
            session,
            f"try {tries}",
            "test",
            [postings.Change("top_up", "", "EUR", -5), postings.Change("wallet", "1", "EUR", 5)],
        )
        if tries <= times:
            how(session)
        return tries

    return work


def serialization_failure(session: Any) -> None:
    session.execute(text("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'serialization_failure'; END $$"))


def lost_connection(session: Any) -> None:
    session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


@pytest.mark.parametrize("how", [serialization_failure, lost_connection])
def test_a_rolled_back_transaction_is_retried_and_counts_once(
    postgres_database: Database, how: Callable[[Any], None]
) -> None:
    assert postgres_database.do(failing(2, how)) == 3
    assert postgres_database.do(lambda s: balances.balance(s, "wallet", 1)) == 5


def test_an_error_of_another_kind_is_not_tried_again(postgres_database: Database) -> None:
    with pytest.raises(DBAPIError, match="division by zero"):
        postgres_database.do(failing(1, lambda s: s.execute(text("SELECT 1/0"))))


def test_a_connection_that_is_lost_at_the_commit_is_not_tried_again(postgres_database: Database) -> None:
    tries = 0

    def work(session: Any) -> None:
        nonlocal tries
        tries += 1
        session.execute(text("SELECT 1"))

    @event.listens_for(postgres_database.engine, "commit")
    def lose(connection: Any) -> None:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        other = Database(postgres_database.engine.url.render_as_string(hide_password=False))
        other.do(lambda s: s.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid}))
        other.close()

    with pytest.raises(OperationalError):
        postgres_database.do(work)
    assert tries == 1


def test_a_database_that_is_away_is_waited_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = Database(f"postgresql+psycopg://me@/x?host={tmp_path}", patience_seconds=1.0)
    with caplog.at_level(logging.INFO), pytest.raises(OperationalError):
        database.do(lambda s: s.execute(text("SELECT 1")))
    assert caplog.text.count("is tried again") >= 2
    database.close()
