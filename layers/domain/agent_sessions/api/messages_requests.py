"""What callers may send about messages, checked: the body, the headers and the query string, all faults at once."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError
from pydantic.alias_generators import to_camel

from agent_sessions.api.json_body import MAX_METADATA_BYTES, kept_json, metadata_json
from agent_sessions.errors import MISSING, FieldProblem, Forbidden, InvalidRequest
from agent_sessions.messages.ids import request_hash
from agent_sessions.messages.model import NewMessage, Role
from agent_sessions.messages.pages import MessageQuery

MAX_MESSAGE_BODY_BYTES: Final = 131_072
MAX_CONTENT_UNITS: Final = 4_000
"""UTF-16 units of content: ElizaOS's measure."""
MAX_AGENT_CONTENT_UNITS: Final = 32_000
MAX_PARTS_BYTES: Final = 32_768
MAX_ATTACHMENTS: Final = 10
MAX_ATTACHMENTS_BYTES: Final = 10_240
DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 100

ROLES_OF_SCOPE: Final[Mapping[str, tuple[Role, ...]]] = {
    "full": ("user", "agent", "system", "tool"),
    "client": ("user",),
    "agent": ("agent", "system", "tool"),
}
"""The roles that a key of a scope may write as; the first is its default (docs/contract.md, Callers and tenants)."""

UUID_PATTERN: Final = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_IDEMPOTENCY_KEY: Final = re.compile("[!-~]{1,255}")
_IF_MATCH: Final = re.compile('"(0|[1-9][0-9]{0,14})"')
_NUMBER: Final = re.compile("[0-9]{1,15}")
_WAITS: Final = {"http": True, "websocket": False}
_WAITS_OF_MODE: Final = {"sync": True, "websocket": False}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STREAMS: Final = ("sse", "stream")

_WORDING: Final[Mapping[str, str]] = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_unicode": "must be a string of Unicode text",
    "string_pattern_mismatch": "must be a UUID",
    "literal_error": f"must be one of {', '.join(get_args(Role))}",
}


def _metadata(value: object) -> str:
    return "{}" if value is None else metadata_json(value)


def _parts(value: object) -> str:
    return kept_json(_objects(value), MAX_PARTS_BYTES)


def _attachments(value: object) -> str:
    attachments = _objects(value)
    if len(attachments) > MAX_ATTACHMENTS:
        msg = f"must have at most {MAX_ATTACHMENTS} attachments, and has {len(attachments)}"
        raise ValueError(msg)
    if not all(isinstance(attachment.get("url"), str) for attachment in attachments):
        msg = "must have a string url in each attachment"
        raise ValueError(msg)
    return kept_json(attachments, MAX_ATTACHMENTS_BYTES)


def _objects(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        msg = "must be an array of JSON objects"
        raise ValueError(msg)
    return value


_OBJECTS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "object"}, "default": []}


class MessageFields(BaseModel):
    """A new message. The default of `role` is `user`, for a key of scope `agent` it is `agent`."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, defer_build=True)

    content: str = Field(
        strict=True,
        description=f"At most {MAX_CONTENT_UNITS} UTF-16 units, {MAX_AGENT_CONTENT_UNITS} for role agent. "
        "May be empty where parts are not. NUL is refused.",
    )
    role: Role | None = Field(default=None, json_schema_extra={"default": "user"})
    author_id: Annotated[str, Field(strict=True, pattern=UUID_PATTERN, json_schema_extra={"format": "uuid"})] | None = (
        Field(default=None, description="Default: the session's userId for a user, its agentId for the others.")
    )
    in_reply_to: Annotated[str, Field(strict=True)] | None = Field(
        default=None, description="Id of an earlier message of this session."
    )
    parts: Annotated[str, PlainValidator(_parts)] = Field(
        default="[]", json_schema_extra={**_OBJECTS, "description": f"At most {MAX_PARTS_BYTES} bytes as compact JSON."}
    )
    attachments: Annotated[str, PlainValidator(_attachments)] = Field(
        default="[]",
        json_schema_extra={
            "type": "array",
            "maxItems": MAX_ATTACHMENTS,
            "items": {"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}},
            "default": [],
            "description": f"At most {MAX_ATTACHMENTS_BYTES} bytes together, as compact JSON.",
        },
    )
    metadata: Annotated[str, PlainValidator(_metadata)] = Field(
        default="{}",
        json_schema_extra={
            "type": ["object", "null"],
            "default": {},
            "description": f"A JSON object of at most {MAX_METADATA_BYTES} bytes as compact JSON. null means omitted.",
        },
    )
    transport: Literal["websocket", "http"] | None = Field(
        default=None,
        json_schema_extra={"default": "websocket"},
        description="http waits for the agent's reply; websocket answers at once.",
    )


class Post(NamedTuple):
    """A checked request for a message, and whether its caller waits for a reply."""

    message: NewMessage
    waits: bool


class Listing(NamedTuple):
    """A checked request for a page, and for how many seconds an empty one is held."""

    query: MessageQuery
    wait_seconds: int


def new_message(body: dict[str, Any], headers: Mapping[str, str], scope: str) -> Post:
    """Check a request for a message.

    Raises:
        Forbidden: the scope does not allow the role.
        InvalidRequest: with every field and header at fault.

    """
    problems = header_problems(headers)
    waits = _waits(body, problems)
    allowed = ROLES_OF_SCOPE.get(scope, ())
    fields = {name: value for name, value in body.items() if name not in ("transport", "mode")}
    problems += [
        FieldProblem(name, "must be left out, not null", None)
        for name in ("role", "authorId", "inReplyTo")
        if name in fields and fields[name] is None
    ]
    try:
        sent = MessageFields.model_validate(fields)
    except ValidationError as error:
        problems += [_problem(fault) for fault in error.errors(include_url=False)]
        if body.get("role") in get_args(Role) and body["role"] not in allowed:
            raise Forbidden(scope) from None
        raise InvalidRequest(problems) from None
    role: Role = sent.role or (allowed[0] if allowed else "user")
    if role not in allowed:
        raise Forbidden(scope)
    problems += _content_problems(sent, role)
    if problems:
        raise InvalidRequest(problems)
    if_match = headers.get("if-match")
    message = NewMessage(
        role=role,
        content=sent.content,
        author_id=sent.author_id,
        in_reply_to=sent.in_reply_to,
        parts_json=sent.parts,
        attachments_json=sent.attachments,
        metadata_json=sent.metadata,
        idempotency_key=headers.get("idempotency-key"),
        expected_sequence=None if if_match is None else int(if_match.strip('"')),
    )
    if message.idempotency_key is not None:
        message = message._replace(request_hash=_hash_of(message, body))
    return Post(message, waits)


def listing(query: Mapping[str, str], longest_wait_seconds: int) -> Listing:
    """Check the query string of a page of messages; unknown parameters are ignored.

    Raises:
        InvalidRequest: with every parameter at fault.

    """
    problems: list[FieldProblem] = []
    limit = _whole(query, "limit", problems, 1, MAX_PAGE_SIZE)
    after_sequence = _whole(query, "afterSequence", problems, 0)
    before_sequence = _whole(query, "beforeSequence", problems, 0)
    wait_seconds = _whole(query, "waitSeconds", problems, 0, longest_wait_seconds) or 0
    before_ms, after_ms = _moment(query, "before", problems), _moment(query, "after", problems)
    for one, other in (("before", "beforeSequence"), ("after", "afterSequence")):
        if one in query and other in query:
            problems.append(FieldProblem(other, f"must be left out where {one} is given", query[other]))
    if wait_seconds and "afterSequence" not in query:
        problems.append(FieldProblem("waitSeconds", "must come with afterSequence", query["waitSeconds"]))
    order = query.get("order", "asc" if "afterSequence" in query else "desc")
    if order not in ("asc", "desc"):
        problems.append(FieldProblem("order", "must be asc or desc", order))
    expired_too = _flag(query, "expired", problems)
    if problems:
        raise InvalidRequest(problems)
    page = MessageQuery(
        limit=DEFAULT_PAGE_SIZE if limit is None else limit,
        before_ms=before_ms,
        before_sequence=before_sequence,
        after_ms=after_ms,
        after_sequence=after_sequence,
        ascending=order == "asc",
        expired_too=expired_too,
    )
    return Listing(page, wait_seconds)


def expired_too(query: Mapping[str, str]) -> bool:
    """Return whether an expired session is to be read as well.

    Raises:
        InvalidRequest: the parameter is neither true nor false.

    """
    problems: list[FieldProblem] = []
    wanted = _flag(query, "expired", problems)
    if problems:
        raise InvalidRequest(problems)
    return wanted


def header_problems(headers: Mapping[str, str]) -> list[FieldProblem]:
    """Return what is wrong with the headers of a write."""
    problems = []
    key, if_match = headers.get("idempotency-key"), headers.get("if-match")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        problems.append(FieldProblem("Idempotency-Key", "must be 1 to 255 visible ASCII characters", key))
    if if_match is not None and not _IF_MATCH.fullmatch(if_match):
        problems.append(FieldProblem("If-Match", 'must be one number in quotes, such as "17"', if_match))
    return problems


def _waits(body: Mapping[str, Any], problems: list[FieldProblem]) -> bool:
    """Return whether the caller waits for the reply; `transport` wins over ElizaOS's older `mode`."""
    name = "transport" if "transport" in body else "mode"
    meanings = _WAITS if name == "transport" else _WAITS_OF_MODE
    value = body.get(name, "websocket")
    if isinstance(value, str) and value in meanings:
        return meanings[value]
    rule = f"must be one of {', '.join(meanings)}"
    if value in _STREAMS:
        rule += ": this API cannot stream; use http to wait for the reply, or read with afterSequence and waitSeconds"
    problems.append(FieldProblem(name, rule, value))
    return False


def _problem(fault: Any) -> FieldProblem:  # noqa: ANN401 - pydantic's own mapping
    raised = fault.get("ctx", {}).get("error")
    return FieldProblem(
        field=".".join(str(part) for part in fault["loc"]),
        message=_WORDING.get(fault["type"], str(raised) if raised is not None else fault["msg"]),
        value=MISSING if fault["type"] == "missing" else fault["input"],
    )


def _content_problems(sent: MessageFields, role: Role) -> list[FieldProblem]:
    most = MAX_AGENT_CONTENT_UNITS if role == "agent" else MAX_CONTENT_UNITS
    try:
        units = len(sent.content.encode("utf-16-le")) // 2
    except UnicodeEncodeError:
        return [FieldProblem("content", "must not contain lone surrogates", sent.content)]
    if units > most:
        rule = f"must have at most {most} UTF-16 units for role {role}, and has {units}"
        return [FieldProblem("content", rule, sent.content)]
    if "\0" in sent.content:
        return [FieldProblem("content", "must not contain NUL", sent.content)]
    if not sent.content and sent.parts == "[]":
        return [FieldProblem("content", "must not be empty without parts", sent.content)]
    return []


def _hash_of(message: NewMessage, body: Mapping[str, Any]) -> bytes:
    """Return what recognises a repeat: what was sent, whatever the order of keys and the case of ids."""
    return request_hash(
        {
            "content": message.content,
            "role": message.role,
            "authorId": (message.author_id or "").lower(),
            "inReplyTo": (message.in_reply_to or "").lower(),
            "parts": _sorted_json(body.get("parts") or []),
            "attachments": _sorted_json(body.get("attachments") or []),
            "metadata": _sorted_json(body.get("metadata") or {}),
        }
    )


def _whole(
    query: Mapping[str, str], name: str, problems: list[FieldProblem], low: int, high: int | None = None
) -> int | None:
    if name not in query:
        return None
    text = query[name]
    if _NUMBER.fullmatch(text) and low <= int(text) and (high is None or int(text) <= high):
        return int(text)
    bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
    problems.append(FieldProblem(name, f"must be a whole number {bounds}", text))
    return None


def _moment(query: Mapping[str, str], name: str, problems: list[FieldProblem]) -> int | None:
    """Read epoch milliseconds, or ISO 8601 with a zone."""
    if name not in query:
        return None
    text = query[name]
    if _NUMBER.fullmatch(text):
        return int(text)
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a plus sign that was sent as it is
        if moment.tzinfo is not None and len(text) > len("2026-06-27"):
            return max(0, (moment - _EPOCH) // timedelta(milliseconds=1))
    except (ValueError, OverflowError):
        pass
    problems.append(FieldProblem(name, "must be epoch milliseconds, or ISO 8601 with a zone", text))
    return None


def _flag(query: Mapping[str, str], name: str, problems: list[FieldProblem]) -> bool:
    text = query.get(name, "false")
    if text not in ("true", "false"):
        problems.append(FieldProblem(name, "must be true or false", text))
    return text == "true"


# `json.dumps` would make one for each text.
_sorted_json: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
"""JSON that is the same whatever the order of keys."""
