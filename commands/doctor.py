"""`taxiphone doctor`: whether everything is in order."""

from __future__ import annotations

import click

from taxiphone.commands.console import App, examples, json_option, pass_app
from taxiphone.commands.findings import report
from taxiphone.errors import TaxiphoneError
from taxiphone.server import doctor as checkup
from taxiphone.server.checks.findings import Finding


@click.command(epilog=examples("taxiphone doctor", "taxiphone doctor --json"))
@json_option
@pass_app
def doctor(app: App, as_json: bool) -> None:
    """Check the settings, the database, Asterisk and the trunk, and explain how to fix each problem.

    The exit code is 1 if calls can't be taken.
    """
    try:
        findings = checkup.findings(app.settings)
    except TaxiphoneError as error:  # without settings nothing else can be checked
        findings = [Finding(ok=False, what="the settings can't be used", advice=str(error))]
    report(findings, as_json=as_json)
