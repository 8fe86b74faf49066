"""What an agent does with an event: read the message, answer it once."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from agent_sessions_client._caller import Id
from agent_sessions_client.client import SessionsClient
from agent_sessions_client.errors import (
    ClientError,
    IdempotencyKeyReused,
    MessageLimitReached,
    SessionExpired,
    SessionNotFound,
)
from agent_sessions_client.events import Delivery, Event, MessageCreated, from_lambda
from agent_sessions_client.models import Json, Message, Session

log = logging.getLogger("agent_sessions_client")


@dataclass(frozen=True)
class Answer:
    """An answer with more than text."""

    content: str
    parts: tuple[Json, ...] | None = None
    attachments: tuple[Json, ...] | None = None
    metadata: Json | None = None


@dataclass(frozen=True)
class Turn:
    """A message of the user that waits for an answer."""

    event: MessageCreated
    message: Message
    client: SessionsClient = field(repr=False)

    @property
    def session_id(self) -> str:
        return self.event.session_id

    def session(self) -> Session:
        """Read the session."""
        return self.client.get_session(self.session_id)

    def history(self, limit: int = 50) -> list[Message]:
        """Return the last messages up to this one, oldest first: at most 100 of them."""
        page = self.client.read_messages(self.session_id, before_sequence=self.message.sequence + 1, limit=limit)
        return list(reversed(page.messages))


Handler: TypeAlias = Callable[[Turn], str | Answer | Awaitable[str | Answer | None] | None]


class Agent:
    """Answers messages of users. The event's id is the reply's key, so that repeats of an event give one reply."""

    def __init__(self, client: SessionsClient, *, agent_ids: Iterable[Id] | None = None) -> None:
        """Answer for these agents, or for every agent whose events arrive: a filter policy is the cheaper choice."""
        self._client = client
        self._agent_ids = None if agent_ids is None else {str(each).lower() for each in agent_ids}
        self._handler: Handler | None = None

    def on_message(self, handler: Handler) -> Handler:
        """Use `handler` for messages of users. It returns the answer, or None; it may be a coroutine function."""
        self._handler = handler
        return handler

    def handle(self, event: Event) -> Message | None:
        """Answer the message that an event is about, once. Return the answer, None where there is nothing to answer.

        That is so for other events, messages of others than users, a session that has ended, and a message that was
        redacted or has its reply already.
        """
        if not isinstance(event, MessageCreated) or event.role != "user":
            return None
        if self._agent_ids is not None and event.agent_id.lower() not in self._agent_ids:
            return None
        try:
            message = self._unanswered(event)
            answer = None if message is None else self._ask(Turn(event, message, self._client))
            return None if answer is None or message is None else self._post(event, message, answer)
        except (SessionExpired, SessionNotFound, MessageLimitReached) as error:
            log.info("event %s needs no answer any more: %s", event.id, error.code)
        except IdempotencyKeyReused:
            log.info("event %s was answered meanwhile, in other words", event.id)
        return None

    def lambda_handler(self, event: Mapping[str, Any], _context: object = None) -> dict[str, Any]:
        """Handle an invocation by a queue, or by the topic itself.

        A record that fails is named in the answer, and returns to the queue alone (`ReportBatchItemFailures`). So do
        the later ones of its session, so that answers keep the order of the questions. An invocation by the topic
        fails as a whole, and Lambda repeats it.
        """
        failed: list[str] = []
        stuck: set[str] = set()
        for session, delivery in _in_order(from_lambda(event)):
            try:
                if session in stuck:
                    failed.append(delivery.record_id or "")
                    continue
                self.handle(delivery.event)
            except Exception:
                if delivery.record_id is None:
                    raise
                log.exception("record %s failed", delivery.record_id)
                failed.append(delivery.record_id)
                stuck |= {session} - {""}
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

    def _unanswered(self, event: MessageCreated) -> Message | None:
        """Read the message, unless its reply stands behind it already: one read for both."""
        page = self._client.read_messages(event.session_id, after_sequence=event.sequence - 1, limit=100)
        if any(each.is_agent and each.in_reply_to == event.message_id for each in page.messages):
            return None
        if page.after_sequence < event.sequence:
            message = f"message {event.sequence} of session {event.session_id} cannot be read yet"
            raise ClientError(message)
        return next((each for each in page.messages if each.id == event.message_id), None)

    def _ask(self, turn: Turn) -> str | Answer | None:
        if self._handler is None:
            message = "the agent has no handler: decorate one with on_message"
            raise RuntimeError(message)
        answer = self._handler(turn)
        if answer is None or isinstance(answer, str | Answer):
            return answer
        import asyncio  # noqa: PLC0415 - handlers that block do without

        return asyncio.run(_awaited(answer))

    def _post(self, event: MessageCreated, message: Message, answer: str | Answer) -> Message:
        whole = Answer(answer) if isinstance(answer, str) else answer
        return self._client.send_message(
            event.session_id,
            whole.content,
            role="agent",
            in_reply_to=message.id,
            parts=whole.parts,
            attachments=whole.attachments,
            metadata=whole.metadata,
            idempotency_key=event.id,
        ).message


async def _awaited(answer: Awaitable[str | Answer | None]) -> str | Answer | None:
    return await answer


def _in_order(deliveries: Iterable[Delivery]) -> list[tuple[str, Delivery]]:
    """Return each delivery with its session, the messages of a session in the order of their numbers."""

    def place(delivery: Delivery) -> tuple[str, int]:
        try:
            event = delivery.event
        except Exception:  # noqa: BLE001 - it is reported when its turn comes
            return "", 0
        return (event.session_id, event.sequence) if isinstance(event, MessageCreated) else ("", 0)

    placed = sorted(((place(each), each) for each in deliveries), key=lambda pair: pair[0])
    return [(session, delivery) for (session, _), delivery in placed]
