"""The meter: follows Asterisk's event log and prices each call that is over."""
