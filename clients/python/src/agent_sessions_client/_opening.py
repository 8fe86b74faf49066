"""How a conversation begins, and what happens in it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent_sessions_client._caller import Id, new_key
from agent_sessions_client._calls import Calls
from agent_sessions_client._steps import Operation
from agent_sessions_client.errors import ClientError
from agent_sessions_client.models import Json, Message, Session

IDLE_POLL_SECONDS = 15.0


@dataclass(frozen=True)
class Expiring:
    """The session is about to expire: once per lease, by the server's clock."""

    session: Session


@dataclass(frozen=True)
class Ended:
    """The conversation is over: `idle_timeout`, `max_duration`, `deleted`, or `failed` with the error."""

    reason: str
    error: ClientError | None = None


Event = Message | Expiring | Ended


@dataclass(frozen=True)
class Opening:
    """How a conversation begins, and what it reports to whom."""

    open: Callable[[], Operation[Session]]
    after_sequence: int | None
    on_message: Callable[[Message], Any] | None
    on_expiring: Callable[[Expiring], Any] | None
    on_end: Callable[[Ended], Any] | None
    idle_poll_seconds: float
    background: bool

    @staticmethod
    def of_session(
        calls: Calls,
        session_id: Id,
        *,
        after_sequence: int | None = None,
        on_message: Callable[[Message], Any] | None = None,
        on_expiring: Callable[[Expiring], Any] | None = None,
        on_end: Callable[[Ended], Any] | None = None,
        idle_poll_seconds: float = IDLE_POLL_SECONDS,
        background: bool = True,
    ) -> "Opening":
        """Go on with a session, in a `with` block.

        The session is kept alive while it is used: by messages of the user, and by heartbeats after calls of `active`.
        It is never kept alive for a caller who does nothing. Messages after number `after_sequence` are reported; by
        default the new ones.

        The callbacks are called from the conversation's own thread or task. `idle_poll_seconds` is the time between two
        looks for messages while no reply is awaited. Without `background` there is no thread and no task: then call
        `step` yourself.
        """
        return Opening(
            lambda: calls.get_session(session_id),
            after_sequence,
            on_message,
            on_expiring,
            on_end,
            idle_poll_seconds,
            background,
        )

    @staticmethod
    def of_new_session(
        calls: Calls,
        agent_id: Id,
        user_id: Id,
        *,
        metadata: Json | None = None,
        timeout_minutes: float | None = None,
        auto_renew: bool | None = None,
        max_duration_minutes: float | None = None,
        warning_threshold_minutes: float | None = None,
        idempotency_key: str | None = None,
        on_message: Callable[[Message], Any] | None = None,
        on_expiring: Callable[[Expiring], Any] | None = None,
        on_end: Callable[[Ended], Any] | None = None,
        idle_poll_seconds: float = IDLE_POLL_SECONDS,
        background: bool = True,
    ) -> "Opening":
        """Create a session and talk in it, in a `with` block.

        `create_session` and `conversation` describe the parameters.
        """
        key = idempotency_key or new_key()
        return Opening(
            lambda: calls.create_session(
                agent_id,
                user_id,
                metadata=metadata,
                timeout_minutes=timeout_minutes,
                auto_renew=auto_renew,
                max_duration_minutes=max_duration_minutes,
                warning_threshold_minutes=warning_threshold_minutes,
                idempotency_key=key,
            ),
            0,
            on_message,
            on_expiring,
            on_end,
            idle_poll_seconds,
            background,
        )
