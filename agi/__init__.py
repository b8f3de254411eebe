"""The voice lines that the dialplan itself asks for, over FastAGI (panoramisk)."""
