"""What callers hear: the texts of each language, how values are spoken, and the sounds made from both."""
