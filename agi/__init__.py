"""Scripts that the dialplan runs over FastAGI (panoramisk)."""
