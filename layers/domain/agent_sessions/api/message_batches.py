"""A caller's batch of messages, checked: each message as a single one is, all faults at once."""

from collections.abc import Mapping
from typing import Any, Final

from agent_sessions.api.messages_requests import header_problems, new_message
from agent_sessions.errors import FieldProblem, InvalidRequest
from agent_sessions.messages.batches import NewBatch
from agent_sessions.messages.ids import batch_hash
from agent_sessions.messages.model import NewMessage

MAX_BATCH: Final = 25
MAX_BATCH_BODY_BYTES: Final = 1_048_576


def new_batch(body: dict[str, Any], headers: Mapping[str, str], scope: str) -> NewBatch:
    """Check a request for a batch.

    Raises:
        Forbidden: the scope does not allow a role.
        InvalidRequest: with every field and header at fault, such as `messages[3].content`.

    """
    problems = header_problems(headers)
    sent = body.get("messages")
    if not isinstance(sent, list) or not 1 <= len(sent) <= MAX_BATCH:
        count = f", and has {len(sent)}" if isinstance(sent, list) else ""
        problems.append(FieldProblem("messages", f"must be an array of 1 to {MAX_BATCH} messages{count}"))
        raise InvalidRequest(problems)
    key = headers.get("idempotency-key")
    kept = {} if key is None or problems else {"idempotency-key": key}
    messages: list[NewMessage] = []
    for place, each in enumerate(sent):
        at = f"messages[{place}]"
        if not isinstance(each, dict):
            problems.append(FieldProblem(at, "must be a JSON object", each))
            continue
        try:
            post = new_message(each, kept, scope)
        except InvalidRequest as refused:
            problems += [problem._replace(field=f"{at}.{problem.field}") for problem in refused.problems]
            continue
        if post.waits:
            name = "transport" if "transport" in each else "mode"
            problems.append(FieldProblem(f"{at}.{name}", "must be left out: a batch waits for no reply", each[name]))
        messages.append(post.message)
    if problems:
        raise InvalidRequest(problems)
    if_match = headers.get("if-match")
    return NewBatch(
        tuple(messages),
        request_hash=b"" if key is None else batch_hash(each.request_hash for each in messages),
        idempotency_key=key,
        expected_sequence=None if if_match is None else int(if_match.strip('"')),
    )
