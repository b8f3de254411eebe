"""Recordings of talks: converts MixMonitor's WAV to a verified MP3 and deletes it after its last day."""
