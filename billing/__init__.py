"""The money: talk from the event log, tariff, rating, ledger, receipts."""
