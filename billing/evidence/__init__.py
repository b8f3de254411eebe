"""The evidence of a talk: Asterisk's event log, the program's call events, and what they prove together."""
