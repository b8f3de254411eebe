"""Renders a document as plain text, for a terminal or an e-mail."""

from __future__ import annotations

from taxiphone.billing.papers.paper import Paper, Table

_GAP = "  "


def write(paper: Paper) -> str:
    """Render a document as plain text."""
    colon = " : " if paper.language == "fr" else ": "
    facts = [f"{label}{colon}{value}" for label, value in paper.facts]
    lines = [*paper.sender, "", paper.title, *facts, "", *paper.recipient, ""]
    if paper.intro:
        lines += [*paper.intro, ""]
    for table in paper.tables:
        lines += [*_table(table), ""]
    lines += paper.notes
    if paper.footer:
        lines += ["", *paper.footer]
    return "\n".join(lines)


def _table(table: Table) -> list[str]:
    headings = tuple(column.label for column in table.columns)
    rows = [headings, *table.rows]
    widths = [max(len(row[number]) for row in rows) for number in range(len(headings))]
    lines = [table.title] if table.title else []
    for row in rows:
        cells = [
            text.rjust(width) if column.numeric else text.ljust(width)
            for column, width, text in zip(table.columns, widths, row, strict=True)
        ]
        lines.append(_GAP.join(cells).rstrip())
    whole = sum(widths) + len(_GAP) * (len(widths) - 1)
    lines.insert(len(lines) - len(table.rows), "-" * whole)
    if not table.rows and table.empty:
        lines.append(table.empty)
    if table.sums:
        label = max(len(each.label) for each in table.sums)
        amount = max(len(each.amount) for each in table.sums)
        block = label + amount + len(_GAP)
        lines.append("-" * max(whole, block))
        for each in table.sums:
            written = f"{each.label.ljust(label)}{_GAP}{each.amount.rjust(amount)}"
            lines.append(written.rjust(max(whole, block)))
    return lines
