"""The HTTP API of messages: its routes, and what each asks of the use cases. Knows no AWS client."""

from collections.abc import Mapping
from typing import Final

from agent_sessions.api import messages_requests as requests
from agent_sessions.api import messages_responses as responses
from agent_sessions.api.edge import (
    BASE_PATH,
    BATCH_ROUTE,
    EXPORT_ROUTE,
    MESSAGE_ROUTE,
    MESSAGES_ROUTE,
    Answer,
    HttpApi,
    Request,
    Route,
)
from agent_sessions.api.json_body import read_object
from agent_sessions.api.message_batches import MAX_BATCH_BODY_BYTES, new_batch
from agent_sessions.clock import Clock
from agent_sessions.errors import InvalidRequest, PayloadTooLarge
from agent_sessions.messages.batches import MessageBatches
from agent_sessions.messages.model import Role
from agent_sessions.messages.pages import MessageReader
from agent_sessions.messages.redaction import MessageRedaction, Redacted
from agent_sessions.messages.service import MessageService
from agent_sessions.messages.waits import MessageWait
from agent_sessions.messages.wire_form import message_json
from agent_sessions.settings import MessageSettings
from agent_sessions.telemetry.metrics import (
    AGENT_MESSAGES,
    MESSAGES_REDACTED,
    NUMBERS_SEALED,
    REPLIES_MISSED,
    REPLY_WAITS,
    SYSTEM_MESSAGES,
    TOOL_MESSAGES,
    USER_MESSAGES,
    TelemetryPort,
)

_APPENDED: Final[Mapping[Role, str]] = {
    "user": USER_MESSAGES,
    "agent": AGENT_MESSAGES,
    "system": SYSTEM_MESSAGES,
    "tool": TOOL_MESSAGES,
}
"""The metric that counts a new message, by its role."""
LATEST_ARRIVAL_MS: Final = 30_000
"""How old an event may be, in milliseconds: the gateway has given up on an older one."""


class MessageApi(HttpApi):
    """Answers the routes of messages."""

    def __init__(
        self,
        *,
        messages: MessageService,
        batches: MessageBatches,
        reader: MessageReader,
        wait: MessageWait,
        redaction: MessageRedaction,
        settings: MessageSettings,
        clock: Clock,
        telemetry: TelemetryPort,
    ) -> None:
        """Wire the routes to the use cases."""
        super().__init__(clock, telemetry)
        self._service = messages
        self._batches = batches
        self._reader = reader
        self._wait = wait
        self._settings = settings
        self._redaction = redaction
        self._messages = MESSAGES_ROUTE._replace(
            verbs={"GET": self._list, "POST": self._post, "DELETE": self._redact_all}
        )
        self._message = MESSAGE_ROUTE._replace(verbs={"GET": self._get, "DELETE": self._redact})
        self._batch_route = BATCH_ROUTE._replace(verbs={"POST": self._post_batch})
        self._export_route = EXPORT_ROUTE._replace(verbs={"GET": self._export})

    def _found(self, parts: list[str]) -> Route | None:
        match parts:
            case ["sessions", session_id, "export"]:
                return self._export_route._replace(session_id=session_id.lower())
            case ["sessions", session_id, "messages"]:
                return self._messages._replace(session_id=session_id.lower())
            case ["sessions", session_id, "messages", "batch"]:
                return self._batch_route._replace(session_id=session_id.lower())
            case ["sessions", session_id, "messages", message_id]:
                return self._message._replace(session_id=session_id.lower(), message_id=message_id)
            case _:
                return None

    def _post(self, request: Request) -> Answer:
        arrived_ms = self._arrival_ms(request)
        try:
            body = read_object(request.body, is_base64=request.is_base64, limit=requests.MAX_MESSAGE_BODY_BYTES)
            post = requests.new_message(body, request.headers, request.scope)
        except (InvalidRequest, PayloadTooLarge):
            self._service.check_alive(request.tenant_id, request.session_id)  # that it is gone wins over a bad body
            raise
        appended = self._service.append(request.tenant_id, request.session_id, post.message)
        message = appended.message
        facts: dict[str, object] = {"role": message.role, "sequence": message.sequence}
        counts: dict[str, float] = {_APPENDED[message.role]: 1} if appended.is_new else {}
        _count_sealed(appended.sealed, counts)
        reply = None
        if post.waits:
            wait_ms = self._settings.reply_wait_seconds * 1000
            reply, waited_ms = self._wait.for_reply(appended, arrived_ms, wait_ms)
            facts["waited_ms"] = waited_ms
            counts |= {REPLY_WAITS: 1} if reply else {REPLY_WAITS: 1, REPLIES_MISSED: 1}
        return Answer(
            201 if appended.is_new else 200,
            responses.appended_json(appended, reply, pending=post.waits and reply is None),
            {"location": f"{BASE_PATH}/{message.session_id}/messages/{message.message_id}"},
            counts=counts,
            facts=facts,
        )

    def _post_batch(self, request: Request) -> Answer:
        try:
            body = read_object(request.body, is_base64=request.is_base64, limit=MAX_BATCH_BODY_BYTES)
            batch = new_batch(body, request.headers, request.scope)
        except (InvalidRequest, PayloadTooLarge):
            self._service.check_alive(request.tenant_id, request.session_id)  # as for a single message
            raise
        appended = self._batches.append(request.tenant_id, request.session_id, batch)
        counts: dict[str, float] = {}
        for message in appended.messages if appended.is_new else ():
            counts[_APPENDED[message.role]] = counts.get(_APPENDED[message.role], 0) + 1
        _count_sealed(appended.sealed, counts)
        facts = {"messages": len(appended.messages), "sequence": appended.messages[-1].sequence}
        return Answer(201 if appended.is_new else 200, responses.batch_json(appended), counts=counts, facts=facts)

    def _list(self, request: Request) -> Answer:
        query, wait_seconds = requests.listing(request.query, self._settings.reply_wait_seconds)
        if wait_seconds:
            page = self._wait.for_page(
                request.tenant_id, request.session_id, query, self._arrival_ms(request), wait_seconds * 1000
            )
        else:
            page = self._reader.page(request.tenant_id, request.session_id, query)
        counts: dict[str, float] = {}
        _count_sealed(page.sealed, counts)
        return Answer(200, responses.messages_json(page), counts=counts, facts={"messages": len(page.messages)})

    def _get(self, request: Request) -> Answer:
        message = self._reader.get(
            request.tenant_id,
            request.session_id,
            request.message_id,
            expired_too=requests.expired_too(request.query),
        )
        return Answer(200, message_json(message), facts={"sequence": message.sequence})

    def _redact(self, request: Request) -> Answer:
        return _redaction_answer(self._redaction.one(request.tenant_id, request.session_id, request.message_id))

    def _redact_all(self, request: Request) -> Answer:
        return _redaction_answer(self._redaction.every(request.tenant_id, request.session_id))

    def _export(self, request: Request) -> Answer:
        cursor = request.query.get("cursor") or None
        too = requests.expired_too(request.query)
        page = self._reader.export(request.tenant_id, request.session_id, cursor, expired_too=too)
        counts: dict[str, float] = {}
        _count_sealed(page.sealed, counts)
        return Answer(200, responses.export_json(page), counts=counts, facts={"messages": len(page.messages)})

    def _arrival_ms(self, request: Request) -> int:
        """Return when the gateway took the request, by its own clock where that can be right."""
        now_ms = self._clock.now_ms()
        return request.arrived_ms if now_ms - LATEST_ARRIVAL_MS < request.arrived_ms <= now_ms else now_ms


def _redaction_answer(redacted: Redacted) -> Answer:
    facts = {"redacted": redacted.messages, "pending": redacted.pending}
    counts = {MESSAGES_REDACTED: redacted.messages}
    return Answer(200, responses.redaction_json(redacted), counts=counts, facts=facts)


def _count_sealed(sealed: int, counts: dict[str, float]) -> None:
    if sealed:
        counts[NUMBERS_SEALED] = sealed
