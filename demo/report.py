"""The report of the demo: each result is compared with independent evidence."""

from __future__ import annotations

import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
from sqlalchemy.orm import Session

from taxiphone.billing import ledger_check
from taxiphone.billing.papers import receipts
from taxiphone.demo import platform
from taxiphone.demo.sound import RATE, Heard, find_tone, read_wav
from taxiphone.demo.story import CLIENT_HERTZ, CONSULTANT_HERTZ, Call, Set
from taxiphone.errors import SetupError
from taxiphone.store.models import Call as CallRow

# Maximum difference in seconds between the phones' recordings and the billed time.
_LENGTHS_DIFFER = 1.0
_STOPPED_SECONDS = 1.0
_MP3_DIFFERS = 0.2


@dataclass(frozen=True)
class Check:
    """The result of a check."""

    what: str
    ok: bool
    seen: str


@dataclass(frozen=True)
class Report:
    """The report, as printed by `taxiphone demo --json`."""

    call: dict[str, Any]
    receipt: dict[str, Any]
    ledger: dict[str, Any]
    mp3: dict[str, Any]
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether all checks passed."""
        return all(check.ok for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return asdict(self)


def write(everyone: Set, call: Call) -> Report:
    """Check everything that the call has produced."""
    return everyone.platform.database.read(lambda session: _write(session, everyone, call))


def _write(session: Session, everyone: Set, call: Call) -> Report:
    row = session.get_one(CallRow, call.id)
    receipt = receipts.client_receipt(session, call.id)
    problems = ledger_check.check(session)
    mp3 = everyone.platform.settings.recordings / str(row.recording.mp3 if row.recording else "")
    heard_in_mp3 = voices(mp3, everyone.folder / "decoded.wav")
    client_heard = everyone.client.heard(CONSULTANT_HERTZ)
    consultant_heard = everyone.consultant.heard(CLIENT_HERTZ)
    talked = (row.talk_to - row.talk_from).total_seconds() if row.talk_from and row.talk_to else 0.0
    mp3_seconds = (row.recording.milliseconds or 0) / 1000 if row.recording else 0.0
    checks = (
        Check(
            "the consultant's phone showed the platform's number",
            everyone.consultant.caller == platform.CLI,
            str(everyone.consultant.caller),
        ),
        _heard("the client heard the consultant", client_heard),
        _heard("the consultant heard the client", consultant_heard),
        *(
            _same_length(who, heard, talked)
            for who, heard in (("client", client_heard), ("consultant", consultant_heard))
        ),
        Check(
            "the talk ended within a second of the hang-up",
            call.stopped < _STOPPED_SECONDS,
            f"{call.stopped:.2f} s",
        ),
        _heard("the client is in the MP3", heard_in_mp3["client"]),
        _heard("the consultant is in the MP3", heard_in_mp3["consultant"]),
        Check(
            "the duration of the MP3 matches the talk",
            abs(mp3_seconds - talked) <= _MP3_DIFFERS,
            f"{mp3_seconds:.2f} s, {talked:.2f} s",
        ),
        Check(
            "the receipt's lines sum to its total",
            sum(line["minor"] for line in receipt["lines"]) == receipt["total_minor"] > 0,
            f"{receipt['total']} {receipt['currency']}",
        ),
        Check(
            "the ledger balances",
            not problems,
            "; ".join(str(problem) for problem in problems) or "no problems",
        ),
        Check("no channel is left", call.left == 0, str(call.left)),
    )
    return Report(
        call={
            "id": call.id,
            "status": row.status,
            "outcome": row.outcome,
            "talk_seconds": round(talked, 6),
            "billed_seconds": row.billed_seconds,
            "seconds_until_stopped": round(call.stopped, 3),
            "seconds_until_freed": round(call.freed, 3),
            "seconds_until_priced": round(call.priced, 3),
            "seconds_until_mp3": round(call.recorded, 3),
        },
        receipt=receipt,
        ledger={"ok": not problems, "problems": [str(problem) for problem in problems]},
        mp3={
            "path": str(mp3),
            "seconds": mp3_seconds,
            "levels_dbfs": {name: heard.level for name, heard in heard_in_mp3.items()},
        },
        checks=checks,
    )


def _heard(what: str, heard: Heard) -> Check:
    return Check(what, heard.present, f"{heard.hertz} Hz at {heard.level} dBFS for {heard.seconds:.2f} s")


def _same_length(who: str, heard: Heard, talked: float) -> Check:
    return Check(
        f"the duration heard by the {who}'s phone matches the billed duration",
        heard.present and abs(heard.seconds - talked) < _LENGTHS_DIFFER,
        f"{heard.seconds:.2f} s heard, {talked:.2f} s metered",
    )


def voices(mp3: Path, wav: Path) -> dict[str, Heard]:
    """Decode the MP3 and find both tones in it."""
    decoded = subprocess.run(
        [
            *(imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", "-i", str(mp3)),
            *("-ac", "1", "-ar", str(RATE), str(wav)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if decoded.returncode != 0:
        raise SetupError(f"the MP3 {mp3} can't be decoded: {decoded.stderr.strip()}")
    samples = read_wav(wav)
    return {"client": find_tone(samples, CLIENT_HERTZ), "consultant": find_tone(samples, CONSULTANT_HERTZ)}
