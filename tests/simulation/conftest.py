"""Simulations take seconds each: everything in memory, no network, no other program."""

from tests.engines.fixtures import powertools

__all__ = ["powertools"]
