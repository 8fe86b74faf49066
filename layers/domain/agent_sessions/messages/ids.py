"""Message ids and what stands for a key. Knows neither storage nor HTTP.

An id has the form of a UUID of version 8 (RFC 9562, section 5.8). Its first 48 bits are the message's number. The other
74 bits are the session's `attempt`, which names this life of the session, and ten bits of a check, all of them under a
mask that only session and number make. So an id names its life without a read: what was answered to a message of a
former life is recognised before anything is written.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

ATTEMPT_BYTES: Final = 8
"""Bytes that name one life of a session, or one write of a message."""

REQUEST_PARTS: Final = ("content", "role", "authorId", "inReplyTo", "parts", "attachments", "metadata")
"""The fields by which a repeat of a request is recognised."""
_PART_BYTES: Final = 6
BATCH_HASH_BYTES: Final = 32

_MESSAGE_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_CHECK_BITS: Final = 10
_HIDDEN_BITS: Final = 8 * ATTEMPT_BYTES + _CHECK_BITS
_LOW_BITS: Final = 62
_MIDDLE_BITS: Final = 12


class MessageRef(NamedTuple):
    """What an id says: the message's number, and the life of the session that it belongs to."""

    sequence: int
    attempt: bytes


@lru_cache(maxsize=256)  # an answer shows an id up to five times
def message_id(session_id: str, attempt: bytes, sequence: int) -> str:
    """Return the id of a message. `attempt` is the session's own."""
    life = int.from_bytes(attempt[:ATTEMPT_BYTES])
    hidden = (life << _CHECK_BITS | _check(session_id, attempt, sequence)) ^ _mask(session_id, sequence)
    value = sequence << 80 | 8 << 76 | hidden >> _LOW_BITS << 64 | 2 << _LOW_BITS | hidden & (1 << _LOW_BITS) - 1
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def read_message_id(session_id: str, text: str) -> MessageRef | None:
    """Return what an id of a message of this session says, whichever life it belongs to; None where it is none."""
    text = text.lower()
    if not _MESSAGE_ID.fullmatch(text):
        return None
    value = int(text.replace("-", ""), 16)
    sequence = value >> 80
    hidden = (value >> 64 & (1 << _MIDDLE_BITS) - 1) << _LOW_BITS | value & (1 << _LOW_BITS) - 1
    plain = hidden ^ _mask(session_id, sequence)
    attempt = (plain >> _CHECK_BITS).to_bytes(ATTEMPT_BYTES)
    is_ours = sequence > 0 and plain & (1 << _CHECK_BITS) - 1 == _check(session_id, attempt, sequence)
    return MessageRef(sequence, attempt) if is_ours else None


def write_of_key(idempotency_key: str, request_hash: bytes) -> bytes:
    """Return what stands for the message of a key: the same for everyone who sends the same request with it."""
    return _digest(idempotency_key.encode() + b"\n" + request_hash)[:ATTEMPT_BYTES]


def request_hash(parts: Mapping[str, str]) -> bytes:
    """Return what stands for a request: the first 6 bytes of the SHA-256 of each of its `REQUEST_PARTS`."""
    return b"".join(_digest(parts[name].encode())[:_PART_BYTES] for name in REQUEST_PARTS)


def batch_hash(hashes: Iterable[bytes]) -> bytes:
    """Return what stands for a batch of requests, of the `request_hash` of each: never that of a single one."""
    return _digest(b"".join(hashes))


def differing_parts(one: bytes, other: bytes) -> tuple[str, ...]:
    """Name the parts in which two requests differ, from their hashes; of a batch, that it is one."""
    if BATCH_HASH_BYTES in (len(one), len(other)):
        return ("messages",)
    return tuple(
        name
        for part, name in enumerate(REQUEST_PARTS)
        if one[part * _PART_BYTES :][:_PART_BYTES] != other[part * _PART_BYTES :][:_PART_BYTES]
    )


def number_of_key(idempotency_key: str) -> int:
    """Return the number below zero under which a key is remembered: 96 bits of the key's SHA-256."""
    return -1 - int.from_bytes(_digest(idempotency_key.encode())[:12])


def _mask(session_id: str, sequence: int) -> int:
    return int.from_bytes(_digest(f"{session_id}:{sequence}".encode())[:10]) & (1 << _HIDDEN_BITS) - 1


def _check(session_id: str, attempt: bytes, sequence: int) -> int:
    digest = _digest(f"{session_id}:{sequence}:".encode() + attempt)
    return int.from_bytes(digest[:2]) & (1 << _CHECK_BITS) - 1


def _digest(octets: bytes) -> bytes:
    return hashlib.sha256(octets).digest()
