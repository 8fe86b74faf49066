"""The use cases of one session: decide by the rules of `leases`, write through a store. Knows neither HTTP nor AWS."""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from agent_sessions.clock import Clock
from agent_sessions.errors import (
    FieldProblem,
    IdempotencyKeyReused,
    InvalidRequest,
    ServiceUnavailable,
    SessionExpired,
    SessionNotFound,
    SessionServiceError,
    TooManyConflicts,
)
from agent_sessions.sessions.attempts import MAX_ATTEMPTS, Snapshot, Write, check_id, live_session, until_accepted
from agent_sessions.sessions.ids import differing_parts, new_attempt, session_id_for_key
from agent_sessions.sessions.leases import Patch, Renewal, RenewalPath, check_still_lives, next_attempt, patch_of
from agent_sessions.sessions.model import MS_PER_MINUTE, Session, TimeoutConfig, purge_at_seconds, warning_due_ms

RIVALRY_SECONDS: Final = 0.02
"""Unit of the pauses before a patch's later attempts, in which a rival finishes: some round trips to the store."""

LOST_ANSWER_SECONDS: Final = 0.2
"""Longest pause before a create whose answer was lost looks for what it wrote."""


class Deletion(NamedTuple):
    """Outcome of a delete: done, or refused as the session was talked in, or has another life than was named.

    `session` is None where its item cannot be read, `attempt` stands for the life that was found.
    """

    done: bool
    session: Session | None
    attempt: bytes


class ReadMany(NamedTuple):
    """What a batch read gave, the ids it left unread (throttled), and what is wrong with items that make no sense."""

    found: dict[str, Session]
    unread: list[str]
    damaged: dict[str, str]


class SessionStore(Protocol):
    """Where sessions live. Every method is one call to the store and raises `ServiceUnavailable` when it fails."""

    def create(self, session: Session) -> Session | None:
        """Write a new session; return None, or the session that already holds the id."""
        ...

    def get(self, session_id: str) -> Session | None:
        """Read one session, as last written."""
        ...

    def renew(self, session_id: str, tenant_id: str, attempt: Renewal, now_ms: int) -> Write:
        """Carry out one heartbeat or renewal at `now_ms`, if the attempt's path is the right one."""
        ...

    def patch(self, read: Session, patch: Patch, now_ms: int) -> Write:
        """Carry out a patch that was worked out on `read`, if its case still holds."""
        ...

    def put_metadata(self, read: Session, metadata_json: str, now_ms: int) -> Write:
        """Replace the metadata of a session, if it lives and its metadata is still what was read."""
        ...

    def delete(
        self, session_id: str, tenant_id: str, attempt: bytes | None = None, *, silent: bool = False
    ) -> Deletion | None:
        """Remove the tenant's session, readable or not; return None where the tenant has no such session.

        With `attempt` only the life that it names is removed. Without it, or where `silent`, only a session that was
        never talked in.
        """
        ...

    def attempt_of(self, session_id: str) -> bytes | None:
        """Return what stands for the life of the session that has this id, as last written; None where none has it."""
        ...


class NewSession(NamedTuple):
    """A checked request for a session. `request_hash`, made by `ids.request_hash`, recognises a repeat of it."""

    agent_id: str
    user_id: str
    metadata_json: str
    timeout: TimeoutConfig
    request_hash: bytes
    idempotency_key: str | None


class Creation(NamedTuple):
    """What a create gave: the session, and whether this call made it."""

    snapshot: Snapshot
    is_new: bool


class SessionService:
    """Create, read, renew, change and end sessions, each within one tenant."""

    def __init__(
        self,
        store: SessionStore,
        clock: Clock,
        new_id: Callable[[], str],
        jitter: Callable[[], float] = lambda: 0.0,
        *,
        retention_ms: int,
        longest_ms: int,
        attempts: Callable[[], bytes] = new_attempt,
    ) -> None:
        """Use `store`; `clock` is the only source of time, `new_id` of ids and `attempts` of what names a write.

        `jitter` gives a number from 0 to 1, which spreads the pauses of rivals. An expired session is remembered for
        `retention_ms`; `longest_ms` is the largest maximum duration that the service allows.
        """
        self._store = store
        self._clock = clock
        self._retention_ms = retention_ms
        self._longest_ms = longest_ms
        self._new_id = new_id
        self._jitter = jitter
        self._attempts = attempts

    def create(self, tenant_id: str, request: NewSession, refusal: SessionServiceError | None = None) -> Creation:
        """Make a session or, on a repeated idempotency key, return the one that was made.

        With a `refusal` none is made, but a repeat of what was accepted before is answered as ever.

        Raises:
            SessionServiceError: the refusal.
            IdempotencyKeyReused: the key was used with a different request; names the parts that differ.
            SessionExpired: the session that the key made is over; names that session.
            ServiceUnavailable: the store does not answer.

        """
        key = request.idempotency_key
        session_id = self._new_id() if key is None else session_id_for_key(tenant_id, key)
        if refusal is not None:
            held = None if key is None else self._store.get(session_id)
            if held is None or held.is_retired(self._clock.now_ms(), self._retention_ms):
                raise refusal
            return self._repeat(held, request, self._clock.now_ms())
        ours: set[bytes] = set()
        lost = False
        for _ in range(MAX_ATTEMPTS):
            now_ms = self._clock.now_ms()
            session = self._first_lease(session_id, tenant_id, request, now_ms)
            ours.add(session.attempt)
            try:
                held = self._store.create(session)
            except ServiceUnavailable:
                if lost:
                    raise
                lost = True
                held = self._find_after_lost_answer(session_id)
                if held is None:
                    # Whoever deleted what the first write made must not meet it again: the next write is another
                    # session. A key's id stays; its DELETE forgot the key, so that the session may be made anew.
                    session_id = session_id if key else self._new_id()
                    continue
            if held is None or held.attempt in ours:
                return Creation(Snapshot(held or session, now_ms), is_new=True)
            if key is None:
                session_id = self._new_id()
                continue
            if held.is_retired(now_ms, self._retention_ms):
                continue
            return self._repeat(held, request, now_ms)
        raise TooManyConflicts

    @staticmethod
    def _repeat(held: Session, request: NewSession, now_ms: int) -> Creation:
        """Answer a request under a key that has made a session already. Raises as `create` does."""
        if held.request_hash != request.request_hash:
            raise IdempotencyKeyReused(differing_parts(held.request_hash, request.request_hash))
        if held.is_expired(now_ms):
            raise SessionExpired(held.expires_at_ms, held.reason, of_key=held.session_id)
        return Creation(Snapshot(held, now_ms), is_new=False)

    def _find_after_lost_answer(self, session_id: str) -> Session | None:
        self._clock.sleep(LOST_ANSWER_SECONDS * self._jitter())
        return self._store.get(session_id)

    def find_by_key(self, tenant_id: str, idempotency_key: str) -> Snapshot | None:
        """Read the live session that was made with a key, or return None. One consistent read.

        Raises:
            ServiceUnavailable: the store does not answer.

        """
        try:
            return self.get(tenant_id, session_id_for_key(tenant_id, idempotency_key))
        except (SessionNotFound, SessionExpired):
            return None

    def get(self, tenant_id: str, session_id: str) -> Snapshot:
        """Read a live session; no activity.

        Raises:
            SessionNotFound: unknown, deleted, retired, malformed id, or another tenant's.
            SessionExpired: over, within the retention.
            ServiceUnavailable: the store does not answer.

        """
        check_id(session_id)
        found = self._store.get(session_id)
        now_ms = self._clock.now_ms()
        return Snapshot(self._live(found, tenant_id, now_ms), now_ms)

    def heartbeat(self, tenant_id: str, session_id: str) -> Snapshot:
        """Record activity, and renew where `autoRenew` is on and the cap leaves room. Raises as `get` does.

        Raises:
            TooManyConflicts: five racing attempts lost.

        """
        return self._renew(tenant_id, session_id, manual=False)

    def renew(self, tenant_id: str, session_id: str) -> Snapshot:
        """Renew even where `autoRenew` is off. Raises as `heartbeat` does.

        Raises:
            SessionRenewalFailed: the session already lasts to the end of its maximum duration.

        """
        return self._renew(tenant_id, session_id, manual=True)

    def patch_timeout(self, tenant_id: str, session_id: str, merge: Callable[[Session], TimeoutConfig]) -> Snapshot:
        """Change a live session's timeout settings to what `merge` makes of them. Raises as `heartbeat` does.

        `merge` is only called for a live session, so that 404 and 410 win over whatever it refuses.

        Raises:
            InvalidRequest: raised by `merge`, or the change would end the session.

        """

        def change(read: Session, now_ms: int) -> Write | None:
            timeout = merge(read)
            if timeout == read.timeout:
                return None
            patch = patch_of(read, timeout, now_ms)
            check_still_lives(read, patch, now_ms)
            self._check_outlived(read, patch)
            return self._store.patch(read, patch, now_ms)

        return self._change(tenant_id, session_id, change)

    def patch_metadata(self, tenant_id: str, session_id: str, merge: Callable[[str], str]) -> Snapshot:
        """Change a live session's metadata to what `merge` makes of it, both as JSON text. Raises as `heartbeat` does.

        It is no activity. `merge` is only called for a live session, so that 404 and 410 win over whatever it refuses.
        Raises what `merge` raises.
        """
        written: list[str] = []

        def change(read: Session, now_ms: int) -> Write | None:
            if read.metadata_json in written:  # our own write: its answer was lost, and the SDK sent it again
                return None
            merged = merge(read.metadata_json)
            if merged == read.metadata_json:
                return None
            written.append(merged)
            return self._store.put_metadata(read, merged, now_ms)

        return self._change(tenant_id, session_id, change)

    def _change(self, tenant_id: str, session_id: str, change: Callable[[Session, int], Write | None]) -> Snapshot:
        """Read a live session and let `change` write what follows from it (None: nothing); start over where it lost."""
        check_id(session_id)
        found = self._store.get(session_id)
        for attempt in range(MAX_ATTEMPTS):
            if attempt > 1:  # patches are refused by patches: let the others finish
                self._clock.sleep(RIVALRY_SECONDS * attempt * self._jitter())
                found = self._store.get(session_id)
            now_ms = self._clock.now_ms()
            read = self._live(found, tenant_id, now_ms)
            write = change(read, now_ms)
            if write is None:
                return Snapshot(read, now_ms)
            if write.applied and write.session:
                return Snapshot(write.session, now_ms)
            found = write.session
        raise TooManyConflicts

    def _renew(self, tenant_id: str, session_id: str, *, manual: bool) -> Snapshot:
        check_id(session_id)
        snapshot, _ = until_accepted(
            self._clock,
            Renewal(RenewalPath.USUAL, manual),
            write=lambda attempt, now_ms: self._store.renew(session_id, tenant_id, attempt, now_ms),
            live=lambda found, now_ms: self._live(found, tenant_id, now_ms),
            choose=lambda found, refused_ms, now_ms: next_attempt(found, refused_ms, now_ms, manual=manual),
        )
        return snapshot

    def _first_lease(self, session_id: str, tenant_id: str, request: NewSession, now_ms: int) -> Session:
        timeout = request.timeout
        ends_at_ms = now_ms + timeout.max_duration_ms
        expires_at_ms = min(now_ms + timeout.timeout_ms, ends_at_ms)
        return Session(
            session_id=session_id,
            tenant_id=tenant_id,
            agent_id=request.agent_id,
            user_id=request.user_id,
            metadata_json=request.metadata_json,
            request_hash=request.request_hash,
            attempt=self._attempts(),
            timeout=timeout,
            created_at_ms=now_ms,
            last_activity_ms=now_ms,
            renewed_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
            ends_at_ms=ends_at_ms,
            renewal_count=0,
            lease=1,
            due_at_ms=warning_due_ms(expires_at_ms, timeout.warning_ms),
            purge_at_seconds=purge_at_seconds(now_ms, self._longest_ms, self._retention_ms),
        )

    def _check_outlived(self, read: Session, patch: Patch) -> None:
        """Refuse a patch by which DynamoDB might delete the session while it lives, or is remembered.

        It can only happen to a session from before the service's bounds or retention were raised.

        Raises:
            InvalidRequest: naming the longest duration that the session's record allows.

        """
        longest_ms = read.purge_at_seconds * 1000 - self._retention_ms - read.created_at_ms
        if patch.timeout.max_duration_ms > max(longest_ms, read.timeout.max_duration_ms):
            rule = f"must be at most {longest_ms // MS_PER_MINUTE} for a session as old as this one"
            minutes = patch.timeout.max_duration_minutes
            raise InvalidRequest([FieldProblem("maxDurationMinutes", rule, minutes)])

    def _live(self, found: Session | None, tenant_id: str, now_ms: int) -> Session:
        return live_session(found, tenant_id, now_ms, self._retention_ms)
