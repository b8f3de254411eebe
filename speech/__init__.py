"""Prompts: the texts of each language, the grammar of values, and the sounds made from both."""
