"""API keys: what they look like, which let a caller in, and the use cases of the operator who makes them.

Knows neither AWS nor HTTP. A key is stored as its SHA-256 and nothing else: the hash finds the record, and with 160
random bits behind it nobody can search for the key, so the slow hash that a password needs would only cost time.
"""

import base64
import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, Protocol, get_args

from agent_sessions.clock import Clock

PREFIX: Final = "as_"
"""What every key begins with, so that scanners of source code can recognise one that leaked."""
SECRET_BYTES: Final = 20
"""160 random bits: exactly 32 characters of base32, without padding."""
KEY_PATTERN: Final = "^as_[a-z2-7]{32}$"
RETENTION_MS: Final = 90 * 24 * 3_600_000
"""How long a key that was revoked or has expired is still listed, in milliseconds; then its record goes."""

TENANT_ID_PATTERN: Final = "^[A-Za-z0-9._-]{1,64}$"
"""Tenants go into index keys and logs: no separator of ours, nothing that needs escaping."""
MAX_NAME_CHARACTERS: Final = 100
KEY_ID_CHARACTERS: Final = 16

_KEY: Final = re.compile(KEY_PATTERN[1:-1])
_TENANT_ID: Final = re.compile(TENANT_ID_PATTERN[1:-1])
_KEY_ID: Final = re.compile("[0-9a-f]{16}")

KeyState = Literal["active", "expired", "revoked"]
Scope = Literal["full", "client", "agent"]
"""What a key may do; `api.http` has the routes of each scope."""


class ApiKeyError(Exception):
    """A command about keys is refused; the message is for the operator."""


class InvalidKeyRequest(ApiKeyError):
    """The command breaks a rule."""


class UnknownKey(ApiKeyError):
    """There is no such key."""


class KeyNotActive(ApiKeyError):
    """The key was revoked, has expired, or has a successor already."""


def new_secret() -> bytes:
    """Return the random part of a key from the operating system."""
    return os.urandom(SECRET_BYTES)


def key_text(secret: bytes) -> str:
    """Return the key as its owner gets it: the prefix and lower-case base32, which survives being read out."""
    return PREFIX + base64.b32encode(secret).decode().lower()


def is_key(text: str) -> bool:
    """Return whether `text` has the form of a key."""
    return _KEY.fullmatch(text) is not None


def key_hash(text: str) -> str:
    """Return the name under which a key is stored: SHA-256 in hexadecimal. Whatever a caller sends has one."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class ApiKey(NamedTuple):
    """The record of a key. All `_ms` values are epoch milliseconds; `replaced_by` is the id of its successor.

    `scope` is a `Scope`; any other text that is found in the table is handed on, and allows nothing.
    """

    key_hash: str
    tenant_id: str
    name: str
    last_four: str
    created_at_ms: int
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    replaced_by: str | None = None
    scope: str = "full"

    @property
    def key_id(self) -> str:
        """The beginning of the key's hash: it names the key to people and in logs, and gives nothing of it away."""
        return self.key_hash[:KEY_ID_CHARACTERS]

    def state(self, now_ms: int) -> KeyState:
        """Return the key's state at `now_ms`: only an active key lets a caller in."""
        if self.revoked_at_ms is not None:
            return "revoked"
        if self.expires_at_ms is not None and self.expires_at_ms <= now_ms:
            return "expired"
        return "active"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made. Its `text` must be shown once; no representation of this object contains it."""

    text: str = field(repr=False)
    record: ApiKey


class Verdict(NamedTuple):
    """Whether a caller may come in, why, and whose key it was where there is a record of it."""

    allowed: bool
    reason: KeyState | Literal["unknown"]
    key: ApiKey | None


class KeyStore(Protocol):
    """Where keys live. Every method raises `ServiceUnavailable` when the store does not answer."""

    def add(self, key: ApiKey) -> None:
        """Write a new key."""
        ...

    def find(self, key_hash: str) -> ApiKey | None:
        """Read one key, as last written, in one call."""
        ...

    def of_tenant(self, tenant_id: str) -> list[ApiKey]:
        """Read all keys of a tenant, oldest first; one made a moment ago may be missing."""
        ...

    def revoke(self, key_hash: str, now_ms: int) -> ApiKey | None:
        """Mark a key as revoked unless it is already; return the key as it is then, or None where there is none."""
        ...

    def retire(self, key_hash: str, now_ms: int, expires_at_ms: int, replaced_by: str) -> bool:
        """Let an active key without a successor expire and name its successor; False where there is no such key."""
        ...


class KeyService:
    """Make, check, list, revoke and rotate keys."""

    def __init__(self, store: KeyStore, clock: Clock, secret: Callable[[], bytes] = new_secret) -> None:
        """Use `store`; `clock` is the only source of time and `secret` of randomness."""
        self._store = store
        self._clock = clock
        self._secret = secret

    def verify(self, text: str) -> Verdict:
        """Check what a caller sent: one hash and one read, whatever it is, so that the time taken reveals nothing.

        Raises:
            ServiceUnavailable: the store does not answer; nobody comes in then.

        """
        key = self._store.find(key_hash(text))
        if key is None:
            return Verdict(allowed=False, reason="unknown", key=None)
        state = key.state(self._clock.now_ms())
        return Verdict(allowed=state == "active", reason=state, key=key)

    def create(self, tenant_id: str, name: str, lifetime_ms: int | None = None, scope: str = "full") -> NewKey:
        """Make a key for a tenant, for ever or for `lifetime_ms`.

        Raises:
            InvalidKeyRequest: tenant, name, lifetime or scope break a rule.
            ServiceUnavailable: the store does not answer.

        """
        if not _TENANT_ID.fullmatch(tenant_id):
            raise InvalidKeyRequest("The tenant must have 1 to 64 letters, digits, dots, underscores or hyphens.")
        if not (0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable()):
            raise InvalidKeyRequest(f"The name must have 1 to {MAX_NAME_CHARACTERS} printable characters.")
        if lifetime_ms is not None and lifetime_ms <= 0:
            raise InvalidKeyRequest("The lifetime must be more than zero.")
        if scope not in get_args(Scope):
            raise InvalidKeyRequest(f"The scope must be one of {', '.join(get_args(Scope))}.")
        now_ms = self._clock.now_ms()
        text = key_text(self._secret())
        record = ApiKey(
            key_hash=key_hash(text),
            tenant_id=tenant_id,
            name=name,
            last_four=text[-4:],
            created_at_ms=now_ms,
            expires_at_ms=None if lifetime_ms is None else now_ms + lifetime_ms,
            scope=scope,
        )
        self._store.add(record)
        return NewKey(text, record)

    def of_tenant(self, tenant_id: str) -> list[ApiKey]:
        """Return a tenant's keys, oldest first.

        Raises:
            ServiceUnavailable: the store does not answer.

        """
        return self._store.of_tenant(tenant_id)

    def revoke(self, tenant_id: str, key_id: str) -> ApiKey:
        """End the tenant's key of this id for good; a second time changes nothing.

        Raises:
            InvalidKeyRequest: the id is malformed.
            UnknownKey: the tenant has no such key.
            ServiceUnavailable: the store does not answer.

        """
        return self._revoked(self._find(tenant_id, key_id).key_hash)

    def revoke_leaked(self, text: str) -> ApiKey:
        """End a key that was found where it should not be, from the key itself.

        Raises:
            InvalidKeyRequest: the text does not have the form of a key.
            UnknownKey: there is no such key.
            ServiceUnavailable: the store does not answer.

        """
        if not is_key(text):
            raise InvalidKeyRequest(f"A key must be {PREFIX} and 32 characters of base32.")
        return self._revoked(key_hash(text))

    def rotate(self, tenant_id: str, key_id: str, overlap_ms: int) -> NewKey:
        """Make a successor of the same name, lifetime and scope; the old key works for `overlap_ms` more, at most.

        The new key is written first: whatever happens in between, one of the caller's keys works.

        Raises:
            InvalidKeyRequest: the id is malformed, or the overlap negative.
            UnknownKey: the tenant has no such key.
            KeyNotActive: it was revoked, has expired, or was rotated before.
            ServiceUnavailable: the store does not answer.

        """
        if overlap_ms < 0:
            raise InvalidKeyRequest(f"The overlap must be zero or more, not {overlap_ms} ms.")
        old = self._find(tenant_id, key_id)
        now_ms = self._clock.now_ms()
        lifetime_ms = None if old.expires_at_ms is None else old.expires_at_ms - old.created_at_ms
        until_ms = now_ms + overlap_ms
        if old.expires_at_ms is not None:
            until_ms = min(until_ms, old.expires_at_ms)
        if old.replaced_by is not None or old.state(now_ms) != "active":
            raise KeyNotActive("Only an active key that was not rotated before can be rotated.")
        new = self.create(old.tenant_id, old.name, lifetime_ms, old.scope)
        if not self._store.retire(old.key_hash, now_ms, until_ms, new.record.key_id):
            self._store.revoke(new.record.key_hash, now_ms)
            raise KeyNotActive("The key was revoked or rotated in the meantime; the new key was revoked unseen.")
        return new

    def _find(self, tenant_id: str, key_id: str) -> ApiKey:
        if not _KEY_ID.fullmatch(key_id):
            raise InvalidKeyRequest(f"The id must have {KEY_ID_CHARACTERS} hexadecimal digits; list shows it.")
        for key in self._store.of_tenant(tenant_id):
            if key.key_id == key_id:
                return key
        raise UnknownKey(f"{tenant_id} has no key {key_id}.")

    def _revoked(self, key_hash: str) -> ApiKey:
        key = self._store.revoke(key_hash, self._clock.now_ms())
        if key is None:
            raise UnknownKey("There is no such key.")
        return key
