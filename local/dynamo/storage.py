"""Tables and indexes: plain dictionaries and sorted lists, and what a read or a write of them costs."""

import functools
import heapq
import math
import zlib
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import ParamValidationError

from local.dynamo.refusals import validation
from local.dynamo.stream import Stream
from local.dynamo.values import Item, Value, kept, kind_of, size_of_item, sort_value

_ARN: Final = "arn:aws:dynamodb:eu-west-1:123456789012:table/{}"
_ITEM_BYTES: Final = 400 * 1024
_WRITE_UNIT: Final = 1024
_READ_UNIT: Final = 4096


@functools.total_ordering
class _AfterAll:
    """Comes after every key, whatever its type."""

    def __lt__(self, other: object) -> bool:
        return False

    def __gt__(self, other: object) -> bool:
        return True


AFTER_ALL: Final = _AfterAll()
Position = tuple[Any, Any]  # the value of the range key (0 where there is none), the table key
Key = Any  # the value of the partition key; with the value of the sort key, a tuple, in a table that has one


@dataclass(frozen=True, slots=True)
class Entry:
    """An item as an index has it."""

    hash: Any
    position: Position
    item: Item


@dataclass
class Index:
    """One index: sparse, and behind its table by its lag."""

    name: str
    hash_name: str
    range_name: str | None
    key_names: tuple[str, ...]  # of the index and of the table
    projected: frozenset[str] | None  # None: everything
    entries: dict[Any, Entry] = field(default_factory=dict)
    partitions: dict[Any, list[Position]] = field(default_factory=dict)
    pending: list[tuple[int, int, Any, Entry | None]] = field(default_factory=list)
    newest: dict[Any, int] = field(default_factory=dict)
    latest: dict[Any, Entry] = field(default_factory=dict)  # what the entries will be once nothing is pending
    sequence: int = 0

    def entry_of(self, key: Any, item: Item) -> Entry | None:
        hash_value = item.get(self.hash_name)
        if hash_value is None:
            return None
        range_value: Any = 0
        if self.range_name is not None:
            found = item.get(self.range_name)
            if found is None:
                return None
            range_value = sort_value(found)
        projected = self.projected
        kept_part = item if projected is None else {name: item[name] for name in projected if name in item}
        return Entry(sort_value(hash_value), (range_value, key), kept_part)

    def positions(self, hash_value: Any) -> list[Position]:
        """The entries of a partition, in the order of the range key."""
        return self.partitions.get(hash_value, [])

    def item_at(self, position: Position) -> Item:
        return self.entries[position[1]].item

    def change(self, key: Any, new: Entry | None, visible_at: int | None) -> None:
        """Take over a change now, or once the clock has reached `visible_at`; changes of one item stay in order."""
        if visible_at is None:
            self._settle(key, new)
            return
        self.newest[key] = visible_at = max(visible_at, self.newest.get(key, visible_at))
        self.sequence += 1
        heapq.heappush(self.pending, (visible_at, self.sequence, key, new))

    def catch_up(self, now_ms: int) -> None:
        while self.pending and self.pending[0][0] <= now_ms:
            visible_at, _, key, entry = heapq.heappop(self.pending)
            self._settle(key, entry)
            if self.newest.get(key) == visible_at:
                del self.newest[key]

    def _settle(self, key: Any, new: Entry | None) -> None:
        old = self.entries.get(key)
        if old is not None and (new is None or (old.hash, old.position) != (new.hash, new.position)):
            partition = self.partitions[old.hash]
            del partition[bisect_left(partition, old.position)]
            if not partition:
                del self.partitions[old.hash]
            old = None
        if new is None:
            self.entries.pop(key, None)
            return
        if old is None:
            insort(self.partitions.setdefault(new.hash, []), new.position)
        self.entries[key] = new


class Table:
    """One table's items by their key, its indexes, and the stream of its changes where it has one."""

    def __init__(self, definition: Mapping[str, Any], now_ms: int) -> None:
        self.name: str = definition["TableName"]
        self.definition = definition
        self.arn = _ARN.format(self.name)
        self.types = {entry["AttributeName"]: entry["AttributeType"] for entry in definition["AttributeDefinitions"]}
        self.hash_name, self.range_name = _key_names(definition["KeySchema"])
        self.key_names = (self.hash_name,) if self.range_name is None else (self.hash_name, self.range_name)
        self.items: dict[Key, Item] = {}
        self.sizes: dict[Key, int] = {}
        self.stream = Stream.of(definition, self.arn, now_ms)
        self.indexes = {
            index["IndexName"]: self._index(index) for index in definition.get("GlobalSecondaryIndexes", ())
        }
        self.index_keys = {
            name: index.name
            for index in self.indexes.values()
            for name in (index.hash_name, index.range_name)
            if name is not None
        }
        used = {*self.key_names, *self.index_keys}
        if used != self.types.keys():
            raise validation(
                "One or more parameter values were invalid: Some AttributeDefinitions are not used or missing: "
                f"{sorted(used ^ self.types.keys())}"
            )
        self._scan_order: list[tuple[int, Key]] | None = None
        self._partitions: dict[Any, list[Position]] = {}  # where the table has a sort key

    def _index(self, definition: Mapping[str, Any]) -> Index:
        hash_name, range_name = _key_names(definition["KeySchema"])
        keys = tuple(dict.fromkeys(name for name in (hash_name, range_name, *self.key_names) if name is not None))
        projection = definition["Projection"]
        projected = None
        if projection["ProjectionType"] != "ALL":
            projected = frozenset(keys).union(projection.get("NonKeyAttributes", ()))
        return Index(definition["IndexName"], hash_name, range_name, keys, projected)

    def index(self, name: str) -> Index:
        try:
            return self.indexes[name]
        except KeyError:
            raise validation(f"The table does not have the specified index: {name}") from None

    def key_of(self, key: Any) -> Key:
        """The key that a request names, checked: it has the key's attributes, of their types, and no other."""
        if not isinstance(key, Mapping):
            raise ParamValidationError(report=f"Invalid type for parameter Key, value: {key!r}, valid types: dict")
        if len(key) != len(self.key_names) or any(name not in key for name in self.key_names):
            raise validation("The provided key element does not match the schema")
        values = [kept(key[name]) for name in self.key_names]
        for name, value in zip(self.key_names, values, strict=True):
            if kind_of(value) != self.types[name]:
                raise validation("The provided key element does not match the schema")
            self.not_empty(name, value)
        return self._key(values)

    def key_in(self, item: Item) -> Key:
        """The key that an item has, checked."""
        values = []
        for name in self.key_names:
            value = item.get(name)
            if value is None:
                raise validation(f"One or more parameter values were invalid: Missing the key {name} in the item")
            if kind_of(value) != self.types[name]:
                raise validation(
                    f"One or more parameter values were invalid: Type mismatch for key {name} "
                    f"expected: {self.types[name]} actual: {kind_of(value)}"
                )
            self.not_empty(name, value)
            values.append(value)
        return self._key(values)

    @staticmethod
    def _key(values: Sequence[Value]) -> Key:
        return sort_value(values[0]) if len(values) == 1 else tuple(map(sort_value, values))

    def positions(self, hash_value: Any) -> list[Position]:
        """The items of a partition, in the order of the sort key."""
        if self.range_name is not None:
            return self._partitions.get(hash_value, [])
        return [(0, hash_value)] if hash_value in self.items else []

    def item_at(self, position: Position) -> Item:
        return self.items[position[1]]

    def not_empty(self, name: str, value: Value) -> None:
        if value.get("S") == "" or value.get("B") == b"":
            raise validation(
                "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain "
                f"an empty {'string' if 'S' in value else 'binary'} value. Key: {name}"
            )

    def check_index_keys(self, item: Item, names: Iterable[str]) -> None:
        for name in names:
            value = item.get(name)
            if value is None or name not in self.index_keys:
                continue
            if kind_of(value) != self.types[name]:
                raise validation(
                    f"One or more parameter values were invalid: Type mismatch for Index Key {name} "
                    f"Expected: {self.types[name]} Actual: {kind_of(value)} IndexName: {self.index_keys[name]}"
                )
            self.not_empty(name, value)

    def scan_order(self) -> list[tuple[int, Key]]:
        """Every key in the order in which a scan meets it: by the hash of its partition, as AWS does."""
        if self._scan_order is None:
            self._scan_order = sorted((self.scan_hash(key), key) for key in self.items)
        return self._scan_order

    def scan_hash(self, key: Key) -> int:
        hash_value = key if self.range_name is None else key[0]
        return zlib.crc32(hash_value if isinstance(hash_value, bytes) else str(hash_value).encode())

    def store(
        self,
        key: Key,
        item: Item | None,
        size: int,
        visible_at: Callable[[], int | None],
        touched: Iterable[str] | None,
    ) -> dict[str, float]:
        """Replace or remove an item; return what that costs each index. `touched` None: any attribute may differ."""
        old = self.items.get(key)
        if size > _ITEM_BYTES:
            raise validation("Item size has exceeded the maximum allowed size")
        if item is None:
            self.items.pop(key, None)
            self.sizes.pop(key, None)
        else:
            self.items[key] = item
            self.sizes[key] = size
        if (old is None) != (item is None):
            self._scan_order = None
            if self.range_name is not None:
                self._place(key, there=item is not None)
        costs = {}
        for index in self.indexes.values():
            if touched is not None and index.projected is not None and index.projected.isdisjoint(touched):
                continue
            before = index.latest.get(key)
            after = None if item is None else index.entry_of(key, item)
            if before is after or (before is not None and after is not None and before.item == after.item):
                continue
            if after is None:
                del index.latest[key]
            else:
                index.latest[key] = after
            index.change(key, after, visible_at())
            costs[index.name] = _index_write_units(before, after)
        return costs

    def _place(self, key: Key, *, there: bool) -> None:
        hash_value, range_value = key
        positions = self._partitions.setdefault(hash_value, [])
        if there:
            insort(positions, (range_value, key))
            return
        del positions[bisect_left(positions, (range_value, key))]
        if not positions:
            del self._partitions[hash_value]


def _key_names(schema: Sequence[Mapping[str, str]]) -> tuple[str, str | None]:
    names = {entry["KeyType"]: entry["AttributeName"] for entry in schema}
    return names["HASH"], names.get("RANGE")


def write_units(size: int) -> float:
    """What a write of an item of so many bytes costs."""
    return float(max(1, math.ceil(size / _WRITE_UNIT)))


def _index_write_units(before: Entry | None, after: Entry | None) -> float:
    """One write for an entry that comes, goes or changes; two where its key changes: out of one place, into another."""
    sizes = [size_of_item(entry.item) for entry in (before, after) if entry is not None]
    if (
        before is not None
        and after is not None
        and (before.hash, before.position[0]) == (after.hash, after.position[0])
    ):
        return write_units(max(sizes))
    return sum(write_units(size) for size in sizes)


def read_units(size: int, *, consistent: bool) -> float:
    """What a read of so many bytes costs."""
    return max(1, math.ceil(size / _READ_UNIT)) * (1.0 if consistent else 0.5)
