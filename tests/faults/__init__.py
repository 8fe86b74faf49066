"""Faults put into the package on purpose: the unit tests must catch them. `python -m tests.faults` runs them."""
