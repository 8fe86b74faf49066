"""Empty messages, and keep their numbers. Knows neither HTTP nor AWS.

Nobody who reads on notices: a number that was emptied stays settled, and a page that is read again has it as redacted.
"""

from typing import NamedTuple

from agent_sessions.clock import Clock
from agent_sessions.errors import MessageNotFound
from agent_sessions.messages.ids import read_message_id
from agent_sessions.messages.pages import MessageReader
from agent_sessions.messages.ports import MessageStore

REDACTION_MS: int = 15_000
"""How long one call empties messages, in milliseconds."""


class Redacted(NamedTuple):
    """How many messages a call emptied, and whether it left some for want of time."""

    messages: int
    pending: bool


class MessageRedaction:
    """Empties messages of sessions, live or expired, each within one tenant. It is no activity."""

    def __init__(self, store: MessageStore, reader: MessageReader, clock: Clock) -> None:
        """Read sessions by `reader`, and empty messages in `store`."""
        self._store = store
        self._reader = reader
        self._clock = clock

    def one(self, tenant_id: str, session_id: str, message_id: str) -> Redacted:
        """Empty one message, unless it is empty already.

        Raises:
            SessionNotFound: unknown, deleted, retired, malformed id, or another tenant's.
            MessageNotFound: the session has no message with this id.
            ServiceUnavailable: the store does not answer.

        """
        session, _ = self._reader.session(tenant_id, session_id, expired_too=True)
        ref = read_message_id(session_id, message_id)
        if ref is None or ref.attempt != session.attempt:
            raise MessageNotFound
        emptied = self._store.redact(session, ref.sequence)
        if emptied is None:
            raise MessageNotFound
        return Redacted(int(emptied), pending=False)

    def every(self, tenant_id: str, session_id: str) -> Redacted:
        """Empty all messages that stand, oldest first, for up to 15 seconds. Raises as `one`, but for the message."""
        session, now_ms = self._reader.session(tenant_id, session_id, expired_too=True)
        stop_at_ms = now_ms + REDACTION_MS
        emptied, low = 0, 1
        while low <= session.last_sequence:
            standing, last = self._store.standing(session, low, session.last_sequence)
            for sequence in standing:
                if self._clock.now_ms() >= stop_at_ms:
                    return Redacted(emptied, pending=True)
                emptied += bool(self._store.redact(session, sequence))
            if last is None:
                break
            low = last + 1
        return Redacted(emptied, pending=False)
