"""`taxiphone completion` and `taxiphone man`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import every_command
import pytest
from click.testing import CliRunner

from taxiphone.cli import taxiphone


def printed(*words: str) -> str:
    result = CliRunner().invoke(taxiphone, words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize(
    ("shell", "line"),
    [("bash", "complete -o nosort -F"), ("zsh", "#compdef taxiphone"), ("fish", "complete ")],
)
def test_each_shell_gets_its_script(shell: str, line: str) -> None:
    assert line in printed("completion", shell)


def test_bash_completes_commands_and_options_by_it(tmp_path: Path) -> None:
    script = tmp_path / "taxiphone"
    script.write_text(printed("completion", "bash"))
    bin_folder = str(Path(sys.executable).parent)
    typed = (
        'COMP_WORDS=(taxiphone "$@"); COMP_CWORD=$#; _taxiphone_completion taxiphone; echo "${COMPREPLY[@]}"'
    )

    def completed(*words: str) -> list[str]:
        done = subprocess.run(
            ["/bin/bash", "-c", f'PATH="{bin_folder}:$PATH"; source "{script}"; {typed}', "bash", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.split()

    assert completed("call", "ex") == ["explain"]
    assert "--outcome" in completed("call", "list", "--o")


def test_the_manual_has_every_command_and_every_option() -> None:
    page = printed("man")
    plain = page.replace("\\-", "-")
    for name, command in every_command.leaves():
        assert f'.SS "taxiphone {name}' in plain
        for parameter in command.params:
            assert all(option in plain for option in parameter.opts if option.startswith("-"))
    assert ".SH EXIT STATUS" in page


def test_no_line_of_the_manual_is_a_roff_request_by_accident() -> None:
    macros = {".TH", ".SH", ".SS", ".PP", ".TP", ".B", ".nf", ".fi"}
    for line in printed("man").splitlines():
        assert line.isascii()
        assert not line.startswith("'")
        assert not line.startswith(".") or line.split()[0] in macros
        assert re.sub(r"\\(e|-|&|\(dq|\[u[0-9A-F]{4}\])", "", line).count("\\") == 0
