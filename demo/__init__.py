"""A whole working set on one machine: the platform, a carrier, two phones, and a call that proves itself."""
