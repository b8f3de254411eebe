"""The steps of a call; ari_app/consultation.py has their order. Each step takes and returns plain values."""
