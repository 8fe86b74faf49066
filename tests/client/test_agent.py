"""An agent answers each message of a user once: behind a queue, behind HTTPS, and beside the local stack."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from agent_sessions_client import Message, Sent, SessionsClient
from agent_sessions_client.agent import Agent, Answer, HttpsAgent, Turn, run_beside_local_stack
from agent_sessions_client.events import HttpsReceiver, parse

from tests.client.service import AGENT, USER, ManualClock, Service
from tests.client.signing import CERTIFICATE_URL, TOPIC, Signer
from tests.client.test_events import event, leased


class Talk:
    """A session with a user in it, and the events that its messages have."""

    def __init__(self, service: Service) -> None:
        self.client = service.client()
        self.session = self.client.create_session(AGENT, USER)

    def say(self, text: str) -> dict[str, Any]:
        """Send a message of the user and return its event."""
        return self.event_of(self.client.send_message(self.session.session_id, text))

    def event_of(self, sent: Sent) -> dict[str, Any]:
        hidden = {"content", "parts", "attachments", "metadata"}
        body = {name: value for name, value in sent.message.raw.items() if name not in hidden}
        of_session = ("sessionId", "agentId", "userId", "createdAt")
        about = {name: self.session.raw[name] for name in of_session}
        event_id = f"{sent.message.session_id}:9c1f02ab7d3e5566:{sent.message.sequence}:created"
        return event("message.created", **about, message=body) | {"id": event_id}

    @property
    def replies(self) -> list[Message]:
        return [each for each in self.client.list_messages(self.session.session_id) if each.is_agent]


@pytest.fixture
def talk(service: Service) -> Talk:
    return Talk(service)


@pytest.fixture
def agent(service: Service) -> Agent:
    agent = Agent(service.client(), agent_ids=[AGENT.upper()])

    @agent.on_message
    def answer(turn: Turn) -> str:
        return f"{turn.message.content}?"

    return agent


def test_a_message_is_answered_once_however_often_its_event_comes(talk: Talk, agent: Agent) -> None:
    said = talk.say("hello")
    for _ in range(3):
        agent.handle(parse(said))
    [reply] = talk.replies
    assert reply.content == "hello?"
    assert reply.in_reply_to == said["data"]["message"]["id"]


def test_a_crash_after_the_answer_was_posted_gives_no_second_one(talk: Talk, service: Service) -> None:
    """Two deliveries at the same moment: both read the question before either has answered it."""
    said = talk.say("hello")
    words = iter(["one", "two"])
    other = Agent(service.client())
    other.on_message(lambda _: next(words))
    agent = Agent(service.client())

    @agent.on_message
    def answer(_: Turn) -> str:
        other.handle(parse(said))
        return next(words)

    assert agent.handle(parse(said)) is None
    assert [reply.content for reply in talk.replies] == ["one"]


def test_a_handler_may_be_a_coroutine_and_answer_with_parts(talk: Talk, service: Service) -> None:
    agent = Agent(service.client())

    @agent.on_message
    async def answer(turn: Turn) -> Answer:
        await asyncio.sleep(0)
        return Answer("see parts", parts=({"type": "text", "text": turn.message.content},), metadata={"model": "m"})

    posted = agent.handle(parse(talk.say("hello")))
    assert posted is not None
    assert (posted.parts, posted.metadata) == (({"type": "text", "text": "hello"},), {"model": "m"})


def test_a_handler_sees_the_conversation_up_to_its_message(talk: Talk, service: Service) -> None:
    said = [talk.say(text) for text in ("one", "two", "three")]
    seen: list[list[str]] = []
    agent = Agent(service.client())

    @agent.on_message
    def answer(turn: Turn) -> None:
        seen.append([message.content for message in turn.history()])
        assert turn.session().session_id == turn.session_id

    agent.handle(parse(said[1]))
    assert seen == [["one", "two"]]


@pytest.mark.parametrize(
    "change",
    [
        lambda said: leased("expiring", 1),
        lambda said: said | {"data": said["data"] | {"agentId": USER}},
        lambda said: said | {"data": said["data"] | {"message": said["data"]["message"] | {"role": "tool"}}},
    ],
    ids=["another kind", "another agent", "another role"],
)
def test_what_is_not_for_this_agent_is_not_answered(
    talk: Talk, agent: Agent, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    assert agent.handle(parse(change(talk.say("hello")))) is None
    assert talk.replies == []


def test_a_session_that_has_ended_needs_no_answer(talk: Talk, agent: Agent) -> None:
    said = talk.say("hello")
    talk.client.delete_session(talk.session.session_id)
    assert agent.handle(parse(said)) is None


def batch(*bodies: dict[str, Any] | str) -> dict[str, Any]:
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    return {"Records": [{"messageId": str(number), "body": text} for number, text in enumerate(texts)]}


def test_a_queue_gets_back_what_failed_and_answers_keep_the_order_of_the_questions(service: Service) -> None:
    good, bad = Talk(service), Talk(service)
    agent = Agent(service.client())

    @agent.on_message
    def answer(turn: Turn) -> str:
        if turn.session_id == bad.session.session_id:
            raise RuntimeError
        return turn.message.content.upper()

    first, second = good.say("one"), good.say("two")
    troubled = [bad.say("one"), bad.say("two")]
    result = agent.lambda_handler(batch(second, troubled[1], "{}", first, troubled[0]))
    assert sorted(each["itemIdentifier"] for each in result["batchItemFailures"]) == ["1", "2", "4"]
    assert [reply.content for reply in good.replies] == ["ONE", "TWO"]


def test_a_question_without_an_answer_does_not_hold_up_the_next_one(talk: Talk, service: Service) -> None:
    agent = Agent(service.client())
    agent.on_message(lambda turn: None if turn.message.sequence == 1 else "yes")
    assert agent.lambda_handler(batch(talk.say("one"), talk.say("two"))) == {"batchItemFailures": []}
    assert len(talk.replies) == 1


def test_an_invocation_by_the_topic_fails_as_a_whole(talk: Talk, service: Service) -> None:
    invocation = {"Records": [{"Sns": {"Message": json.dumps(talk.say("hello"))}}]}
    with pytest.raises(RuntimeError, match="no handler"):
        Agent(service.client()).lambda_handler(invocation)


class Endpoint:
    """The agent's ASGI application, and SNS in front of it."""

    def __init__(self, agent: Agent) -> None:
        clock = ManualClock()
        self.sns = Signer(clock.wall())
        self.fetched: list[str] = []
        self.app = HttpsAgent(agent, HttpsReceiver([TOPIC], fetch=self._fetch, clock=clock))

    def _fetch(self, address: str) -> bytes:
        self.fetched.append(address)
        return self.sns.certificate if address == CERTIFICATE_URL else b"ok"

    async def post(self, message: dict[str, Any] | str, method: str = "POST") -> int:
        text = message if isinstance(message, str) else json.dumps(message)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app)) as client:
            return (await client.request(method, "https://agent.test/hook", content=text)).status_code


def test_what_sns_posts_is_answered_and_what_others_post_is_refused(talk: Talk, agent: Agent) -> None:
    endpoint = Endpoint(agent)
    signed = endpoint.sns.notification(talk.say("hello"))
    ask = {"Type": "SubscriptionConfirmation", "Message": "?", "Token": "t"}
    address = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription"

    async def scenario() -> None:
        assert await endpoint.post(endpoint.sns.signed(ask | {"SubscribeURL": address})) == 200
        assert await endpoint.post(signed) == 200
        assert await endpoint.post(signed) == 200
        assert await endpoint.post(signed | {"Message": "other"}) == 403
        assert await endpoint.post(endpoint.sns.signed({"Message": "no event"})) == 400
        assert await endpoint.post(signed, "GET") == 405
        assert await endpoint.post("x" * 600_000) == 413

    asyncio.run(scenario())
    assert address in endpoint.fetched
    assert [reply.content for reply in talk.replies] == ["hello?"]


def test_a_failure_is_repeated_by_sns_and_so_is_an_event_that_is_under_way(talk: Talk, service: Service) -> None:
    agent = Agent(service.client())
    endpoint = Endpoint(agent)
    signed = endpoint.sns.notification(talk.say("hello"))
    statuses: list[int] = []

    @agent.on_message
    def answer(_: Turn) -> str:
        if not statuses:
            statuses.append(asyncio.run(endpoint.post(signed)))
            raise RuntimeError
        return "at last"

    statuses.append(asyncio.run(endpoint.post(signed)))
    statuses.append(asyncio.run(endpoint.post(signed)))
    assert statuses == [503, 500, 200]
    assert [reply.content for reply in talk.replies] == ["at last"]


def test_the_application_takes_part_in_the_servers_start_and_end(agent: Agent) -> None:
    received = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": next(received)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(Endpoint(agent).app({"type": "lifespan"}, receive, send))
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_beside_the_local_stack_each_event_is_handled_once_and_a_failing_one_three_times(
    talk: Talk, service: Service
) -> None:
    said, cursed = talk.say("hello"), Talk(service).say("curse")
    asked: list[str] = []
    agent = Agent(service.client())

    @agent.on_message
    def answer(turn: Turn) -> str:
        asked.append(turn.message.content)
        if turn.message.content == "curse":
            raise RuntimeError
        return "yes"

    polls = iter([False] * 6 + [True])
    clock = ManualClock()
    run_beside_local_stack(agent, fetch=lambda _: {"events": [cursed, said]}, clock=clock, until=lambda: next(polls))
    assert asked == ["curse", "hello", "curse", "curse"]
    assert len(clock.slept) == 6


def test_an_agent_answers_what_the_stack_publishes(talk: Talk, agent: Agent, service: Service) -> None:
    for text in ("one", "two", "three"):
        talk.client.send_message(talk.session.session_id, text)
    published = lambda _: {"events": service.stack.inbox.events()}  # noqa: E731 - what /_local/events answers
    run_beside_local_stack(agent, fetch=published, poll_seconds=0.05, until=lambda: len(talk.replies) == 3)
    assert [reply.content for reply in talk.replies] == ["one?", "two?", "three?"]


def test_a_client_may_be_told_apart_by_its_url_alone(service: Service) -> None:
    for url in ("http://sessions.test", "http://sessions.test/", "http://sessions.test/api/messaging/sessions"):
        http = httpx.Client(transport=httpx.MockTransport(service.answer))
        assert SessionsClient(url, http=http).health().status in {"healthy", "degraded"}
