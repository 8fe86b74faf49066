"""The command for keys: the same on a table of an account and, over HTTP, on the local stack."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import boto3
import pytest
from agent_sessions.bootstrap import callers, wiring
from agent_sessions.bootstrap.wiring import Wiring
from agent_sessions.keys.commands import answer
from agent_sessions.keys.dynamo_store import DynamoKeyStore
from agent_sessions.keys.service import KeyService
from moto import mock_aws

from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.tables import create_api_keys_table
from tests.unit.world import START_MS, MovableClock
from tools import keys as command

TABLE = "keys-7e1a"


def keys_in_memory() -> KeyService:
    clock = MovableClock()
    dynamo = FakeDynamo(clock)
    create_api_keys_table(dynamo.as_client(), TABLE)
    return KeyService(DynamoKeyStore(dynamo.as_client(), TABLE), clock)


class LocalStack:
    """The one route of the local stack that the command needs."""

    def __init__(self) -> None:
        self.keys = keys_in_memory()
        stack = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == command.ROUTE
                assert self.headers["content-type"] == "application/json"
                status, said = answer(stack.keys, body, START_MS)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(json.dumps(said).encode())

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


class Target:
    """Where the command works: the options that say so, and keys to look at."""

    def __init__(self, options: list[str], keys: KeyService, capsys: pytest.CaptureFixture[str]) -> None:
        self.options = options
        self.keys = keys
        self._capsys = capsys

    def run(self, *arguments: str) -> tuple[str, str]:
        """Return what was printed, to standard output and error."""
        assert command.main([*self.options, *arguments]) is None
        return tuple(self._capsys.readouterr())  # type: ignore[return-value]

    def made(self, *arguments: str) -> str:
        return self.run(*arguments)[0].strip()

    def refusal(self, *arguments: str) -> str:
        said = command.main([*self.options, *arguments])
        assert said is not None
        return said

    def only_id(self, tenant: str) -> str:
        [key] = self.keys.of_tenant(tenant)
        return key.key_id


@pytest.fixture(params=["stack", "local"])
def target(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Iterator[Target]:
    if request.param == "local":
        stack = LocalStack()
        thread = threading.Thread(target=stack.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Target(["--url", stack.url], stack.keys, capsys)
        stack.server.shutdown()
        thread.join()
        stack.server.server_close()
        return
    with mock_aws():
        create_api_keys_table(boto3.client("dynamodb"), TABLE)
        wiring.wire(Wiring({"API_KEYS_TABLE": TABLE}))
        keys = callers.api_keys()
        outputs = {"ApiKeysTableName": {"Value": TABLE}}
        body = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": outputs}
        boto3.client("cloudformation").create_stack(StackName="sessions", TemplateBody=json.dumps(body))
        yield Target(["--stack", "sessions"], keys, capsys)
    wiring.wire(Wiring({}))


def test_a_new_key_goes_to_standard_output_alone_and_opens_the_door(target: Target) -> None:
    out, err = target.run("create", "--tenant", "acme", "--name", "ci", "--days", "30")
    assert out.endswith("\n")
    verdict = target.keys.verify(out.strip())
    assert verdict.allowed
    assert verdict.key is not None
    assert (verdict.key.tenant_id, verdict.key.name) == ("acme", "ci")
    assert verdict.key.expires_at_ms == verdict.key.created_at_ms + 30 * 86_400_000
    assert out.strip() not in err
    assert "only time" in err


def test_a_list_shows_ids_and_states_and_no_key(target: Target) -> None:
    made = target.made("create", "--tenant", "acme", "--name", "ci")
    target.run("create", "--tenant", "globex")
    out, err = target.run("list", "--tenant", "acme")
    head, row = out.splitlines()
    assert head.split()[:6] == ["id", "tenant", "name", "scope", "lastFour", "state"]
    assert row.split()[:6] == [target.only_id("acme"), "acme", "ci", "full", made[-4:], "active"]
    assert made[:-4] not in out
    assert made[3:-4] not in out
    assert err == ""


@pytest.mark.parametrize("scope", ["client", "agent", "full"])
def test_a_key_gets_its_scope_from_the_command_line_and_its_successor_has_it_too(target: Target, scope: str) -> None:
    made = target.made("create", "--tenant", "acme", "--scope", scope)
    successor = target.made("rotate", "--tenant", "acme", "--id", target.only_id("acme"))
    for key in (made, successor):
        found = target.keys.verify(key).key
        assert found is not None
        assert found.scope == scope
    rows = target.run("list", "--tenant", "acme")[0].splitlines()[1:]
    assert [row.split()[3] for row in rows] == [scope, scope]


def test_a_leaked_key_is_revoked_from_standard_input(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from the command line, where other users of the machine and the shell's history would see it."""
    made = target.made("create", "--tenant", "acme")
    monkeypatch.setattr("sys.stdin", io.StringIO(made + "\n"))
    out, _ = target.run("revoke", "--from-stdin")
    assert made not in out
    assert not target.keys.verify(made).allowed


def test_a_rotation_prints_the_successor_and_lets_the_old_key_go_on(target: Target) -> None:
    old = target.made("create", "--tenant", "acme")
    new = target.made("rotate", "--tenant", "acme", "--id", target.only_id("acme"), "--overlap-hours", "2")
    before, after = (target.keys.verify(key) for key in (old, new))
    assert before.allowed
    assert after.allowed
    assert before.key is not None
    assert before.key.expires_at_ms is not None
    assert after.key is not None
    assert before.key.replaced_by == after.key.key_id


@pytest.mark.parametrize("target", ["local"], indirect=True)
@pytest.mark.parametrize(
    "arguments, words",
    [
        (["create", "--tenant", "a#b"], "tenant"),
        (["create", "--tenant", "acme", "--days", "-1"], "days"),
        (["create", "--tenant", "acme", "--days", "nan"], "days"),
        (["rotate", "--tenant", "acme", "--id", "0123456789abcdef", "--overlap-hours", "-1"], "overlap_hours"),
        (["rotate", "--tenant", "acme", "--id", "0123456789abcdef"], "no key"),
        (["revoke", "--tenant", "acme", "--id", "0123456789abcdef"], "no key"),
        (["revoke", "--tenant", "acme", "--id", "nonsense"], "id"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(target: Target, arguments: list[str], words: str) -> None:
    assert words in target.refusal(*arguments)


def test_a_table_can_be_named_instead_of_its_stack(capsys: pytest.CaptureFixture[str]) -> None:
    with mock_aws():
        create_api_keys_table(boto3.client("dynamodb"), TABLE)
        assert command.main(["--table", TABLE, "create", "--tenant", "acme"]) is None
        assert callers.api_keys().verify(capsys.readouterr().out.strip()).allowed
    wiring.wire(Wiring({}))


def test_without_a_local_stack_the_command_says_what_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    said = command.main(["--url", "http://127.0.0.1:1", "list", "--tenant", "acme"])
    assert said is not None
    assert "make run" in said
    assert capsys.readouterr().out == ""


def test_a_stack_that_is_not_there_or_another_kind_is_said_in_words() -> None:
    with mock_aws():
        said = command.main(["--stack", "nowhere", "list", "--tenant", "acme"])
        assert said is not None
        assert "nowhere" in said
        body = json.dumps({"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}})
        boto3.client("cloudformation").create_stack(StackName="other", TemplateBody=body)
        said = command.main(["--stack", "other", "list", "--tenant", "acme"])
        assert said is not None
        assert "ApiKeysTableName" in said


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"action":"drop"}', b'{"action":"list"}', b"\xff"])
def test_a_command_that_makes_no_sense_is_a_400(body: bytes) -> None:
    status, said = answer(keys_in_memory(), body, START_MS)
    assert status == 400
    assert said["error"]


def test_a_leaked_key_is_not_repeated_by_a_refusal() -> None:
    body = json.dumps({"action": "revoke", "leaked": "as_marked", "nonsense": "as_marked"}).encode()
    status, said = answer(keys_in_memory(), body, START_MS)
    assert status == 400
    assert "marked" not in json.dumps(said)
