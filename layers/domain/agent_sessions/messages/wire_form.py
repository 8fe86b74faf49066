"""A message as JSON, in answers and in events. What a caller sent as JSON is spliced in as it was stored."""

from typing import Any

from agent_sessions.messages.model import Message
from agent_sessions.wire_format import compact, timestamp


def message_json(message: Message) -> str:
    """Return a message (docs/contract.md, The Message)."""
    if message.redacted:
        return compact({"id": message.message_id, "sequence": message.sequence, "redacted": True})
    body = _facts(message)
    body["content"] = message.content
    return (
        f'{compact(body)[:-1]},"parts":{message.parts_json},"attachments":{message.attachments_json},'
        f'"metadata":{message.metadata_json}}}'
    )


def message_without_content_json(message: Message) -> str:
    """Return a message without `content`, `parts`, `attachments` and `metadata`."""
    body = _facts(message)
    del body["content"]
    return compact(body)


def _facts(message: Message) -> dict[str, Any]:
    return {
        "id": message.message_id,
        "sequence": message.sequence,
        "sessionId": message.session_id,
        "content": None,
        "role": message.role,
        "isAgent": message.role == "agent",
        "authorId": message.author_id,
        "inReplyTo": message.in_reply_to_id,
        "createdAt": timestamp(message.created_at_ms),
    }
