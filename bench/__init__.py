"""How fast it is, and what a storm of calls does to it. Not part of the package that is installed."""
