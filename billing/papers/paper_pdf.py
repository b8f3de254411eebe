"""Renders a document as an A4 PDF. The same document always gives the same file, byte for byte."""

from __future__ import annotations

import logging
import unicodedata
from importlib import resources

from anyascii import anyascii
from fpdf import FPDF
from fpdf.enums import Align, XPos, YPos

from taxiphone.billing.papers.paper import Column, Paper, Sum, Table
from taxiphone.billing.papers.paper_names import FONT_FILES, glyphs, with_codes
from taxiphone.billing.papers.paper_words import WORDS

_FONT = "Noto Sans"
_INK, _GREY, _RULE, _BAND, _ACCENT = (
    (33, 37, 41),
    (108, 117, 125),
    (206, 212, 218),
    (243, 245, 248),
    (24, 78, 119),
)
# All lengths are in mm. The bottom margin does not include the legal lines.
_MARGIN, _TOP, _BOTTOM = 20, 18, 24
# Line heights of running text and of small print.
_LINE, _SMALL = 5.2, 4.2
# Padding above and below the text of a row.
_PAD, _DENSE = 2.2, 0.9
# Widths of the block of totals and of the block with number and date.
_SUMS, _FACTS = 92, 72


class _Sheet(FPDF):
    """A PDF whose pages have a footer with the legal lines and the page number."""

    def __init__(self, paper: Paper) -> None:
        super().__init__(format="A4")
        self._paper = paper
        folder = resources.files("taxiphone.billing.papers") / "fonts"
        for style, name in FONT_FILES.items():
            with resources.as_file(folder / name) as file:
                self.add_font(_FONT, style, file)
        self.set_margins(_MARGIN, _TOP, _MARGIN)
        self.set_auto_page_break(True, _BOTTOM + _SMALL * len(paper.footer))
        self.set_lang(paper.language)
        self.set_title(readable(f"{paper.title} {paper.facts[0][1]}"))
        self.set_author(readable(paper.sender[0]))
        self.set_creator("Taxiphone")
        self.set_creation_date(paper.made_at)
        self.alias_nb_pages()

    def footer(self) -> None:
        """Draw the footer; called by FPDF at the end of each page."""
        lines = [readable(line) for line in self._paper.footer]
        self.set_y(-12 - _SMALL * (len(lines) + 1))
        self._rule(_RULE)
        self.ln(1.6)
        self.set_pen(7.5, _GREY)
        for line in lines:
            self.cell(0, _SMALL, line, align=Align.C, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        page = WORDS[self._paper.language]["page"].format(page=self.page_no(), pages="{nb}")
        self.cell(0, _SMALL, page, align=Align.C)

    def set_pen(self, size: float, color: tuple[int, int, int] = _INK, *, bold: bool = False) -> None:
        """Set the font size, color and weight."""
        self.set_font(_FONT, "B" if bold else "", size)
        self.set_text_color(*color)

    def _rule(self, color: tuple[int, int, int], width: float = 0.2) -> None:
        self.set_draw_color(*color)
        self.set_line_width(width)
        self.line(_MARGIN, self.get_y(), self.w - _MARGIN, self.get_y())

    # -- the parts of a document, from top to bottom -------------------------------------------------------------

    def head(self) -> None:
        """Draw the sender and the title."""
        paper, half = self._paper, self.epw / 2
        self.set_y(_TOP)
        self.set_pen(20, _ACCENT, bold=True)
        self.set_x(_MARGIN + half)
        self.cell(half, 9, readable(paper.title), align=Align.R)
        self.set_x(_MARGIN)
        self.set_pen(13, bold=True)
        self.multi_cell(
            half, 7, readable(paper.sender[0]), align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT
        )
        self.set_pen(8.5, _GREY)
        for line in paper.sender[1:]:
            self.multi_cell(half, _SMALL, readable(line), align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self.set_y(max(self.get_y(), _TOP + 12) + 4)
        self._rule(_ACCENT, 0.6)
        self.ln(7)

    def parties(self) -> None:
        """Draw the recipient, with number and date beside it."""
        paper, top = self._paper, self.get_y()
        left = self.epw - _FACTS - 8
        self.set_pen(7.5, _GREY)
        self.cell(left, _SMALL, paper.recipient_label.upper(), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        for number, line in enumerate(paper.recipient):
            self.set_pen(11 if number == 0 else 9, bold=number == 0)
            self.multi_cell(
                left,
                5.8 if number == 0 else _LINE,
                readable(line),
                align=Align.L,
                new_x=XPos.LMARGIN,
                new_y=YPos.NEXT,
            )
        below = self.get_y()
        self.set_y(top)
        for label, value in paper.facts:
            self.set_x(self.w - _MARGIN - _FACTS)
            self.set_pen(8.5, _GREY)
            self.cell(24, _LINE, readable(label))
            self.set_pen(9)
            self.multi_cell(
                _FACTS - 24, _LINE, readable(value), align=Align.R, new_x=XPos.LMARGIN, new_y=YPos.NEXT
            )
        self.set_y(max(below, self.get_y()) + 7)

    def sentences(self, lines: list[str], color: tuple[int, int, int] = _INK) -> None:
        """Draw running text."""
        self.set_pen(9, color)
        for line in lines:
            self.multi_cell(0, _LINE, readable(line), align=Align.L, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        if lines:
            self.ln(3)

    def tabulate(self, table: Table) -> None:
        """Draw a table, with its headings repeated on every page, then its totals."""
        if table.title:
            self._keep(30)
            self.set_pen(10.5, _ACCENT, bold=True)
            self.cell(0, 7, readable(table.title), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self._band(table.columns)
        for row in table.rows:
            self._row(table.columns, row, _DENSE if table.dense else _PAD)
        if not table.rows and table.empty:
            self.set_pen(9, _GREY)
            self.ln(_PAD)
            self.cell(0, _LINE, readable(table.empty), new_x=XPos.LMARGIN, new_y=YPos.NEXT)
            self.ln(_PAD)
        if table.sums:
            self._sums(table.sums)
        self.ln(6)

    def _keep(self, height: float) -> bool:
        """Start a new page if the given height does not fit on this one; return whether it did."""
        if self.get_y() + height <= self.page_break_trigger:
            return False
        self.add_page()
        return True

    def _band(self, columns: tuple[Column, ...]) -> None:
        self.set_fill_color(*_BAND)
        self.set_pen(8, _GREY, bold=True)
        for column in columns:
            align = Align.R if column.numeric else Align.L
            self.cell(self._width(column), 7.4, readable(column.label), align=align, fill=True)
        self.ln(7.4)

    def _row(self, columns: tuple[Column, ...], row: tuple[str, ...], pad: float) -> None:
        self.set_pen(9)
        lines = max(self._lines(column, text) for column, text in zip(columns, row, strict=True))
        height = lines * _LINE + 2 * pad
        if self._keep(height):
            self._band(columns)
            self.set_pen(9)
        x, y = float(_MARGIN), self.get_y()
        for column, text in zip(columns, row, strict=True):
            self.set_xy(x, y + pad)
            align = Align.R if column.numeric else Align.L
            self.multi_cell(self._width(column), _LINE, readable(text), align=align)
            x += self._width(column)
        self.set_xy(_MARGIN, y + height)
        self._rule(_RULE)

    def _lines(self, column: Column, text: str) -> int:
        """Return the number of lines a text takes in a column."""
        broken = self.multi_cell(self._width(column), _LINE, readable(text), dry_run=True, output="LINES")
        return len(broken) if isinstance(broken, list) else 1

    def _sums(self, sums: list[Sum]) -> None:
        self._keep(len(sums) * 8 + 4)
        self.ln(3)
        labels, amounts = _SUMS * 0.62, _SUMS * 0.38
        # Widen the block to fit the longest label and amount.
        for each in sums:
            self._set_sum_pen(each)
            labels = max(labels, self.get_string_width(readable(each.label)) + 2 * self.c_margin)
            amounts = max(amounts, self.get_string_width(readable(each.amount)) + 2 * self.c_margin)
        for each in sums:
            height = 8.4 if each.strong else 6.2
            self.set_x(self.w - _MARGIN - labels - amounts)
            self.set_fill_color(*_BAND)
            self._set_sum_pen(each)
            self.cell(labels, height, readable(each.label), fill=each.strong)
            self.cell(amounts, height, readable(each.amount), align=Align.R, fill=each.strong)
            self.ln(height)

    def _set_sum_pen(self, each: Sum) -> None:
        self.set_pen(10.5 if each.strong else 9, bold=each.strong)

    def _width(self, column: Column) -> float:
        return self.epw * column.width / 100


def draw(paper: Paper) -> bytes:
    """Render a document as a PDF file. A name that the font can't show is replaced by the person's code."""
    # At level INFO, fontTools logs every font table that it drops.
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    paper = with_codes(paper)
    sheet = _Sheet(paper)
    sheet.add_page()
    sheet.head()
    sheet.parties()
    sheet.sentences(paper.intro)
    for table in paper.tables:
        sheet.tabulate(table)
    sheet.sentences(paper.notes, _GREY)
    return bytes(sheet.output())


def readable(text: str) -> str:
    """Return the text in letters that the font has: other scripts are transliterated to Latin, symbols are omitted."""
    known = glyphs()
    # Split at spaces only: the font has the narrow no-break space that French puts before a unit.
    return " ".join(
        word if all(ord(letter) in known for letter in word) else _in_latin(word)
        for word in unicodedata.normalize("NFC", text).split(" ")
    )


def _in_latin(word: str) -> str:
    known = glyphs()
    return "".join(
        letter if ord(letter) in known else anyascii(letter) if letter.isalpha() else "" for letter in word
    )
