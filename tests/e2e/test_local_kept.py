"""`make run STORE=dynamodb-local`: sessions are still there after a restart, and the clock has not gone back."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent_sessions.bootstrap import wiring
from agent_sessions.bootstrap.wiring import Wiring

from local.gateway import HttpRequest
from local.options import Options
from local.stack import LocalStack
from tests.unit.world import AGENT, BASE, MINUTE, USER


@contextmanager
def started(folder: Path) -> Iterator[LocalStack]:
    stack = LocalStack(Options(store="dynamodb-local"), log_file=folder / "functions.log", data_dir=folder / "data")
    stack.terminal = io.StringIO()
    stdout = sys.stdout
    try:
        with stack.running():
            yield stack
    finally:
        sys.stdout = stdout
        wiring.wire(Wiring({}))


def call(stack: LocalStack, method: str, path: str = "", body: object = None) -> tuple[int, Any]:
    headers = [("host", "127.0.0.1"), ("content-type", "application/json")]
    content = b"" if body is None else json.dumps(body).encode()
    answer = stack.answer(HttpRequest(method, BASE + path, "", headers, content))
    return answer.status, json.loads(answer.body)


def test_sessions_and_the_clock_outlive_the_stack(tmp_path: Path) -> None:
    with started(tmp_path) as stack:
        status, session = call(stack, "POST", body={"agentId": AGENT, "userId": USER})
        assert status == 201
        stack.advance(24 * MINUTE)
        ended_ms = stack.clock.now_ms()
        assert [event["type"] for event in stack.inbox.events()] == ["agent-sessions.session.expiring"]
    with started(tmp_path) as stack:
        assert stack.clock.now_ms() >= ended_ms
        assert call(stack, "GET", f"/{session['sessionId']}")[0] == 200
        _, sights = stack.watch.since(0)
        assert [sight.session_id for sight in sights] == [session["sessionId"]]
        stack.advance(7 * MINUTE)
        assert call(stack, "GET", f"/{session['sessionId']}")[0] == 410
