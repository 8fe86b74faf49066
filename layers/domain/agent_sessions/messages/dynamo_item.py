"""How messages lie in DynamoDB: one builder per key, one writer and one reader per item. Knows the format, no client.

Partition key `life`, sort key `seq`. A message and a sealed number stand under their number, from 1 on; what is
remembered of an Idempotency-Key stands under a number below zero.
"""

from typing import Any, Final, get_args

from agent_sessions.messages.model import KeyRecord, Message, Role, Sealed, Slot
from agent_sessions.sessions.dynamo_item import Item, UnreadableItem, moment, number
from agent_sessions.sessions.model import life_of

LIFE: Final = "life"
SEQUENCE: Final = "seq"
TTL: Final = "purgeAt"
SEALED: Final = "sealed"
REDACTED: Final = "redacted"
EMPTIED: Final = ("content", "parts", "attachments", "metadata", "authorId")
"""What a redaction removes. What orders messages stays, and what tells one write of a message from another."""
_OMITTED: Final = {"parts": "[]", "attachments": "[]", "metadata": "{}"}
"""JSON texts, and the value that is not stored."""


def slot_key(life: str, sequence: int) -> Item:
    """Return the table's key of a message, of a sealed number, or of a remembered key."""
    return {LIFE: {"S": life}, SEQUENCE: number(sequence)}


def message_item(message: Message) -> Item:
    """Write a message's item. What is empty or follows from the rest is left out."""
    item = {
        **slot_key(life_of(message.session_id, message.attempt), message.sequence),
        "write": {"B": message.write},
        "tenantId": {"S": message.tenant_id},
        "agentId": {"S": message.agent_id},
        "userId": {"S": message.user_id},
        "sessionCreatedAt": number(message.session_created_at_ms),
        "lease": number(message.lease),
        "expiresAt": number(message.expires_at_ms),
        "createdAt": number(message.created_at_ms),
        TTL: number(message.purge_at_seconds),
        "role": {"S": message.role},
        "content": {"S": message.content},
    }
    if message.author_id != (message.user_id if message.role == "user" else message.agent_id):
        item["authorId"] = {"S": message.author_id}
    if message.in_reply_to is not None:
        item["inReplyTo"] = number(message.in_reply_to)
    texts = (message.parts_json, message.attachments_json, message.metadata_json)
    for (name, omitted), text in zip(_OMITTED.items(), texts, strict=True):
        if text != omitted:
            item[name] = {"S": text}
    return item


def sealed_item(life: str, sequence: int, purge_at_seconds: int) -> Item:
    """Write the item that seals a number."""
    return {**slot_key(life, sequence), SEALED: {"BOOL": True}, TTL: number(purge_at_seconds)}


def slot_from_item(item: Item) -> Slot:
    """Read what stands under a number.

    Raises:
        UnreadableItem: an attribute is missing, of another kind, or holds what this service cannot have written.

    """
    try:
        sequence = int(item[SEQUENCE]["N"])
        if SEALED in item:
            return Sealed(sequence)
        session_id, _, attempt = item[LIFE]["S"].partition("#")
        role: Role = _role(item["role"]["S"])
        user_id, agent_id = item["userId"]["S"], item["agentId"]["S"]
        parts, attachments, metadata = (_text(item, name, omitted) for name, omitted in _OMITTED.items())
        return Message(
            session_id=session_id,
            attempt=bytes.fromhex(attempt),
            sequence=sequence,
            write=bytes(item["write"]["B"]),
            tenant_id=item["tenantId"]["S"],
            agent_id=agent_id,
            user_id=user_id,
            session_created_at_ms=moment(item, "sessionCreatedAt"),
            lease=int(item["lease"]["N"]),
            expires_at_ms=moment(item, "expiresAt"),
            created_at_ms=moment(item, "createdAt"),
            purge_at_seconds=int(item[TTL]["N"]),
            role=role,
            content="" if REDACTED in item else item["content"]["S"],
            author_id=_text(item, "authorId", user_id if role == "user" else agent_id),
            in_reply_to=int(item["inReplyTo"]["N"]) if "inReplyTo" in item else None,
            parts_json=parts,
            attachments_json=attachments,
            metadata_json=metadata,
            redacted=REDACTED in item,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableItem(item, f"{type(error).__name__}: {error}") from None


def key_item(life: str, record: KeyRecord, purge_at_seconds: int) -> Item:
    """Write what a life remembers of an Idempotency-Key."""
    return {
        **slot_key(life, record.number),
        "n": number(record.sequence),
        "at": number(record.created_at_ms),
        "requestHash": {"B": record.request_hash},
        TTL: number(purge_at_seconds),
    }


def key_from_item(item: Item) -> KeyRecord:
    """Read what a life remembers of an Idempotency-Key.

    Raises:
        UnreadableItem: as in `slot_from_item`.

    """
    try:
        return KeyRecord(
            number=int(item[SEQUENCE]["N"]),
            sequence=int(item["n"]["N"]),
            created_at_ms=moment(item, "at"),
            request_hash=bytes(item["requestHash"]["B"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableItem(item, f"{type(error).__name__}: {error}") from None


def _role(text: str) -> Any:  # noqa: ANN401 - checked here
    if text not in get_args(Role):
        raise ValueError(f"role must be one of {', '.join(get_args(Role))}, not {text[:40]}")
    return text


def _text(item: Item, name: str, otherwise: str) -> str:
    return str(item[name]["S"]) if name in item else otherwise
