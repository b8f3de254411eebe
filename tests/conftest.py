"""What all tests share: the databases that the money is kept in, both of them real."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, make_url

from taxiphone.bench.postgres import PostgresServer
from taxiphone.store.database import Database


class Postgres:
    """A server of this test run's own, and a database in it for each test, as quick as a copy of a file."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._engine = create_engine(server.url(), isolation_level="AUTOCOMMIT")
        self._made = 0
        self._say("CREATE DATABASE template_taxiphone")
        template = Database(server.url("template_taxiphone"))
        template.upgrade()
        template.close()

    def new(self, *, empty: bool = False) -> str:
        """The URL of a new database, with this program's schema, or without any."""
        self._made += 1
        name = f"test_{self._made}"
        self._say(f"CREATE DATABASE {name} TEMPLATE " + ("template0" if empty else "template_taxiphone"))
        return self.server.url(name)

    def drop(self, url: str) -> None:
        self._say(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    def close(self) -> None:
        self._engine.dispose()

    def _say(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.exec_driver_sql(statement)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL, started by the tests themselves; they fail where it can't be had."""
    with PostgresServer() as server:
        made = Postgres(server)
        yield made
        made.close()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    url = postgres.new()
    yield url
    postgres.drop(url)


@pytest.fixture
def empty_postgres_url(postgres: Postgres) -> Iterator[str]:
    url = postgres.new(empty=True)
    yield url
    postgres.drop(url)
