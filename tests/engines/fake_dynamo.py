"""The local stack's DynamoDB as tests use it: with hooks for faults, a count of the calls, and a look past both."""

from collections.abc import Callable, Iterator
from typing import Any

from local.dynamo.client import MemoryDynamo
from local.dynamo.engine import Clock
from local.dynamo.values import Item, given
from tests.engines.hooked import Hooked


class FakeDynamo(MemoryDynamo, Hooked):
    """A DynamoDB client that keeps its tables in memory and goes wrong where its hooks say."""

    def __init__(self, clock: Clock | None = None, index_lag_ms: int | Callable[[], int] = 0) -> None:
        super().__init__(clock, index_lag_ms)

    def items(self, table: str) -> Iterator[Item]:
        """A copy of every item, past all hooks and counts: for a test's own eyes."""
        with self._lock:
            return iter([given(item) for item in self._tables[table].items.values()])

    def peek(self, table: str, key: Any) -> Item | None:
        """A copy of one item, past all hooks and counts. `key` is the key's value, or both values where it has two."""
        with self._lock:
            item = self._tables[table].items.get(key)
            return None if item is None else given(item)
