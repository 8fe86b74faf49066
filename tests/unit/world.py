"""The deployed handler in a world of its own: tables in memory, a clock moved by hand, and a gateway in front of it."""

import base64
import copy
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from agent_sessions.bootstrap import wiring

from functions.session_api import app
from functions.session_messages import app as messages_app
from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.fake_queue import FakeQueue
from tests.engines.tables import create_agent_policies_table, create_messages_table, create_sessions_table

ROOT: Final = Path(__file__).resolve().parents[2]
EVENTS: Final = ROOT / "events"
BASE: Final = "/api/messaging/sessions"
AGENTS: Final = "/api/messaging/agents"
ERASURES: Final = "/api/messaging/erasures"
TABLE: Final = "table-5c1d"
MESSAGES: Final = "table-5c1d-messages"
POLICIES: Final = "table-5c1d-policies"
TOPIC: Final = {
    "EVENTS_TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:events",
    "EVENT_SOURCE": "/agent-sessions/tests",
}
ERASER_QUEUE: Final = "https://sqs.eu-west-1.amazonaws.com/123456789012/eraser"
AGENT: Final = "b8504bc3-45f8-4a41-a00a-83df46d8555d"
USER: Final = "6c6f2d1e-0a3b-4f7d-9e58-1b2c3d4e5f60"
NOWHERE: Final = "11111111-2222-4333-8444-555555555555"
START_MS: Final = 1_782_547_200_000  # 2026-06-27T08:00:00.000Z
MINUTE: Final = 60_000
CLOSE: Final = "SET listedAt = :zero - createdAt"
TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
INSIDES: Final = re.compile(
    r"arn:aws|\.py\b|Traceback|Exception|botocore|boto3|dynamo|pydantic|/opt/|/var/|table-5c1d", re.IGNORECASE
)
STATUS_OF_CODE: Final = {
    "VALIDATION_ERROR": 400,
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "SESSION_NOT_FOUND": 404,
    "MESSAGE_NOT_FOUND": 404,
    "AGENT_NOT_FOUND": 404,
    "ERASURE_NOT_FOUND": 404,
    "ROUTE_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "SESSION_EXPIRED": 410,
    "PRECONDITION_FAILED": 412,
    "PAYLOAD_TOO_LARGE": 413,
    "MESSAGE_LIMIT_REACHED": 429,
    "SESSION_RENEWAL_FAILED": 422,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "INTERNAL_SERVER_ERROR": 500,
    "SERVICE_UNAVAILABLE": 503,
}
"""docs/contract.md, Errors."""


MISSING: Final = object()


class MovableClock:
    """Stands still until it is moved; to sleep is to move it."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.at_ms = now_ms

    def now_ms(self) -> int:
        return self.at_ms

    def sleep(self, seconds: float) -> None:
        self.at_ms += round(seconds * 1000)

    def advance(self, milliseconds: float = 0, *, minutes: float = 0) -> None:
        self.at_ms += round(milliseconds + minutes * MINUTE)


@dataclass(frozen=True)
class Answer:
    """What the function answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @cached_property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        """The error's code, where it is one."""
        return str(self.json["error"]["code"])

    @property
    def details(self) -> Any:
        return self.json["error"].get("details")

    @property
    def fields(self) -> list[str]:
        """The names of the fields at fault."""
        return [fault["field"] for fault in self.details["fields"]]

    def fault(self, field: str) -> Any:
        """What is said of one field."""
        [fault] = [fault for fault in self.details["fields"] if fault["field"] == field]
        return fault


@cache
def sample(name: str) -> dict[str, Any]:
    """A file of `events/`; copy before changing it."""
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text("utf-8"))
    return event


def at(epoch_ms: int) -> str:
    """That moment as the API writes it."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def gateway_event(
    name: str,
    *,
    method: str | None = None,
    path: str | None = None,
    body: object = None,
    raw: str | bytes | None = None,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    tenant: str | None = "acme",
    scope: str | None = None,
) -> dict[str, Any]:
    """The sample event of that name with some of it replaced, as API Gateway would send it.

    `body` is sent as JSON; `raw` as it is, and in base64 where it is bytes. A `tenant` of None takes the authorizer's
    context away; a `scope` of None is an authorizer's that knows no scopes.
    """
    event = copy.deepcopy(sample(name))
    context = event["requestContext"]
    if method is not None:
        context["http"]["method"] = method
    if path is not None:
        event["rawPath"] = context["http"]["path"] = path
    if body is not None:
        raw = json.dumps(body)
    if isinstance(raw, bytes):
        event["body"], event["isBase64Encoded"] = base64.b64encode(raw).decode(), True
    elif raw is not None:
        event["body"] = raw
    if query is not None:
        event["rawQueryString"] = urlencode(query)
        event["queryStringParameters"] = dict(query)
    if not event.get("queryStringParameters", True):
        del event["queryStringParameters"]
    event["headers"] |= headers or {}
    if tenant is None:
        context.pop("authorizer", None)
    elif "authorizer" in context:
        context["authorizer"] = {"lambda": {"tenantId": tenant} | ({} if scope is None else {"scope": scope})}
    return event


def expression_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an expression, by their names without colons; DynamoDB refuses to be given none."""
    return {"ExpressionAttributeValues": {f":{name}": value for name, value in values.items()}} if values else {}


@cache
def _table_requests() -> list[dict[str, Any]]:
    """What makes the sessions table of the template: read once, as reading it takes longer than most tests."""
    requests: list[dict[str, Any]] = []

    class Recorder:
        def create_table(self, **request: Any) -> None:
            requests.append(request)

    create_sessions_table(Recorder(), TABLE)  # type: ignore[arg-type]
    create_messages_table(Recorder(), MESSAGES)  # type: ignore[arg-type]
    create_agent_policies_table(Recorder(), POLICIES)  # type: ignore[arg-type]
    return requests


def new_table(dynamo: FakeDynamo) -> None:
    """Make the template's tables of sessions, messages and policies."""
    for request in _table_requests():
        dynamo.create_table(**copy.deepcopy(request))
    dynamo.calls.clear()


def _check(event: Mapping[str, Any], response: Mapping[str, Any], answer: Answer) -> None:
    """What holds for every answer (docs/contract.md, Errors). Every test asserts it, whatever else it is about."""
    context = event["requestContext"]
    assert response.keys() == {"statusCode", "headers", "body", "isBase64Encoded"}
    assert response["isBase64Encoded"] is False
    assert all(name == name.lower() and isinstance(value, str) for name, value in answer.headers.items())
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-request-id"] == context["requestId"]
    if context["http"]["method"] == "HEAD" or answer.status == 204:
        assert answer.text == ""
        return
    assert answer.headers["content-type"] == "application/json"
    answer.text.encode()  # no lone surrogate
    if answer.status >= 400 and not context["http"]["path"].rstrip("/").endswith("/health"):
        check_error_shape(answer)
    if answer.status < 300 and "success" in answer.json:
        assert "data" in answer.json


def check_error_shape(answer: Answer) -> None:
    """The one shape, the code's own status, and nothing of our insides."""
    assert answer.json.keys() == {"success", "error"}
    assert answer.json["success"] is False
    error = answer.json["error"]
    assert {"code", "message", "timestamp"} <= error.keys() <= {"code", "message", "timestamp", "details"}
    assert STATUS_OF_CODE[error["code"]] == answer.status
    assert isinstance(error["message"], str)
    assert error["message"]
    assert TIMESTAMP.fullmatch(error["timestamp"])
    assert error.get("details", True), "empty details are left out"
    if error["code"] == "VALIDATION_ERROR":
        for fault in error["details"]["fields"]:
            assert {"field", "message"} <= fault.keys() <= {"field", "message", "value"}
            assert len(json.dumps(fault.get("value"), ensure_ascii=False)) <= 210
    own_words = {name: value for name, value in error.items() if name != "details"}  # not what is echoed
    assert not INSIDES.search(json.dumps(own_words)), answer.text
    assert ("retry-after" in answer.headers) == (answer.status == 503)
    assert ("allow" in answer.headers) == (answer.status == 405)


class World:
    """One deployment. Making one points the handler at it; the last one made is the one that answers."""

    def __init__(self, *, index_lag_ms: int = 0, client: Any = None, **settings: str) -> None:
        self.clock = MovableClock()
        self.dynamo = FakeDynamo(self.clock, index_lag_ms)
        self.queue: Any = FakeQueue(self.clock)
        self._client = client or self.dynamo
        new_table(self.dynamo)
        self.restart(**settings)

    def restart(self, **settings: str) -> None:
        """Begin a new process of the function, with these settings."""
        environ = {
            "SESSIONS_TABLE": TABLE,
            "MESSAGES_TABLE": MESSAGES,
            "AGENT_POLICIES_TABLE": POLICIES,
            "ERASER_QUEUE_URL": ERASER_QUEUE,
            **settings,
        }
        wiring.wire(wiring.Wiring(environ, self.clock, {"dynamodb": self._client, "sqs": self.queue}))

    # --- calls

    def send(self, event: Mapping[str, Any]) -> Answer:
        """Hand an event to the deployed handler."""
        path = event["rawPath"].rstrip("/").removeprefix(BASE)
        function = messages_app if "/messages" in path or path.endswith("/export") else app
        response = function.handler(dict(event), None)
        answer = Answer(response["statusCode"], response["headers"], response["body"])
        _check(event, response, answer)
        return answer

    def call(self, name: str, **changes: Any) -> Answer:
        """Send a sample event with some of it replaced: see `gateway_event`."""
        return self.send(gateway_event(name, **changes))

    def post(self, body: object, *, key: str | None = None, tenant: str | None = "acme") -> Answer:
        """Create with this body."""
        headers = {} if key is None else {"idempotency-key": key}
        return self.call("create-minimal", body=body, headers=headers, tenant=tenant)

    def post_raw(self, raw: str | bytes, **changes: Any) -> Answer:
        """Create with this text or, in base64, with these bytes."""
        return self.call("create-minimal", raw=raw, **changes)

    def create(self, *, key: str | None = None, tenant: str = "acme", **fields: object) -> Answer:
        """Create with these fields beside agent and user."""
        return self.post({"agentId": AGENT, "userId": USER, **fields}, key=key, tenant=tenant)

    def new(self, *, tenant: str = "acme", **timeouts: object) -> Any:
        """A new session with these timeout settings, as the API shows it."""
        answer = self.create(tenant=tenant, timeoutConfig=timeouts)
        assert answer.status == 201, answer.text
        return answer.json

    def get(self, session_id: str, **changes: Any) -> Answer:
        return self.call("get", path=f"{BASE}/{session_id}", **changes)

    def heartbeat(self, session_id: str, **changes: Any) -> Answer:
        return self.call("heartbeat", path=f"{BASE}/{session_id}/heartbeat", **changes)

    def renew(self, session_id: str, **changes: Any) -> Answer:
        return self.call("renew", path=f"{BASE}/{session_id}/renew", **changes)

    def patch(self, session_id: str, body: object = None, **changes: Any) -> Answer:
        return self.call("patch", path=f"{BASE}/{session_id}/timeout", body=body, **changes)

    def patch_metadata(self, session_id: str, metadata: object = MISSING, **changes: Any) -> Answer:
        """Patch the metadata: as the sample does, with another patch, or with another request."""
        body = None if metadata is MISSING else {"metadata": metadata}
        return self.call("patch-metadata", path=f"{BASE}/{session_id}", body=body, **changes)

    def delete(self, session_id: str, **changes: Any) -> Answer:
        return self.call("delete", path=f"{BASE}/{session_id}", **changes)

    def say(
        self, session_id: str, content: str = "Hello", *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> Answer:
        """Post a message, by a key of full scope."""
        return self.post_message(session_id, {"content": content, **fields}, headers=headers)

    def post_message(self, session_id: str, body: object = None, **changes: Any) -> Answer:
        return self.call("message-post", path=f"{BASE}/{session_id}/messages", body=body, **changes)

    def post_batch(self, session_id: str, messages: object = None, **changes: Any) -> Answer:
        """Store several messages: the sample's, or others."""
        body = None if messages is None else {"messages": messages}
        return self.call("message-batch", path=f"{BASE}/{session_id}/messages/batch", **{"body": body, **changes})

    def messages(self, session_id: str, *, tenant: str | None = "acme", **query: object) -> Answer:
        """One page of messages."""
        texts = {name: str(value) for name, value in query.items()}
        return self.call("message-list", path=f"{BASE}/{session_id}/messages", query=texts, tenant=tenant)

    def message(self, session_id: str, message_id: str, **changes: Any) -> Answer:
        return self.call("message-get", path=f"{BASE}/{session_id}/messages/{message_id}", **changes)

    def redact(self, session_id: str, message_id: str | None = None, **changes: Any) -> Answer:
        """Empty one message, or all."""
        path = f"{BASE}/{session_id}/messages" + (f"/{message_id}" if message_id else "")
        return self.call("message-delete", path=path, **changes)

    def export(self, session_id: str, **changes: Any) -> Answer:
        return self.call("export", path=f"{BASE}/{session_id}/export", **changes)

    def page(self, *, tenant: str | None = "acme", **query: str) -> Answer:
        """One page of the list."""
        return self.call("list", query=query, tenant=tenant)

    def put_policy(self, body: object = None, agent: str = AGENT, **changes: Any) -> Answer:
        """Give an agent a policy: the sample's, or another."""
        return self.call("policy-put", path=f"{AGENTS}/{agent}/session-policy", body=body, **changes)

    def policy(self, agent: str = AGENT, **changes: Any) -> Answer:
        return self.call("policy-get", path=f"{AGENTS}/{agent}/session-policy", **changes)

    def delete_policy(self, agent: str = AGENT, **changes: Any) -> Answer:
        return self.call("policy-delete", path=f"{AGENTS}/{agent}/session-policy", **changes)

    def policies(self, *, tenant: str | None = "acme", **query: str) -> Answer:
        """One page of the tenant's policies."""
        return self.call("policy-list", query=query, tenant=tenant)

    def erase(self, user: str = USER, **changes: Any) -> Answer:
        """Ask for the erasure of a user."""
        return self.call("erasure", body={"userId": user}, **changes)

    def erasure(self, erasure_id: str = NOWHERE, **changes: Any) -> Answer:
        return self.call("erasure-get", path=f"{ERASURES}/{erasure_id}", **changes)

    def health(self) -> Answer:
        return self.call("health")

    # --- behind the scenes

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """Count the calls to DynamoDB that are made meanwhile."""
        before = Counter(self.dynamo.calls)
        calls: Counter[str] = Counter()
        yield calls
        calls.update(Counter(self.dynamo.calls) - before)

    def remove(self, session_id: str) -> None:
        """Take the item away, as TTL would."""
        self.dynamo.delete_item(TableName=TABLE, Key={"sessionId": {"S": session_id}})

    def warn(self, session_id: str) -> None:
        """Mark the present lease as warned, as the sweep does."""
        self.update(session_id, "SET dueAt = expiresAt")

    def arm(self, session_id: str) -> None:
        """Make the appointment for the present lease's warning, as the sweep does for a renewed session."""
        self.update(session_id, "SET dueAt = expiresAt - warningMs")

    def announce(self, session_id: str) -> None:
        """Mark the session as announced to have expired, as the sweep does."""
        self.close(session_id)
        self.update(session_id, "REMOVE dueShard")

    def close(self, session_id: str) -> None:
        """Close the session, as the sweep does before it publishes the expiry."""
        self.update(session_id, CLOSE, zero={"N": "0"})

    def update(self, session_id: str, update: str, **values: Any) -> None:
        self.dynamo.update_item(
            TableName=TABLE,
            Key={"sessionId": {"S": session_id}},
            UpdateExpression=update,
            **expression_values(values),
        )

    def item(self, session_id: str) -> Any:
        """The item as it lies in the table."""
        return self.dynamo.peek(TABLE, session_id)


SESSION_ROUTES: Final[Mapping[str, Callable[..., Answer]]] = {
    "get": World.get,
    "heartbeat": World.heartbeat,
    "renew": World.renew,
    "patch": World.patch,
    "patch_metadata": World.patch_metadata,
    "delete": World.delete,
}
"""Every route that names a session: called with the world, the session's id, and changes to the event."""
