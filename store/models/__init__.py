"""The tables. Amounts are whole minor units of the platform's currency (cents of EUR); prices are exact decimals.

people:     Consultant, ConsultantPhone, Client, ClientNumber, Did; SignIn (failures and lockouts)
calls:      Call (its row is written before each command to Asterisk), CallEvent (what the program saw, and when), Recording
evidence:   CelRow, CelPosition, LogGap (Asterisk's event log, the position up to which it was read, and its gaps)
money:      Account, Posting, Entry (double entry), FreeMinutes (claimed once), Receipt, CreditNote

Import tables from this package: tables refer to each other by name, so all modules must be loaded before the first query.
"""

from taxiphone.store.models.base import Base
from taxiphone.store.models.calls import Call, CallEvent, Recording
from taxiphone.store.models.evidence import CelPosition, CelRow, LogGap
from taxiphone.store.models.money import Account, CreditNote, Entry, FreeMinutes, Posting, Receipt
from taxiphone.store.models.people import Client, ClientNumber, Consultant, ConsultantPhone, Did, SignIn

__all__ = [
    "Account",
    "Base",
    "Call",
    "CallEvent",
    "CelPosition",
    "CelRow",
    "Client",
    "ClientNumber",
    "Consultant",
    "ConsultantPhone",
    "CreditNote",
    "Did",
    "Entry",
    "FreeMinutes",
    "LogGap",
    "Posting",
    "Receipt",
    "Recording",
    "SignIn",
]
