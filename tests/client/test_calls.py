"""Each call against the local stack, with the client that blocks and the one that is awaited."""

import asyncio
import hashlib
import inspect
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, timedelta
from typing import Any

import pytest
from agent_sessions_client import AsyncSessionsClient, Bounds, SessionsClient, errors

from tests.client.service import AGENT, USER, Service, async_client_of


class Awaiting:
    """The async client, used from a test that blocks."""

    def __init__(self, client: AsyncSessionsClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._client, name)

        def method(*args: Any, **options: Any) -> Any:
            result = call(*args, **options)
            if inspect.isawaitable(result):
                return asyncio.run(awaited(result))
            return iter(asyncio.run(collected(result)))

        return method


async def awaited(result: Any) -> Any:
    return await result


async def collected(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


@pytest.fixture(params=["blocking", "awaiting"])
def client(request: pytest.FixtureRequest, service: Service) -> Any:
    return service.client() if request.param == "blocking" else Awaiting(async_client_of(service.answer))


def test_a_session_is_created_with_the_settings_that_are_given(client: Any) -> None:
    session = client.create_session(uuid.UUID(AGENT), USER, metadata={"plan": "pro"}, timeout_minutes=10)
    assert (session.agent_id, session.user_id, session.metadata) == (AGENT, USER, {"plan": "pro"})
    assert session.timeout_config.timeout_minutes == 10
    assert session.expires_at - session.created_at == timedelta(minutes=10)
    assert session.expires_at.tzinfo is UTC
    assert client.get_session(session.session_id).created_at == session.created_at


def test_the_session_of_a_key_is_found_and_made_once(client: Any) -> None:
    key = str(uuid.uuid4())
    assert client.session_of_key(key) is None
    session = client.create_session(AGENT, USER, idempotency_key=key)
    assert client.create_session(AGENT, USER, idempotency_key=key).session_id == session.session_id
    assert client.session_of_key(key).session_id == session.session_id


def test_heartbeat_renewal_timeouts_and_deletion(client: Any) -> None:
    session_id = client.create_session(AGENT, USER, auto_renew=False).session_id
    assert client.heartbeat(session_id).renewal_count == 0
    assert client.renew(session_id).renewal_count == 1
    changed = client.update_timeouts(session_id, timeout_minutes=45, max_duration_minutes=45, auto_renew=True)
    assert (changed.timeout_config.timeout_minutes, changed.timeout_config.auto_renew) == (45, True)
    assert client.delete_session(session_id).pending is False
    with pytest.raises(errors.SessionNotFound):
        client.get_session(session_id)


def test_a_session_at_its_cap_cannot_be_renewed(client: Any) -> None:
    session = client.create_session(AGENT, USER, timeout_minutes=30, max_duration_minutes=30)
    assert session.renew_after is None
    with pytest.raises(errors.RenewalFailed):
        client.renew(session.session_id)


def test_lists_go_through_all_pages(client: Any) -> None:
    user = str(uuid.uuid4())
    made = [client.create_session(AGENT, user).session_id for _ in range(5)]
    found = [session.session_id for session in client.list_sessions(user_id=user, page_size=2)]
    assert sorted(found) == sorted(made)


def test_messages_are_sent_with_all_that_they_can_carry_and_read_again(client: Any) -> None:
    session_id = client.create_session(AGENT, USER).session_id
    asked = client.send_message(session_id, "Where is my parcel?", metadata={"lang": "en"})
    replied = client.send_message(
        session_id,
        "On its way.",
        role="agent",
        in_reply_to=asked.message.id,
        parts=[{"type": "text", "text": "On its way."}],
        attachments=[{"url": "https://example.com/label.pdf"}],
        if_last_sequence=1,
    )
    assert (asked.was_renewed, replied.was_renewed) == (True, False)
    read = client.get_message(session_id, replied.message.id)
    assert read == replied.message
    assert (read.is_agent, read.in_reply_to, read.author_id) == (True, asked.message.id, AGENT)
    assert (len(read.parts), len(read.attachments)) == (1, 1)
    with pytest.raises(errors.PreconditionFailed):
        client.send_message(session_id, "late", if_last_sequence=1)
    with pytest.raises(errors.MessageNotFound):
        client.get_message(session_id, str(uuid.uuid4()))


def test_a_message_of_the_same_key_is_stored_once(client: Any) -> None:
    session_id = client.create_session(AGENT, USER).session_id
    first, again = (client.send_message(session_id, "hello", idempotency_key="greeting") for _ in range(2))
    assert first.message == again.message
    assert first.idempotency_key == "greeting"


def test_a_batch_is_stored_in_a_row_and_once(client: Any) -> None:
    session_id = client.create_session(AGENT, USER).session_id
    asked = client.send_message(session_id, "Where is my parcel?").message
    talk = [{"content": "looking", "role": "tool"}, {"content": "Here.", "role": "agent", "in_reply_to": asked.id}]
    sent, again = (client.send_batch(session_id, talk, idempotency_key="talk", if_last_sequence=1) for _ in range(2))
    assert [(each.sequence, each.content, each.role) for each in sent.messages] == [
        (2, "looking", "tool"), (3, "Here.", "agent"),
    ]  # fmt: skip
    assert sent.messages[1].in_reply_to == asked.id
    assert (again.messages, again.idempotency_key, again.was_renewed) == (sent.messages, "talk", False)
    with pytest.raises(errors.ValidationError) as caught:
        client.send_batch(session_id, [{"content": "x"}, {"content": ""}])
    assert "messages[1].content" in str(caught.value)


def test_messages_are_iterated_in_both_directions_over_pages(client: Any) -> None:
    session_id = client.create_session(AGENT, USER).session_id
    for number in range(1, 121):
        client.send_message(session_id, f"line {number}")
    assert [message.sequence for message in client.list_messages(session_id)] == [*range(1, 121)]
    assert [message.sequence for message in client.list_messages(session_id, after_sequence=110)] == [*range(111, 121)]
    newest = [message.sequence for message in client.list_messages(session_id, newest_first=True)]
    assert newest == [*range(120, 0, -1)]


def test_one_page_can_be_bounded_by_time(client: Any) -> None:
    session_id = client.create_session(AGENT, USER).session_id
    first, _, last = (client.send_message(session_id, text).message for text in "abc")
    page = client.read_messages(session_id, after=first.created_at, before=last.created_at)
    assert [message.content for message in page.messages] == ["b"]
    with pytest.raises(ValueError, match="zone"):
        client.read_messages(session_id, after=first.created_at.replace(tzinfo=None))


def test_messages_of_an_expired_session_are_read_on_request(client: Any, service: Service) -> None:
    session_id = client.create_session(AGENT, USER, timeout_minutes=5).session_id
    client.send_message(session_id, "last words")
    service.stack.advance(6 * 60_000)
    with pytest.raises(errors.SessionExpired):
        list(client.list_messages(session_id))
    assert [message.content for message in client.list_messages(session_id, expired=True)] == ["last words"]


def test_metadata_is_merged_under_the_version_that_was_read(client: Any) -> None:
    session = client.create_session(AGENT, USER, metadata={"plan": "free", "seat": 4})
    changed = client.update_metadata(
        session.session_id, {"plan": "pro", "seat": None}, if_version=session.metadata_version
    )
    assert changed.metadata == {"plan": "pro"}
    with pytest.raises(errors.PreconditionFailed):
        client.update_metadata(session.session_id, {"plan": "free"}, if_version=session.metadata_version)


def test_messages_are_emptied_and_keep_their_numbers(client: Any) -> None:
    session_id = client.create_session(AGENT, USER).session_id
    first, second, third = (client.send_message(session_id, text).message for text in "abc")
    assert [client.redact_message(session_id, second.id) for _ in range(2)] == [1, 0]
    assert [message.content for message in client.list_messages(session_id)] == ["a", "c"]
    assert client.read_messages(session_id).redacted == (2,)
    with pytest.raises(errors.MessageRedacted):
        client.get_message(session_id, second.id)
    assert client.redact_messages(session_id) == 2
    assert list(client.list_messages(session_id)) == []
    assert client.send_message(session_id, "d").message.sequence == 4
    assert first.sequence < third.sequence


def test_a_session_is_exported_in_parts(client: Any) -> None:
    session_id = client.create_session(AGENT, USER, metadata={"plan": "pro"}).session_id
    texts = [str(number % 10) * 31_000 for number in range(40)]
    for text in texts:
        client.send_message(session_id, text, role="agent")
    parts = list(client.export_session(session_id))
    assert len(parts) > 1
    assert [message["content"] for part in parts for message in part.messages] == texts
    assert {part.session.session_id for part in parts} == {session_id}


def test_an_agent_has_a_policy_and_loses_it(client: Any) -> None:
    agents = sorted(str(uuid.uuid4()) for _ in range(3))
    for agent in agents:
        client.set_policy(
            agent, timeout_minutes=Bounds(default=15, max=60), auto_renew=False, allowed=agent != agents[2]
        )
    policy = client.get_policy(agents[0].upper())
    assert (policy.agent_id, policy.auto_renew, policy.allowed) == (agents[0], False, True)
    assert policy.timeout_minutes == Bounds(default=15, max=60)
    assert policy.max_duration_minutes == Bounds()
    assert client.create_session(agents[0], USER).timeout_config.timeout_minutes == 15
    with pytest.raises(errors.ValidationError):
        client.create_session(agents[0], USER, timeout_minutes=90)
    with pytest.raises(errors.AgentNotFound):
        client.create_session(agents[2], USER)
    listed = [policy.agent_id for policy in client.list_policies(page_size=2)]
    assert [each for each in listed if each in agents] == agents
    for agent in agents:
        client.delete_policy(agent)
    with pytest.raises(errors.AgentNotFound):
        client.get_policy(agents[0])


def test_a_user_is_erased_and_leaves_a_receipt(client: Any, service: Service) -> None:
    user = str(uuid.uuid4())
    session_id = client.create_session(AGENT, user).session_id
    client.send_message(session_id, "remember me not")
    erasure = client.erase_user(user)
    assert (erasure.sessions, erasure.messages, erasure.receipt) == (1, 1, None)
    with pytest.raises(errors.SessionNotFound):
        client.get_session(session_id)
    service.stack.advance(3 * 60_000)
    done = client.get_erasure(erasure.erasure_id)
    assert done.status == "done"
    assert done.receipt is not None
    assert done.receipt.user_id_hash == hashlib.sha256(user.encode()).hexdigest()
    with pytest.raises(errors.ErasureNotFound):
        client.get_erasure(uuid.uuid4())


def test_health_is_an_answer_even_where_it_is_bad(client: Any, service: Service) -> None:
    service.stack.sweep()
    assert client.health().status == "healthy"


def test_both_clients_have_the_same_calls_with_the_same_parameters() -> None:
    def calls(kind: type) -> Iterator[tuple[str, Any]]:
        for name, call in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_") and hasattr(call, "__wrapped__"):
                yield name, inspect.signature(call.__wrapped__)

    assert dict(calls(SessionsClient)) == dict(calls(AsyncSessionsClient))
    assert all(inspect.getdoc(getattr(SessionsClient, name)) for name, _ in calls(SessionsClient))
