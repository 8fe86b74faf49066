"""Runs inside a stack's own tree: the first create, then some of each request, with DynamoDB stubbed below HTTP.

`python -S probe.py REQUESTS COUNTS [OPTION...]` ends the process at once afterwards, as Lambda freezes it: what Python
does to clean up is not counted. COUNTS is a JSON object of how often each route is asked. With `time` it prints the
processor's nanoseconds of each batch and route instead. With `sockets` nothing is stubbed: the environment names a
server. With `without-client` the client of DynamoDB answers at once, which leaves what the function itself does.
"""

import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

CONTEXT = SimpleNamespace(
    function_name="bench",
    function_version="$LATEST",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:bench",
    aws_request_id="6f1c3a52-0c7b-4d8e-9a35-2b5e0f4d7c11",
)
LEAN_HTTP = "agent_sessions.aws_clients.lean_http"
LEAN = "agent_sessions.aws_clients.lean_dynamodb"


class _Raw(BytesIO):
    """What botocore reads of urllib3's answer."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def stub_network(app: Any) -> None:
    """Answer in place of HTTP: signing, serialising and parsing are done as ever, by whichever client the stack has."""
    from dynamo_stub import Memory, headers  # noqa: PLC0415 - found beside this file

    memory = Memory()
    if "botocore.httpsession" in sys.modules:
        from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - not every stack has it
        from botocore.httpsession import URLLib3Session  # noqa: PLC0415

        def send(_session: URLLib3Session, request: Any) -> AWSResponse:
            answer = memory.answer(request.headers["X-Amz-Target"].decode(), request.body)
            return AWSResponse(request.url, 200, headers(answer), _Raw(answer))

        URLLib3Session.send = send
    if LEAN_HTTP in sys.modules:
        lean = sys.modules[LEAN_HTTP]

        def post(_connections: Any, sent: dict[str, str], body: bytes) -> Any:
            answer = memory.answer(sent["x-amz-target"], body)
            return lean.HttpAnswer(200, headers(answer), answer)

        lean.Connections.post = post
    if hasattr(app, "exchange"):  # the floor's own
        app.exchange = lambda sent, body: (200, memory.answer(sent["x-amz-target"], body))


def leave_out_client() -> None:
    """Answer in the client's place, with what it would have made of the stub's answer."""
    name, place = ("_call", sys.modules[LEAN].LeanDynamoDb) if LEAN in sys.modules else ("_make_api_call", _client())
    whole = getattr(place, name)
    known: dict[str, Any] = {}

    def call(client: Any, operation: str, parameters: Any, *more: Any, **named: Any) -> Any:
        kind = f"{operation} {parameters.get('TableName')} {'lastSeq' in parameters.get('UpdateExpression', '')}"
        if kind not in known:
            known[kind] = whole(client, operation, parameters, *more, **named)
        return known[kind]

    setattr(place, name, call)


def _client() -> Any:
    from botocore.client import BaseClient  # noqa: PLC0415 - not every stack has it

    return BaseClient


def run(wanted: dict[str, int], call: Callable[[str], object]) -> None:
    for name, count in wanted.items():
        for _ in range(count):
            call(name)


def main() -> None:
    events = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    wanted: dict[str, int] = json.loads(sys.argv[2])
    options = sys.argv[3:]

    import app  # noqa: PLC0415 - the stack's function

    handlers = dict.fromkeys(events, app.handler)
    if "append" in wanted and find_spec("messages_app"):
        handlers["append"] = importlib.import_module("messages_app").handler
    if "sockets" not in options:
        stub_network(app)
    if "without-client" in options:
        leave_out_client()

    def call(name: str) -> dict[str, Any]:
        answer: dict[str, Any] = handlers[name](events[name], CONTEXT)
        if answer["statusCode"] >= 300:
            sys.exit(f"{name}: {answer}")
        return answer

    session_id = json.loads(call("create")["body"])["sessionId"]
    events = json.loads(json.dumps(events).replace("SESSION_ID", session_id))
    run(dict.fromkeys(wanted, 3), call)  # caches fill, the interpreter specialises
    if "time" in options:
        times = {
            name: [_time(lambda name=name: call(name), count) for _ in range(15)] for name, count in wanted.items()
        }
        sys.stdout.write("\n" + json.dumps(times))
    else:
        run(wanted, call)
    sys.stdout.flush()
    os._exit(0)


def _time(call: Callable[[], object], count: int) -> float:
    started = time.process_time_ns()
    for _ in range(count):
        call()
    return (time.process_time_ns() - started) / count


main()
