"""Renders Asterisk's configuration files from the settings, without side effects.

Every value passes `_one_line`, which rejects values that could end a line, start a comment or open a section.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import phonenumbers
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from taxiphone.dialplan.asterisk.home import Folders
from taxiphone.dialplan.asterisk.locate import Asterisk
from taxiphone.dialplan.credentials import AMI_USER, ARI_USER, Secrets
from taxiphone.dialplan.modules import MODULES
from taxiphone.errors import SettingsError
from taxiphone.settings import Settings

USER_AGENT = "Taxiphone"
"""The User-Agent of Asterisk's own SIP messages."""

# The columns of the CEL file, in order, as read by billing/evidence/cel.py. Values chosen by the caller (caller ID, dialled
# number, application data) are omitted, because a line break in one would break the row. Their columns are left empty by
# using `userdeftype`, which is not set for the events that are logged. `userfield` is the note read by
# billing/metering/arrivals.py; of the caller's values, the dialplan writes only digits to it.
_CEL_COLUMNS = (
    "${eventtype}",
    "${eventtime}",
    "${CHANNEL(uniqueid)}",
    "${CHANNEL(linkedid)}",
    "${CHANNEL(channame)}",
    "${userdeftype}",
    "${userdeftype}",
    "${CHANNEL(appname)}",
    "${CHANNEL(userfield)}",
    "${eventextra}",
)

# Identifies the INVITE by From tag and CSeq (ari_app/invites.py), and has the text sent instead of a dialled number.
_INVITE = (
    "${FILTER(a-zA-Z0-9,${CHANNEL(pjsip,remote_tag)}):0:80}.${FILTER(0-9,${PJSIP_HEADER(read,CSeq)}):0:10},"
    "${FILTER(a-zA-Z0-9+._\\x2d,${TAXIPHONE_NAMED})}"
)

# Patterns for a dialled number in any notation, optionally starting with `+`. There is one pattern per length, because `.`
# would match any characters, and a SIP URI can contain line breaks (%0a).
_DIALLED = tuple("_[+0-9]" + "X" * digits for digits in range(24))
# Visible ASCII as an argument of the dialplan's REPLACE(). The first backslash escapes the second one for the parser.
_VISIBLE = "".join(f"\\\\x{code:02x}" for code in range(0x21, 0x7F))

# The headers that identify the caller, passed to directory/callers.py in this order. The caller may have written any of
# them, so only characters without a meaning in the dialplan are passed (\x20 is a space, \x2D a hyphen, \x3A a colon, \x3B a
# semicolon, \x3C and \x3E are angle brackets). Commas, quotes and square brackets are not.
_HARMLESS = r"A-Za-z0-9@.=_+%\x20\x2D\x3A\x3B\x3C\x3E"
_LONGEST_HEADER = 400


def _filtered(*values: str) -> str:
    return f"${{FILTER({_HARMLESS},{' '.join(values)}):0:{_LONGEST_HEADER}}}"


def _header(name: str, number: int = 1) -> str:
    return f"${{PJSIP_HEADER(read,{name},{number})}}"


_IDENTITY = ",".join(
    (
        _filtered("${CALLERID(num-pres)}"),
        _filtered(_header("Privacy"), _header("Privacy", 2)),
        _filtered(_header("From")),
        _filtered(_header("P-Asserted-Identity"), _header("P-Asserted-Identity", 2)),
        _filtered(_header("Remote-Party-ID")),
    )
)

# Evaluates to "allowed0" if the number may be written to the event log. This check is stricter than directory/callers.py:
# a call that was not answered is logged without a number rather than with one that was withheld.
_IDENTITY_SHOWN = (
    "${CALLERID(num-pres):0:7}"
    f"${{FILTER(A-Za-z,{_header('Privacy')})}}"
    '${REGEX("anonym|private|restricted|unavailable|withheld|blocked|[.]invalid|validation.failed" '
    f"${{TOLOWER({_filtered(_header('From'), _header('P-Asserted-Identity'), _header('P-Asserted-Identity', 2))})}})}}"
)

# Asterisk logs a warning for each of these files that is missing, although it needs nothing in them.
_EMPTY_FILES = {
    "acl.conf": "",
    "ccss.conf": "[general]\n",
    "features.conf": "[general]\n",
    "geolocation.conf": "",
    # Errors of pjproject (level 1) contain whole packets from strangers, including line breaks, so they are not logged.
    "pjproject.conf": "[log_mappings]\ntype = log_mappings\nasterisk_error = 0\nasterisk_warning =\nasterisk_debug = 1,2,3,4,5,6\n",
    "statsd.conf": "[general]\nenabled = no\n",
    "udptl.conf": "[general]\n",
    "websocket_client.conf": "",
}

# So many callers at once are told that all lines are busy. Further ones are refused without a word, so that a flood of calls
# takes neither ports nor rows of the database.
_MOST_TOLD = 10

_TONES = {
    "FR": "fr",
    "GB": "uk",
    "US": "us",
    "CA": "us",
    "BE": "be",
    "CH": "ch",
    "DE": "de",
    "ES": "es",
    "IT": "it",
    "NL": "nl",
}
_UNSAFE_IN_PATH = re.compile(r"[\x00-\x1f\x7f;=,#$|&\\\"'(){}<>\[\]]")


def render(
    settings: Settings, secrets: Secrets, asterisk: Asterisk | None, *, etc: Path | None = None
) -> dict[str, str]:
    """Render all of Asterisk's files.

    Args:
        settings: the settings.
        secrets: the passwords (see credentials.py).
        asterisk: the Asterisk whose modules are loaded; None: it loads them from its compiled-in folder.
        etc: the folder of the files, if not the one in the home.

    Returns:
        the texts by file name. They contain passwords.

    Raises:
        SettingsError: a value can't be written to Asterisk's files.
    """
    region = phonenumbers.region_code_for_number(phonenumbers.parse(settings.platform.cli, None))
    values = {
        **_asterisk_conf_values(settings.asterisk_home, asterisk, settings.platform.language, etc),
        "module_names": MODULES,
        "sip_address": settings.asterisk.sip_address,
        "sip_port": settings.asterisk.sip_port,
        "external_address": settings.asterisk.external_address,
        "rtp_start": settings.asterisk.rtp_start,
        "rtp_end": settings.asterisk.rtp_end,
        "http_port": settings.asterisk.http_port,
        "agi_port": settings.asterisk.agi_port,
        "agi_secret": secrets.agi_secret,
        "ami_port": settings.asterisk.ami_port,
        "ami_user": AMI_USER,
        "ami_secret": secrets.ami_secret,
        "hep_port": settings.asterisk.hep_port,
        "hep_secret": secrets.hep_secret,
        "user_agent": USER_AGENT,
        "trunk": settings.trunk,
        "registers": settings.trunk.mode == "registration",
        "match": settings.trunk.match or (settings.trunk.host,),
        "trunk_password": secrets.trunk_password,
        "ari_user": ARI_USER,
        "ari_password": secrets.ari_password,
        "cel_file": _path(settings.cel_file),
        "cel_columns": _CEL_COLUMNS,
        "dialled": _DIALLED,
        "did_from": settings.trunk.dids_from,
        "visible": _VISIBLE,
        "menu_seconds": settings.call.menu_seconds,
        "most_calls": settings.most_calls,
        "most_told": _MOST_TOLD,
        "identity": _IDENTITY,
        "identity_shown": _IDENTITY_SHOWN,
        "invite": _INVITE,
        "captured": _path(settings.captured),
        "country": _TONES.get(str(region), "fr"),
    }
    environment = _environment()
    return _EMPTY_FILES | {
        name.removesuffix(".j2"): environment.get_template(name).render(values)
        for name in sorted(environment.list_templates())
    }


def render_asterisk_conf(home: Path, asterisk: Asterisk | None, language: str = "en") -> str:
    """Render asterisk.conf alone, with every folder below `home`, for another Asterisk such as the demo's network.

    Raises:
        SettingsError: the path of the home can't be written to Asterisk's files.
    """
    values = _asterisk_conf_values(home, asterisk, language)
    return _environment().get_template("asterisk.conf.j2").render(values)


def _asterisk_conf_values(
    home: Path, asterisk: Asterisk | None, language: str, etc: Path | None = None
) -> dict[str, Any]:
    folders = Folders(_path(home))
    modules = _path(asterisk.modules) if asterisk else None
    return {"folders": folders, "etc": _path(etc or folders.etc), "modules": modules, "language": language}


def _path(path: Path) -> Path:
    if _UNSAFE_IN_PATH.search(str(path)):
        raise SettingsError(
            f"the folder {str(path)!r} has a character that is not allowed in Asterisk's files. "
            "Set [paths] state to a path of letters, digits, '-', '_' and '.'."
        )
    return path


def _environment() -> Environment:
    environment = Environment(  # noqa: S701 - not HTML; every value passes `_one_line`
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        finalize=_one_line,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["escaped"] = _escaped
    return environment


def _one_line(value: Any) -> Any:
    """Check a value that a template writes."""
    text = str(value)
    if not text.isprintable() or re.search(r"(?<!\\);", text):
        raise SettingsError("a setting contains a line break, a control character or a semicolon. Remove it.")
    return value


def _escaped(text: str) -> str:
    r"""Escape free text for Asterisk's files, where `;` starts a comment and `\;` does not."""
    return text.replace(";", r"\;")
