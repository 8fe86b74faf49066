"""What the erasure of a user works with: the values that it passes around, and what it asks of a store.

Knows neither HTTP nor AWS.
"""

import hashlib
from typing import Final, NamedTuple, Protocol

START: Final = ""
"""The place before the first of a user's sessions."""
_DIGEST_BITS: Final = 256


class FoundSession(NamedTuple):
    """A session to erase: its id, what names its life, and whether it was talked in."""

    session_id: str
    attempt: bytes
    talked_in: bool


class UserPage(NamedTuple):
    """Sessions of a user that are there, and the place to read on from; None at the end."""

    found: list[FoundSession]
    next: str | None


class UserOrder(NamedTuple):
    """An order to go on with the erasure of a user."""

    erasure_id: str


class Erasure(NamedTuple):
    """The record of one erasure.

    `batch` are sessions that are being ended and are not counted yet, `after` is the place behind the last batch of the
    present pass, `lives` are what is yet to be emptied of messages. `digest` is the sum, modulo 2**256, of the SHA-256
    of each removed session's id: the order of the removals does not change it. `user_id` is empty once the erasure is
    done.
    """

    erasure_id: str
    tenant_id: str
    user_id: str
    user_hash: str
    requested_at_ms: int
    version: int = 0
    sessions: int = 0
    messages: int = 0
    digest: int = 0
    batch: tuple[FoundSession, ...] = ()
    after: str = START
    lives: tuple[str, ...] = ()
    finished_at_ms: int | None = None

    @property
    def digest_hex(self) -> str:
        """The digest as 64 hexadecimal digits."""
        return f"{self.digest:064x}"

    def with_ended(self, session_id: str, life: str | None) -> "Erasure":
        """Count the first session of the batch, which has ended; `life` is named where it may hold messages."""
        added = int.from_bytes(hashlib.sha256(session_id.encode()).digest())
        return self._replace(
            batch=self.batch[1:],
            lives=self.lives if life is None else (*self.lives, life),
            sessions=self.sessions + 1,
            digest=(self.digest + added) % (1 << _DIGEST_BITS),
        )

    def with_removed(self, messages: int, *, emptied: bool) -> "Erasure":
        """Count messages of the first life; `emptied` where it holds none any more."""
        return self._replace(messages=self.messages + messages, lives=self.lives[emptied:])


def user_hash(user_id: str) -> str:
    """Return what a receipt has in place of a user's id: the SHA-256 of the id in lower case, as hexadecimal digits."""
    return hashlib.sha256(user_id.lower().encode()).hexdigest()


class UserSessions(Protocol):
    """Where a user's sessions are found. Raises `ServiceUnavailable` when the store does not answer."""

    def page(self, tenant_id: str, user_id: str, until_ms: int, after: str) -> UserPage:
        """Find sessions, live or ended, that were created up to `until_ms`, in the order of one index, behind `after`.

        What is found was there when it was read, in the life that is named.
        """
        ...


class ErasureRecords(Protocol):
    """Where the records of erasures are kept. Raises `ServiceUnavailable` when the store does not answer."""

    def get(self, erasure_id: str) -> Erasure | None:
        """Read a record as last written."""
        ...

    def save(self, erasure: Erasure) -> Erasure | None:
        """Write a record over the version that it was read in; return it as written, or None where another was quicker.

        Version 0 is a new record.
        """
        ...
