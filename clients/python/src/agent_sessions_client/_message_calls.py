"""The calls about messages, as steps."""

from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from agent_sessions_client._caller import Caller, Id, Slice, address_of, given, new_key, query_of
from agent_sessions_client._steps import Operation, Repeat, Request
from agent_sessions_client.errors import MessageRedacted
from agent_sessions_client.models import Json, Message, MessagePage, NewMessage, Role, Sent, SentBatch

LONGEST_REPLY_WAIT_SECONDS = 22


class MessageCalls(Caller):
    """Messages."""

    def send_message(
        self,
        session_id: Id,
        content: str,
        *,
        role: Role | None = None,
        author_id: Id | None = None,
        in_reply_to: str | None = None,
        parts: Iterable[Json] | None = None,
        attachments: Iterable[Json] | None = None,
        metadata: Json | None = None,
        wait_for_reply: bool = False,
        idempotency_key: str | None = None,
        if_last_sequence: int | None = None,
    ) -> Operation[Sent]:
        """Store a message exactly once: the call is repeated under one idempotency key.

        A user's message renews the session. With `wait_for_reply` the service holds the answer until the agent has
        replied, for about 20 seconds. With `if_last_sequence` the message is accepted only as the next one after that
        number.

        Where the call fails after all, the error's `idempotency_key` lets a later call go on where this one ended.

        Raises:
            SessionExpired, SessionNotFound: the session has ended.
            PreconditionFailed: another message came first.
            MessageLimitReached: the session is full.

        """
        key = idempotency_key or new_key()
        body = _message(
            content,
            role=role,
            author_id=author_id,
            in_reply_to=in_reply_to,
            parts=parts,
            attachments=attachments,
            metadata=metadata,
        )
        if wait_for_reply:
            body["transport"] = "http"
        request = Request(
            "POST",
            f"{address_of(session_id)}/messages",
            Repeat.ALWAYS,
            headers=_write_headers(key, if_last_sequence),
            body=body,
            longest_wait_seconds=LONGEST_REPLY_WAIT_SECONDS if wait_for_reply else 0,
        )
        return Sent.from_json((yield from self.json(request)), key)

    def send_batch(
        self,
        session_id: Id,
        messages: Iterable[NewMessage],
        *,
        idempotency_key: str | None = None,
        if_last_sequence: int | None = None,
    ) -> Operation[SentBatch]:
        """Store 1 to 25 messages, all or none, with consecutive numbers, exactly once.

        Each message is a dictionary of what `send_message` takes: `content`, `role`, `author_id`, `in_reply_to`,
        `parts`, `attachments`, `metadata`. A user's message among them renews the session once. The key and
        `if_last_sequence` stand for the whole batch, of at most 1 MB.

        Raises:
            SessionExpired, SessionNotFound: the session has ended.
            PreconditionFailed: another message came first.
            MessageLimitReached: the session has no room for all of them.

        """
        key = idempotency_key or new_key()
        request = Request(
            "POST",
            f"{address_of(session_id)}/messages/batch",
            Repeat.ALWAYS,
            headers=_write_headers(key, if_last_sequence),
            body={"messages": [_message(**each) for each in messages]},
        )
        return SentBatch.from_json((yield from self.json(request)), key)

    def read_messages(
        self,
        session_id: Id,
        *,
        after_sequence: int | None = None,
        before_sequence: int | None = None,
        after: datetime | None = None,
        before: datetime | None = None,
        limit: int | None = None,
        order: str | None = None,
        wait_seconds: float | None = None,
        expired: bool = False,
    ) -> Operation[MessagePage]:
        """Read one page of messages: the newest first or, with `after_sequence`, the next ones after that number.

        `wait_seconds` holds the answer until there is a message after `after_sequence`. `expired` also reads a session
        that has expired.

        Raises:
            SessionExpired, SessionNotFound: the session has ended.

        """
        query = query_of(
            afterSequence=after_sequence,
            beforeSequence=before_sequence,
            after=_instant(after),
            before=_instant(before),
            limit=limit,
            order=order,
            waitSeconds=wait_seconds,
            expired="true" if expired else None,
        )
        path = f"{address_of(session_id)}/messages"
        request = Request("GET", path, Repeat.ALWAYS, query=query, longest_wait_seconds=wait_seconds or 0)
        return MessagePage.from_json((yield from self.json(request)))

    def list_messages(
        self, session_id: Id, *, after_sequence: int = 0, newest_first: bool = False, expired: bool = False
    ) -> Operation[Slice[Message]]:
        """Iterate over the messages, oldest first. Redacted ones are left out. Pages are fetched as they are needed."""
        if newest_first and after_sequence:
            message = "after_sequence counts from the oldest message: it does not go with newest_first"
            raise ValueError(message)

        def page(bound: int | None) -> Operation[Slice[Message]]:
            if newest_first:
                found = yield from self.read_messages(session_id, before_sequence=bound, limit=100, expired=expired)
                following = found.before_sequence
            else:
                found = yield from self.read_messages(session_id, after_sequence=bound, limit=100, expired=expired)
                following = found.after_sequence
            goes_on = found.has_more and following not in {None, bound}
            return Slice(found.messages, (lambda: page(following)) if goes_on else None)

        return page(None if newest_first else after_sequence)

    def get_message(self, session_id: Id, message_id: str) -> Operation[Message]:
        """Read one message.

        Raises:
            MessageNotFound: the session has no such message.
            MessageRedacted: it was emptied.

        """
        body = yield from self.json(
            Request("GET", f"{address_of(session_id)}/messages/{quote(message_id)}", Repeat.ALWAYS)
        )
        if body.get("redacted"):
            raise MessageRedacted(body["id"], body["sequence"])
        return Message.from_json(body)

    def redact_message(self, session_id: Id, message_id: str) -> Operation[int]:
        """Remove the content of a message and keep its number. Return how many messages this very call emptied: 1 or 0.

        Raises:
            MessageNotFound: the session has no such message.
            NoAnswer: the answer was lost. The call is not repeated, as a repeat would report 0.

        """
        path = f"{address_of(session_id)}/messages/{quote(message_id)}"
        emptied: int = (yield from self.json(Request("DELETE", path, Repeat.WHEN_REFUSED)))["data"]["redacted"]
        return emptied

    def redact_messages(self, session_id: Id) -> Operation[int]:
        """Remove the content of all messages that stand, and keep their numbers. Return how many were emptied."""
        emptied = 0
        while True:
            request = Request("DELETE", f"{address_of(session_id)}/messages", Repeat.WHEN_REFUSED)
            done = (yield from self.json(request))["data"]
            emptied += int(done["redacted"])
            if not done["pending"]:
                return emptied


def _message(
    content: str,
    *,
    role: Role | None = None,
    author_id: Id | None = None,
    in_reply_to: str | None = None,
    parts: Iterable[Json] | None = None,
    attachments: Iterable[Json] | None = None,
    metadata: Json | None = None,
) -> dict[str, Any]:
    return given(
        content=content,
        role=role,
        authorId=None if author_id is None else str(author_id),
        inReplyTo=in_reply_to,
        parts=None if parts is None else list(parts),
        attachments=None if attachments is None else list(attachments),
        metadata=metadata,
    )


def _write_headers(key: str, if_last_sequence: int | None) -> dict[str, str]:
    headers = {"idempotency-key": key}
    return headers if if_last_sequence is None else {**headers, "if-match": f'"{if_last_sequence}"'}


def _instant(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        message = f"a time must have a zone: {moment}"
        raise ValueError(message)
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
