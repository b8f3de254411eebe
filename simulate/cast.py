"""The people of a simulated call: copied from the platform's database into a temporary one, or made up."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from sqlalchemy import func, insert, or_, select, tuple_, update
from sqlalchemy.orm import Session

from taxiphone.billing.ledger import postings
from taxiphone.directory import clients, consultants, dids
from taxiphone.errors import UsageError
from taxiphone.settings import Settings
from taxiphone.settings_sections import DatabaseSection, Paths, Platform, Trunk
from taxiphone.store.calls import FINAL, Outcome
from taxiphone.store.database import Database
from taxiphone.store.models import (
    Account,
    Base,
    Call,
    CelRow,
    Client,
    ClientNumber,
    Consultant,
    ConsultantPhone,
    Did,
    FreeMinutes,
    Receipt,
    SignIn,
)
from taxiphone.store.types import now

_WHO_IS_WHO: tuple[type[Base], ...] = (Consultant, ConsultantPhone, Client, ClientNumber, Did, SignIn)
_RECENT = timedelta(days=2)  # enough for a daily limit and a dropped line
_AT_ONCE = 500

# Numbers that the French regulator reserves for fiction.
_CLI, _SHARED, _OWN = "+33199001200", "+33199001235", "+33199001234"
_CLIENT, _PHONES = "+33639980001", ("+33639980002", "+33639980012")


def made_up(settings: Settings | None) -> Settings:
    """Return settings for made-up people: the platform's, if there are any, with numbers reserved for fiction."""
    if settings is None:
        return Settings(platform=Platform(cli=_CLI, language="en"), trunk=Trunk(host="127.0.0.1"))
    mine = {"cli": _CLI, "dial_regions": ("FR",), "dial_prefixes": (), "dial_types": ("fixed", "mobile")}
    platform = settings.platform.model_copy(update=mine)
    return settings.model_copy(update={"platform": platform})


def throw_away(settings: Settings, folder: Path) -> tuple[Settings, Database]:
    """Return the settings with another state folder and an empty database, but the same languages and sounds."""
    heard = [settings.state / name for name in ("sounds", "prompts")]
    copy = settings.model_copy(
        update={
            "paths": Paths(state=Path("state")),
            "database": DatabaseSection(),
            "file": folder / "taxiphone.toml",
        }
    )
    copy.state.mkdir(mode=0o700)
    for folder_of_sounds in heard:
        if folder_of_sounds.is_dir():
            (copy.state / folder_of_sounds.name).symlink_to(folder_of_sounds)
    database = Database(copy.database_url)
    database.create_if_new()
    return copy, database


def is_there(settings: Settings) -> bool:
    """Tell whether the platform has a database yet, without creating one."""
    if settings.database.url is not None and not settings.database.url.startswith("sqlite"):
        return True
    database = Database(settings.database_url)
    try:
        return database.file is not None and database.file.exists() and database.file.stat().st_size > 0
    finally:
        database.close()


def copy(source: Database, target: Database, settings: Settings) -> None:
    """Copy people, wallet balances, and the earlier calls that matter for the next one. The source is only read."""
    with source.reading() as reading, target.transaction() as session:
        for table in _WHO_IS_WHO:
            _copy_all(reading, session, table)
        calls = _calls_that_count(reading)
        for call in calls:
            session.execute(insert(Call), [call])
        ids = {str(call["id"]) for call in calls}
        for table in (Receipt, FreeMinutes):
            _copy_all(reading, session, table, ids)
        for call in calls:
            if call["dropped"]:
                _copy_rows(reading, session, call)
        wallets = select(Account).where(Account.kind == postings.WALLET, Account.balance > 0)
        for wallet in reading.scalars(wallets):
            if wallet.currency == settings.platform.currency and wallet.balance:
                postings.top_up(
                    session, int(wallet.owner), wallet.balance, wallet.currency, f"copied {wallet.currency}"
                )


def make_up(session: Session, settings: Settings) -> None:
    """Create a client with credit, and a consultant with two phones, a package and recording allowed."""
    consultants.add_consultant(
        session,
        settings,
        name="Camille",
        phone=_PHONES[0],
        more_phones=_PHONES[1:],
        code="1234",
        price_per_minute=Decimal("1.55") if settings.currency_digits > 1 else Decimal(155),
        package_price=Decimal(60),
        package_minutes=60,
        recording_allowed=True,
    )
    dids.add_number(session, settings, number=_SHARED)
    dids.add_number(session, settings, number=_OWN, consultant_code="1234")
    alex = clients.add_client(session, settings, name="Alex", phones=[_CLIENT])
    postings.top_up(
        session, alex.id, 100 * 10**settings.currency_digits, settings.platform.currency, "simulated"
    )


def speak(session: Session, language: str) -> None:
    """Set one language for everybody."""
    for table in (Client, Consultant, Did):
        session.execute(update(table).values(language=language))


def dialled(session: Session, number: str | None, settings: Settings) -> str:
    """Return the number to dial: the one given, or else a shared one, or else the first.

    Raises:
        UsageError: the platform has no numbers yet.
    """
    if number is not None:
        return dids.did_dialled(session.connection(), settings, number)[0]
    found = session.scalar(select(Did.number).order_by(Did.consultant_id.is_not(None), Did.number).limit(1))
    if found is None:
        raise UsageError("the platform has no number that can be dialled yet. See: taxiphone number add")
    return found


def calling(session: Session, who: str | None, settings: Settings) -> str:
    """Return the number to call from: that of the client with this code or number, or else of the first client who may call.

    Raises:
        UsageError: there is no such client, or none with a number.
    """
    if who is not None:
        client: Client | None = clients.the_client(session, settings, who)
    else:
        may = select(Client).where(
            Client.blocked.is_(False), Client.closed_at.is_(None), Client.numbers.any()
        )
        client = session.scalar(may.order_by(Client.id).limit(1))
    if client is None or not client.numbers:
        raise UsageError(
            "there is no client with a number to call from. --caller NUMBER or --hidden calls as somebody unknown."
        )
    return min(each.number for each in client.numbers)


def _copy_all(reading: Session, session: Session, table: type[Base], calls: set[str] | None = None) -> None:
    found = select(table.__table__)
    rows = [dict(row) for row in reading.execute(found).mappings()]
    if calls is not None:
        rows = [row for row in rows if row["call_id"] in calls]
    for begin in range(0, len(rows), _AT_ONCE):
        session.execute(insert(table), rows[begin : begin + _AT_ONCE])


def _calls_that_count(reading: Session) -> list[dict[str, object]]:
    """Return the finished calls that matter for the next one: recent ones, each client's latest, and those with free minutes."""
    latest = (
        select(Call.client_id, func.max(Call.arrived_at))
        .where(Call.outcome == Outcome.TALKED)
        .group_by(Call.client_id)
    )
    counts = or_(
        Call.arrived_at >= now() - _RECENT,
        Call.id.in_(select(FreeMinutes.call_id)),
        tuple_(Call.client_id, Call.arrived_at).in_(latest),
    )
    table = Call.__table__
    found = {
        row["id"]: dict(row)
        for row in reading.execute(select(table).where(counts, Call.status.in_(FINAL))).mappings()
    }
    wanted = {row["continues_id"] for row in found.values()} - {None, *found}
    while wanted:  # a continued consultation includes the calls before it
        more = reading.execute(select(table).where(Call.id.in_(wanted))).mappings()
        found |= {row["id"]: dict(row) for row in more}
        wanted = {row["continues_id"] for row in found.values()} - {None, *found}
    return sorted(found.values(), key=lambda row: (row["arrived_at"], row["id"]))


def _copy_rows(reading: Session, session: Session, call: dict[str, object]) -> None:
    """Copy the CEL rows of a dropped call, which have the time at which it dropped."""
    table = CelRow.__table__
    rows = reading.execute(select(table).where(CelRow.linked == call["client_channel"])).mappings()
    if copied := [dict(row) for row in rows]:
        session.execute(insert(CelRow), copied)
