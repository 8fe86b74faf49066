"""What is logged and counted of a request: one JSON line, in CloudWatch's embedded metric format where it counts."""

import io
import json
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import pytest
from agent_sessions.clock import SystemClock
from agent_sessions.telemetry import metrics
from agent_sessions.telemetry.metrics import unit_of
from agent_sessions.telemetry.request_log import RequestLog
from aws_lambda_powertools import Metrics

from tests.engines import faults
from tests.logs import everything_logged
from tests.template_reader import Deployment
from tests.unit.sweep_world import SweepWorld
from tests.unit.world import BASE, ROOT, Answer, MovableClock, World, gateway_event


def lines_of(ask: Callable[[], object]) -> list[dict[str, Any]]:
    """The log lines that are written meanwhile."""
    with everything_logged() as text:
        ask()
    return [json.loads(line) for line in text.getvalue().splitlines()]


def counted(line: dict[str, Any]) -> dict[str, Any]:
    """The metrics that CloudWatch takes from a line."""
    directives = line.get("_aws", {}).get("CloudWatchMetrics", [])
    return {metric["Name"]: line[metric["Name"]] for each in directives for metric in each["Metrics"]}


REQUESTS: dict[str, tuple[Callable[[World, str], Answer], str, int, str | None]] = {
    "create": (lambda world, _: world.call("create-full"), "POST /", 201, metrics.SESSIONS_CREATED),
    "create, refused": (lambda world, _: world.call("create-invalid"), "POST /", 400, None),
    "get": (World.get, "GET /{id}", 200, None),
    "get, unknown": (lambda world, _: world.call("get"), "GET /{id}", 404, None),
    "heartbeat": (World.heartbeat, "POST /{id}/heartbeat", 200, metrics.SESSION_HEARTBEATS),
    "renew": (World.renew, "POST /{id}/renew", 200, metrics.SESSIONS_RENEWED),
    "patch": (World.patch, "PATCH /{id}/timeout", 200, metrics.SESSIONS_PATCHED),
    "patch metadata": (World.patch_metadata, "PATCH /{id}", 200, metrics.SESSIONS_PATCHED),
    "delete": (World.delete, "DELETE /{id}", 200, metrics.SESSIONS_ENDED),
    "list": (lambda world, _: world.call("list"), "GET /", 200, None),
    "health": (lambda world, _: world.call("health"), "GET /health", 200, None),
    "wrong verb": (lambda world, _: world.call("get", method="PUT", path=BASE), "PUT /", 405, None),
    "no tenant": (lambda world, _: world.call("list", tenant=None), "GET /", 401, None),
    "unknown path": (lambda world, _: world.call("get", path="/x/secret-path"), "unmatched", 404, None),
}
"""What is asked, with the id of a live session; its route and status; and what is counted of it."""


@pytest.mark.parametrize("ask, route, status, metric", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_request_is_one_line_with_at_most_one_metric(
    world: World, ask: Callable[[World, str], Answer], route: str, status: int, metric: str | None
) -> None:
    session_id = world.new()["sessionId"]
    answers: list[Answer] = []
    [line] = lines_of(lambda: answers.append(ask(world, session_id)))
    [answer] = answers
    assert answer.status == line["status"] == status
    assert line["route"] == route
    assert line["request_id"] == answer.headers["x-request-id"]
    assert isinstance(line["milliseconds"], int)
    assert "tenant" in line
    if status >= 400:
        assert line["code"] == answer.code
    assert counted(line) == ({metric: [1.0]} if metric else {})


def test_the_line_names_the_tenant_and_the_time_that_the_request_took(world: World) -> None:
    world.call("create-minimal")  # the next one knows the agent's policy
    world.dynamo.add_hook(faults.Latency(world.clock, 40))
    [line] = lines_of(lambda: world.call("create-minimal"))
    assert line["tenant"] == "acme"
    assert line["milliseconds"] == 40


def test_a_repeated_create_is_not_counted_again(world: World) -> None:
    world.call("create-idempotent")
    [line] = lines_of(lambda: world.call("create-idempotent"))
    assert (line["status"], counted(line)) == (200, {})


def test_a_crash_is_logged_with_its_stack_under_the_request_id_and_counted(world: World) -> None:
    class Bug(faults.Hook):
        def before(self, call: str, request: Any) -> None:
            raise ZeroDivisionError("an odd reason")

    world.dynamo.add_hook(Bug())
    answers: list[Answer] = []
    [line] = lines_of(lambda: answers.append(world.call("get")))
    assert line["level"] == "ERROR"
    assert line["status"] == 500
    assert line["request_id"] == answers[0].headers["x-request-id"]
    assert "Traceback" in line["exception"]
    assert "an odd reason" in line["exception"]
    assert line["exception_name"] == "ZeroDivisionError"
    assert counted(line) == {metrics.REQUEST_ERRORS: [1.0]}


def test_what_aws_said_is_in_the_log_where_the_caller_gets_a_503(world: World) -> None:
    world.dynamo.add_hook(faults.fail(None, "ThrottlingException", message="Rate of requests exceeds the limit"))
    [line] = lines_of(lambda: world.call("get"))
    assert line["status"] == 503
    assert "ThrottlingException" in json.dumps(line)
    assert counted(line) == {metrics.REQUEST_ERRORS: [1.0]}


class Broken(io.StringIO):
    """A standard output that takes nothing."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(text)


def test_a_done_request_stands_where_neither_line_nor_metric_can_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.call("health")  # the loggers are made
    with everything_logged():
        reported = io.StringIO()
        monkeypatch.setattr("sys.stdout", Broken())
        monkeypatch.setattr("sys.stderr", reported)
        answer = world.create()
        monkeypatch.undo()
    assert answer.status == 201
    assert reported.getvalue().count("could not be written") == 1
    assert world.get(answer.json["sessionId"]).json == answer.json


def access_line(event: dict[str, Any], status: int) -> str:
    """The gateway's own line for an event that the function answered."""
    context = event["requestContext"]
    known = {
        "requestId": context["requestId"],
        "identity.sourceIp": "203.0.113.177",
        "httpMethod": context["http"]["method"],
        "path": context["http"]["path"],
        "status": str(status),
    }
    [stage] = Deployment().of_type("AWS::ApiGatewayV2::Stage").values()
    form = stage["AccessLogSettings"]["Format"]
    return re.sub(r"\$context\.([\w.]+)", lambda found: known.get(found[1], "-"), form)


def bytes_logged_of_a_heartbeat(world: World) -> int:
    """What a heartbeat by a key adds to the function's log and to the access log, each with the end of its line.

    Lambda itself adds nothing: its own lines are written for failures alone.
    """
    for function in ("SessionApiFunction", "SessionMessagesFunction", "ApiKeyAuthorizerFunction"):
        logging = Deployment().resources[function]["Properties"]["LoggingConfig"]
        assert (logging["LogFormat"], logging["SystemLogLevel"]) == ("JSON", "WARN")
    event = gateway_event("heartbeat", path=f"{BASE}/{world.new()['sessionId']}/heartbeat")
    event["requestContext"]["authorizer"]["lambda"]["keyId"] = "111384a848f3e206"
    world.clock.advance(50_000)
    world.dynamo.add_hook(faults.Latency(world.clock, 12))
    with everything_logged() as written:
        assert world.send(event).status == 200
    return len(written.getvalue()) + len(access_line(event, 200)) + 1


def test_a_heartbeat_logs_fewer_than_550_bytes_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "agent-sessions-prod")
    world = World()
    world.new()
    assert 400 < bytes_logged_of_a_heartbeat(world) < 550


def test_lambda_filters_its_own_lines_where_the_level_of_the_code_is_not_powertools_to_obey() -> None:
    """Powertools takes the level that Lambda is given for its own, whatever `LogLevel` is."""
    functions = Deployment(LogLevel="WARNING").of_type("AWS::Lambda::Function")
    filtered = {name: each["LoggingConfig"] for name, each in functions.items() if "LogFormat" in each["LoggingConfig"]}
    assert filtered.keys() == {"SessionApiFunction", "SessionMessagesFunction", "ApiKeyAuthorizerFunction"}
    assert {each["ApplicationLogLevel"] for each in filtered.values()} == {"INFO"}


def test_the_first_request_of_a_process_is_marked_as_a_cold_start(world: World) -> None:
    lines = lines_of(lambda: [world.call("list") for _ in range(3)])
    assert [line.get("cold_start", False) for line in lines] == [True, False, False]


@pytest.mark.parametrize("level", ["WARNING", "ERROR"])
def test_a_quiet_log_keeps_metrics_and_server_errors_and_leaves_out_the_rest(
    monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", level)
    world = World()
    session_id = world.new()["sessionId"]
    assert lines_of(lambda: world.get(session_id)) == []
    [metric] = lines_of(lambda: world.heartbeat(session_id))
    assert metric.keys() == {"_aws", "service", metrics.SESSION_HEARTBEATS}
    world.dynamo.add_hook(faults.throttle(None))
    [line] = lines_of(lambda: world.heartbeat(session_id))
    assert (line["status"], line["code"]) == (503, "SERVICE_UNAVAILABLE")


@pytest.mark.parametrize("counts", [{"A": 1}, {"WaitSeconds": 2.5, "B": 3}, {"A": 0}])
def test_the_metrics_of_a_line_are_those_that_powertools_would_write(
    counts: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    """The library is the reference for the form of the document, for units, values and dimensions."""
    RequestLog(SystemClock(), namespace="Stack", service='a "stack"', quiet=False).count(counts)
    ours = json.loads(capsys.readouterr().out)
    reference = Metrics(namespace="Stack", service='a "stack"')
    for name, value in counts.items():
        reference.add_metric(name, unit_of(name), value)
    reference.set_timestamp(ours["_aws"]["Timestamp"])
    reference.flush_metrics()
    assert ours == json.loads(capsys.readouterr().out)


def test_the_facts_stand_beside_the_metrics_and_change_nothing_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    log = RequestLog(MovableClock(), namespace="Stack", service="s", quiet=False)
    log.count({"A": 1})
    log.line("request", {"text": 'a "quoted" line\n \ud800 é', "number": 7, "what": MovableClock}, counts={"A": 1})
    bare, full = map(json.loads, capsys.readouterr().out.splitlines())
    facts = {"text": 'a "quoted" line\n \ud800 é', "number": 7, "what": str(MovableClock), "cold_start": True}
    assert full == bare | facts


def test_each_filter_of_the_runbook_finds_lines_that_are_written() -> None:
    world = SweepWorld()
    requests = lines_of(world.new)
    runs = lines_of(world.sweep)
    world.dynamo.add_hook(faults.throttle(None))
    requests += lines_of(lambda: world.call("get"))
    lines = {
        "SessionApiLogGroup": requests,
        "ExpirySweeperLogGroup": runs,
        "AccessLogGroup": [json.loads(access_line(gateway_event("get"), 503))],
    }
    runbook = (ROOT / "docs" / "operations.md").read_text("utf-8")
    filters = re.findall(r"""part (\w+LogGroup)\)".* --filter-pattern '\{ \$\.(\w+) (>=|=) (\S+) \}'""", runbook)
    assert {group for group, *_ in filters} == lines.keys()
    for group, field, operator, wanted in filters:
        found = [line[field] for line in lines[group] if field in line]
        if operator == ">=":
            assert [value for value in found if isinstance(value, int) and value >= int(wanted)], (group, field)
        else:
            assert [value for value in found if fnmatchcase(value, wanted.strip('"'))], (group, field)
    named = {"route", "tenant", "status", "milliseconds", "code", "cause", "cold_start", "request_id"}
    assert named <= {field for line in requests for field in line}
    assert all(f"`{field}`" in runbook for field in named - {"status", "tenant", "code"})
