"""What is logged and counted of a request: one JSON line, and CloudWatch's embedded metrics beside it."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from agent_sessions import metrics

from tests.engines import faults
from tests.logs import everything_logged
from tests.unit.world import BASE, Answer, World


def lines_of(ask: Callable[[], object]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The log lines and the metrics that are written meanwhile."""
    with everything_logged() as text:
        ask()
    records = [json.loads(line) for line in text.getvalue().splitlines()]
    return [record for record in records if "_aws" not in record], [record for record in records if "_aws" in record]


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
def test_a_request_is_one_line_and_at_most_one_metric(
    world: World, ask: Callable[[World, str], Answer], route: str, status: int, metric: str | None
) -> None:
    session_id = world.new()["sessionId"]
    answers: list[Answer] = []
    [line], published = lines_of(lambda: answers.append(ask(world, session_id)))
    [answer] = answers
    assert answer.status == line["status"] == status
    assert line["route"] == route
    assert line["request_id"] == answer.headers["x-request-id"]
    assert isinstance(line["milliseconds"], int)
    assert "tenant" in line
    if status >= 400:
        assert line["code"] == answer.code
    assert [record[metric] for record in published if metric] == [[1.0]] * len(published)
    assert len(published) == (0 if metric is None else 1)


def test_the_line_names_the_tenant_and_the_time_that_the_request_took(world: World) -> None:
    world.dynamo.add_hook(faults.Latency(world.clock, 40))
    [line], _ = lines_of(lambda: world.call("create-minimal"))
    assert line["tenant"] == "acme"
    assert line["milliseconds"] == 40


def test_a_repeated_create_is_not_counted_again(world: World) -> None:
    world.call("create-idempotent")
    _, published = lines_of(lambda: world.call("create-idempotent"))
    assert published == []


def test_a_crash_is_logged_with_its_stack_under_the_request_id_and_counted(world: World) -> None:
    class Bug(faults.Hook):
        def before(self, call: str, request: Any) -> None:
            raise ZeroDivisionError("an odd reason")

    world.dynamo.add_hook(Bug())
    answers: list[Answer] = []
    lines, [metric] = lines_of(lambda: answers.append(world.call("get")))
    [line] = lines
    assert line["level"] == "ERROR"
    assert line["status"] == 500
    assert line["request_id"] == answers[0].headers["x-request-id"]
    assert "Traceback" in line["exception"]
    assert "an odd reason" in line["exception"]
    assert line["exception_name"] == "ZeroDivisionError"
    assert metric[metrics.REQUEST_ERRORS] == [1.0]


def test_what_aws_said_is_in_the_log_where_the_caller_gets_a_503(world: World) -> None:
    world.dynamo.add_hook(faults.fail(None, "ThrottlingException", message="Rate of requests exceeds the limit"))
    [line], [metric] = lines_of(lambda: world.call("get"))
    assert line["status"] == 503
    assert "ThrottlingException" in json.dumps(line)
    assert metric[metrics.REQUEST_ERRORS] == [1.0]


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


@pytest.mark.parametrize("written", ["line", "metric"])
def test_a_failure_to_write_is_reported_once_and_the_next_request_counts_only_itself(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], written: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("no room left")

    target = {"line": "aws_lambda_powertools.Logger.info", "metric": "aws_lambda_powertools.Metrics.flush_metrics"}
    with monkeypatch.context() as patched:
        patched.setattr(target[written], fail)
        capsys.readouterr()
        answer = world.create()
    assert answer.status == 201
    assert capsys.readouterr().err.count("no room left") == 1
    _, [metric] = lines_of(world.create)
    assert metric[metrics.SESSIONS_CREATED] == [1.0]
