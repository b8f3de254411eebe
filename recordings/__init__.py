"""A talk's sound: from MixMonitor's WAV to a verified MP3, kept through a day that the client was told."""
