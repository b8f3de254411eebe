"""Double entry: accounts and postings, refunds, payouts, and what a client may still spend."""
