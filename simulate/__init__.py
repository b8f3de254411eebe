"""Calls without a telephone: a simulated Asterisk, people who follow a script, and virtual time."""
