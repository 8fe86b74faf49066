"""Finds what is due, publishes the warnings and expiries, and reports how the service fares."""
