"""The steps of a call, in the order of ari_app/consultation.py: each gives None, or the outcome with which the call ends."""
