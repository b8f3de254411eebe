"""A talk's sound: from MixMonitor's WAV to a verified MP3, until its day of deletion."""
