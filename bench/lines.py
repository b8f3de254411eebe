"""The subscriber lines of the benchmarks: clients, and the consultants that they call."""

from __future__ import annotations

from dataclasses import dataclass

MOST_LINES = 1000


@dataclass(frozen=True)
class Line:
    """A client, the number that they dial, and the consultant whose number it is.

    All numbers are in ranges that the French regulator reserves for fiction.
    """

    number: int

    @property
    def client(self) -> str:
        """The client's number."""
        return f"+33639981{self.number:03d}"

    @property
    def consultant(self) -> str:
        """The consultant's phone."""
        return f"+33639982{self.number:03d}"

    @property
    def did(self) -> str:
        """The number that the client dials."""
        return f"+33199002{self.number:03d}"
