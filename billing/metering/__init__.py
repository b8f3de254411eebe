"""The meter: it follows Asterisk's event log, and each call that is over gets its price."""
