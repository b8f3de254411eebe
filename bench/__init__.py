"""Benchmarks and load tests. They are not installed with the package."""
