"""What Asterisk reads: its files, its prompts, and the programs that find, start and watch it."""
