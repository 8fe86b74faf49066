"""No key, body, metadata or anything else of a caller's content reaches a log, whatever becomes of the request."""

import base64
import json
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import quote

import pytest
from agent_sessions.bootstrap import wiring
from agent_sessions.bootstrap.callers import api_keys
from agent_sessions.bootstrap.wiring import Wiring

from functions.api_key_authorizer import app as authorizer
from functions.expiry_sweeper import app as sweeper
from functions.session_api import app as api
from local.gateway import Authorizer, Gateway, HttpAnswer, HttpRequest
from tests.engines import faults
from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.fake_sns import FakeSns
from tests.engines.tables import create_agent_policies_table, create_api_keys_table, create_sessions_table
from tests.logs import everything_logged
from tests.template_reader import FUNCTIONS, Deployment
from tests.unit.world import BASE, MovableClock

ENVIRON: Final = {
    "SESSIONS_TABLE": "sessions",
    "AGENT_POLICIES_TABLE": "policies",
    "API_KEYS_TABLE": "keys",
    "EVENTS_TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:events",
    "EVENT_SOURCE": "/test",
    "SWEEP_THREADS": "1",
}
MARK: Final = "marked-0f7c2e"
AGENT: Final = "0f7c2e0f-7c2e-4f7c-8e0f-7c2e0f7c2e01"
USER: Final = "0f7c2e0f-7c2e-4f7c-8e0f-7c2e0f7c2e02"
GOOD: Final = {"agentId": AGENT, "userId": USER, "metadata": {f"{MARK}-name": [f"{MARK}-value", {"deep": MARK}]}}


def mark(place: str) -> str:
    return f"{MARK}-{place}"


def spellings(secret: str) -> Iterator[str]:
    """How a secret may show: as it is, percent-encoded, and in base64 at each of its three alignments."""
    yield secret
    yield quote(secret, safe="")
    for shift in range(3):
        encoded = base64.b64encode(b" " * shift + secret.encode()).decode()
        yield encoded[4 if shift else 0 : -4]


class Callers:
    """The whole path of a request: gateway, authorizer, function; and the sweeper beside it. All in memory."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.dynamo = FakeDynamo(self.clock)
        self.sns = FakeSns(self.clock)
        create_sessions_table(self.dynamo.as_client(), "sessions")
        create_agent_policies_table(self.dynamo.as_client(), "policies")
        create_api_keys_table(self.dynamo.as_client(), "keys")
        wiring.wire(Wiring(ENVIRON, self.clock, {"dynamodb": self.dynamo, "sns": self.sns}))
        self.key = api_keys().create("acme", "ci").text
        self.failures: list[BaseException] = []
        self._gateway = Gateway(
            lambda event: api.handler(event, None),
            clock=self.clock,
            health_path=f"{BASE}/health",
            authorizer=Authorizer(lambda event: authorizer.handler(event, None), "x-api-key", remembered_ms=0),
            on_failure=self.failures.append,
        )

    def send(
        self,
        method: str,
        path: str = "",
        body: object = None,
        *,
        key: str | None = None,
        query: str = f"{mark('query')}={mark('query')}",
        raw: bytes | None = None,
        **headers: str,
    ) -> HttpAnswer:
        """Send a request that has a mark wherever there is room for one."""
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        sent = {
            "x-api-key": key or self.key,
            "content-type": "application/json",
            "user-agent": mark("agent"),
            "cookie": f"{mark('cookie')}=1",
            "referer": mark("referer"),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        return self._gateway.answer(HttpRequest(method, BASE + path, query, list(sent.items()), content))

    def new(self, **fields: object) -> str:
        answer = self.send("POST", "", {**GOOD, **fields}, idempotency_key=mark(f"idempotency-{len(fields)}"))
        return str(json.loads(answer.body).get("sessionId", "none"))

    def sweep(self) -> Any:
        return sweeper.handler({}, None)

    def everything(self) -> set[int]:
        """Every route, and every refusal there is a code for. Returns the statuses of the answers."""
        session_id = self.new()
        short = self.new(timeoutConfig={"timeoutMinutes": 5, "maxDurationMinutes": 5})
        wrong = {"agentId": mark("agent"), "userId": [mark("user")], "metadata": mark("text"), mark("field"): 1}
        answers = [
            self.send("POST", "", {**GOOD, "metadata": {"other": MARK}}, idempotency_key=mark("idempotency-0")),
            self.send("POST", "", GOOD, idempotency_key=mark("key with spaces")),
            self.send("POST", "", {**wrong, "timeoutConfig": {"timeoutMinutes": mark("minutes"), "autoRenew": MARK}}),
            self.send("POST", "", {**GOOD, "metadata": {MARK: MARK * 1_000}}),
            self.send("POST", "", {**GOOD, "metadata": {MARK: "\ud800"}}),
            self.send("POST", "", {**GOOD, "timeoutConfig": mark("config")}),
            self.send("POST", raw=b'{"agentId": "' + MARK.encode()),
            self.send("POST", raw=b"\xff" + MARK.encode()),
            self.send("POST", raw=MARK.encode() * 6_000),
            self.send("POST", raw=f'{{"metadata": {{"{MARK}": {"1" * 5_000}}}}}'.encode()),
            self.send("POST", raw=b'{"metadata": ' + b"[" * 30_000 + MARK.encode()),
            self.send("GET", f"/{session_id}"),
            self.send("HEAD", f"/{session_id}"),
            self.send("POST", f"/{session_id}/heartbeat", GOOD),
            self.send("POST", f"/{session_id}/renew", GOOD),
            self.send("POST", f"/{short}/renew", GOOD),
            self.send("PATCH", f"/{session_id}/timeout", {"timeoutMinutes": 20, mark("field"): MARK}),
            self.send("PATCH", f"/{session_id}/timeout", {"timeoutMinutes": mark("minutes")}),
            self.send("PATCH", f"/{session_id}/timeout", raw=MARK.encode()),
            self.send("GET", "", query=f"userId={USER}&agentId={AGENT}&limit=1"),
            self.send("GET", "", query=f"userId={MARK}&agentId={MARK}&limit={MARK}&cursor={MARK}"),
            self.send("GET", "", query=f"cursor={MARK}"),
            self.send("GET", f"/{mark('id')}"),
            self.send("GET", f"/{mark('id')}/{mark('action')}"),
            self.send("PUT", f"/{session_id}", GOOD),
            self.send("OPTIONS", f"/{mark('id')}"),
            self.send("GET", "/health"),
            self.send("GET", f"/{session_id}", key=mark("key")),
            self.send("GET", f"/{session_id}", key="as_" + "q" * 32),
            self.send("DELETE", f"/{session_id}", GOOD),
        ]
        self.clock.advance(minutes=6)
        answers.append(self.send("GET", f"/{short}"))
        return {answer.status for answer in answers}


@pytest.fixture
def callers() -> Iterator[Callers]:
    yield Callers()
    wiring.wire(Wiring({}))


def assert_clean(text: str, callers: Callers, *, lines: int) -> None:
    assert len(text.splitlines()) >= lines, "nothing was logged, so nothing was tested"
    for secret in (MARK, AGENT, USER, callers.key, callers.key[3:], "q" * 32):
        for spelling in spellings(secret):
            assert spelling not in text, next(line for line in text.splitlines() if spelling in line)
    assert not re.search("as_[a-z2-7]{8}", text)


@pytest.mark.parametrize("around", ["{}", " {}", "  {}", '{{"body": "{}"}}'])
def test_the_search_finds_a_secret_however_it_is_spelled(callers: Callers, around: str) -> None:
    text = around.format(MARK + "/")
    for log in (text, quote(text), base64.b64encode(text.encode()).decode()):
        with pytest.raises(AssertionError):
            assert_clean(log, callers, lines=1)


@pytest.mark.parametrize("level", ["DEBUG", None])
def test_requests_that_succeed_or_are_refused_leave_nothing_of_the_caller_in_a_log(
    callers: Callers, level: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if level:
        monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", level)
        wiring.wire(Wiring(ENVIRON, callers.clock, {"dynamodb": callers.dynamo, "sns": callers.sns}))
    with everything_logged() as log:
        statuses = callers.everything()
    assert statuses == {200, 204, 400, 403, 404, 405, 410, 413, 422}
    assert not callers.failures
    assert_clean(log.getvalue(), callers, lines=50)


FAULTS: Final[dict[str, tuple[Callable[[], faults.Hook], int]]] = {
    "throttled": (lambda: faults.throttle(None), 503),
    "unreachable": (lambda: faults.connection_lost(None, "before", times=None), 503),
    "forbidden": (lambda: faults.fail(None, "AccessDeniedException", message="User: arn:aws:iam::1:x is not"), 500),
    "refused": (lambda: faults.fail(None, "ValidationException", message="One or more values were invalid"), 500),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_nor_does_a_crash(callers: Callers, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of sessions fails; that of keys answers, or nobody would come as far."""
    make, status = FAULTS[fault]
    session_id = callers.new()
    hook = make()

    class OnlySessions(faults.Hook):
        def before(self, call: str, request: Any) -> None:
            if request.get("TableName") == "sessions":
                hook.before(call, request)

    callers.dynamo.add_hook(OnlySessions())
    with everything_logged() as log:
        answers = [
            callers.send("POST", "", GOOD, idempotency_key=mark("again")),
            callers.send("GET", f"/{session_id}"),
            callers.send("POST", f"/{session_id}/heartbeat"),
            callers.send("PATCH", f"/{session_id}/timeout", {"timeoutMinutes": 20, mark("field"): MARK}),
            callers.send("DELETE", f"/{session_id}"),
            callers.send("GET", "", query=f"userId={USER}"),
        ]
    assert {answer.status for answer in answers} == {status}
    assert ("Traceback" in log.getvalue()) == (status == 500)
    assert_clean(log.getvalue(), callers, lines=12)


def test_nor_does_an_authorizer_that_cannot_read_its_table(callers: Callers) -> None:
    callers.dynamo.add_hook(faults.fail("get_item", "AccessDeniedException"))
    with everything_logged() as log:
        answer = callers.send("GET")
        log.writelines(traceback.format_exception(callers.failures[0]))  # as Lambda's runtime does
    assert (answer.status, json.loads(answer.body)) == (500, {"message": "Internal Server Error"})
    assert_clean(log.getvalue(), callers, lines=1)


def test_nor_does_the_sweep(callers: Callers) -> None:
    for _ in range(3):
        callers.new()
    with everything_logged() as log:
        for minutes in (20, 6, 6, 6):
            callers.clock.advance(minutes=minutes)
            callers.sweep()
        callers.new(timeoutConfig={"timeoutMinutes": 5})
        callers.clock.advance(minutes=6)
        callers.sns.add_hook(faults.messages_failed(None))
        callers.sweep()
    assert len(callers.sns.published) >= 2
    assert not any(MARK in event.message for event in callers.sns.published), "metadata is in no event"
    assert_clean(log.getvalue(), callers, lines=5)


def test_the_gateways_own_log_holds_no_header_no_query_and_no_body() -> None:
    known = {
        "authorizer.error", "error.message", "httpMethod", "identity.sourceIp", "integrationErrorMessage", "path",
        "requestId", "status",
    }  # fmt: skip
    [stage] = Deployment().of_type("AWS::ApiGatewayV2::Stage").values()
    logged = re.findall(r"\$([A-Za-z.]+)", stage["AccessLogSettings"]["Format"])
    assert {name.removeprefix("context.") for name in logged} <= known


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_is_told_to_log_its_events(function: str) -> None:
    """Powertools would log events, keys and bodies included, when told to by one of these."""
    environment = Deployment().environment(function)
    talkative = {
        "POWERTOOLS_LOGGER_LOG_EVENT",
        "POWERTOOLS_DEV",
        "POWERTOOLS_DEBUG",
        "POWERTOOLS_TRACER_CAPTURE_RESPONSE",
    }
    assert not talkative & environment.keys()
