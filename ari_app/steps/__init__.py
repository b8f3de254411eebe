"""The steps of a call, in the order of ari_app/consultation.py. Each takes the values that it needs and returns what it found out."""
