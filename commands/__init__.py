"""Every command of `taxiphone`, one module per noun, and how the terminal is written to."""
