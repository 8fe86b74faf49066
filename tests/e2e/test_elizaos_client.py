"""A client written for ElizaOS works unchanged: @elizaos/api-client from npm, in Node, against the local stack."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, LocalServer
from tests.e2e.serving import serving

CLIENT = ROOT / ".cache" / "npm" / "api-client" / "dist" / "index.js"
DRIVER = Path(__file__).with_name("elizaos_client.mjs")
BASE = "/api/messaging/sessions"
AGENT = "b8504bc3-45f8-4a41-a00a-83df46d8555d"
USER = "6c6f2d1e-0a3b-4f7d-9e58-1b2c3d4e5f60"
NOBODY = "11111111-2222-4333-8444-555555555555"
RELIED_ON = {"sessionId", "agentId", "userId", "createdAt", "expiresAt", "timeoutConfig", "metadata"}


class ApiError(Exception):
    """What the client threw."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.name = error["name"]
        self.code = error.get("code")
        self.message = error["message"]
        self.status = error.get("status")


class Client:
    """The client's `sessions` service, in a Node process."""

    def __init__(self, process: subprocess.Popen[str], key: str | None) -> None:
        self.process = process
        self.key = key

    def __call__(self, call: str, *arguments: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"key": self.key, "call": call, "arguments": arguments}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise ApiError(answer["error"])
        return answer.get("value")

    def with_key(self, key: str | None) -> "Client":
        return Client(self.process, key)

    def new(self, **fields: Any) -> Any:
        return self("createSession", {"agentId": AGENT, "userId": USER, **fields})


@pytest.fixture(scope="module")
def client(local_server: LocalServer) -> Iterator[Client]:
    """The client with a good key."""
    with client_of(local_server.url, local_server.key) as client:
        yield client


@contextmanager
def client_of(url: str, key: str | None) -> Iterator[Client]:
    """The client of a stack."""
    node = shutil.which("node")
    assert node, "the real client needs node (20 or later) on PATH"
    assert CLIENT.exists(), f"make {CLIENT.relative_to(ROOT)}"
    with subprocess.Popen(
        [node, str(DRIVER), str(CLIENT), url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Client(process, key)


def test_create_gives_what_clients_of_the_reference_rely_on(client: Client) -> None:
    session = client.new(metadata={"channel": "web", "n": 2**40})
    assert session.keys() >= RELIED_ON
    assert (session["agentId"], session["userId"]) == (AGENT, USER)
    assert session["metadata"] == {"channel": "web", "n": 2**40}
    assert session["timeoutConfig"] == {
        "timeoutMinutes": 30,
        "autoRenew": True,
        "maxDurationMinutes": 720,
        "warningThresholdMinutes": 5,
    }
    lived = datetime.fromisoformat(session["expiresAt"]) - datetime.fromisoformat(session["createdAt"])
    assert lived.total_seconds() == 30 * 60


def test_list_shows_the_sessions_with_totals(client: Client) -> None:
    created = client.new()
    page = client("listSessions")
    assert page.keys() >= {"sessions", "total", "stats"}
    assert created["sessionId"] in {session["sessionId"] for session in page["sessions"]}
    assert page["total"] == len(page["sessions"]) == page["stats"]["totalSessions"] == page["stats"]["activeSessions"]
    assert page["stats"]["expiredSessions"] == 0


def test_delete_ends_a_session_and_the_client_unwraps_the_answer(client: Client) -> None:
    session_id = client.new()["sessionId"]
    ended = {"success": True, "sessionId": session_id, "messagesDeleted": 0, "pending": False}
    assert client("deleteSession", session_id) == ended
    with pytest.raises(ApiError) as caught:
        client("getSession", session_id)
    assert (caught.value.code, caught.value.status) == ("SESSION_NOT_FOUND", 404)


def test_heartbeat_renew_and_timeout_through_the_clients_own_post_and_patch(
    client: Client, local_server: LocalServer
) -> None:
    created = client.new()
    path = f"{BASE}/{created['sessionId']}"
    local_server.advance(10)
    beaten = client("post", f"{path}/heartbeat")
    assert beaten["renewalCount"] == 1
    assert beaten["expiresAt"] > created["expiresAt"]
    renewed = client("post", f"{path}/renew", {})
    assert renewed["renewalCount"] == 2
    patched = client("patch", f"{path}/timeout", {"timeoutMinutes": 60, "autoRenew": False})
    assert patched["timeoutConfig"] == created["timeoutConfig"] | {"timeoutMinutes": 60, "autoRenew": False}
    assert patched["expiresAt"] > renewed["expiresAt"]
    assert client("getSession", created["sessionId"])["renewalCount"] == 2


def test_an_idempotency_key_through_the_clients_own_headers(client: Client) -> None:
    body = {"agentId": AGENT, "userId": USER}
    options = {"headers": {"Idempotency-Key": "client-test"}}
    first, again = (client("post", BASE, body, options) for _ in range(2))
    assert first["sessionId"] == again["sessionId"]
    with pytest.raises(ApiError) as caught:
        client("post", BASE, body | {"userId": AGENT}, options)
    assert (caught.value.code, caught.value.status) == ("IDEMPOTENCY_KEY_REUSED", 422)


# --- errors


def refused(client: Client, *call: Any) -> tuple[Any, Any]:
    """Code and status of the ApiError that the call throws; it has a message for people."""
    with pytest.raises(ApiError) as caught:
        client(*call)
    assert caught.value.name == "ApiError"
    assert caught.value.message
    return caught.value.code, caught.value.status


def test_an_unknown_session_a_wrong_verb_and_a_wrong_path(client: Client) -> None:
    assert refused(client, "getSession", NOBODY) == ("SESSION_NOT_FOUND", 404)
    assert refused(client, "getSession", "no-uuid") == ("SESSION_NOT_FOUND", 404)
    assert refused(client, "deleteSession", NOBODY) == ("SESSION_NOT_FOUND", 404)
    assert refused(client, "put", f"{BASE}/{NOBODY}", {}) == ("METHOD_NOT_ALLOWED", 405)
    assert refused(client, "getMessages", NOBODY) == ("SESSION_NOT_FOUND", 404)


def test_without_a_key_and_with_a_bad_one_the_gateways_answer_is_an_error_of_the_client_too(client: Client) -> None:
    assert refused(client.with_key(None), "listSessions") == ("HTTP_ERROR", 401)
    assert refused(client.with_key("as_" + "q" * 32), "listSessions") == ("HTTP_ERROR", 403)


# --- the stack's own agent


def test_the_stacks_echo_agent_answers_a_client_that_waits(tmp_path: Path) -> None:
    with (
        serving(tmp_path, auth=False, agent="echo") as running,
        client_of(f"http://127.0.0.1:{running.port}", None) as talker,
    ):
        running.stand_still()
        answer = talker("sendMessageSync", talker.new()["sessionId"], {"content": "hello"})
    assert answer["agentResponse"]["text"] == "You said: hello"
    assert "pending" not in answer
