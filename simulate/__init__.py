"""A call without a telephone: a simulated Asterisk, people who behave as a script says, and time that jumps."""
