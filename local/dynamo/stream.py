"""A table's stream: one record for each change, as an event source mapping hands it to a function."""

import base64
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from local.dynamo.refusals import validation
from local.dynamo.values import Item, Value, size_of_item

_KEPT_MS: Final = 24 * 60 * 60 * 1000
_FIRST: Final = 10**20
_VIEWS: Final = frozenset({"KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"})

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Change:
    """One change; the items are those of the table, which nobody changes in place."""

    number: int
    at_ms: int
    old: Item | None
    new: Item | None


@dataclass
class Stream:
    """The changes of one table in their order, kept for 24 hours by the table's clock."""

    arn: str
    view: str
    key_names: Sequence[str]
    _next: int = _FIRST
    _changes: list[_Change] = field(default_factory=list)

    @classmethod
    def of(cls, definition: Mapping[str, Any], table_arn: str, now_ms: int) -> "Stream | None":
        """The stream that a CreateTable asks for; None where it asks for none."""
        wanted = definition.get("StreamSpecification") or {}
        view = wanted.get("StreamViewType")
        if not wanted.get("StreamEnabled"):
            if view is not None:
                raise validation("One or more parameter values were invalid: StreamViewType needs an enabled stream")
            return None
        if view not in _VIEWS:
            raise validation(f"One or more parameter values were invalid: StreamViewType must be one of {_VIEWS}")
        created = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        return cls(f"{table_arn}/stream/{created}", view, [entry["AttributeName"] for entry in definition["KeySchema"]])

    def add(self, old: Item | None, new: Item | None, now_ms: int) -> None:
        """Record a change. A write that leaves the item as it was makes no record."""
        if old == new:
            return
        if self._changes and self._changes[0].at_ms <= now_ms - _KEPT_MS:
            del self._changes[: bisect_right(self._changes, now_ms - _KEPT_MS, key=lambda change: change.at_ms)]
        self._changes.append(_Change(self._next, now_ms, old, new))
        self._next += 1

    def records(self, after: str | None) -> list[Record]:
        """The records behind a sequence number, oldest first; None: all that are kept."""
        start = 0 if after is None else bisect_right(self._changes, int(after), key=lambda change: change.number)
        return [self._record(change) for change in self._changes[start:]]

    def _record(self, change: _Change) -> Record:
        item = change.new if change.old is None else change.old
        keys = {name: item[name] for name in self.key_names} if item is not None else {}
        images = {}
        if change.new is not None and self.view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
            images["NewImage"] = change.new
        if change.old is not None and self.view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
            images["OldImage"] = change.old
        name = "INSERT" if change.old is None else "REMOVE" if change.new is None else "MODIFY"
        return {
            "eventID": f"{change.number:032x}",
            "eventName": name,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": self.arn.split(":")[3],
            "dynamodb": {
                "ApproximateCreationDateTime": change.at_ms // 1000,
                "Keys": json_item(keys),
                **{image: json_item(content) for image, content in images.items()},
                "SequenceNumber": str(change.number),
                "SizeBytes": size_of_item(keys) + sum(map(size_of_item, images.values())),
                "StreamViewType": self.view,
            },
            "eventSourceARN": self.arn,
        }


def json_item(item: Item) -> Item:
    """An item as it stands in a function's event."""
    return {name: _json_value(value) for name, value in item.items()}


def _json_value(value: Value) -> Value:
    """A value as it stands in a function's event, which is JSON: bytes are base64. A new object."""
    ((kind, content),) = value.items()
    if kind == "B":
        return {kind: base64.b64encode(content).decode()}
    if kind == "M":
        return {kind: json_item(content)}
    if kind == "L":
        return {kind: [_json_value(entry) for entry in content]}
    return {kind: content}
