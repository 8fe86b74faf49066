"""Requests made by schemathesis from docs/openapi.json, good and bad, against the local stack's server.

At least 10,000 of them: none may end in a 5xx, every answer matches its schema, and nothing of the inside shows in any.
"""

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from unittest import mock
from urllib.parse import unquote

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.e2e.hostile import check
from tests.e2e.serving import BASE, ERASURES, TIMEOUT_SECONDS, Serving, serving

OPENAPI: Final = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"
SPEC: Final = {
    name: part for name, part in json.loads(OPENAPI.read_text(encoding="utf-8")).items() if name != "security"
}
"""Without keys, which test_access_matrix.py is about: else most of what is made wrong is the key."""
SCHEMA: Final = schemathesis.openapi.from_dict(SPEC)
OPERATIONS: Final = {result.ok().label: result.ok() for result in SCHEMA.get_all_operations() if isinstance(result, Ok)}
CHECKS: Final = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
GOOD: Final = {"agentId": "b8504bc3-45f8-4a41-a00a-83df46d8555d", "userId": "6c6f2d1e-0a3b-4f7d-9e58-1b2c3d4e5f60"}

TOTAL: Final = 10_000
WITHOUT_INPUT: Final = {f"GET {BASE}/health"}
"""There is only one request of these."""
OF_THE_CONNECTION: Final = {
    "connection", "content-encoding", "content-length", "expect", "host", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade",
}  # fmt: skip
"""Headers between client and server, which are left out: the schema says nothing about them. Hypothesis makes headers
of the words in the modules that are loaded, and these depend on the tests before this one."""
MODES: Final = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
LARGE: Final = f"POST {BASE}/{{sessionId}}/messages/batch"
"""Its bodies hold 25 messages each, so a quarter of the others' requests makes as many messages as six times theirs."""
SHARES: Final = {label: 0.25 if label == LARGE else 1 for label in OPERATIONS if label not in WITHOUT_INPUT}
REQUESTS: Final = {
    label: math.ceil(TOTAL / len(MODES) * share / sum(SHARES.values())) for label, share in SHARES.items()
}
"""Requests of each operation and mode."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("fuzz")
    with mock.patch.dict(os.environ, {"REPLY_WAIT_SECONDS": "1"}), serving(folder, auth=False) as running:
        yield running
    log = (folder / "functions.log").read_text(encoding="utf-8")
    assert '"level":"ERROR"' not in log, next(line for line in log.splitlines() if '"level":"ERROR"' in line)


class Live:
    """A session that is there to be used: what is asked of one that is not ends with a 404 before it gets anywhere."""

    def __init__(self, stack: Serving) -> None:
        self._stack = stack
        self._id = ""

    def session_id(self) -> str:
        if not self._id:
            self._id = self._stack.send("POST", BASE, GOOD).json["sessionId"]
        return self._id

    def message_id(self) -> str:
        reply = self._stack.send("POST", f"{BASE}/{self.session_id()}/messages", {"content": "x"})
        return str(reply.json["message"]["id"])

    def erasure_id(self) -> str:
        return str(self._stack.send("POST", ERASURES, {"userId": GOOD["agentId"]}).json["erasureId"])

    def learn(self, case: Any, status: int) -> None:
        """The session is gone: the next request gets another."""
        if case.method == "DELETE" or status in {404, 410}:
            self._id = ""


def _sent(request: requests.PreparedRequest) -> bytes:
    """All that was sent: hypothesis likes to take words out of the code that it runs in."""
    body: Any = request.body or b""
    return f"{unquote(request.url or '')} {request.headers}".encode() + (
        body.encode() if isinstance(body, str) else body
    )


@pytest.mark.parametrize(
    "label, mode",
    [(label, mode) for label in OPERATIONS for mode in MODES if label not in WITHOUT_INPUT or mode == MODES[0]],
)
def test_no_request_made_from_the_schema_breaks_the_service(stack: Serving, label: str, mode: GenerationMode) -> None:
    operation = OPERATIONS[label]
    live = Live(stack)
    sent = 0

    @settings(
        max_examples=REQUESTS.get(label, 1),
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_live=st.booleans())
    def run(case: Any, *, is_live: bool) -> None:
        nonlocal sent
        for name in [name for name in case.headers or () if name.lower() in OF_THE_CONNECTION]:
            del case.headers[name]
        replaced = is_live and "sessionId" in case.path_parameters
        if replaced:
            case.path_parameters["sessionId"] = live.session_id()
        if replaced and "messageId" in case.path_parameters and is_live:
            case.path_parameters["messageId"] = live.message_id()
        if is_live and "erasureId" in case.path_parameters:
            case.path_parameters["erasureId"], replaced = live.erasure_id(), True
        response = case.call(base_url=f"http://127.0.0.1:{stack.port}", session=session, timeout=TIMEOUT_SECONDS)
        sent += 1
        if replaced:
            live.learn(case, response.status_code)
        if label == f"POST {BASE}" and response.status_code == 201:
            stack.send("DELETE", f"{BASE}/{json.loads(response.content)['sessionId']}")
        headers = {name.lower(): ", ".join(values) for name, values in response.headers.items()}
        check(response.status_code, headers, response.content, case.as_curl_command(), sent=_sent(response.request))
        # What was made wrong may have been the id that was replaced.
        case.validate_response(response, checks=CHECKS if replaced else [*CHECKS, negative_data_rejection])

    with requests.Session() as session:
        run()
    assert sent >= REQUESTS.get(label, 1)


def test_that_is_at_least_ten_thousand_requests() -> None:
    assert OPERATIONS.keys() >= WITHOUT_INPUT
    assert LARGE in OPERATIONS
    assert sum(REQUESTS.values()) * len(MODES) >= TOTAL
