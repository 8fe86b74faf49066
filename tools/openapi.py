"""Writes docs/openapi.json (`make openapi`): the HTTP API in OpenAPI 3.1, from its request models and those below.

Bounds and defaults are those of a deployment with the default settings.
"""

import inspect
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

from agent_sessions.api.edge import AGENTS_PATH, BASE_PATH, ERASURES_PATH, POLICY_PATH, STATUS
from agent_sessions.api.json_body import METADATA_VERSION_PATTERN
from agent_sessions.api.list_query import DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE
from agent_sessions.api.message_batches import MAX_BATCH
from agent_sessions.api.messages_requests import MAX_ATTACHMENTS, MessageFields
from agent_sessions.api.policies import FIELDS as POLICY_FIELDS
from agent_sessions.api.requests import IDEMPOTENCY_KEY_PATTERN, UUID_PATTERN, Requests
from agent_sessions.api.responses import metadata_version
from agent_sessions.messages.ids import REQUEST_PARTS
from agent_sessions.messages.model import Role
from agent_sessions.messages.pages import EXPORT_LIMIT
from agent_sessions.policies.model import Span
from agent_sessions.settings import MessageSettings, SessionSettings
from agent_sessions.wire_format import compact
from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel
from pydantic.json_schema import models_json_schema

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENT: Final = ROOT / "docs" / "openapi.json"
EVENTS: Final = ROOT / "events"

_SETTINGS: Final = SessionSettings.from_env({"SESSIONS_TABLE": "any"})
_MESSAGE_SETTINGS: Final = MessageSettings.from_env({"SESSIONS_TABLE": "any", "MESSAGES_TABLE": "any"})
_REQUESTS: Final = Requests(_SETTINGS)
_MESSAGE_ID_PATTERN: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_SESSION_ID_PATTERN: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
_EXPORT_CURSOR_PATTERN: Final = f"^0$|{_MESSAGE_ID_PATTERN}"
_CURSOR_PATTERN: Final = "^[A-Za-z0-9_-]+$"
_TIMESTAMP_PATTERN: Final = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
_LONGEST_MS: Final = _SETTINGS.longest_duration_minutes * 60_000

# --- what answers are made of -----------------------------------------------------------------------------------------

Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time", "pattern": _TIMESTAMP_PATTERN})]
Uuid = Annotated[str, Field(json_schema_extra={"format": "uuid", "pattern": UUID_PATTERN})]
SessionId = Annotated[str, Field(json_schema_extra={"format": "uuid", "pattern": _SESSION_ID_PATTERN})]
Count = Annotated[int, Field(ge=0)]
MetadataVersion = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]


class _Answer(BaseModel):
    """An object that has these members and no others."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel)


class TimeoutConfig(_Answer):
    """The settings in force: always all four, as sent."""

    timeout_minutes: float = Field(
        ge=_SETTINGS.session_min_timeout_minutes,
        le=_SETTINGS.session_max_timeout_minutes,
        description="Inactivity timeout.",
    )
    auto_renew: bool = Field(description="Whether a heartbeat renews.")
    max_duration_minutes: float = Field(
        ge=_SETTINGS.session_min_timeout_minutes,
        le=_SETTINGS.longest_duration_minutes,
        description="Total lifetime from creation.",
    )
    warning_threshold_minutes: float = Field(
        ge=1, le=_SETTINGS.session_max_timeout_minutes, description="How long before expiry the warning goes out."
    )


class Session(_Answer):
    """A session at the moment of the answer."""

    session_id: SessionId
    channel_id: SessionId = Field(description="Equals sessionId: a session is its own channel.")
    agent_id: Uuid
    user_id: Uuid
    created_at: Timestamp
    last_activity: Timestamp = Field(description="The last heartbeat or renewal, else the creation.")
    expires_at: Timestamp = Field(description="When the session ends unless it is renewed.")
    ends_at: Timestamp = Field(description="createdAt + maxDurationMinutes: no renewal goes past it.")
    renew_after: Timestamp | None = Field(
        description="Until then a heartbeat is not worth its cost; null where a heartbeat can renew nothing."
    )
    metadata: dict[str, Any] = Field(description="As it was sent: key order, strings, integers, equal doubles.")
    timeout_config: TimeoutConfig
    lease: Annotated[int, Field(ge=1)] = Field(description="Counts the stretches with one expiresAt; events carry it.")
    renewal_count: Count
    metadata_version: MetadataVersion = Field(description="Changes when the metadata does.")
    last_sequence: Count = Field(description="The number of the last message; 0 before the first.")
    last_message_at: Timestamp | None = Field(description="null before the first message.")
    awaiting_reply: bool = Field(description="Whether a user's message is newer than every agent's.")
    time_remaining: Annotated[int, Field(ge=0, le=_LONGEST_MS)] = Field(description="Milliseconds until expiresAt.")
    is_near_expiration: bool = Field(description="0 < timeRemaining <= warningThresholdMinutes.")


class MetadataPatch(BaseModel):
    """A change of the metadata. Unknown members beside it are ignored."""

    metadata: dict[str, Any] = Field(description="A JSON Merge Patch of the metadata (RFC 7396).")


class PageStats(_Answer):
    """Counts of the page, not of the tenant."""

    total_sessions: Count
    active_sessions: Count
    expired_sessions: Count


class SessionPage(_Answer):
    """Live sessions, newest first. A page may be short, or empty with a nextCursor; the last one has none."""

    sessions: Annotated[list[Session], Field(max_length=MAX_PAGE_SIZE)]
    total: Annotated[int, Field(ge=0, le=MAX_PAGE_SIZE, description="Sessions on this page.")]
    stats: PageStats
    next_cursor: Annotated[str, Field(json_schema_extra={"pattern": _CURSOR_PATTERN})] = Field(default_factory=str)


MessageId = Annotated[str, Field(json_schema_extra={"format": "uuid", "pattern": _MESSAGE_ID_PATTERN})]
Attachments = Annotated[list[dict[str, Any]], Field(max_length=MAX_ATTACHMENTS)]


class Message(_Answer):
    """A message as it is stored. It never changes, but its content may be removed."""

    id: MessageId
    sequence: Annotated[int, Field(ge=1)] = Field(description="Its number in the session, in the order of acceptance.")
    session_id: SessionId
    content: str
    role: Role
    is_agent: bool
    author_id: Uuid
    in_reply_to: MessageId | None
    created_at: Timestamp = Field(description="Strictly increasing within a session.")
    parts: list[dict[str, Any]]
    attachments: Attachments
    metadata: dict[str, Any]


class RedactedMessage(_Answer):
    """A message whose content was removed: its number stays."""

    id: MessageId
    sequence: Annotated[int, Field(ge=1)]
    redacted: Literal[True]


StoredMessage = Message | RedactedMessage


class RedactedData(_Answer):
    """What a redaction did."""

    success: Literal[True]
    redacted: Count = Field(description="Messages that this call emptied.")
    pending: bool = Field(description="Whether some are left, for want of time: ask again.")


class Redaction(_Answer):
    """The content of messages is removed."""

    success: Literal[True]
    message: str
    data: RedactedData


class SessionExport(_Answer):
    """A part of an export, at most 1 MB of messages. Without nextCursor it is the last."""

    session: Session
    messages: Annotated[list[StoredMessage], Field(max_length=EXPORT_LIMIT)]
    skipped: list[int] = Field(description="Numbers of this stretch whose writers died: there is no message.")
    next_cursor: Annotated[str, Field(json_schema_extra={"pattern": _EXPORT_CURSOR_PATTERN})] = Field(
        default_factory=str
    )


class RawMessage(_Answer):
    """What ElizaOS keeps of a message as it was sent."""

    content: str
    attachments: Attachments


class UserMessage(BaseModel):
    """A user's message in ElizaOS's form."""

    model_config = ConfigDict(extra="forbid")

    id: MessageId
    channel_id: SessionId
    message_server_id: Uuid
    author_id: Uuid
    content: str
    created_at: Annotated[int, Field(ge=0)] = Field(description="Epoch milliseconds.")
    source_type: Literal["user"]
    raw_message: RawMessage
    metadata: dict[str, Any]
    in_reply_to_message_id: MessageId | None
    authorId: Uuid  # noqa: N815 - the client's own name, beside the other
    createdAt: Timestamp  # noqa: N815 - the client's own name too


class AgentResponse(_Answer):
    """An agent's reply in ElizaOS's form; thought and actions are those of its metadata, where it has them."""

    text: str
    message_id: MessageId
    sequence: Annotated[int, Field(ge=1)]
    in_reply_to: MessageId | None
    thought: Any = Field(default_factory=str)
    actions: Any = Field(default_factory=str)
    metadata: dict[str, Any]


class SessionStatus(_Answer):
    """What the message did to its session."""

    expires_at: Timestamp
    renewal_count: Count
    was_renewed: bool = Field(description="A user's message renews as a heartbeat does; a repeat does not.")
    is_near_expiration: bool
    last_sequence: Count


class AppendedData(_Answer):
    """The members of an answer to a post."""

    success: Literal[True]
    message: StoredMessage
    user_message: UserMessage = Field(default_factory=dict, description="Only for role user.")  # type: ignore[assignment]
    agent_response: AgentResponse = Field(default_factory=dict, description="The reply that was waited for.")  # type: ignore[assignment]
    pending: Literal[True] = Field(default_factory=bool, description="Present where no reply came in time.")  # type: ignore[arg-type]
    session_status: SessionStatus


class Appended(AppendedData):
    """A stored message; `data` repeats the rest, as the ElizaOS client hands just that to its caller."""

    data: AppendedData


class BatchData(_Answer):
    """The members of an answer to a batch."""

    success: Literal[True]
    messages: Annotated[list[StoredMessage], Field(min_length=1, max_length=MAX_BATCH)]
    session_status: SessionStatus


class AppendedBatch(BatchData):
    """Stored messages, in order; `data` repeats the rest."""

    data: BatchData


class NewBatch(BaseModel):
    """Several new messages, none of which waits for a reply."""

    messages: Annotated[list[MessageFields], Field(min_length=1, max_length=MAX_BATCH)]


class MessageCursors(_Answer):
    """Where to go on. All but afterSequence are absent where the page is empty."""

    before: Count = Field(default_factory=int, description="Epoch milliseconds of the oldest message here.")
    after: Count = Field(default_factory=int, description="Epoch milliseconds of the newest message here.")
    before_sequence: Count = Field(default_factory=int)
    after_sequence: Count = Field(description="Up to here all is read; never beyond a number whose writer is at work.")


class MessagePage(_Answer):
    """Messages of a session, at most 1 MB."""

    messages: Annotated[list[StoredMessage], Field(max_length=MAX_PAGE_SIZE)]
    has_more: bool = Field(description="A message lies beyond the page in its direction.")
    cursors: MessageCursors
    skipped: list[int] = Field(description="Numbers of this stretch whose writers died: there is no message.")
    last_sequence: Count
    awaiting_reply: bool
    poll_after_ms: Annotated[int, Field(ge=300, le=5000)] | None = Field(
        description="How long to wait before asking again for a reply; null where none is awaited."
    )


class _Wish(BaseModel):
    """What a policy says of one number: the default for the agent's sessions, and bounds for what they ask for."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": [end]} for end in ("default", "min", "max")]})


def _wish(name: str, span: Span) -> Any:
    """Return the type of a number of a policy: a default, or an object."""
    number = Annotated[float, Field(ge=span.low, le=span.high)]
    ends: dict[str, Any] = {end: (number, Field(default_factory=float)) for end in ("default", "min", "max")}
    return number | create_model(name, __base__=_Wish, __doc__=_Wish.__doc__, **ends)


_ONE_OF_THE_FIVE: Final[list[Any]] = [{"maxProperties": 0}, *({"required": [name]} for name in POLICY_FIELDS)]


class SessionPolicy(BaseModel):
    """What sessions an agent may have. A body that is not empty has at least one of the five."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        json_schema_extra={"anyOf": _ONE_OF_THE_FIVE},
    )

    allowed: bool = Field(default_factory=bool, json_schema_extra={"default": True}, description="Whether at all.")
    auto_renew: bool = Field(default_factory=bool, description="The default for the agent's sessions.")
    timeout_minutes: _wish("TimeoutWish", _REQUESTS.rules.timeout) = Field(default_factory=float)  # type: ignore[valid-type]
    max_duration_minutes: _wish("DurationWish", _REQUESTS.rules.max_duration) = Field(default_factory=float)  # type: ignore[valid-type]
    warning_threshold_minutes: _wish("ThresholdWish", _REQUESTS.rules.warning_threshold) = Field(  # type: ignore[valid-type]
        default_factory=float
    )


class AgentPolicy(SessionPolicy):
    """An agent's policy. What it leaves to the service is left out."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={})

    agent_id: Annotated[str, Field(json_schema_extra={"format": "uuid", "pattern": UUID_PATTERN})] = Field(
        description="In lower case."
    )
    allowed: bool
    updated_at: Timestamp


class PolicyPage(_Answer):
    """Policies in the order of their agents' ids. The last page has no nextCursor."""

    agents: Annotated[list[AgentPolicy], Field(max_length=MAX_PAGE_SIZE)]
    next_cursor: Uuid = Field(default_factory=str)


class PolicyEnded(_Answer):
    """Whose policy was taken away."""

    success: Literal[True]
    agent_id: Uuid


class PolicyDeletion(_Answer):
    """What the ElizaOS client unwraps: it hands `data` to its caller."""

    success: Literal[True]
    message: str
    data: PolicyEnded


class NewErasure(BaseModel):
    """Whom to erase. Unknown members are ignored."""

    userId: Uuid = Field(description="Compared without case.")  # noqa: N815 - as it is sent


class Receipt(_Answer):
    """What stays of an erasure that is done. It names nobody."""

    requested_at: Timestamp
    finished_at: Timestamp
    user_id_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the user's id in lower case."
    )
    sessions_digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] = Field(
        description="Sum, modulo 2 to the 256th, of the SHA-256 of each removed session's id."
    )


class Erasure(_Answer):
    """The erasure of a user, and how far it is."""

    erasure_id: SessionId
    status: Literal["running", "done"]
    requested_at: Timestamp
    sessions: Count = Field(description="Sessions removed so far.")
    messages: Count = Field(description="Messages removed so far.")
    receipt: Receipt = Field(default_factory=dict, description="Once it is done.")  # type: ignore[assignment]


class Ended(_Answer):
    """Which session was ended."""

    success: Literal[True]
    session_id: SessionId
    messages_deleted: Count = Field(description="Messages that were removed before the answer.")
    pending: bool = Field(description="Whether the rest is still being removed.")


class Deletion(_Answer):
    """What the ElizaOS client unwraps: it hands `data` to its caller."""

    success: Literal[True]
    message: str
    data: Ended


class Health(_Answer):
    """The state of the service; null is what is not known."""

    status: Literal["healthy", "degraded"]
    timestamp: Timestamp
    active_sessions: Count | None = Field(description="The last count, at most six minutes old.")
    expiring_soon: Count | None = Field(description="The same count, of the sessions whose warning or expiry is close.")
    last_sweep_at: Timestamp | None
    sweep_lag_seconds: Annotated[float, Field(ge=0)] | None
    passed_over: Count | None = Field(description="What the last sweep could not read, publish or mark.")
    event_lag_seconds: Annotated[float, Field(ge=0)] | None = Field(
        description="How late messages' events were, in a report of the last three minutes."
    )


class Unhealthy(Health):
    """The table cannot be read, so nothing else is known."""

    status: Literal["unhealthy"]  # type: ignore[assignment]


class GatewayMessage(_Answer):
    """What API Gateway answers by itself, before the function is asked."""

    message: str


class FieldFault(_Answer):
    """One field at fault: its path in the request, the rule it breaks, and the value, unless it is missing."""

    field: str
    message: str
    value: Any = Field(default_factory=str)


class ValidationDetails(_Answer):
    """All fields at fault."""

    fields: Annotated[list[FieldFault], Field(min_length=1)]


class ExpiredDetails(_Answer):
    """When the session expired, and why."""

    expires_at: Timestamp
    reason: Literal["idle_timeout", "max_duration"]
    session_id: SessionId = Field(default_factory=str, description="Where an Idempotency-Key led to the session.")


class RenewalDetails(_Answer):
    """The end that no renewal passes."""

    ends_at: Timestamp


class DifferingDetails(_Answer):
    """What differs from the request that used the key first."""

    differing: Annotated[
        list[Literal["agentId", "userId", "timeoutConfig", *REQUEST_PARTS, "messages"]],  # type: ignore[valid-type]
        Field(min_length=1),
    ]


class _Error(_Answer):
    """The one error shape."""

    message: str
    timestamp: Timestamp


class PreconditionDetails(_Answer):
    """The session's present value of the field that If-Match must name."""

    last_sequence: Count = Field(default_factory=int, description="Where a message was posted.")
    metadata_version: MetadataVersion = Field(default_factory=str, description="Where the metadata was patched.")


_DETAILS_OF: Final[Mapping[str, type[_Answer]]] = {
    "PRECONDITION_FAILED": PreconditionDetails,
    "VALIDATION_ERROR": ValidationDetails,
    "SESSION_EXPIRED": ExpiredDetails,
    "SESSION_RENEWAL_FAILED": RenewalDetails,
    "IDEMPOTENCY_KEY_REUSED": DifferingDetails,
}


class EventData(_Answer):
    """The facts of a session's present lease."""

    session_id: SessionId
    tenant_id: str
    agent_id: Uuid
    user_id: Uuid
    created_at: Timestamp
    lease: Annotated[int, Field(ge=1)]
    expires_at: Timestamp
    ends_at: Timestamp
    reason: Literal["idle_timeout", "max_duration"]
    renewable: bool
    renewal_count: Annotated[int, Field(ge=0)]
    time_remaining: Annotated[int, Field(ge=0, description="In milliseconds.")]
    timeout_config: TimeoutConfig


class _Event(BaseModel):
    """A CloudEvent of version 1.0 in structured mode. A repeat has the same id."""

    model_config = ConfigDict(extra="forbid")

    specversion: Literal["1.0"]
    id: str
    source: str
    subject: SessionId
    time: Timestamp
    datacontenttype: Literal["application/json"]


class ExpiringEvent(_Event):
    """The warning before a session expires: once for each lease, at least once delivered."""

    type: Literal["agent-sessions.session.expiring"]
    data: EventData


class ExpiredEvent(_Event):
    """A session has expired."""

    type: Literal["agent-sessions.session.expired"]
    data: EventData


class CreatedEvent(_Event):
    """A session was created: where LifecycleEvents is on."""

    type: Literal["agent-sessions.session.created"]
    data: EventData


class EndedData(EventData):
    """The facts of a session that was deleted before it expired."""

    reason: Literal["deleted"]  # type: ignore[assignment]


class EndedEvent(_Event):
    """A session was deleted before it expired: where LifecycleEvents is on."""

    type: Literal["agent-sessions.session.ended"]
    data: EndedData


class EventMessage(_Answer):
    """A stored message. Its content is here only where the deployment includes it (`EventContent`)."""

    id: MessageId
    sequence: Annotated[int, Field(ge=1)]
    session_id: SessionId
    role: Role
    is_agent: bool
    author_id: Uuid
    in_reply_to: MessageId | None
    created_at: Timestamp
    content: str = Field(default_factory=str)
    parts: list[dict[str, Any]] = Field(default_factory=list)
    attachments: Attachments = Field(default_factory=list)
    metadata: dict[str, Any] = Field(default_factory=dict)


class MessageEventData(_Answer):
    """A message, and its session at the moment when the message was stored."""

    session_id: SessionId
    tenant_id: str
    agent_id: Uuid
    user_id: Uuid
    created_at: Timestamp
    lease: Annotated[int, Field(ge=1)]
    expires_at: Timestamp
    message: EventMessage


class MessageCreatedEvent(_Event):
    """A message was stored: published at least once, in each session's order at the source."""

    type: Literal["agent-sessions.message.created"]
    data: MessageEventData


class ErasedData(Receipt):
    """The receipt of an erasure."""

    erasure_id: SessionId
    tenant_id: str
    sessions: Count
    messages: Count


class ErasedEvent(_Event):
    """A user was erased."""

    subject: SessionId = Field(description="The erasure's id.")
    type: Literal["agent-sessions.user.erased"]
    data: ErasedData


class _Meaning(NamedTuple):
    """What the document has of one code: its status, and the first line of its error's docstring."""

    status: int
    text: str


def _meanings() -> dict[str, _Meaning]:
    """Every code of the error tree; where several errors share one, the one nearest to the root explains it."""
    found: dict[str, _Meaning] = {}
    for kind, status in sorted(STATUS.items(), key=lambda entry: len(entry[0].__mro__)):
        found.setdefault(kind.code, _Meaning(status, str(inspect.getdoc(kind)).partition("\n")[0]))
    return dict(sorted(found.items(), key=lambda entry: entry[1].status))


_ERRORS: Final = _meanings()


def _error_model(code: str, meaning: str, details: type[_Answer] | None) -> type[BaseModel]:
    """The whole body of one error, as a model."""
    name = "".join(word.title() for word in code.split("_"))
    members: dict[str, Any] = {"code": (Literal[code], ...)}
    if details is not None:
        members["details"] = (details, ...)
    error = create_model(name, __base__=_Error, __doc__=meaning, **members)
    body: type[BaseModel] = create_model(
        f"{name}Answer", __base__=_Answer, __doc__=meaning, success=(Literal[False], ...), error=(error, ...)
    )
    return body


_ERROR_MODELS: Final = {
    code: _error_model(code, meaning, _DETAILS_OF.get(code)) for code, (_, meaning) in _ERRORS.items()
}
_MODELS: Final[list[type[BaseModel]]] = [
    Session,
    SessionPage,
    Deletion,
    Message,
    MessagePage,
    Appended,
    AppendedBatch,
    Health,
    Unhealthy,
    GatewayMessage,
    *_ERROR_MODELS.values(),
    _REQUESTS.create,
    _REQUESTS.patch,
    MetadataPatch,
    SessionPolicy,
    AgentPolicy,
    PolicyPage,
    PolicyDeletion,
    MessageFields,
    NewBatch,
    RedactedMessage,
    Redaction,
    SessionExport,
    NewErasure,
    Erasure,
    CreatedEvent,
    EndedEvent,
    ExpiringEvent,
    ExpiredEvent,
    MessageCreatedEvent,
    ErasedEvent,
]

# --- schemas ----------------------------------------------------------------------------------------------------------


def _schemas() -> dict[str, Any]:
    _, found = models_json_schema(
        [(model, "validation") for model in _MODELS], by_alias=True, ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Any] = _without_titles(found["$defs"])
    return dict(sorted(schemas.items()))


def _without_titles(value: Any) -> Any:
    """Drop the titles that pydantic makes of names, but no property that is called so."""
    if isinstance(value, list):
        return [_without_titles(entry) for entry in value]
    if isinstance(value, dict):
        return {
            name: _without_titles(entry)
            for name, entry in value.items()
            if name != "title" or not isinstance(entry, str)
        }
    return value


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


# --- examples ---------------------------------------------------------------------------------------------------------


def _sent(name: str) -> Any:
    """The body of a sample event."""
    return json.loads(json.loads((EVENTS / f"{name}.json").read_text("utf-8"))["body"])


_NOW: Final = "2026-06-27T08:00:00.000Z"
_ID: Final = "3f0b1c52-9d4e-4a67-8c1b-72e5a0d94f36"
_SESSION: Final[dict[str, Any]] = {
    "sessionId": _ID,
    "channelId": _ID,
    **{name: _sent("create-full")[name] for name in ("agentId", "userId")},
    "createdAt": _NOW,
    "lastActivity": _NOW,
    "expiresAt": "2026-06-27T09:00:00.000Z",
    "endsAt": "2026-06-27T16:00:00.000Z",
    "renewAfter": None,
    "metadata": _sent("create-full")["metadata"],
    "timeoutConfig": _sent("create-full")["timeoutConfig"],
    "lease": 1,
    "renewalCount": 0,
    "metadataVersion": metadata_version(compact(_sent("create-full")["metadata"])),
    "lastSequence": 0,
    "lastMessageAt": None,
    "awaitingReply": False,
    "timeRemaining": 3_600_000,
    "isNearExpiration": False,
}
_PAGE: Final = {
    "sessions": [_SESSION],
    "total": 1,
    "stats": {"totalSessions": 1, "activeSessions": 1, "expiredSessions": 0},
    "nextCursor": "pXh0mN2Zq1Jc8rUuS3b7WVsxNzgyNTQ3MjAwMDAwXQ",
}
_DELETION: Final = {
    "success": True,
    "message": "The session has ended.",
    "data": {"success": True, "sessionId": _ID, "messagesDeleted": 0, "pending": False},
}
_POLICY: Final = {
    "agentId": _SESSION["agentId"],
    "allowed": True,
    **_sent("policy-put"),
    "updatedAt": _NOW,
}
_MESSAGE_ID: Final = "00000000-0001-8a4f-9c3e-5b7d1f20c846"
_ASKED: Final = _sent("message-post")
_MESSAGE: Final[dict[str, Any]] = {
    "id": _MESSAGE_ID,
    "sequence": 1,
    "sessionId": _ID,
    "content": _ASKED["content"],
    "role": "user",
    "isAgent": False,
    "authorId": _SESSION["userId"],
    "inReplyTo": None,
    "createdAt": _NOW,
    "parts": [],
    "attachments": [],
    "metadata": _ASKED["metadata"],
}
_MESSAGE_PAGE: Final = {
    "messages": [_MESSAGE],
    "hasMore": False,
    "cursors": {"before": 1_782_547_200_000, "after": 1_782_547_200_000, "beforeSequence": 1, "afterSequence": 1},
    "skipped": [],
    "lastSequence": 1,
    "awaitingReply": True,
    "pollAfterMs": 300,
}
_APPENDED_DATA: Final[dict[str, Any]] = {
    "success": True,
    "message": _MESSAGE,
    "userMessage": {
        "id": _MESSAGE_ID,
        "channel_id": _ID,
        "message_server_id": "00000000-0000-0000-0000-000000000000",
        "author_id": _SESSION["userId"],
        "content": _ASKED["content"],
        "created_at": 1_782_547_200_000,
        "source_type": "user",
        "raw_message": {"content": _ASKED["content"], "attachments": []},
        "metadata": _ASKED["metadata"],
        "in_reply_to_message_id": None,
        "authorId": _SESSION["userId"],
        "createdAt": _NOW,
    },
    "sessionStatus": {
        "expiresAt": "2026-06-27T08:30:00.000Z",
        "renewalCount": 1,
        "wasRenewed": True,
        "isNearExpiration": False,
        "lastSequence": 1,
    },
}
_REDACTED: Final = {"id": _MESSAGE_ID, "sequence": 1, "redacted": True}
_REDACTION: Final = {
    "success": True,
    "message": "The content is removed.",
    "data": {"success": True, "redacted": 1, "pending": False},
}
_EXPORT: Final = {
    "session": _SESSION | {"lastSequence": 2, "lastMessageAt": _NOW, "awaitingReply": True},
    "messages": [_MESSAGE],
    "skipped": [],
    "nextCursor": _MESSAGE_ID,
}
_ERASURE: Final = {
    "erasureId": "72ba2925-8226-4486-9efd-76adae1679ed",
    "status": "done",
    "requestedAt": _NOW,
    "sessions": 12,
    "messages": 340,
    "receipt": {
        "requestedAt": _NOW,
        "finishedAt": "2026-06-27T08:01:00.000Z",
        "userIdHash": "d3f7e0d3ff4f2ea79ff3f3d0ca9f8ed2b8c5e5a3e0ccb0b8e7a8c0fd1bb4a4a1",
        "sessionsDigest": "5b1cf0f0f1d1a0e3cb1f5fd5c7ab6a2a7a0a3c41a3bd2c6ff91d8b0ea5b6b7c8",
    },
}
_HEALTH: Final = {
    "status": "healthy",
    "timestamp": _NOW,
    "activeSessions": 5400,
    "expiringSoon": 12,
    "lastSweepAt": "2026-06-27T07:59:31.250Z",
    "sweepLagSeconds": 0.8,
    "passedOver": 0,
    "eventLagSeconds": 0.4,
}
_UNHEALTHY: Final = dict.fromkeys(_HEALTH) | {"status": "unhealthy", "timestamp": _NOW}
_BATCH_DATA: Final = {
    "success": True,
    "messages": [_MESSAGE],
    "sessionStatus": _APPENDED_DATA["sessionStatus"],
}
_EXAMPLES: Final = {
    "Session": _SESSION,
    "SessionPage": _PAGE,
    "Deletion": _DELETION,
    "Message": _MESSAGE,
    "MessagePage": _MESSAGE_PAGE,
    "Appended": _APPENDED_DATA | {"data": _APPENDED_DATA},
    "AppendedBatch": _BATCH_DATA | {"data": _BATCH_DATA},
    "AgentPolicy": _POLICY,
    "PolicyPage": {"agents": [_POLICY], "nextCursor": _SESSION["agentId"]},
    "PolicyDeletion": {
        "success": True,
        "message": "The agent has no policy any more.",
        "data": {"success": True, "agentId": _SESSION["agentId"]},
    },
    "Erasure": _ERASURE,
    "RedactedMessage": _REDACTED,
    "Redaction": _REDACTION,
    "SessionExport": _EXPORT,
    "Health": _HEALTH,
    "Unhealthy": _UNHEALTHY,
}
_DETAILS: Final[Mapping[str, Any]] = {
    "VALIDATION_ERROR": {
        "fields": [{"field": "timeoutConfig.timeoutMinutes", "message": "must be from 5 to 1440", "value": 4}]
    },
    "SESSION_EXPIRED": {"expiresAt": "2026-06-27T07:30:00.000Z", "reason": "idle_timeout"},
    "SESSION_RENEWAL_FAILED": {"endsAt": "2026-06-27T08:05:00.000Z"},
    "IDEMPOTENCY_KEY_REUSED": {"differing": ["metadata"]},
    "PRECONDITION_FAILED": {"lastSequence": 17},
}


_GATEWAY_SAYS: Final = {
    401: "Unauthorized",
    403: "Forbidden",
    413: "Request Entity Too Large",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


def _example(model: str, status: int) -> Any:
    """An example of a refusal's body."""
    for code, found in _ERROR_MODELS.items():
        if found.__name__ == model:
            error = {"code": code, "message": _ERRORS[code].text, "timestamp": _NOW}
            return {"success": False, "error": error | ({"details": _DETAILS[code]} if code in _DETAILS else {})}
    return {"message": _GATEWAY_SAYS[status]}


# --- answers ----------------------------------------------------------------------------------------------------------

_OUR_HEADERS: Final = {name: _ref("headers", name) for name in ("x-request-id", "cache-control")}
_BY_GATEWAY: Final = {
    401: "The gateway answers so where there is no key.",
    403: "The gateway answers so where the key is unknown, revoked or expired.",
    413: "The body is over the gateway's own limit.",
    429: "The gateway has too many requests.",
    431: "The headers are over the gateway's own limit.",
    500: "The gateway could not ask the function or the authorizer.",
    503: "The function did not answer the gateway in time.",
}
_EVERYWHERE: Final = ("INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE")


def _answer(description: str, model: str, headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An answer with a body of this model; its example is called like it."""
    return {
        "description": description,
        "headers": _OUR_HEADERS | dict(headers or {}),
        "content": {
            "application/json": {"schema": _ref("schemas", model), "examples": {"one": _ref("examples", model)}}
        },
    }


def _refusals(*codes: str, keyed: bool = True) -> dict[str, Any]:
    """The error answers of an operation: ours by their codes, and those that the gateway makes itself."""
    statuses = _codes_by_status(*codes, *_EVERYWHERE, *(["UNAUTHORIZED", "FORBIDDEN"] if keyed else []))
    by_gateway = {413, 429, 431}
    return {
        str(status): _ref("responses", _refusal_name(status, statuses.get(status, [])))
        for status in sorted(statuses.keys() | by_gateway)
    }


def _codes_by_status(*codes: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(_ERRORS[code].status, []).append(code)
    return found


def _refusal_name(status: int, codes: list[str]) -> str:
    """What a status is called among the shared answers."""
    return "".join(_ERROR_MODELS[code].__name__.removesuffix("Answer") for code in codes) or f"Gateway{status}"


def _refusal(status: int, codes: list[str]) -> dict[str, Any]:
    """Everything that one status may mean."""
    meanings = [f"`{code}`: {_ERRORS[code].text}" for code in codes]
    names = [_ERROR_MODELS[code].__name__ for code in codes]
    headers: dict[str, Any] = {}
    if status in _BY_GATEWAY:
        meanings.append(_BY_GATEWAY[status])
        names.append("GatewayMessage")
        headers["apigw-requestid"] = _ref("headers", "apigw-requestid")
    if codes:
        headers |= _OUR_HEADERS
    for code, header in (("SERVICE_UNAVAILABLE", "retry-after"), ("METHOD_NOT_ALLOWED", "allow")):
        if code in codes:
            headers[header] = _ref("headers", header)
    refs = [_ref("schemas", name) for name in names]
    return {
        "description": " ".join(meanings),
        "headers": headers,
        "content": {
            "application/json": {
                "schema": refs[0] if len(refs) == 1 else {"oneOf": refs},
                "examples": {name: {"value": _example(name, status)} for name in names},
            }
        },
    }


def _responses() -> dict[str, Any]:
    """The answers that several operations share, and those that belong to none."""
    shared = [(status, [code]) for code, (status, _) in _ERRORS.items()] + [(status, []) for status in (413, 429, 431)]
    shared.append((404, ["SESSION_NOT_FOUND", "MESSAGE_NOT_FOUND"]))
    return {_refusal_name(status, codes): _refusal(status, codes) for status, codes in shared}


# --- the document -----------------------------------------------------------------------------------------------------

_HEADERS: Final = {
    "x-request-id": {"description": "Names the request in the log.", "schema": {"type": "string"}},
    "apigw-requestid": {"description": "The gateway's own name of the request.", "schema": {"type": "string"}},
    "cache-control": {"description": "No answer may be kept.", "schema": {"const": "no-store"}},
    "location": {
        "description": "The path of the session.",
        "schema": {"type": "string", "pattern": f"^{BASE_PATH}/{_SESSION_ID_PATTERN[1:]}"},
    },
    "location-of-message": {
        "description": "The path of the message.",
        "schema": {
            "type": "string",
            "pattern": f"^{BASE_PATH}/{_SESSION_ID_PATTERN[1:-1]}/messages/{_MESSAGE_ID_PATTERN[1:]}",
        },
    },
    "location-of-erasure": {
        "description": "The path of the erasure.",
        "schema": {"type": "string", "pattern": f"^{ERASURES_PATH}/{_SESSION_ID_PATTERN[1:]}"},
    },
    "retry-after": {
        "description": "Seconds after which to try again.",
        "schema": {"type": "string", "pattern": "^[0-9]+$"},
    },
    "allow": {"description": "The verbs that the path answers.", "schema": {"type": "string"}},
}
_PARAMETERS: Final = {
    "erasureId": {
        "name": "erasureId",
        "in": "path",
        "required": True,
        "description": "As eraseUser gave it, in any case of letters.",
        "schema": {"type": "string", "format": "uuid", "pattern": UUID_PATTERN},
    },
    "sessionId": {
        "name": "sessionId",
        "in": "path",
        "required": True,
        "description": "As createSession gave it, in any case of letters. An id of another form is an unknown session.",
        "schema": {"type": "string", "format": "uuid", "pattern": UUID_PATTERN},
    },
    "idempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key with the same request gives the same session instead of a second one, for as long "
        "as the session is remembered. Belongs to the caller's tenant.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": IDEMPOTENCY_KEY_PATTERN},
    },
    **{
        name: {
            "name": name,
            "in": "query",
            "description": f"Only sessions of this {name.removesuffix('Id')}.",
            "schema": {"type": "string", "format": "uuid", "pattern": UUID_PATTERN},
        }
        for name in ("userId", "agentId")
    },
    "madeWithKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Lists just the live session that was made with this key, or none. Without other filters.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": IDEMPOTENCY_KEY_PATTERN},
    },
    "ifVersion": {
        "name": "If-Match",
        "in": "header",
        "description": "A metadataVersion in quotes: the patch is applied to just this one.",
        "schema": {"type": "string", "pattern": METADATA_VERSION_PATTERN},
    },
    "policyAgentId": {
        "name": "agentId",
        "in": "path",
        "required": True,
        "description": "In any case of letters.",
        "schema": {"type": "string", "format": "uuid", "pattern": UUID_PATTERN},
    },
    "policyLimit": {
        "name": "limit",
        "in": "query",
        "description": "Policies on a page, at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
    },
    "policyCursor": {
        "name": "cursor",
        "in": "query",
        "description": "The nextCursor of the page before; empty for the first page.",
        "schema": {"type": "string", "pattern": f"^({UUID_PATTERN[1:-1]})?$"},
    },
    "limit": {
        "name": "limit",
        "in": "query",
        "description": "Sessions on a page, at most.",
        "schema": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": DEFAULT_PAGE_SIZE},
    },
    "cursor": {
        "name": "cursor",
        "in": "query",
        "description": "The nextCursor of the page before, for the same filters; empty for the first page.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]*$"},
    },
}


def _query(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": description, "schema": schema}


_MOMENT: Final = {
    "type": "string",
    "pattern": r"^[0-9]{1,15}$|^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}:\d{2})$",
}
_MESSAGE_PARAMETERS: Final = {
    "messageId": {
        "name": "messageId",
        "in": "path",
        "required": True,
        "description": "As sendMessage gave it. An id of another form is an unknown message.",
        "schema": {"type": "string", "format": "uuid", "pattern": UUID_PATTERN},
    },
    "messageKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "The same key with the same request gives the same message instead of a second one, for the "
        "session's life. Belongs to the session.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": IDEMPOTENCY_KEY_PATTERN},
    },
    "ifMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "The session's lastSequence in quotes: the message is taken only as the next one.",
        "schema": {"type": "string", "pattern": '^"(0|[1-9][0-9]{0,14})"$'},
    },
    "messageLimit": _query(
        "limit", "Messages on a page, at most.", type="integer", minimum=1, maximum=MAX_PAGE_SIZE,
        default=DEFAULT_PAGE_SIZE,
    ),
    "before": _query("before", "Only older ones: epoch milliseconds, or ISO 8601 with a zone.", **_MOMENT),
    "after": _query("after", "Only newer ones, the oldest of them first choice.", **_MOMENT),
    "beforeSequence": _query(
        "beforeSequence", "Only lower numbers. Not with before.", type="integer", minimum=0, maximum=10**15 - 1
    ),
    "afterSequence": _query(
        "afterSequence", "Only higher numbers. Not with after.", type="integer", minimum=0, maximum=10**15 - 1
    ),
    "order": _query("order", "Default desc; asc with afterSequence.", enum=["asc", "desc"]),
    "waitSeconds": _query(
        "waitSeconds", "Holds an empty page until there is something to give. Needs afterSequence.", type="integer",
        minimum=0, maximum=_MESSAGE_SETTINGS.reply_wait_seconds,
    ),
    "exportCursor": _query(
        "cursor", "The nextCursor of the part before.", type="string", pattern=f"^$|{_EXPORT_CURSOR_PATTERN}"
    ),
    "expired": _query("expired", "Whether to read an expired session as well.", enum=["true", "false"]),
}  # fmt: skip
_DESCRIPTION: Final = """\
Sessions for agents: created, kept alive by activity, ended when idle or at the end of their duration.

Durations are minutes unless the name says otherwise; `timeRemaining` is milliseconds. Timestamps are ISO 8601 in UTC.
Numbers show the bounds of a deployment with the default settings.

Every path tolerates a trailing slash and answers OPTIONS with the verbs it knows; HEAD answers as GET without a body;
another verb is a 405 with `Allow`, another path a 404 `ROUTE_NOT_FOUND`. Bodies of heartbeat, renew, DELETE and GET are
ignored. Unknown fields are ignored, but a timeout setting beside timeoutConfig, and a patch of unknown fields only, is
a 400. Answers of the form `{"message": "..."}` are the gateway's own."""


_TAGS: Final = {
    "Message": "Messages",
    "Health": "Health",
    "Policy": "Agents",
    "Policies": "Agents",
    "Eras": "Erasures",
    "erase": "Erasures",
}
"""The tag of an operation, by a word in its name."""


def _operation(name: str, summary: str, responses: dict[str, Any], **rest: Any) -> dict[str, Any]:
    tag = next((tag for word, tag in _TAGS.items() if word in name), "Sessions")
    answers = dict(sorted(responses.items()))
    return {"operationId": name, "summary": summary, "tags": [tag], **rest, "responses": answers}


def _session_answer(description: str, *, location: bool = False) -> dict[str, Any]:
    """An answer with a session."""
    headers = {"location": _ref("headers", "location")} if location else {}
    return _answer(description, "Session", headers)


def _json_body(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "required": True,
        "content": {
            "application/json": {
                "schema": _ref("schemas", model.__name__),
                "examples": {name: {"value": value} for name, value in examples.items()},
            }
        },
    }


def _collection() -> dict[str, Any]:
    created = _session_answer("The new session.", location=True)
    created["links"] = {
        name: {"operationId": name, "parameters": {"sessionId": "$response.body#/sessionId"}}
        for name in (
            "getSession",
            "heartbeat",
            "renewSession",
            "patchTimeout",
            "patchMetadata",
            "deleteSession",
            "sendMessage",
            "getMessages",
        )
    }
    return {
        "post": _operation(
            "createSession",
            "Create a session",
            {
                "200": _session_answer("The session that this Idempotency-Key has made, as it is now.", location=True),
                "201": created,
                **_refusals(
                    "VALIDATION_ERROR",
                    "AGENT_NOT_FOUND",
                    "SESSION_EXPIRED",
                    "PAYLOAD_TOO_LARGE",
                    "IDEMPOTENCY_KEY_REUSED",
                ),
            },
            parameters=[_ref("parameters", "idempotencyKey")],
            requestBody=_json_body(
                _REQUESTS.create, {"minimal": _sent("create-minimal"), "full": _sent("create-full")}
            ),
        ),
        "get": _operation(
            "listSessions",
            "List live sessions",
            {"200": _answer("A page.", "SessionPage"), **_refusals("VALIDATION_ERROR")},
            parameters=[_ref("parameters", name) for name in ("userId", "agentId", "limit", "cursor", "madeWithKey")],
        ),
    }


def _session() -> dict[str, Any]:
    gone = ("SESSION_NOT_FOUND", "SESSION_EXPIRED")
    return {
        "parameters": [_ref("parameters", "sessionId")],
        "get": _operation(
            "getSession",
            "Read a session",
            {
                "200": _session_answer("The session. Reading is no activity."),
                **_refusals("SESSION_NOT_FOUND", "SESSION_EXPIRED"),
            },
        ),
        "patch": _operation(
            "patchMetadata",
            "Change the metadata",
            {
                "200": _session_answer("The session with the merged metadata. A patch is no activity."),
                **_refusals(*gone, "VALIDATION_ERROR", "PRECONDITION_FAILED", "PAYLOAD_TOO_LARGE"),
            },
            description="A JSON Merge Patch (RFC 7396): null removes a member, objects are merged, everything else "
            "replaces. The result must keep the rules of metadata.",
            parameters=[_ref("parameters", "ifVersion")],
            requestBody=_json_body(MetadataPatch, {"one": _sent("patch-metadata")}),
        ),
        "delete": _operation(
            "deleteSession",
            "End a session",
            {
                "200": _answer("The session has ended and its content is removed.", "Deletion"),
                **_refusals("SESSION_NOT_FOUND"),
            },
        ),
    }


def _action(verb: str, operation: dict[str, Any]) -> dict[str, Any]:
    return {"parameters": [_ref("parameters", "sessionId")], verb: operation}


def _messages() -> dict[str, Any]:
    location = {"location": _ref("headers", "location-of-message")}
    gone = ("SESSION_NOT_FOUND", "SESSION_EXPIRED")
    bounds = ("messageLimit", "before", "beforeSequence", "after", "afterSequence", "order", "waitSeconds", "expired")
    stored = _answer("The stored message.", "Appended", location)
    return {
        "parameters": [_ref("parameters", "sessionId")],
        "post": _operation(
            "sendMessage",
            "Send a message",
            {
                "200": _answer("The message that this Idempotency-Key has made.", "Appended", location),
                "201": stored,
                **_refusals(
                    *gone, "VALIDATION_ERROR", "PRECONDITION_FAILED", "PAYLOAD_TOO_LARGE", "IDEMPOTENCY_KEY_REUSED",
                    "MESSAGE_LIMIT_REACHED",
                ),
            },
            description="A user's message renews the session as a heartbeat does. A key of scope client writes as "
            "user, one of scope agent as agent, system or tool.",
            parameters=[_ref("parameters", name) for name in ("messageKey", "ifMatch")],
            requestBody=_json_body(
                MessageFields,
                {"user": _ASKED, "agent": _sent("message-keyed"), "waiting": _sent("message-wait")},
            ),
        ),
        "get": _operation(
            "getMessages",
            "Read messages",
            {
                "200": _answer("The newest messages or, with a lower bound, the oldest that fit.", "MessagePage"),
                **_refusals(*gone, "VALIDATION_ERROR"),
            },
            parameters=[_ref("parameters", name) for name in bounds],
        ),
        "delete": _operation(
            "redactMessages",
            "Remove the content of all messages",
            {"200": _answer("The content is removed.", "Redaction"), **_refusals("SESSION_NOT_FOUND")},
            description="Works for up to 15 seconds; where it is pending, ask again.",
        ),
    }  # fmt: skip


def _batch() -> dict[str, Any]:
    return _action(
        "post",
        _operation(
            "sendMessageBatch",
            "Send several messages, all or none",
            {
                "200": _answer("The messages that this Idempotency-Key has made.", "AppendedBatch"),
                "201": _answer("The stored messages, with consecutive numbers.", "AppendedBatch"),
                **_refusals(
                    "SESSION_NOT_FOUND", "SESSION_EXPIRED", "VALIDATION_ERROR", "PRECONDITION_FAILED",
                    "PAYLOAD_TOO_LARGE", "IDEMPOTENCY_KEY_REUSED", "MESSAGE_LIMIT_REACHED",
                ),
            },
            description="Needs scope full. A user's message among them renews the session once.",
            parameters=[_ref("parameters", name) for name in ("messageKey", "ifMatch")],
            requestBody=_json_body(NewBatch, {"talk": _sent("message-batch")}),
        ),
    )  # fmt: skip


def _message() -> dict[str, Any]:
    read = _answer("The message, or what is left of it.", "Message")
    content = read["content"]["application/json"]
    content["schema"] = {"oneOf": [_ref("schemas", "Message"), _ref("schemas", "RedactedMessage")]}
    content["examples"]["redacted"] = _ref("examples", "RedactedMessage")
    return {
        "parameters": [_ref("parameters", name) for name in ("sessionId", "messageId")],
        "get": _operation(
            "getMessage",
            "Read one message",
            {
                "200": read,
                **_refusals("SESSION_NOT_FOUND", "MESSAGE_NOT_FOUND", "SESSION_EXPIRED", "VALIDATION_ERROR"),
            },
            parameters=[_ref("parameters", "expired")],
        ),
        "delete": _operation(
            "redactMessage",
            "Remove the content of a message",
            {
                "200": _answer("The content is removed.", "Redaction"),
                **_refusals("SESSION_NOT_FOUND", "MESSAGE_NOT_FOUND"),
            },
        ),
    }


def _policies() -> dict[str, Any]:
    return {
        "get": _operation(
            "listAgentPolicies",
            "List the policies of agents",
            {"200": _answer("A page.", "PolicyPage"), **_refusals("VALIDATION_ERROR")},
            parameters=[_ref("parameters", name) for name in ("policyLimit", "policyCursor")],
        )
    }


def _export() -> dict[str, Any]:
    return _action(
        "get",
        _operation(
            "exportSession",
            "Export a session",
            {
                "200": _answer("The session and its messages, oldest first.", "SessionExport"),
                **_refusals("SESSION_NOT_FOUND", "SESSION_EXPIRED", "VALIDATION_ERROR"),
            },
            parameters=[_ref("parameters", name) for name in ("exportCursor", "expired")],
        ),
    )


def _erasures() -> dict[str, Any]:
    accepted = _answer("The erasure has begun.", "Erasure", {"location": _ref("headers", "location-of-erasure")})
    accepted["links"] = {
        "getErasure": {"operationId": "getErasure", "parameters": {"erasureId": "$response.body#/erasureId"}}
    }
    return {
        "post": _operation(
            "eraseUser",
            "Erase a user",
            {"202": accepted, **_refusals("VALIDATION_ERROR", "PAYLOAD_TOO_LARGE")},
            description="Removes every session of a user that was created before, live or ended, with its messages.",
            requestBody=_json_body(NewErasure, {"one": _sent("erasure")}),
        )
    }


def _policy() -> dict[str, Any]:
    unknown = ("VALIDATION_ERROR", "AGENT_NOT_FOUND")
    return {
        "parameters": [_ref("parameters", "policyAgentId")],
        "get": _operation(
            "getAgentPolicy",
            "Read the policy of an agent",
            {"200": _answer("The policy.", "AgentPolicy"), **_refusals(*unknown)},
        ),
        "put": _operation(
            "putAgentPolicy",
            "Give an agent a policy",
            {
                "200": _answer("The policy. It is in force everywhere within 60 seconds.", "AgentPolicy"),
                **_refusals("VALIDATION_ERROR", "PAYLOAD_TOO_LARGE"),
            },
            requestBody=_json_body(SessionPolicy, {"one": _sent("policy-put"), "none": {}}),
        ),
        "delete": _operation(
            "deleteAgentPolicy",
            "Take the policy of an agent away",
            {"200": _answer("The agent has no policy any more.", "PolicyDeletion"), **_refusals(*unknown)},
        ),
    }


def _erasure() -> dict[str, Any]:
    return {
        "parameters": [_ref("parameters", "erasureId")],
        "get": _operation(
            "getErasure",
            "How far is an erasure?",
            {"200": _answer("The erasure.", "Erasure"), **_refusals("ERASURE_NOT_FOUND")},
        ),
    }


def _health() -> dict[str, Any]:
    unhealthy = _refusal(503, [])
    unhealthy["description"] = f"The table cannot be read. {_BY_GATEWAY[503]}"
    unhealthy["headers"] |= _OUR_HEADERS
    content = unhealthy["content"]["application/json"]
    content["schema"] = {"oneOf": [_ref("schemas", "Unhealthy"), _ref("schemas", "GatewayMessage")]}
    content["examples"] = {"Unhealthy": _ref("examples", "Unhealthy")} | content["examples"]
    return {
        "get": _operation(
            "checkHealth",
            "Is the service well?",
            {"200": _answer("It answers.", "Health"), **_refusals(keyed=False), "503": unhealthy},
            description="Degraded where the last sweep is more than three minutes old or late. Needs no key.",
            security=[],
        )
    }


def _webhooks() -> dict[str, Any]:
    """The events, as requests that a subscriber by HTTPS with raw delivery gets."""
    return {
        name: {
            "post": {
                "operationId": name,
                "summary": summary,
                "tags": ["Events"],
                "security": [],
                "requestBody": {"required": True, "content": {"application/json": {"schema": _ref("schemas", model)}}},
                "responses": {"200": {"description": "The event was taken."}},
            }
        }
        for name, model, summary in (
            ("sessionCreated", "CreatedEvent", "A session was created"),
            ("sessionEnded", "EndedEvent", "A session was deleted before it expired"),
            ("sessionExpiring", "ExpiringEvent", "A session is about to expire"),
            ("sessionExpired", "ExpiredEvent", "A session has expired"),
            ("messageCreated", "MessageCreatedEvent", "A message was stored"),
            ("userErased", "ErasedEvent", "A user was erased"),
        )
    }


def document() -> dict[str, Any]:
    """The whole document."""
    gone = ("SESSION_NOT_FOUND", "SESSION_EXPIRED")
    by_id = f"{BASE_PATH}/{{sessionId}}"
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "agent-sessions",
            "version": version("agent-sessions"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [
            {"url": "http://127.0.0.1:3000", "description": "make run"},
            {
                "url": "https://{apiId}.execute-api.{region}.amazonaws.com",
                "description": "a deployment",
                "variables": {"apiId": {"default": "your-api"}, "region": {"default": "eu-central-1"}},
            },
        ],
        "security": [{"apiKey": []}],
        "tags": [
            {"name": "Sessions", "description": "Create, read, renew, change and end sessions."},
            {"name": "Messages", "description": "What is said in a session."},
            {"name": "Agents", "description": "What sessions the agents of a tenant may have."},
            {"name": "Erasures", "description": "Remove all that is stored of a user."},
            {"name": "Health", "description": "The state of the service. Needs no key."},
            {"name": "Events", "description": "What subscribers of the topic receive."},
        ],
        "webhooks": _webhooks(),
        "paths": {
            BASE_PATH: _collection(),
            f"{BASE_PATH}/health": _health(),
            AGENTS_PATH: _policies(),
            POLICY_PATH: _policy(),
            by_id: _session(),
            ERASURES_PATH: _erasures(),
            f"{ERASURES_PATH}/{{erasureId}}": _erasure(),
            f"{by_id}/export": _export(),
            f"{by_id}/messages": _messages(),
            f"{by_id}/messages/batch": _batch(),
            f"{by_id}/messages/{{messageId}}": _message(),
            f"{by_id}/heartbeat": _action(
                "post",
                _operation(
                    "heartbeat",
                    "Record activity, and renew where autoRenew is on",
                    {"200": _session_answer("The session after it."), **_refusals(*gone)},
                ),
            ),
            f"{by_id}/renew": _action(
                "post",
                _operation(
                    "renewSession",
                    "Renew, even where autoRenew is off",
                    {"200": _session_answer("The renewed session."), **_refusals(*gone, "SESSION_RENEWAL_FAILED")},
                ),
            ),
            f"{by_id}/timeout": _action(
                "patch",
                _operation(
                    "patchTimeout",
                    "Change timeout settings",
                    {
                        "200": _session_answer("The session under its new settings. A patch is no activity."),
                        **_refusals(*gone, "VALIDATION_ERROR", "PAYLOAD_TOO_LARGE"),
                    },
                    requestBody=_json_body(_REQUESTS.patch, {"some": _sent("patch"), "none": {}}),
                ),
            ),
        },
        "components": {
            "securitySchemes": {
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-API-KEY",
                    "description": "A key belongs to a tenant, and so does what is created with it.",
                }
            },
            "headers": _HEADERS,
            "parameters": _PARAMETERS | _MESSAGE_PARAMETERS,
            "responses": _responses(),
            "examples": {name: {"value": value} for name, value in _EXAMPLES.items()},
            "schemas": _schemas(),
        },
    }


def text() -> str:
    """The document as it is committed."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(text(), encoding="utf-8")
    print(f"wrote {DOCUMENT.relative_to(ROOT)}")
