"""The part of a table or an index that a query's key condition and its starting key ask for."""

import operator
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from local.dynamo import expressions
from local.dynamo.expressions import KeyTest
from local.dynamo.refusals import validation
from local.dynamo.storage import AFTER_ALL, Index, Position, Table
from local.dynamo.values import Item, kept_item, kind_of, sort_value


@dataclass(frozen=True)
class Range:
    """The part of a partition that a query's range condition asks for."""

    test: KeyTest | None
    bounds: tuple[Any, ...] = ()

    def of(self, positions: list[Position]) -> tuple[int, int]:
        """From where to where in the sorted partition."""
        if self.test is None:
            return 0, len(positions)
        low, high = self.bounds[0], self.bounds[-1]
        first = bisect_left(positions, (low,))
        behind = bisect_right(positions, (high, AFTER_ALL))
        if self.test.operator == "begins_with":  # those that follow one another and have the same start
            while behind < len(positions) and positions[behind][0].startswith(low):
                behind += 1
        parts = {
            "<": (0, first),
            "<=": (0, behind),
            ">": (behind, len(positions)),
            ">=": (first, len(positions)),
        }
        return parts.get(self.test.operator, (first, behind))

    def ends_at(self, value: Any, *, backwards: bool) -> bool:
        """Whether nothing of a table can follow an item with this sort key, because it lies on the last bound."""
        if self.test is None or self.test.operator not in ("BETWEEN", ">=" if backwards else "<="):
            return False
        return bool(value == self.bounds[0 if backwards else -1])

    def holds(self, value: Any) -> bool:
        """Whether the condition holds for a value of the range key."""
        if self.test is None:
            return True
        compare = expressions.COMPARISONS.get(self.test.operator)
        if compare is not None:
            return compare(value, self.bounds[0])
        if self.test.operator == "begins_with":
            begins: bool = value.startswith(self.bounds[0])
            return begins
        return bool(operator.ge(value, self.bounds[0]) and operator.le(value, self.bounds[-1]))


def key_range(
    table: Table, hash_name: str, range_name: str | None, tests: Sequence[KeyTest], values: Item
) -> tuple[Any, Range]:
    """The partition that a query asks for, and the part of it."""
    by_name = {test.name: test for test in tests}
    hash_test = by_name.pop(hash_name, None)
    range_test = by_name.pop(range_name, None) if range_name is not None else None
    if hash_test is None:
        raise validation(f"Query condition missed key schema element: {hash_name}")
    if by_name:
        raise validation(f"Query condition missed key schema element: {range_name}")
    if hash_test.operator != "=":
        raise validation("Query key condition not supported")
    for test in tests:
        for placeholder in test.placeholders:
            if kind_of(values[placeholder]) != table.types[test.name]:
                raise validation(
                    "One or more parameter values were invalid: Condition parameter type does not match schema type"
                )
            table.not_empty(test.name, values[placeholder])
    hash_value = sort_value(values[hash_test.placeholders[0]])
    if range_test is None:
        return hash_value, Range(None)
    return hash_value, Range(range_test, tuple(sort_value(values[name]) for name in range_test.placeholders))


def start_position(table: Table, source: Table | Index, start: Any, hash_value: Any, within: Range) -> Position:
    """Where a query goes on: behind the item whose keys `start` holds."""
    key = kept_item(start)
    if key.keys() != set(source.key_names) or any(kind_of(key[name]) != table.types[name] for name in key):
        raise validation("The provided starting key is invalid")
    range_value = 0 if source.range_name is None else sort_value(key[source.range_name])
    if sort_value(key[source.hash_name]) != hash_value or not within.holds(range_value):
        raise validation("The provided starting key is outside query boundaries based on provided conditions")
    return range_value, table.key_in(key)
