"""Finds, fetches, starts and watches an Asterisk."""
