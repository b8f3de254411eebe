"""A complete setup on one machine: the platform, a carrier, two phones, and a call that is verified."""
