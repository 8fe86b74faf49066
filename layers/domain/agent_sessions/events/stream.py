"""Records of a table's stream, as an event source mapping hands them over, and the events that they stand for.

A record holds an item in DynamoDB's typed JSON, with bytes in base64. Knows the format, no client.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from agent_sessions.events.cloud_events import Event, message_event
from agent_sessions.messages.dynamo_item import LIFE, SEQUENCE, slot_from_item
from agent_sessions.messages.model import Message
from agent_sessions.sessions.dynamo_item import SESSION_ID, Item

RawRecord = Mapping[str, Any]
EventOf = Callable[[RawRecord], Event | None]
"""Makes the event that a record stands for; None where it stands for none. Raises whatever keeps it from being read."""

_INSERT: Final = "INSERT"


class StreamRecord(NamedTuple):
    """What the delivery needs of a record, however little of it can be read.

    `key` names the item: attribute to value. Records of the same partition, which is a life of a session, are published
    in their order. `created_at_ms` has the precision of a second.
    """

    sequence_number: str
    key: Mapping[str, str]
    created_at_ms: int | None

    @property
    def partition(self) -> str:
        """The life of the session that the item belongs to, or the session that it is."""
        return self.key.get(LIFE) or self.key.get(SESSION_ID, "")


def record_of(raw: RawRecord) -> StreamRecord:
    """Read the frame of a record. What is not there, or of another kind, is left out."""
    change = raw.get("dynamodb")
    change = change if isinstance(change, Mapping) else {}
    keys, created = change.get("Keys"), change.get("ApproximateCreationDateTime")
    return StreamRecord(
        sequence_number=str(change.get("SequenceNumber", "")),
        key={
            str(name): str(next(iter(value.values())))
            for name, value in (keys if isinstance(keys, Mapping) else {}).items()
            if isinstance(value, Mapping) and value
        },
        created_at_ms=round(created * 1000) if isinstance(created, int | float) else None,
    )


def message_events(source: str, *, with_content: bool) -> EventOf:
    """Return the reader of the messages table's stream: a message that was stored is an event, and nothing else is."""

    def event_of(raw: RawRecord) -> Event | None:
        change = raw["dynamodb"]
        is_message = raw["eventName"] == _INSERT and int(change["Keys"][SEQUENCE]["N"]) > 0
        slot = slot_from_item(item_of(change["NewImage"])) if is_message else None
        return message_event(slot, source, with_content=with_content) if isinstance(slot, Message) else None

    return event_of


def item_of(image: Mapping[str, Any]) -> Item:
    """Return an image as a client of DynamoDB would: bytes as bytes. Only attributes at the top are bytes here."""
    return {
        name: {"B": base64.b64decode(value["B"])} if isinstance(value, Mapping) and "B" in value else value
        for name, value in image.items()
    }
