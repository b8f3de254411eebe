"""Receipts, statements and price explanations, as text, PDF and data."""
