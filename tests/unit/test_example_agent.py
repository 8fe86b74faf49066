"""The example of an agent answers each user's message once, whatever is repeated, and holds up nobody."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from agent_sessions.events.stream import message_events

from examples.agent import app
from template_reader import read
from tests.engines import faults
from tests.unit.test_message_events import Publishing
from tests.unit.world import AGENT, BASE, gateway_event

TEMPLATE: Final = Path(app.__file__).parent / "template.yaml"
EXAMPLES: Final = TEMPLATE.parents[1]
PAGE: Final = (EXAMPLES.parent / "docs" / "events.md").read_text("utf-8")


class WorldApi(app.SessionsApi):
    """The API of a world: the deployed handlers, without a network."""

    def __init__(self, world: Publishing) -> None:
        super().__init__("http://world", "a-key")
        self._world = world

    def _call(
        self, method: str, path: str, body: app.Json | None = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        path, _, query = path.partition("?")
        parameters = dict(pair.split("=") for pair in query.split("&")) if query else {}
        name = "message-post" if method == "POST" else "message-list"
        answer = self._world.send(
            gateway_event(name, path=BASE + path, body=body, headers=headers, query=parameters, scope="agent")
        )
        if answer.status >= 400:
            raise app.ApiError(answer.status, answer.code)
        return answer.json


class Agent:
    """The example in a world, and what it was asked."""

    def __init__(self) -> None:
        self.world = Publishing()
        self.api = WorldApi(self.world)
        self.asked: list[list[str]] = []

    def answer(self, history: Any) -> str:
        self.asked.append([message["content"] for message in history])
        return f"answer {len(self.asked)}"

    def said(self, session_id: str) -> list[tuple[str, str]]:
        page = self.world.messages(session_id, order="asc").json["messages"]
        return [(message["role"], message["content"]) for message in page]

    def events(self) -> list[str]:
        """The bodies that the subscription lets through."""
        assert self.world.mapping.deliver()
        found = [sent.message for sent in self.world.sns.published if sent.attributes["role"] == "user"]
        self.world.sns.published.clear()
        return found

    def receive(self, *bodies: str) -> list[str]:
        records = [{"messageId": f"message-{number}", "body": body} for number, body in enumerate(bodies)]
        answer = app.consume({"Records": records}, self.api, self.answer)
        return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


@pytest.fixture
def agent() -> Agent:
    return Agent()


def test_a_users_message_is_answered_once_though_its_event_comes_again(agent: Agent) -> None:
    session_id = agent.world.new()["sessionId"]
    agent.world.say(session_id, "hello")
    [event] = agent.events()
    assert agent.receive(event, event) == []
    assert agent.receive(event) == []
    assert agent.said(session_id) == [("user", "hello"), ("agent", "answer 1")]
    assert agent.asked == [["hello"]], "a repeat asks no model"


def test_two_runs_at_a_time_give_one_reply(agent: Agent) -> None:
    session_id = agent.world.new()["sessionId"]
    agent.world.say(session_id, "hello")
    [event] = agent.events()

    def slow(_history: Any) -> str:
        assert agent.receive(event) == []  # another run is quicker
        return "in other words"

    app.reply_to(json.loads(event), agent.api, slow)
    assert agent.said(session_id) == [("user", "hello"), ("agent", "answer 1")]


def test_a_session_that_has_ended_needs_no_answer(agent: Agent) -> None:
    gone, expired = (agent.world.new()["sessionId"] for _ in range(2))
    for session_id in (gone, expired):
        agent.world.say(session_id, "hello")
    events = agent.events()
    agent.world.delete(gone)
    agent.world.clock.advance(minutes=31)
    assert agent.receive(*events) == []


def test_what_fails_comes_back_alone(agent: Agent) -> None:
    session_id = agent.world.new()["sessionId"]
    agent.world.say(session_id, "hello")
    [event] = agent.events()
    assert agent.receive("no json", event, "{}") == ["message-0", "message-2"]
    agent.world.say(session_id, "again")
    [event] = agent.events()
    agent.world.dynamo.add_hook(faults.throttle("put_item", 1))
    agent.world.dynamo.add_hook(faults.throttle("update_item", 1))
    assert agent.receive(event) == ["message-0"]
    agent.world.dynamo.hooks.clear()
    assert agent.receive(event) == []
    assert [role for role, _ in agent.said(session_id)] == ["user", "agent", "user", "agent"]


class Converse:
    """Bedrock's client, with one answer."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []

    def converse(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return {"output": {"message": {"role": "assistant", "content": [{"text": "Par"}, {"text": "is."}]}}}


def test_a_model_gets_the_conversation_in_turns_that_begin_with_the_user() -> None:
    history = [
        {"role": "agent", "content": "Welcome."},
        {"role": "user", "content": "Hello."},
        {"role": "user", "content": "Capital of France?"},
        {"role": "tool", "content": "a lookup"},
        {"role": "agent", "content": " "},
        {"role": "agent", "content": "One moment."},
        {"role": "user", "content": "Well?"},
    ]
    client = Converse()
    assert app.Bedrock(client, "a-model", "Be brief.")(history) == "Paris."
    [request] = client.requests
    assert request["modelId"] == "a-model"
    assert request["system"] == [{"text": "Be brief."}]
    assert [(turn["role"], [block["text"] for block in turn["content"]]) for turn in request["messages"]] == [
        ("user", ["Hello.", "Capital of France?"]),
        ("assistant", ["One moment."]),
        ("user", ["Well?"]),
    ]


def test_the_echo_repeats_what_the_user_said_last() -> None:
    assert app.echo([{"role": "user", "content": "one"}, {"role": "agent", "content": "two"}]) == "You said: one"


def test_the_subscription_lets_through_what_users_say_to_this_agent() -> None:
    policy = read(TEMPLATE)["Resources"]["Subscription"]["Properties"]["FilterPolicy"]
    event = message_events("/s", with_content=False)
    agent = Agent()
    agent.world.say(agent.world.new()["sessionId"], "hello")
    [record] = agent.world.dynamo.stream_records("table-5c1d-messages")
    made = event(record)
    assert made is not None
    for name, allowed in policy.items():
        assert made.attributes[name] in json.loads(json.dumps(allowed).replace('{"Ref": "AgentId"}', f'"{AGENT}"'))


def test_the_sample_event_holds_the_event_on_the_page_and_is_passed_over_without_its_session(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = json.loads((TEMPLATE.parent / "events" / "message.json").read_text("utf-8"))
    [record] = batch["Records"]
    documented = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)]
    assert json.loads(record["body"]) in documented
    monkeypatch.setattr(app, "_api", lambda: agent.api)
    monkeypatch.setattr(app, "_answer", lambda: app.echo)
    assert app.handler(batch, None) == {"batchItemFailures": []}


def test_the_sample_event_is_answered_with_the_ids_that_the_pages_command_puts_into_it(agent: Agent) -> None:
    session_id = agent.world.new()["sessionId"]
    message_id = agent.world.say(session_id, "hello").json["message"]["id"]
    text = (TEMPLATE.parent / "events" / "message.json").read_text("utf-8")
    for sample_id, name in re.findall(r"s/([0-9a-f-]{36})/\$(ID|MESSAGE)/g", PAGE):
        text = text.replace(sample_id, {"ID": session_id, "MESSAGE": message_id}[name])
    [record] = json.loads(text)["Records"]
    assert agent.receive(record["body"]) == []
    assert agent.said(session_id) == [("user", "hello"), ("agent", "answer 1")]


@pytest.mark.parametrize("command", re.findall(r"sam local invoke (.*?)\n(?!  )", PAGE, re.DOTALL))
def test_the_commands_for_sam_local_name_functions_and_files_and_set_variables_that_there_are(command: str) -> None:
    function = command.split(maxsplit=1)[0]
    given = dict(re.findall(r"--(template|event|env-vars) (\S+)", command))
    template = read(EXAMPLES.parent / given["template"])
    variables = template["Resources"][function]["Properties"]["Environment"]["Variables"]
    env = json.loads((EXAMPLES.parent / given["env-vars"]).read_text("utf-8"))
    assert env[function].keys() <= variables.keys(), "sam local sets no others"
    event = given["event"]
    assert (EXAMPLES.parent / event).exists() or f"> {event}\n" in PAGE
