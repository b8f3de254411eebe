"""What the channels of a simulated call show: who heard and pressed what, and how long the two really talked.

`wrong` says, in sentences, where a call's row, its price or the wallets are not what was heard, pressed and talked. Its
prices are reckoned here anew, by the rules of docs/pricing.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal

from taxiphone.billing.ledger import balances, postings
from taxiphone.simulate.channel import What
from taxiphone.simulate.story import name
from taxiphone.store.calls import FINAL, Status
from taxiphone.store.models import Account, Call

NOTICED_SECONDS, SHORT_CALL_SECONDS, FEE = 30, 30, 500
_JITTER = 0.05  # seconds: the way of the commands, and the length of a packet


@dataclass(frozen=True)
class Did:
    """Somebody heard a sound, or pressed a key."""

    at: float
    who: str
    what: What
    value: str


@dataclass
class Witness:
    """Listens to the channels of one call, which is that of the client's channel `channel`."""

    channel: str
    events: list[Did] = field(default_factory=list)
    bridged: float = 0.0  # seconds that both were in the bridge
    talked: float = 0.0  # ... and packets came from both
    last_talker: str = ""  # which of the consultant's phones it was
    talk_began: float | None = None
    call_id: str = ""
    length: float = 0.0  # of the call
    _inside: set[str] = field(default_factory=set)
    _since: float | None = None
    _died: dict[str, float] = field(default_factory=dict)

    def __call__(self, happening):
        line = happening.channel
        if line.linked != self.channel:
            return
        match happening.what:
            case What.HEARD:
                sound = happening.sounds[0].removeprefix("taxiphone/")
                self.events.append(Did(happening.at, name(line), What.HEARD, sound))
            case What.PRESSED:
                self.events.append(Did(happening.at, name(line), What.PRESSED, happening.key))
            case What.TALKS:
                self._inside.add(line.id)
                if name(line) != "client":
                    self.last_talker = name(line)
                if len(self._inside) == 2 and self._since is None:
                    self._since = happening.at
                    self.talk_began = self.talk_began or happening.at
            case What.DIED:
                self._died[line.id] = happening.at
            case What.LEFT:
                if self._since is not None:
                    ends = [happening.at, *(self._died[each] for each in self._inside & self._died.keys())]
                    self.bridged += happening.at - self._since
                    self.talked += max(min(ends) - self._since, 0)
                    self._since = None
                self._inside.discard(line.id)

    @property
    def dead_from_the_start(self):
        return self.talk_began is not None and any(at <= self.talk_began for at in self._died.values())

    def heard(self, who):
        return [each.value for each in self.events if (each.who, each.what) == (who, What.HEARD)]

    def pressed_between(self, who, first, last):
        """Return the keys pressed after `first` was last heard before `last`; None if `last` wasn't heard."""
        keys = None
        for each in (each for each in self.events if each.who == who):
            if each.what is What.HEARD and each.value == first:
                keys = ""
            elif each.what is What.HEARD and each.value == last:
                return keys
            elif each.what is What.PRESSED and keys is not None:
                keys += each.value
        return None

    def keys_of_phone(self, phone):
        """Return the keys that one of the consultant's phones pressed before the talk."""
        began = math.inf if self.talk_began is None else self.talk_began
        return "".join(
            each.value
            for each in self.events
            if each.who == phone and each.what is What.PRESSED and each.at <= began
        )


@dataclass(frozen=True)
class Terms:
    """A consultant's prices, and what was talked and paid in a consultation before the line dropped."""

    per_minute: Decimal
    package: Decimal | None = None
    package_minutes: int = 0
    before: float = 0.0

    def cost(self, mode, seconds):
        """Return what a whole talk of this many seconds costs, in cents."""
        billed = math.ceil(round(seconds, 6))
        fee, free = Decimal(0), 0
        if mode == "package":
            if seconds < SHORT_CALL_SECONDS:
                return 0
            fee, free = self.package, self.package_minutes * 60
        beyond = max(0, billed - free) * self.per_minute / 60
        return sum(
            int((amount * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP)) for amount in (fee, beyond)
        )

    def costs(self, mode, seconds, *, continued):
        """Return every possible price of a talk of this many seconds, known to some hundredths of a second."""
        before = self.before if continued else 0.0
        paid = self.cost(mode, before)
        around = (max(0.0, seconds - _JITTER), seconds, seconds + _JITTER)
        return {max(0, self.cost(mode, before + each) - paid) for each in around}


def wallets(session):
    found = session.query(Account).filter(Account.kind == postings.WALLET)
    return {account.owner: account.balance for account in found}


def wrong(session, call_id, witness, terms, before, *, client, pin):
    """Return everything that is wrong with a finished call; empty if it is correct.

    Args:
        session: of its database.
        call_id: whose row it is.
        witness: who listened to it.
        terms: of the consultant.
        before: the wallets before the call.
        client: the id of the only one who may pay for it.
        pin: the only right one.
    """
    call = session.get_one(Call, call_id)
    return [
        *_row(session, call),
        *_money(session, call, witness, terms, before, client),
        *_clients_choices(call, witness),
        *_accepted(call, witness),
        *_let_in(call, witness, pin),
    ]


def _row(session, call):
    if call.status not in FINAL:
        yield f"it stands at {call.status}"
    if (call.status == Status.RATED) is not (call.receipt is not None):
        yield f"{call.status}, and receipt: {call.receipt}"
    pending = FEE if call.receipt is not None and call.receipt.recording_pending else 0
    if (held := balances.balance(session, postings.HOLD, call.id)) != pending:
        yield f"{held} is held"


def _money(session, call, witness, terms, before, client):
    after, receipt = wallets(session), call.receipt
    if min(after.values()) < 0:
        yield f"a wallet is below zero: {after}"
    charged = 0 if receipt is None else receipt.total
    pending = FEE if receipt is not None and receipt.recording_pending else 0
    paid = {owner: before[owner] - after[owner] for owner in before if before[owner] != after[owner]}
    if paid != ({str(client): charged + pending} if charged + pending else {}):
        yield f"paid was {paid} for a receipt of {charged} and {pending}"
    if pending and not call.recording_asked:
        yield "the fee of a recording is reserved that nobody asked for"
    if call.fault:
        if charged or pending:
            yield f"{call.fault}, and {charged} charged"
        if not witness.dead_from_the_start:
            yield f"{call.fault}, though both were heard"
        return
    seconds = min(witness.talked, call.max_seconds or 0)
    right = terms.costs(call.mode, seconds, continued=call.continues_id is not None)
    if (
        witness.bridged - witness.talked < NOTICED_SECONDS
    ):  # the other hung up before it was taken for a lost line
        right |= terms.costs(call.mode, witness.bridged, continued=call.continues_id is not None)
    if charged not in right:
        yield (
            f"{charged} is charged for {witness.talked:.2f} s of talk ({call.mode}, billed {call.billed_seconds}), "
            f"where it costs {sorted(right)}"
        )


def _clients_choices(call, witness):
    went_on = "resume-costs" in witness.heard("client")
    if went_on or call.continues_id is not None:
        keys = witness.pressed_between("client", "consultant-is", "resume-costs")  # it begins with the name
        if _first(keys, "12") != "1":
            yield f"it goes on with another by {keys!r}"
    if call.mode == "package" and not went_on:
        keys = witness.pressed_between("client", "mode-choice", "chosen-package")
        if _first(keys, "12") != "2":
            yield f"the package was chosen by {keys!r}"
    if "recording-yes" in witness.heard("client"):
        keys = witness.pressed_between("client", "recording-offer", "recording-yes")
        if _first(keys, "12") != "1":
            yield f"the recording was chosen by {keys!r}"
    elif call.recording_asked and not went_on:
        yield "the recording was chosen, and the client was not told"


def _accepted(call, witness):
    if witness.talk_began is not None:
        valid = "1" if not call.recording_asked else "12"
        keys = witness.keys_of_phone(witness.last_talker)
        if not set(keys) & {
            *valid,
            "2" if "consultant-refused-recording" in witness.heard("client") else "1",
        }:
            yield f"the consultant's phone accepted by {keys!r}"


def _let_in(call, witness, pin):
    if "enter-pin" in witness.heard("client") and call.client_id is not None:
        keys = "".join(
            each.value for each in witness.events if (each.who, each.what) == ("client", What.PRESSED)
        )
        if pin not in keys:
            yield f"somebody was let in by {keys!r}"


def _first(keys, valid):
    return next((key for key in keys or "" if key in valid), None)
