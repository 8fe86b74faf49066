"""Events of sessions that begin and end, from records of the sessions table's stream (docs/contract.md, Events).

Knows the format of the records, no client. What the mapping's filter lets through besides is no event here either.
"""

from typing import Any

from agent_sessions.events.cloud_events import Event, session_event
from agent_sessions.events.stream import EventOf, RawRecord, item_of, message_events
from agent_sessions.sessions.dynamo_item import SESSION_ID, session_from_item


def events_of_both_tables(source: str, *, with_content: bool) -> EventOf:
    """Return the reader of the streams of both tables: which one a record is from shows in its key."""
    of_messages, of_sessions = message_events(source, with_content=with_content), session_events(source)

    def event_of(raw: RawRecord) -> Event | None:
        return (of_sessions if SESSION_ID in raw["dynamodb"]["Keys"] else of_messages)(raw)

    return event_of


def session_events(source: str) -> EventOf:
    """Return the reader of the sessions table's stream: creations, and removals of sessions that had not expired."""

    def event_of(raw: RawRecord) -> Event | None:
        change = raw["dynamodb"]
        old, new = change.get("OldImage"), change.get("NewImage")
        if new is not None:
            return _created(old, new, source)
        by_ttl = "userIdentity" in raw
        return None if by_ttl or old is None else _ended(old, change["ApproximateCreationDateTime"], source)

    return event_of


def _created(old: Any, new: Any, source: str) -> Event | None:  # noqa: ANN401 - images of items
    """Return the event of a new life: of a new item, or of one that replaces a record that was retired."""
    if "attempt" not in new or (old is not None and old.get("attempt") == new["attempt"]):
        return None
    session = session_from_item(item_of(new))
    return session_event("created", session, session.created_at_ms, source)


def _ended(old: Any, at_seconds: float, source: str) -> Event | None:  # noqa: ANN401 - an image of an item
    if "attempt" not in old:
        return None
    session = session_from_item(item_of(old))
    at_ms = round(at_seconds * 1000)
    return None if session.is_expired(at_ms) else session_event("ended", session, at_ms, source)
