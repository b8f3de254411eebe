"""PostgreSQL for all tests: one server for each process that runs them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from databases import NO_POWER_CUTS, Postgres

from taxiphone.bench.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL, started by the tests themselves; they fail where it can't be had."""
    with PostgresServer(NO_POWER_CUTS) as server:
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
