"""Session ids, random or derived from a key, and hashes of create requests. Knows neither storage nor HTTP."""

import hashlib
import os
import re
from typing import Final

REQUEST_PARTS: Final = ("agentId", "userId", "metadata", "timeoutConfig")
"""What makes two create requests the same one, in the order of their hashes."""
_PART_BYTES: Final = 8

_SESSION_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def new_session_id() -> str:
    """Return 122 random bits from the operating system, formed as a UUID v4."""
    return _as_uuid4(os.urandom(16))


def new_attempt() -> bytes:
    """Return 64 random bits that stand for one write of a new session."""
    return os.urandom(8)


def session_id_for_key(tenant_id: str, idempotency_key: str) -> str:
    """Return the one id that belongs to this tenant's key, so that a repeat meets the same item.

    SHA-256 over both with the tenant's length in front: no two pairs spell the same input.
    """
    text = f"{len(tenant_id)}:{tenant_id}:{idempotency_key}"
    return _as_uuid4(hashlib.sha256(text.encode()).digest()[:16])


def request_hash(agent_id: str, user_id: str, metadata: str, timeout_config: str) -> bytes:
    """Return what stands for a create request: the first 8 bytes of the SHA-256 of each of its four parts."""
    parts = (agent_id, user_id, metadata, timeout_config)
    return b"".join(hashlib.sha256(part.encode()).digest()[:_PART_BYTES] for part in parts)


def differing_parts(one: bytes, other: bytes) -> tuple[str, ...]:
    """Name the parts in which two requests differ, from their hashes.

    A hash made before there were four parts has as many bytes, and differs in all of them.
    """
    return tuple(
        part
        for number, part in enumerate(REQUEST_PARTS)
        if one[number * _PART_BYTES :][:_PART_BYTES] != other[number * _PART_BYTES :][:_PART_BYTES]
    )


def is_session_id(text: str) -> bool:
    """Return whether `text` could be an id of ours; service records in the same table never can."""
    return _SESSION_ID.fullmatch(text) is not None


def _as_uuid4(octets: bytes) -> str:
    """Set version and variant (RFC 9562, section 5.4) and print in groups of 8-4-4-4-12."""
    value = bytearray(octets)
    value[6] = value[6] & 0x0F | 0x40
    value[8] = value[8] & 0x3F | 0x80
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
