"""The tables for statements without the ORM, whose sessions take several times as long."""

from __future__ import annotations

from typing import cast

from sqlalchemy import Table

from taxiphone.store import models

CALL = cast(Table, models.Call.__table__)
CALL_EVENT = cast(Table, models.CallEvent.__table__)
RECORDING = cast(Table, models.Recording.__table__)
CEL_POSITION = cast(Table, models.CelPosition.__table__)
CEL_ROW = cast(Table, models.CelRow.__table__)
CLIENT = cast(Table, models.Client.__table__)
CLIENT_NUMBER = cast(Table, models.ClientNumber.__table__)
CONSULTANT = cast(Table, models.Consultant.__table__)
CONSULTANT_PHONE = cast(Table, models.ConsultantPhone.__table__)
DID = cast(Table, models.Did.__table__)
ACCOUNT = cast(Table, models.Account.__table__)
ENTRY = cast(Table, models.Entry.__table__)
POSTING = cast(Table, models.Posting.__table__)
FREE_MINUTES = cast(Table, models.FreeMinutes.__table__)
RECEIPT = cast(Table, models.Receipt.__table__)
CREDIT_NOTE = cast(Table, models.CreditNote.__table__)
