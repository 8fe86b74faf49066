"""The real client talks: sendMessage, sendMessageSync and getMessages, with a small agent at the other end."""

import http.client
import json
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.e2e.conftest import LocalServer
from tests.e2e.local_process import started
from tests.e2e.serving import serving
from tests.e2e.test_elizaos_client import AGENT, BASE, USER, Client, client, client_of

__all__ = ["client"]


@pytest.fixture(scope="module")
def local_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A stack whose time stands still: a client waits until its answer is there."""
    with serving(tmp_path_factory.mktemp("talk"), auth=True) as running:
        running.stand_still()
        assert running.stack.key
        yield LocalServer(f"http://127.0.0.1:{running.port}", running.stack.key)


class Agent(threading.Thread):
    """Follows one session, and answers each user's message once: the message's id is its key."""

    def __init__(self, server: LocalServer, session_id: str) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._path = f"{BASE}/{session_id}/messages"
        self.failure: Exception | None = None

    def run(self) -> None:
        read_to = 0
        while True:
            status, page = self._call("GET", f"{self._path}?afterSequence={read_to}&waitSeconds=10")
            if status != 200:
                return  # the session has ended
            for message in page["messages"]:
                if message["role"] == "user":
                    self._answer(message)
            read_to = page["cursors"]["afterSequence"]

    def _answer(self, message: Any) -> None:
        reply = {
            "content": message["content"].upper(),
            "role": "agent",
            "inReplyTo": message["id"],
            "metadata": {"thought": "It wants to be loud.", "actions": ["REPLY"]},
        }
        status, body = self._call("POST", self._path, reply, {"idempotency-key": message["id"]})
        if status not in (200, 201, 404):  # 404 where the test has ended the session meanwhile
            self.failure = AssertionError(body)

    def _call(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self._server.url.removeprefix("http://"), timeout=300)
        sent = {"x-api-key": self._server.key, "content-type": "application/json", **(headers or {})}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


@pytest.fixture
def session_id(client: Client, local_server: LocalServer) -> Iterator[str]:
    """A session with an agent in it."""
    session_id = client.new()["sessionId"]
    agent = Agent(local_server, session_id)
    agent.start()
    yield session_id
    client("deleteSession", session_id)
    agent.join(300)
    assert agent.failure is None
    assert not agent.is_alive()


def test_a_message_is_sent_and_its_answer_comes_later(client: Client, session_id: str) -> None:
    sent = client("sendMessage", session_id, {"content": "hello", "metadata": {"k": 1}, "attachments": [{"url": "a"}]})
    assert sent["success"] is True
    assert sent["userMessage"]["content"] == "hello"
    assert sent["userMessage"]["authorId"] == USER
    assert sent["sessionStatus"]["wasRenewed"] is True
    messages = client("getMessages", session_id)["messages"]
    assert messages[-1]["content"] == "hello"
    assert (messages[-1]["isAgent"], messages[-1]["attachments"], messages[-1]["metadata"]) == (
        False, [{"url": "a"}], {"k": 1},
    )  # fmt: skip


def test_a_message_is_sent_and_its_answer_awaited(client: Client, session_id: str) -> None:
    answer = client("sendMessageSync", session_id, {"content": "hello"})
    response = answer["agentResponse"]
    assert response["text"] == "HELLO"
    assert (response["thought"], response["actions"]) == ("It wants to be loud.", ["REPLY"])
    assert response["inReplyTo"] == answer["userMessage"]["id"]
    newest, question = client("getMessages", session_id)["messages"]
    assert (newest["content"], newest["isAgent"], newest["authorId"]) == ("HELLO", True, AGENT)
    assert question["id"] == answer["userMessage"]["id"]
    assert newest["id"] == response["messageId"]


def test_messages_are_read_with_dates_numbers_and_iso_texts_as_bounds(client: Client, session_id: str) -> None:
    for word in ("one", "two", "three"):
        client("sendMessageSync", session_id, {"content": word})
    everything = client("getMessages", session_id)["messages"]
    assert [message["content"] for message in everything] == ["THREE", "three", "TWO", "two", "ONE", "one"]
    middle = everything[2]
    moment_ms = round(datetime.fromisoformat(middle["createdAt"]).timestamp() * 1000)
    for bound in ({"$date": moment_ms}, moment_ms, middle["createdAt"]):
        before = client("getMessages", session_id, {"before": bound})
        after = client("getMessages", session_id, {"after": bound})
        assert before["messages"] == everything[3:]
        assert after["messages"] == everything[:2]
    page = client("getMessages", session_id, {"limit": 4})
    assert (page["hasMore"], page["messages"]) == (True, everything[:4])
    rest = client("getMessages", session_id, {"limit": 4, "before": page["cursors"]["before"]})
    assert (rest["hasMore"], rest["messages"]) == (False, everything[4:])


def test_a_client_that_waits_where_nobody_answers_gets_its_message_back_as_pending() -> None:
    with started({"AGENT": "none", "REPLY_WAIT_SECONDS": "1"}) as process, client_of(process.url, None) as talker:
        answer = talker("sendMessageSync", talker.new()["sessionId"], {"content": "hello"})
    assert answer["pending"] is True
    assert "agentResponse" not in answer
