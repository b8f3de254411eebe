"""What people are shown: receipts, statements and the explanation of a price, as text, PDF and data."""
