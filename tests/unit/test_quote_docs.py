"""Each example in docs/pricing.md is run, and its output matches the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from taxiphone.cli import taxiphone

DOC = Path(__file__).parents[2] / "docs" / "pricing.md"
TEXT = DOC.read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```json (\S+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
EXAMPLES = re.findall(r"^```console\n\$ taxiphone ([^\n]*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(("command", "printed"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_an_example_prints_what_the_document_shows(
    command: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(taxiphone, shlex.split(command), catch_exceptions=False)
    assert [line.rstrip() for line in result.stdout.splitlines()] == printed.splitlines()


def test_the_document_has_its_examples() -> None:
    assert len(EXAMPLES) >= 8
    assert set(FILES) == {word for command, _ in EXAMPLES for word in command.split() if word in FILES}
