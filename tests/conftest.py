"""Fixtures for all tests: one PostgreSQL server per test process, and PINs with a fast hash."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from argon2 import PasswordHasher
from databases import NO_POWER_CUTS, Postgres

from taxiphone.bench.postgres import PostgresServer
from taxiphone.directory import pins

_REAL_HASHER = pins._HASHER

# Hundreds of processes are started, and compiling the program again would take each of them a second.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Longest first, so no process starts a long one at the end.
_LONG = (
    "test_serve",
    "test_external_asterisk",
    "test_conversation_recording",
    "test_conversation_reach",
    "test_talk_ends",
    "test_rightful_silence",
    "test_conversation_price",
    "test_conversation_who",
    "test_after_talk",
    "test_talk_resumed",
    "test_asterisk_server",
    "test_database_away",
    "test_program_gone",
    "test_clock_stepped",
    "test_talk_time",
    "test_talk_killed",
    "test_sipp",
    "test_disturbances_real",
    "test_calls",
    "test_talk_recording",
    "test_withheld",
    "test_keys",
    "test_redirects",
    "test_dids",
    "test_after_nothing",
    "test_disturbances",
    "test_storm",
    "test_every_command",
    "test_hearing",
    "test_recordings_worker",
    "test_installed",
    "test_what_if",
    "test_event_orders",
    "test_continuation",
    "test_serving",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files that take longest first."""
    place = {name: number for number, name in enumerate(_LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(_LONG)))


@contextmanager
def _hashed_by(hasher: PasswordHasher) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pins, "_HASHER", hasher)
        pins._dummy_hash.cache_clear()
        yield
    pins._dummy_hash.cache_clear()


@pytest.fixture(scope="session", autouse=True)
def cheap_pins() -> Iterator[None]:
    """Use a fast hash for PINs. The real one deliberately takes a tenth of a second."""
    with _hashed_by(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)):
        yield


@pytest.fixture
def real_pins() -> Iterator[None]:
    """Use the real, slow hash of PINs."""
    with _hashed_by(_REAL_HASHER):
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """PostgreSQL, started by the tests; they fail if it isn't available."""
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
