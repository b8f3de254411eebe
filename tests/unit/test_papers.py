"""Receipts and statements as files: the texts of both languages, sums, characters and file permissions."""

import csv
import io
import json
import re
import stat
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner
from fontTools.ttLib import TTFont
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader
from sqlalchemy import update

from taxiphone.billing.ledger import double_entry, payouts, postings
from taxiphone.billing.ledger.keys import new_key
from taxiphone.billing.ledger.refunds import refund
from taxiphone.billing.metering.meter import Meter
from taxiphone.billing.papers import paper_names, paper_pdf, paper_text, statement_data, statements
from taxiphone.billing.papers.paper import Column, Paper, Sum, Table
from taxiphone.billing.papers.paper_words import WORDS
from taxiphone.billing.papers.statement_paper import statement_paper
from taxiphone.billing.rating import settle_recording
from taxiphone.billing.rerating import rerate
from taxiphone.commands.consultant.statement import statement
from taxiphone.commands.receipt import receipt
from taxiphone.errors import UsageError
from taxiphone.settings_sections import Invoice
from taxiphone.store.models import Call, CelRow, Client, Consultant

OPERATOR = {
    "name": "Taxiphone SAS",
    "address": ["12 rue de la Paix", "75002 Paris"],
    "vat_id": "FR12345678901",
    "footer": ["SAS au capital de 10 000 €"],
}
SPACES = str.maketrans(dict.fromkeys("\xa0\u202f\u2009\n", " "))


@pytest.fixture
def talked(house: Any) -> str:
    """A package of an hour at 60.00, exceeded by a minute and a second, recorded, including 20 % tax."""
    invoice = Invoice(
        name="Taxiphone SAS",
        address=("12 rue de la Paix", "75002 Paris"),
        vat_id="FR12345678901",
        footer=("SAS au capital de 10 000 €",),
    )
    billing = house.settings.billing.model_copy(update={"vat": Decimal("0.20")})
    house.settings = house.settings.model_copy(update={"billing": billing, "invoice": invoice})
    consultant = house.consultant(
        "1.5525", package_price=Decimal(60), package_minutes=60, recording_allowed=True
    )
    call_id: str = house.call(house.client(20_000), consultant, mode="package", recorded=True)
    house.write(*house.talk(call_id, "3660.2"))
    Meter(house.settings, house.database).read_once()
    house.database.do(lambda s: settle_recording(s, s.get_one(Call, call_id), ready=True))
    return call_id


def invoke(house: Any, command: Any, *arguments: str) -> Any:
    result = house.invoke(command, *arguments)
    assert result.exit_code == 0, result.output
    return result


def read_pdf(data: bytes) -> str:
    pages = PdfReader(io.BytesIO(data)).pages
    return "\n".join(page.extract_text() for page in pages).translate(SPACES)


@dataclass(frozen=True)
class Box:
    """A text on a page: its line (points from the bottom), and where it begins and ends (points from the left)."""

    line: int
    left: float
    right: float
    text: str

    def is_cut(self, left: float, top: float, height: float) -> bool:
        """Tell whether a filled box drawn later covers part of the text."""
        return top - height < self.line < top and self.left + 0.1 < left < self.right - 0.1


def filled(data: bytes) -> list[tuple[float, float, float]]:
    """Left edge, top and height of each filled box of a PDF's first page."""
    drawn = PdfReader(io.BytesIO(data)).pages[0].get_contents().get_data()
    found = re.findall(rb"([0-9.]+) ([0-9.]+) [0-9.]+ -([0-9.]+) re f", drawn)
    return [(float(left), float(top), float(height)) for left, top, height in found]


def text_boxes(data: bytes) -> list[Box]:
    """Return the positions of the texts on a PDF's first page, measured with its fonts."""
    fonts = {
        weight: TTFont(Path(paper_names.__file__).parent / "fonts" / f"NotoSans-{weight}.ttf")
        for weight in ("Regular", "Bold")
    }
    boxes = []

    def visit(text: str, matrix: Any, place: Any, font: Any, size: float) -> None:
        if not text.strip() or font is None:
            return
        used = fonts["Bold" if "Bold" in font["/BaseFont"] else "Regular"]
        names, wide = used.getBestCmap(), used["hmtx"]
        units = sum(wide[names[ord(letter)]][0] for letter in text.strip())
        left = place[4] + matrix[4]
        right = left + units / used["head"].unitsPerEm * size
        boxes.append(Box(round(place[5] + matrix[5]), left, right, text.strip()))

    PdfReader(io.BytesIO(data)).pages[0].extract_text(visitor_text=visit)
    return boxes


def export(house: Any, call_id: str, path: Path, *more: str) -> bytes:
    invoke(house, receipt, "export", call_id, str(path), *more)
    return path.read_bytes()


# -- receipts -----------------------------------------------------------------------------------------------------


def test_the_pdf_has_everything_that_an_invoice_has_in_french(
    house: Any, talked: str, tmp_path: Path
) -> None:
    text = read_pdf(export(house, talked, tmp_path / "r.pdf"))
    for part in (
        "Taxiphone SAS", "75002 Paris", "N° de TVA FR12345678901", "SAS au capital de 10 000 €",
        "Reçu", "Claire", "Code client 7001", talked, "Anne",
        "Forfait", "60,00 €", "Compris dans le forfait", "60 min 00 s", "Au-delà du forfait", "1 min 01 s",
        "1,5525 € / min", "1,58 €", "Enregistrement", "5,00 €",
        "Total HT", "55,48 €", "TVA (20 %)", "11,10 €", "Total TTC", "66,58 €", "Page 1 sur 1",
    ):  # fmt: skip
        assert part in text, part


def test_and_in_english(house: Any, talked: str, tmp_path: Path) -> None:
    house.database.do(lambda s: s.execute(update(Client).values(language="en")))
    text = read_pdf(export(house, talked, tmp_path / "r.pdf"))
    for part in (
        "Receipt", "Client code 7001", "VAT no. FR12345678901", "Package", "Included in the package", "Time beyond the package",
        "€1.5525 / min", "Net amount", "€55.48", "VAT (20%)", "€11.10", "Total including tax", "€66.58", "Page 1 of 1",
    ):  # fmt: skip
        assert part in text, part


def test_a_client_of_another_language_gets_english(house: Any, talked: str, tmp_path: Path) -> None:
    house.database.do(lambda s: s.execute(update(Client).values(language="de")))
    assert "Total including tax" in read_pdf(export(house, talked, tmp_path / "r.pdf"))


def test_the_same_receipt_is_the_same_file_to_the_byte(house: Any, talked: str, tmp_path: Path) -> None:
    first = export(house, talked, tmp_path / "a.pdf")
    assert export(house, talked, tmp_path / "b.pdf") == first
    found = PdfReader(io.BytesIO(first)).metadata
    assert found is not None
    assert found.title == "Reçu 1"
    assert found.creation_date == house.get(talked).receipt.issued_at.replace(microsecond=0)


def test_refunds_are_on_the_pdf(house: Any, talked: str, tmp_path: Path) -> None:
    house.database.do(lambda s: refund(s, s.get_one(Call, talked), 1_000, "Mauvaise ligne", "first"))
    text = read_pdf(export(house, talked, tmp_path / "r.pdf"))
    for part in (
        "Remboursé sur votre crédit",
        "Avoir n° 1 du",
        "Mauvaise ligne",
        "-10,00 €",
        "-1,67 €",
        "56,58 €",
    ):
        assert part in text, part


def test_a_receipt_is_also_text_and_json_by_the_files_ending_or_by_name(
    house: Any, talked: str, tmp_path: Path
) -> None:
    text = export(house, talked, tmp_path / "r.txt").decode().translate(SPACES)
    for part in (
        "Taxiphone SAS",
        "Numéro : 1",
        "1,5525 € / min",
        "66,58 €",
        "10 000 €",
    ):
        assert part in text
    found = json.loads(export(house, talked, tmp_path / "r.json"))
    assert Decimal(found["net"]) + Decimal(found["vat"]) == Decimal(found["total"]) == Decimal("66.58")
    assert (found["vat_rate"], found["lines"][2]["price_per_minute"]) == ("0.20", "1.5525")
    assert found["operator"] == OPERATOR
    assert export(house, talked, tmp_path / "odd", "--format", "pdf").startswith(b"%PDF-")
    assert "66.58" in invoke(house, receipt, "export", talked, "-", "--format", "json").stdout
    told = json.loads(invoke(house, receipt, "export", talked, str(tmp_path / "j.pdf"), "--json").stdout)
    assert (told["format"], told["bytes"]) == ("pdf", (tmp_path / "j.pdf").stat().st_size)


def test_only_the_owner_can_read_a_file_and_it_is_not_overwritten(
    house: Any, talked: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.pdf"
    export(house, talked, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("mine")
    with pytest.raises(UsageError, match="--force"):
        export(house, talked, path)
    assert path.read_text() == "mine"
    assert export(house, talked, path, "--force").startswith(b"%PDF-")
    assert [each.name for each in tmp_path.glob("*.pdf")] + list(tmp_path.glob(".r*")) == ["r.pdf"]
    with pytest.raises(UsageError, match="can't be written"):
        export(house, talked, tmp_path / "nowhere" / "r.pdf")


def test_names_in_latin_greek_and_cyrillic_letters_are_printed_as_they_are(
    house: Any, talked: str, tmp_path: Path
) -> None:
    for number, name in enumerate(
        ("Ελένη Παπαδοπούλου", "Љубица Ђорђевић", "Œuvrard Nguyễn Đặng", "Şenay O'Neill")
    ):
        house.database.do(lambda s, name=name: s.execute(update(Client).values(name=name)))
        assert name in read_pdf(export(house, talked, tmp_path / f"{number}.pdf"))


@pytest.mark.parametrize("name", ["王小明", "محمد علي", "Zoë 😀", "Иван 王", "דוד", "नमस्ते"])
def test_a_name_in_another_script_is_replaced_by_the_code_and_the_command_says_so(
    house: Any, talked: str, tmp_path: Path, name: str
) -> None:
    app = house.app
    for table, code, whose in ((Client, "7001", "client"), (Consultant, "101", "consultant")):
        house.database.do(lambda s, table=table: s.execute(update(table).values(name=name)))
        path = tmp_path / f"{whose}.pdf"
        done = CliRunner().invoke(receipt, ["export", talked, str(path)], obj=app)
        assert f"The name {name} is not in Latin, Greek or Cyrillic letters" in done.stderr
        assert f"the PDF shows the code {code} instead" in done.stderr
        text = read_pdf(path.read_bytes())
        assert code in text
        assert not [letter for letter in name if letter in text and not letter.isascii()]
        assert "grinning" not in text
    assert not CliRunner().invoke(receipt, ["export", talked, str(tmp_path / "r.txt")], obj=app).stderr


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_label_of_a_refunded_receipt_has_room_on_the_page(
    house: Any, talked: str, tmp_path: Path, language: str
) -> None:
    """A text that is wider than its box is painted over by the next box."""
    house.database.do(lambda s: refund(s, s.get_one(Call, talked), 1_000, "la ligne était mauvaise", "first"))
    house.database.do(lambda s: s.execute(update(Client).values(language=language)))
    data = export(house, talked, tmp_path / "r.pdf")
    boxes, bands = text_boxes(data), filled(data)
    assert len(bands) > 8
    assert [box for box in boxes for band in bands if box.is_cut(*band)] == []


def test_a_receipt_of_a_network_fault_has_no_lines_and_says_why(
    house: Any, talked: str, tmp_path: Path
) -> None:
    del talked
    call_id = house.call(1, 1, mode="package")
    house.write(*house.talk(call_id, "12", at=1_763_860_000))
    Meter(house.settings, house.database).read_once()
    text = read_pdf(export(house, call_id, tmp_path / "r.pdf"))
    assert "rien n'est facturé" in text
    assert "0,00 €" in text


def test_a_paper_of_many_rows_has_its_headings_and_its_footer_on_every_page() -> None:
    columns = (Column("What", 60), Column("Amount", 40, numeric=True))
    rows = [(f"row {number}", f"{number}.00") for number in range(120)]
    paper = Paper(
        "en", "Statement", ("Taxiphone",), ("Anne",), "Consultant", [("Number", "1")], [],
        [Table(columns, rows, [Sum("Total", "7140.00", strong=True)])], [], ("The small print",),
        datetime(2026, 11, 22, tzinfo=UTC),
    )  # fmt: skip
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(paper_pdf.draw(paper))).pages]
    assert len(pages) > 2
    assert all("The small print" in page and f"of {len(pages)}" in page for page in pages)
    assert all("What" in page for page in pages if "row " in page)
    assert [name for name, _ in rows] == [
        line.split(" ")[0] + " " + line.split(" ")[1]
        for page in pages
        for line in page.replace("\n", " ").replace(" row", "\nrow").splitlines()
        if line.startswith("row ")
    ]


def test_both_languages_have_the_same_words() -> None:
    assert WORDS["en"].keys() == WORDS["fr"].keys()


# -- statements ---------------------------------------------------------------------------------------------------

DAY = date(2026, 11, 22)


def read_statement(house: Any, first: date, last: date) -> dict[str, Any]:
    printed = invoke(house, statement, "101", "--from", str(first), "--to", str(last), "--json").stdout
    found: dict[str, Any] = json.loads(printed)
    return found


def sums(found: dict[str, Any]) -> None:
    """Assert what is true of every statement."""
    parts = [Decimal(found[name]) for name in ("opening", "shares", "corrections")]
    assert sum(parts) - Decimal(found["paid_out"]) == Decimal(found["closing"])
    lines = found["lines"]
    assert sum((Decimal(line["share"]) for line in lines), Decimal(0)) == parts[1] + parts[2]
    for line in lines:
        assert Decimal(line["commission"]) + Decimal(line["share"]) == Decimal(line["total"])


@pytest.fixture
def lived(house: Any, talked: str) -> str:
    """The call of `talked`, a refund, a payout, and a second call that is re-rated afterwards."""
    house.database.do(lambda s: refund(s, s.get_one(Call, talked), 1_000, "bad line", "first"))
    house.database.do(lambda s: payouts.pay(s, 1, "EUR", 0, "first"))
    second = house.call(1, 1)
    house.write(*house.talk(second, "60", at=1_763_870_000))
    Meter(house.settings, house.database).read_once()

    def sooner(session: Any) -> None:
        leg = session.get_one(Call, second).client_channel
        (left,) = session.query(CelRow).filter(CelRow.channel == leg, CelRow.event == "BRIDGE_EXIT")
        left.at -= timedelta(seconds=20)

    house.database.do(sooner)
    house.database.do(lambda s: rerate(s, s.get_one(Call, second), "late rows"))
    return talked


def test_a_statement_has_every_call_refund_correction_and_payout_and_agrees_with_the_ledger(
    house: Any, lived: str
) -> None:
    today = datetime.now(UTC).date()
    found = read_statement(house, today - timedelta(days=1), today)
    sums(found)
    kinds = [line["what"] for line in found["lines"]]
    assert kinds == ["talk", "recording", "refund", "payout", "talk", "correction", "again"]
    assert [line["billed_seconds"] for line in found["lines"] if line["billed_seconds"]] == [
        3661,
        60,
        -60,
        40,
    ]
    assert found["lines"][0]["call"] == lived
    assert found["opening"] == "0.00"
    assert Decimal(found["closing"]) * 100 == house.balance(postings.EARNINGS, 1)
    assert Decimal(found["paid_out"]) * 100 == house.balance(postings.PAYOUTS, 1)
    tomorrow = read_statement(house, today + timedelta(days=1), today + timedelta(days=2))
    assert (tomorrow["opening"], tomorrow["closing"], tomorrow["lines"]) == (
        found["closing"],
        found["closing"],
        [],
    )


def test_a_statement_names_no_client(house: Any, lived: str) -> None:
    del lived
    today = datetime.now(UTC).date()
    for form in ("text", "csv", "json"):
        printed = invoke(house, statement, "101", "--from", str(today), "--format", form).stdout
        assert "Claire" not in printed
        assert re.search(r"\b7001\b", printed) is None  # a time may have these digits


def test_a_statement_as_json_names_the_operator(house: Any) -> None:
    house.consultant()
    without = {"name": "Taxiphone", "address": [], "vat_id": None, "footer": []}
    assert read_statement(house, DAY, DAY)["operator"] == without


def test_a_call_that_cost_nothing_is_on_the_statement_too(house: Any) -> None:
    free = house.call(house.client(), house.consultant(free_minutes=10))
    house.write(*house.talk(free, "60"))
    Meter(house.settings, house.database).read_once()
    today = datetime.now(UTC).date()
    (line,) = read_statement(house, today, today)["lines"]
    assert (line["call"], line["billed_seconds"], line["total"], line["posting"]) == (free, 60, "0.00", None)


def test_a_statement_in_french_and_english_as_text_csv_and_pdf(
    house: Any, lived: str, tmp_path: Path
) -> None:
    today = datetime.now(UTC).date()
    period = ("101", "--from", str(today), "--to", str(today))
    text = invoke(house, statement, *period).stdout.translate(SPACES)
    for part in (
        "Relevé",
        "Solde initial",
        "Versement",
        f"Appel {lived}, enregistrement",
        "bad line",
        "Solde final",
    ):
        assert part in text, part
    invoke(house, statement, *period, "--output", str(tmp_path / "s.pdf"))
    pdf = read_pdf((tmp_path / "s.pdf").read_bytes())
    for part in ("Relevé", "Code consultant 101", "Solde final", "nouveau calcul"):
        assert part in pdf, part
    assert stat.S_IMODE((tmp_path / "s.pdf").stat().st_mode) == 0o600
    house.database.do(lambda s: s.execute(update(Consultant).values(language="en")))
    invoke(house, statement, *period, "--output", str(tmp_path / "e.pdf"))
    pdf = read_pdf((tmp_path / "e.pdf").read_bytes())
    for part in (
        "Statement",
        "Opening balance",
        "Payouts",
        "refund to client",
        "Closing balance",
    ):
        assert part in pdf, part


def test_the_csv_has_a_running_balance_that_ends_at_the_closing_one(
    house: Any, lived: str, tmp_path: Path
) -> None:
    house.database.do(lambda s: refund(s, s.get_one(Call, lived), 10, "=1+1", "csv"))
    today = str(datetime.now(UTC).date())
    invoke(house, statement, "101", "--from", today, "--output", str(tmp_path / "s.csv"))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "s.csv").read_text(encoding="utf-8"))))
    assert (rows[0]["what"], rows[-1]["what"]) == ("opening", "closing")
    balance = Decimal(rows[0]["balance"])
    for row in rows[1:-1]:
        balance += Decimal(row["share"]) - Decimal(row["payout"])
        assert Decimal(row["balance"]) == balance
    assert Decimal(rows[-1]["balance"]) == balance
    assert "'=1+1" in {row["reason"] for row in rows}


def test_a_statement_is_provisional_until_ten_minutes_after_its_last_day(house: Any) -> None:
    """A posting written before midnight may be committed after it."""
    house.consultant()
    zone = ZoneInfo("Europe/Paris")
    midnight = datetime(2026, 11, 22, 23, tzinfo=UTC)

    def at(moment: datetime) -> statements.Statement:
        day = date(2026, 11, 22)
        found: statements.Statement = house.database.read(
            lambda s: statements.statement(s, s.get_one(Consultant, 1), "EUR", day, day, zone, at=moment)
        )
        return found

    for moment, provisional in (
        (midnight - timedelta(hours=1), True),
        (midnight + timedelta(minutes=9, seconds=59), True),
        (midnight + timedelta(minutes=10), False),
    ):
        found = at(moment)
        assert found.provisional is provisional
        text = paper_text.write(statement_paper(house.settings, found))
        assert ("Provisoire" in text) is provisional
        assert statement_data.as_json(found)["provisional"] is provisional


def test_an_invalid_statement_is_refused(house: Any) -> None:
    house.consultant()
    with pytest.raises(UsageError, match="is before"):
        invoke(house, statement, "101", "--from", "2026-11-02", "--to", "2026-11-01")
    with pytest.raises(UsageError, match="--json"):
        invoke(house, statement, "101", "--from", "2026-11-02", "--json", "--format", "csv")
    with pytest.raises(UsageError, match="no consultant"):
        invoke(house, statement, "999", "--from", "2026-11-02")


MOVES = st.lists(
    st.tuples(st.sampled_from(["earn", "take", "pay"]), st.integers(1, 5_000), st.integers(0, 6)), max_size=12
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=MOVES, cut=st.integers(0, 6))
def test_whatever_happened_statements_sum_and_join_without_a_gap(
    house: Any, moves: list[tuple[str, int, int]], cut: int
) -> None:
    """Two consecutive statements equal one for both periods; the last one ends with the ledger's balance."""
    house.calls += 1
    code = str(1_000 + house.calls)
    number = house.consultant(code=code)
    clock = double_entry.now
    try:
        for index, (kind, amount, day) in enumerate(sorted(moves, key=lambda move: move[2])):
            noon = datetime(2026, 11, 1, 12, tzinfo=UTC) + timedelta(days=day)
            double_entry.now = lambda noon=noon: noon
            if kind == "pay":
                house.database.do(lambda s: payouts.pay(s, number, "EUR", 0, new_key()))
                continue
            signed = amount if kind == "earn" else -amount
            changes = [
                postings.Change(postings.EARNINGS, str(number), "EUR", signed),
                postings.Change(postings.COMMISSION, "", "EUR", -signed),
            ]
            house.database.do(lambda s, i=index, c=changes: postings.post(s, f"test:{number}:{i}", "test", c))
    finally:
        double_entry.now = clock
    first, last = date(2026, 11, 1), date(2026, 11, 8)
    middle = first + timedelta(days=cut)

    def read(session: Any) -> list[statements.Statement]:
        who = session.get_one(Consultant, number)
        spans = ((first, last), (first, middle), (middle + timedelta(days=1), last))
        return [statements.statement(session, who, "EUR", *span) for span in spans]

    whole, before, after = house.database.do(read)
    for each in (whole, before, after):
        assert each.opening + each.shares + each.corrected - each.paid_out == each.closing
    assert before.closing == after.opening
    assert before.lines + after.lines == whole.lines
    assert (whole.opening, whole.closing) == (0, house.balance(postings.EARNINGS, number))
