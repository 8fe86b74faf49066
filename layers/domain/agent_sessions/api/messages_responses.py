"""Bodies of answers about messages. What a caller sent as JSON is spliced in as it was stored."""

from typing import Any, Final

from agent_sessions.api.responses import session_json
from agent_sessions.messages.batches import AppendedBatch
from agent_sessions.messages.ids import message_id
from agent_sessions.messages.model import Message, poll_after_ms
from agent_sessions.messages.pages import FROM_THE_START, MessagePage
from agent_sessions.messages.redaction import Redacted
from agent_sessions.messages.service import Appended
from agent_sessions.messages.wire_form import message_json
from agent_sessions.wire_format import compact, timestamp

MESSAGE_SERVER_ID: Final = "00000000-0000-0000-0000-000000000000"
"""ElizaOS's default message server: there are none here."""


def appended_json(appended: Appended, reply: Message | None, *, pending: bool) -> str:
    """Return the answer to a post; `data` repeats it, as the ElizaOS client hands just that to its caller."""
    message = appended.message
    members = {"success": "true", "message": message_json(message)}
    if message.role == "user" and not message.redacted:
        members["userMessage"] = _user_message_json(message)
    if reply is not None:
        members["agentResponse"] = _agent_response_json(reply)
    if pending:
        members["pending"] = "true"
    members["sessionStatus"] = _status_json(appended)
    body = ",".join(f'"{name}":{text}' for name, text in members.items())
    return f'{{{body},"data":{{{body}}}}}'


def batch_json(appended: AppendedBatch) -> str:
    """Return the answer to a batch; `data` repeats it, as in every answer with `success`.

    It has up to twice the 1 MB of the request, and Lambda at most twice that, as a JSON string: within its 6 MB.
    """
    messages = ",".join(map(message_json, appended.messages))
    body = f'"success":true,"messages":[{messages}],"sessionStatus":{_status_json(appended)}'
    return f'{{{body},"data":{{{body}}}}}'


def messages_json(page: MessagePage) -> str:
    """Return a page of messages."""
    session = page.session
    cursors: dict[str, int] = {"afterSequence": page.read_to}
    if page.messages:
        oldest = min(page.messages, key=lambda message: message.sequence)
        newest = max(page.messages, key=lambda message: message.sequence)
        cursors = {
            "before": oldest.created_at_ms,
            "after": newest.created_at_ms,
            "beforeSequence": oldest.sequence,
        } | cursors
    rest = {
        "hasMore": page.has_more,
        "cursors": cursors,
        "skipped": page.skipped,
        "lastSequence": session.last_sequence,
        "awaitingReply": session.open_sequence is not None,
        "pollAfterMs": poll_after_ms(session, page.now_ms),
    }
    return f'{{"messages":[{",".join(map(message_json, page.messages))}],{compact(rest)[1:]}'


def redaction_json(redacted: Redacted) -> str:
    """Return the answer to a redaction; `data` is what the ElizaOS client hands to its caller."""
    data = {"success": True, "redacted": redacted.messages, "pending": redacted.pending}
    return compact({"success": True, "message": "The content is removed.", "data": data})


def export_json(page: MessagePage) -> str:
    """Return a part of an export (docs/contract.md, Export a session)."""
    session = page.session
    rest: dict[str, Any] = {"skipped": page.skipped}
    if page.read_to < session.last_sequence:
        read_to = page.read_to
        rest["nextCursor"] = message_id(session.session_id, session.attempt, read_to) if read_to else FROM_THE_START
    messages = ",".join(map(message_json, page.messages))
    return f'{{"session":{session_json(session, page.now_ms)},"messages":[{messages}],{compact(rest)[1:]}'


def _status_json(appended: Appended | AppendedBatch) -> str:
    session = appended.session
    return compact(
        {
            "expiresAt": timestamp(session.expires_at_ms),
            "renewalCount": session.renewal_count,
            "wasRenewed": appended.was_renewed,
            "isNearExpiration": session.is_near_expiration(appended.now_ms),
            "lastSequence": session.last_sequence,
        }
    )


def _user_message_json(message: Message) -> str:
    """Return a user's message in ElizaOS's form."""
    ours = {
        "id": message.message_id,
        "channel_id": message.session_id,
        "message_server_id": MESSAGE_SERVER_ID,
        "author_id": message.author_id,
        "content": message.content,
        "created_at": message.created_at_ms,
        "source_type": "user",
    }
    raw = f'{{"content":{compact(message.content)},"attachments":{message.attachments_json}}}'
    clients = {
        "in_reply_to_message_id": message.in_reply_to_id,
        "authorId": message.author_id,
        "createdAt": timestamp(message.created_at_ms),
    }
    return f'{compact(ours)[:-1]},"raw_message":{raw},"metadata":{message.metadata_json},{compact(clients)[1:]}'


def _agent_response_json(reply: Message) -> str:
    """Return an agent's reply in ElizaOS's form; its thought and actions stand in its metadata."""
    metadata = reply.metadata
    body: dict[str, Any] = {
        "text": reply.content,
        "messageId": reply.message_id,
        "sequence": reply.sequence,
        "inReplyTo": reply.in_reply_to_id,
    }
    body |= {name: metadata[name] for name in ("thought", "actions") if name in metadata}
    return f'{compact(body)[:-1]},"metadata":{reply.metadata_json}}}'
