"""Ceilings over what a start and a request cost, counted and not timed. Who must raise one does so here, knowingly.

docs/benchmarks.md says what the counts come to in instructions; test_calls.py has the calls of every other route.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from agent_sessions.aws_clients import tuning as aws
from botocore.handlers import BUILTIN_HANDLERS
from botocore.model import OperationModel
from botocore.parsers import JSONParser

from tests.unit.world import World

ROOT: Final = Path(__file__).resolve().parents[2]

CEILINGS: Final = {
    "agent_sessions": 35,
    "pydantic": 44,
}
"""Modules of each package that the API function has loaded when its first create is answered."""

NOT_NEEDED: Final = {
    "agent_sessions.erasure",
    "agent_sessions.events", "agent_sessions.keys", "agent_sessions.lists", "agent_sessions.sweep", "asyncio",
    "aws_lambda_powertools", "aws_xray_sdk", "boto3", "botocore", "encodings.idna",
    "multiprocessing", "s3transfer", "sqlite3", "unittest", "urllib.request", "urllib3",
}  # fmt: skip
"""What other functions use, or what costs much and gives nothing here."""

CALLS: Final = {"create": {"put_item": 1}, "get": {"get_item": 1}, "heartbeat": {"update_item": 1}}
"""Calls to DynamoDB of the requests that make the traffic."""

LINES: Final = {"create": ["SessionsCreated"], "get": [None], "heartbeat": ["SessionHeartbeats"]}
"""What a request prints: one line, which carries a metric where something happened."""

FIRST_KEY: Final = """
import json, sys
from functions.api_key_authorizer import app
try:
    app.handler(json.loads(sys.stdin.read()), None)
except Exception as error:
    sys.stdout.write("\\n" + json.dumps([type(error).__name__, sorted(sys.modules)]))
"""
FIRST_CREATE: Final = """
import json, sys
from functions.session_api import app
answer = app.handler(json.loads(sys.stdin.read()), None)
sys.stdout.write("\\n" + json.dumps([answer["statusCode"], sorted(sys.modules)]))
"""
ENVIRONMENT: Final = {
    "SESSIONS_TABLE": "none",
    "AGENT_POLICIES_TABLE": "none",
    "API_KEYS_TABLE": "none",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "AWS_LAMBDA_RUNTIME_API": "none",
    "SDK_TRANSPORT": "lean",
    "POWERTOOLS_METRICS_NAMESPACE": "AgentSessions",
    "POWERTOOLS_SERVICE_NAME": "sessions",
}


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """The modules of a process of its own that has answered its first create (with 503: nobody listens at port 9)."""
    status, modules = first_answer(FIRST_CREATE, "create-full")
    assert status == 503
    return modules


def first_answer(program: str, event: str) -> tuple[Any, set[str]]:
    """What a process of its own makes of its first event, and the modules that it has loaded then."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=ENVIRONMENT,
        cwd=ROOT,
        input=(ROOT / "events" / f"{event}.json").read_text(),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    outcome, modules = json.loads(done.stdout.splitlines()[-1])
    return outcome, set(modules)


@pytest.mark.parametrize("package", CEILINGS)
def test_a_start_loads_no_more_modules_than_its_ceiling(loaded: set[str], package: str) -> None:
    found = [name for name in loaded if name == package or name.startswith(f"{package}.")]
    assert len(found) <= CEILINGS[package], sorted(found)


def test_a_start_loads_nothing_that_create_does_not_need(loaded: set[str]) -> None:
    assert loaded & NOT_NEEDED == set()


def test_the_authorizer_loads_no_pydantic_and_nothing_of_sessions() -> None:
    """A caller whose key the gateway does not remember waits for its start and then for the API's."""
    outcome, modules = first_answer(FIRST_KEY, "authorizer-key")
    assert outcome == "ServiceUnavailable"
    assert {"agent_sessions.keys", "agent_sessions.aws_clients.lean_dynamodb"} <= modules
    packages = {name.partition(".")[0] for name in modules}
    assert packages & {"aws_lambda_powertools", "boto3", "botocore", "pydantic", "pydantic_core"} == set()
    assert modules & {f"agent_sessions.{name}" for name in ("sessions", "settings", "sweep")} == set()


@pytest.mark.parametrize("route", CALLS)
def test_the_frequent_requests_stay_within_their_calls_and_lines(
    route: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World()
    session_id = world.new()["sessionId"]
    ask: dict[str, Callable[[], object]] = {
        "create": world.new,
        "get": lambda: world.get(session_id),
        "heartbeat": lambda: world.heartbeat(session_id),
    }
    capsys.readouterr()
    with world.counted() as calls:
        ask[route]()
    assert dict(calls) == CALLS[route]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    metrics = [line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"] if "_aws" in line else None for line in lines]
    assert metrics == LINES[route]


def test_the_services_we_call_have_no_handlers_that_the_lean_session_leaves_out() -> None:
    events = [event for event, *_ in BUILTIN_HANDLERS if "." in event and not event.startswith("docs.")]
    assert events
    assert [event for event in events if event.split(".")[1] in {"*", "dynamodb", "sns", "lambda"}] == []
    assert [spec for spec in BUILTIN_HANDLERS if "." not in spec[0] and len(spec) > 2] == []


def test_the_keys_that_lambda_puts_into_the_environment_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert credentials() == ("env", *KEYS.values())


def test_where_the_environment_has_no_keys_botocores_whole_chain_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)
    profile = tmp_path / "credentials"
    profile.write_text("[default]\naws_access_key_id = kept\naws_secret_access_key = hidden\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(profile))
    assert credentials() == ("shared-credentials-file", "kept", "hidden", None)


def credentials() -> tuple[str | None, ...]:
    found = aws.lean_session().get_credentials()
    assert found is not None
    return (found.method, found.access_key, found.secret_key, found.token)


KEYS: Final = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token"}


@pytest.mark.parametrize("name", ["GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "BatchGetItem"])
def test_answers_are_read_as_botocore_reads_them(name: str) -> None:
    shape = operation_of(name).output_shape
    assert shape
    item = {
        "text": {"S": "Größe"},
        "number": {"N": "12.50"},
        "yes": {"BOOL": True},
        "nothing": {"NULL": True},
        "octets": {"B": "AAEC"},
        "list": {"L": [{"B": "AAEC"}, {"M": {"inner": {"B": "AAEC"}}}]},
        "set": {"BS": ["AAEC"]},
    }
    answers: dict[str, Any] = {
        "Query": {"Items": [item], "Count": 1, "LastEvaluatedKey": item},
        "BatchGetItem": {"Responses": {"table": [item]}, "UnprocessedKeys": {"table": {"Keys": [item]}}},
        "GetItem": {"Item": item},
    }
    body = json.dumps(answers.get(name, {"Attributes": item})).encode()
    answer = {"status_code": 200, "headers": {"x-amzn-requestid": "1"}, "body": body, "context": {}}
    lean = aws.lean_session().get_component("response_parser_factory").create_parser("json")
    assert lean.parse(answer, shape) == JSONParser().parse(answer, shape)


def operation_of(name: str) -> OperationModel:
    return boto3.client("dynamodb", region_name="eu-central-1").meta.service_model.operation_model(name)
