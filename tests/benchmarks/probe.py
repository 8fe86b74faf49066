"""Runs inside a stack's own tree: the first create, then some of each request, with DynamoDB stubbed below botocore.

`python -S probe.py REQUESTS CREATES GETS HEARTBEATS [OPTION]` ends the process at once afterwards, as Lambda freezes
it: what Python does to clean up is not counted. With `time` it prints the processor's nanoseconds of each batch and
route instead; with `without-sdk` DynamoDB answers above botocore, which leaves what the function itself does.
"""

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


class _Raw(BytesIO):
    """What botocore reads of urllib3's answer."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def stub_network() -> Any:
    """Answer below botocore: everything above the connection is done as ever."""
    from dynamo_stub import Memory, headers  # noqa: PLC0415 - found beside this file

    memory = Memory()
    if find_spec("botocore") is None:
        return memory
    from botocore.awsrequest import AWSResponse  # noqa: PLC0415 - not every stack has it
    from botocore.httpsession import URLLib3Session  # noqa: PLC0415

    def send(_session: URLLib3Session, request: Any) -> AWSResponse:
        answer = memory.answer(request.headers["X-Amz-Target"].decode(), request.body)
        return AWSResponse(request.url, 200, headers(answer), _Raw(answer))

    URLLib3Session.send = send
    return memory


def leave_out_sdk() -> None:
    """Answer in the client's place, with what botocore would have made of the stub's answer."""
    from botocore.client import BaseClient  # noqa: PLC0415

    whole = BaseClient._make_api_call
    known: dict[str, Any] = {}

    def call(client: Any, operation: str, parameters: Any) -> Any:
        if operation not in known:
            known[operation] = whole(client, operation, parameters)
        return known[operation]

    BaseClient._make_api_call = call


def main() -> None:
    option = sys.argv[5] if sys.argv[5:] else ""
    events = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    creates, gets, heartbeats = map(int, sys.argv[2:5])

    import app  # noqa: PLC0415 - the stack's function

    memory = stub_network()
    if option == "without-sdk":
        leave_out_sdk()
    if hasattr(app, "exchange"):  # the floor has no botocore
        app.exchange = lambda headers, body: (200, memory.answer(headers["x-amz-target"], body))

    def call(name: str) -> dict[str, Any]:
        answer: dict[str, Any] = app.handler(events[name], CONTEXT)
        if answer["statusCode"] >= 300:
            sys.exit(f"{name}: {answer}")
        return answer

    session_id = json.loads(call("create")["body"])["sessionId"]
    for name in ("get", "heartbeat"):
        events[name]["rawPath"] = events[name]["rawPath"].replace("SESSION_ID", session_id)
        events[name]["requestContext"]["http"]["path"] = events[name]["rawPath"]
    for name in ("create", "get", "heartbeat") * 3:  # caches fill, the interpreter specialises
        call(name)
    wanted = {"create": creates, "get": gets, "heartbeat": heartbeats}
    if option == "time":
        times = {
            name: [_time(lambda name=name: call(name), count) for _ in range(15)] for name, count in wanted.items()
        }
        sys.stdout.write("\n" + json.dumps(times))
    else:
        for name, count in wanted.items():
            for _ in range(count):
                call(name)
    sys.stdout.flush()
    os._exit(0)


def _time(call: Callable[[], object], count: int) -> float:
    started = time.process_time_ns()
    for _ in range(count):
        call()
    return (time.process_time_ns() - started) / count


main()
