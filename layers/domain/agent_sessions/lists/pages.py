"""Lists of live sessions, newest first, in pages: sparse indexes give keys, one batch read gives what is true now.

Over all pages every session that lived throughout appears exactly once: each index partition is read in its own order
from behind the last key used, and the partitions are merged by creation time.
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, Protocol

from agent_sessions.clock import Clock
from agent_sessions.errors import FieldProblem, InvalidRequest, ServiceUnavailable
from agent_sessions.sessions.model import Session
from agent_sessions.sessions.service import ReadMany

EXTRA_QUERIES: Final = 8
"""Queries one call may make beyond the first of each partition."""
MAX_BATCHES: Final = 5
"""Batch reads one call may make, each of at most `limit` (100) sessions."""
MIN_KEYS_PER_QUERY: Final = 50
"""Keys asked of a partition at least; a query's smallest charge covers about 30 of them."""
_READ_ATTEMPTS: Final = 4
_MAC_BYTES: Final = 16


class Partition(NamedTuple):
    """One partition of an index: its name, its key attribute, and the value of that."""

    index_name: str
    attribute: str
    value: str


class Place(NamedTuple):
    """A place in a partition: behind this entry, whose moment may be no whole number."""

    listed_at: int | str
    session_id: str


class IndexKey(NamedTuple):
    """One entry of a listing index."""

    listed_at_ms: int
    session_id: str
    agent_id: str = ""


class KeyPage(NamedTuple):
    """Some entries in order, and where to read on, None at the end of the partition."""

    keys: list[IndexKey]
    next: Place | None


class SessionIndex(Protocol):
    """What listing asks of the store."""

    def partitions(self, tenant_id: str, user_id: str | None) -> list[Partition]:
        """Return the partitions that hold a user's sessions or, without a user, the whole tenant's."""
        ...

    def keys(self, partition: Partition, after: Place | None, limit: int) -> KeyPage:
        """Read up to `limit` keys, newest first, from behind `after`."""
        ...

    def read_many(self, session_ids: Iterable[str]) -> ReadMany:
        """Read up to 100 sessions as they are now."""
        ...


class ListQuery(NamedTuple):
    """Whose sessions to list, which of them, and how many at a time. UUIDs compare without case."""

    tenant_id: str
    user_id: str | None
    agent_id: str | None
    limit: int
    cursor: str | None

    @property
    def scope(self) -> str:
        """Return what a cursor is bound to: tenant and filters, but not the page size."""
        return json.dumps(
            [self.tenant_id, self.user_id and self.user_id.lower(), self.agent_id and self.agent_id.lower()]
        )


class SessionPage(NamedTuple):
    """One page: live sessions as of `now_ms`, and the cursor of the next page, if there may be one."""

    sessions: list[Session]
    now_ms: int
    next_cursor: str | None


class SessionList:
    """Assembles pages with bounded work: see `EXTRA_QUERIES` and `MAX_BATCHES`."""

    def __init__(self, index: SessionIndex, clock: Clock, secret: Callable[[], bytes]) -> None:
        """Read from `index`; `secret` gives the key that signs cursors, asked for only when one is made or read."""
        self._index = index
        self._clock = clock
        self._secret = secret

    def page(self, query: ListQuery) -> SessionPage:
        """Return one page.

        Raises:
            InvalidRequest: the cursor is not one of ours for this tenant and these filters.
            ServiceUnavailable: the store throttles or cannot be reached.

        """
        partitions = self._index.partitions(query.tenant_id, query.user_id)
        positions = [_START] * len(partitions)
        if query.cursor is not None:
            positions = self._decode(query.cursor, query.scope, len(partitions))
        merge = _Merge(self._index, partitions, positions, max(query.limit + 1, MIN_KEYS_PER_QUERY))
        sessions: list[Session] = []
        now_ms = self._clock.now_ms()
        for _ in range(MAX_BATCHES):
            keys = merge.take(query.limit - len(sessions), query.agent_id)
            if not keys:
                break
            found = self._read(keys)
            now_ms = self._clock.now_ms()
            sessions += [
                session
                for key in keys
                if (session := found.get(key.session_id))
                and session.tenant_id == query.tenant_id
                and not session.is_expired(now_ms)
            ]
        next_cursor = None if merge.exhausted else self._encode(merge.positions, query.scope)
        return SessionPage(sessions, now_ms, next_cursor)

    def _read(self, keys: list[IndexKey]) -> dict[str, Session]:
        """Read the sessions of `keys`, pausing 50, 100 and 200 ms where the store leaves some unread."""
        wanted = [key.session_id for key in keys]
        found: dict[str, Session] = {}
        for attempt in range(_READ_ATTEMPTS):
            if attempt:
                self._clock.sleep(0.025 * 2**attempt)
            read = self._index.read_many(wanted)
            found |= read.found
            wanted = read.unread
            if not wanted:
                return found
        raise ServiceUnavailable

    def _encode(self, positions: "list[_Position]", scope: str) -> str:
        payload = json.dumps(positions, separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._mac(payload, scope) + payload).decode().rstrip("=")

    def _decode(self, cursor: str, scope: str, partitions: int) -> "list[_Position]":
        """Return the positions in a cursor that this service made for this scope, or refuse it."""
        refusal = InvalidRequest([FieldProblem("cursor", "is not a cursor of this list", cursor)])
        try:
            octets = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise refusal from None
        mac, payload = octets[:_MAC_BYTES], octets[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload, scope)):
            raise refusal
        positions: list[_Position] = json.loads(payload)
        if len(positions) != partitions:  # the number of shards was changed since
            raise refusal
        return positions

    def _mac(self, payload: bytes, scope: str) -> bytes:
        """Sign with 128 bits of HMAC-SHA256; the scope's length keeps it apart from the payload."""
        signed = f"{len(scope)}:{scope}:".encode() + payload
        return hmac.new(self._secret(), signed, hashlib.sha256).digest()[:_MAC_BYTES]


# A partition's position as it stands in a cursor: nothing used yet, used up, or the last key used.
_Position = Any
_START: Final[_Position] = 0
_END: Final[_Position] = 1


class _Stream:
    """One partition, read a chunk at a time."""

    def __init__(self, partition: Partition, position: _Position) -> None:
        self.partition = partition
        self.position = position
        self.buffer: deque[IndexKey] = deque()
        self.more = position != _END
        self._next: Place | None = None

    @property
    def hungry(self) -> bool:
        return self.more and not self.buffer

    def feed(self, page: KeyPage) -> None:
        self.buffer.extend(page.keys)
        self.more = page.next is not None
        self._next = page.next
        self._skip_unreadable()

    def pop(self) -> IndexKey:
        key = self.buffer.popleft()
        self.position = [key.listed_at_ms, key.session_id]
        self._skip_unreadable()
        return key

    def _skip_unreadable(self) -> None:
        """Move behind the entries that the page left out at its end, so that the next query does not meet them."""
        if self._next is not None and not self.buffer:
            self.position = list(self._next)


class _Merge:
    """The partitions as one sequence of keys, newest first, within a bound on queries."""

    def __init__(
        self, index: SessionIndex, partitions: list[Partition], positions: list[_Position], chunk: int
    ) -> None:
        self._index = index
        self._chunk = chunk
        self._streams = [_Stream(*pair) for pair in zip(partitions, positions, strict=True)]
        self._queries_left = len(partitions) + EXTRA_QUERIES

    @property
    def positions(self) -> list[_Position]:
        return [stream.position if stream.more or stream.buffer else _END for stream in self._streams]

    @property
    def exhausted(self) -> bool:
        return all(position == _END for position in self.positions)

    def take(self, count: int, agent_id: str | None) -> list[IndexKey]:
        """Return up to `count` keys, fewer where the partitions or the queries run out."""
        wanted_agent = agent_id.lower() if agent_id is not None else None
        taken: list[IndexKey] = []
        while len(taken) < count and self._fed():
            ready = [stream for stream in self._streams if stream.buffer]
            if not ready:
                break
            key = max(ready, key=lambda stream: stream.buffer[0].listed_at_ms).pop()
            if wanted_agent is None or key.agent_id.lower() == wanted_agent:
                taken.append(key)
        return taken

    def _fed(self) -> bool:
        """Read on in each partition whose head is not known; False when a needed query is over the bound."""
        for stream in self._streams:
            while stream.hungry:
                if not self._queries_left:
                    return False
                self._queries_left -= 1
                after = None if stream.position == _START else Place(*stream.position)
                stream.feed(self._index.keys(stream.partition, after, self._chunk))
        return True
