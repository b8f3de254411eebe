"""Taxiphone: paid phone consultations on Asterisk, from the dialled number to the receipt."""

__version__ = "0.1.0"
