"""FORWARD_TO and AGENT: a subscriber is written against the local stack as it will run against SNS."""

import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from local.demo import Client
from local.forward import Forwarder
from tests.e2e.hook import SECONDS, Posted, hook
from tests.e2e.local_process import started
from tests.e2e.serving import BASE, Serving, free_port, serving
from tests.unit.world import AGENT, USER

ROOT: Final = Path(__file__).resolve().parents[2]
VALIDATOR: Final = ROOT / ".cache" / "npm" / "sns-validator" / "index.js"
MESSAGE: Final = "agent-sessions.message.created"


def new_session(stack: Serving, key: str | None = None) -> str:
    created = stack.send("POST", BASE, {"agentId": AGENT, "userId": USER}, key=key)
    assert created.status == 201
    return str(created.json["sessionId"])


def say(stack: Serving, session_id: str, content: str, **more: Any) -> Any:
    """Post a user's message; the answer, with the agent's reply where the caller waits for it."""
    body = {"content": content, "transport": "http", **more}
    answer = stack.send("POST", f"{BASE}/{session_id}/messages", body, key=stack.stack.key)
    assert answer.status == 201, answer.body
    return answer.json


def reply_to(content: str, session_id: str, client: Client) -> Any:
    """Post a user's message to a stack in a process of its own; return the agent's reply, waited for."""
    path = f"{BASE}/{session_id}/messages"
    asked = client.call("POST", path, {"content": content}, expected=201)["message"]
    give_up = time.monotonic() + SECONDS
    while time.monotonic() < give_up:
        page = client.call("GET", f"{path}?afterSequence={asked['sequence']}&waitSeconds=20")
        for message in page["messages"]:
            if message["inReplyTo"] == asked["id"]:
                return message
    raise AssertionError(f"no reply to {content!r} within {SECONDS} seconds")


def visit(stack: Serving, url: str) -> bytes:
    """Follow a link of an envelope."""
    answer = stack.send("GET", url.removeprefix(f"http://127.0.0.1:{stack.port}"))
    assert answer.status == 200
    return answer.body


# --- FORWARD_TO -------------------------------------------------------------------------------------------------------


@pytest.fixture
def forwarded(tmp_path: Path) -> Iterator[tuple[Serving, list[Posted]]]:
    """A stack, and what its endpoint got of a conversation that ends: the confirmation, a message, a warning."""
    with hook() as found, serving(tmp_path, auth=False, forward_to=found.url) as stack:
        confirmation = found.next()
        assert b"SubscriptionArn" in visit(stack, confirmation.json["SubscribeURL"])
        session_id = new_session(stack)
        stack.send("POST", f"{BASE}/{session_id}/messages", {"content": "Anybody there? \ufffe"})
        message = found.next()
        stack.send("POST", "/_local/clock", {"toNextEvent": True})
        yield stack, [confirmation, message, found.next()]


def test_an_endpoint_gets_what_sns_would_post(forwarded: tuple[Serving, list[Posted]]) -> None:
    stack, (confirmation, *notifications) = forwarded
    assert confirmation.headers["x-amz-sns-message-type"] == confirmation.json["Type"] == "SubscriptionConfirmation"
    assert confirmation.json["Token"]
    events = stack.stack.inbox.events()
    assert [event["type"] for event in events] == [MESSAGE, "agent-sessions.session.expiring"]
    for posted, event in zip(notifications, events, strict=True):
        envelope = posted.json
        assert envelope["Type"] == posted.headers["x-amz-sns-message-type"] == "Notification"
        assert envelope["MessageId"] == posted.headers["x-amz-sns-message-id"]
        assert envelope["TopicArn"] == posted.headers["x-amz-sns-topic-arn"]
        assert posted.headers["x-amz-sns-subscription-arn"].startswith(f"{envelope['TopicArn']}:")
        assert posted.headers["content-type"] == "text/plain; charset=UTF-8"
        assert json.loads(envelope["Message"]) == event
        assert envelope["MessageAttributes"]["type"] == {"Type": "String", "Value": event["type"]}
        assert envelope["SignatureVersion"] == "2"


def test_awss_own_validator_accepts_what_is_posted_and_refuses_it_with_one_letter_changed(
    forwarded: tuple[Serving, list[Posted]],
) -> None:
    stack, posted = forwarded
    node = shutil.which("node")
    assert node is not None
    envelopes = [each.json for each in posted]
    changed = [envelope | {"Message": _with_another_letter(envelope["Message"])} for envelope in envelopes]
    lines = "".join(json.dumps(envelope) + "\n" for envelope in [*envelopes, *changed])
    script = Path(__file__).with_name("sns_validator.cjs")
    ran = subprocess.run(
        [node, str(script), str(VALIDATOR), f"http://127.0.0.1:{stack.port}"],
        input=lines, capture_output=True, text=True, check=True, timeout=SECONDS,
    )  # fmt: skip
    said = ran.stdout.splitlines()
    assert sorted(said) == sorted(["valid"] * 3 + ["The message signature is invalid."] * 3)


def _with_another_letter(text: str) -> str:
    middle = len(text) // 2
    return text[:middle] + chr(ord(text[middle]) ^ 1) + text[middle + 1 :]


def test_an_endpoint_gets_nothing_before_it_confirms_and_after_it_unsubscribes_and_what_its_filter_lets_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_warnings = {"type": ["agent-sessions.session.expiring"]}
    answered, real = threading.Event(), Forwarder._asked

    def asked(forwarder: Forwarder) -> None:
        real(forwarder)
        answered.set()

    monkeypatch.setattr(Forwarder, "_asked", asked)
    with (
        hook() as found,
        serving(tmp_path, auth=False, forward_to=found.url, forward_filter=only_warnings) as stack,
    ):
        confirmation = found.next()
        assert answered.wait(SECONDS), "the stack asks once more only when the endpoint has answered"
        say(stack, new_session(stack), "not delivered", transport="websocket")
        stack.send("POST", "/_local/clock", {"toNextEvent": True})
        again = found.next()
        assert again.json["Type"] == "SubscriptionConfirmation", "an event reminds of it"
        assert again.json["Token"] == confirmation.json["Token"]
        wrong = stack.send("GET", "/_local/sns?Action=ConfirmSubscription&Token=guessed")
        assert wrong.status == 400
        visit(stack, again.json["SubscribeURL"])
        say(stack, new_session(stack), "filtered out", transport="websocket")
        stack.send("POST", "/_local/clock", {"advanceMinutes": 60})
        notification = found.next().json
        assert json.loads(notification["Message"])["type"] == "agent-sessions.session.expiring"
        visit(stack, notification["UnsubscribeURL"])
        assert found.posted.empty()


# --- AGENT ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auth", [False, True])
def test_the_echo_agent_answers_each_users_message_once(tmp_path: Path, *, auth: bool) -> None:
    with serving(tmp_path, auth=auth, agent="echo") as stack:
        stack.stand_still()
        session_id = new_session(stack, stack.stack.key)
        answer = say(stack, session_id, "hello")
        assert answer["agentResponse"]["text"] == "You said: hello"
        assert answer["agentResponse"]["inReplyTo"] == answer["message"]["id"]
        assert say(stack, session_id, "again")["agentResponse"]["text"] == "You said: again"
        page = stack.send("GET", f"{BASE}/{session_id}/messages", key=stack.stack.key).json
        assert [message["role"] for message in page["messages"]] == ["agent", "user", "agent", "user"]


def test_an_agent_of_ones_own_gets_message_session_and_history_and_its_answer_is_posted(tmp_path: Path) -> None:
    def reply(posted: Posted) -> tuple[int, Any]:
        return 200, {"text": posted.json["message"]["content"].upper(), "metadata": {"thought": "Loud."}}

    with hook(reply) as found, serving(tmp_path, auth=False, agent=found.url) as stack:
        stack.stand_still()
        session_id = new_session(stack)
        answer = say(stack, session_id, "hello")
        assert (answer["agentResponse"]["text"], answer["agentResponse"]["thought"]) == ("HELLO", "Loud.")
        say(stack, session_id, "once more")
        found.next()
        asked = found.next().json
        assert asked["session"]["sessionId"] == session_id
        assert asked["message"]["content"] == "once more"
        assert [message["content"] for message in asked["history"]] == ["hello", "HELLO", "once more"]
        assert asked["event"]["type"] == MESSAGE


def test_an_agent_that_fails_is_shown_and_stops_no_other_answer() -> None:
    answers: Mapping[str, tuple[int, Any]] = {
        "crash": (500, {"oops": True}),
        "garbage": (200, b"no json"),
        "a list": (200, []),
        "no text": (200, {"text": 7}),
        "nothing to say": (200, b""),
        "good": (200, {"content": "fine"}),
    }
    with (
        hook(lambda posted: answers[posted.json["message"]["content"]]) as found,
        started({"AGENT": found.url}) as process,
    ):
        client = Client(process.url)
        session_id = client.call("POST", BASE, {"agentId": AGENT, "userId": USER}, expected=201)["sessionId"]
        for content in list(answers)[:-1]:
            client.call("POST", f"{BASE}/{session_id}/messages", {"content": content}, expected=201)
        assert reply_to("good", session_id, client)["content"] == "fine"
        process.until("no answer in", times=4)
        assert process.signal(signal.SIGINT) == 0
        assert process.text.count("no answer in") == 4
        assert "answered 500" in process.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_example_of_an_agent_answers_on_a_stack_of_its_own_and_ends_with_it(number: int) -> None:
    with started({"PORT": str(free_port()), "MODEL_ID": ""}, "examples.agent") as process:
        client = Client(process.url)
        process.until("has confirmed")
        session_id = client.call("POST", BASE, {"agentId": AGENT, "userId": USER}, expected=201)["sessionId"]
        assert reply_to("hello", session_id, client)["content"] == "You said: hello"
        assert process.signal(number) == 0
