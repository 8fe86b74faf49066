"""A virtual hour on the local stack's clock: who is active is never warned, and who leaves expires on time."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from agent_sessions_client import Conversation, Ended, Expiring, Message, SessionsClient, errors

from tests.client.service import AGENT, USER, Service, VirtualClock, async_client_of

MINUTE = 60


def hour(
    service: Service,
    talk: Conversation,
    clock: VirtualClock,
    is_active: Callable[[float], bool],
    minutes: float = 60,
) -> None:
    """Let time pass beside a user who types every few seconds in the minutes in which he is active."""
    began = clock.monotonic()
    while (passed := clock.monotonic() - began) < minutes * MINUTE and talk.ended is None:
        if is_active(passed / MINUTE):
            talk.active()
        clock.sleep(min(talk.step(), 15))


@pytest.mark.parametrize(
    "is_active, wrong_by",
    [
        pytest.param(lambda minute: minute < 40, 0, id="the first forty minutes"),
        pytest.param(lambda minute: minute % 15 < 10, 123.456, id="ten of every fifteen, clock two minutes fast"),
        pytest.param(lambda minute: minute >= 20, -7200, id="the last forty, clock two hours slow"),
        pytest.param(lambda minute: minute % 1.5 < 1, 0.5, id="a minute of every one and a half"),
    ],
)
def test_a_user_who_is_active_for_40_of_60_minutes_is_never_warned(
    service: Service, is_active: Callable[[float], bool], wrong_by: float
) -> None:
    clock = VirtualClock(service.stack, wrong_by)
    service.requests.clear()
    warned: list[Expiring] = []
    client = service.client(clock=clock)
    with client.start(AGENT, USER, timeout_minutes=30, on_expiring=warned.append, background=False) as talk:
        hour(service, talk, clock, is_active)
        assert talk.ended is None
        assert warned == []
        assert "expiring" not in service.events(talk.session.session_id)
        # A heartbeat moves renewAfter by eleven minutes.
        assert 2 <= service.asked("POST", "/heartbeat") <= 60 / 11
        assert service.asked("POST", "/heartbeat") == talk.session.renewal_count


def test_a_user_who_leaves_is_warned_once_and_the_session_expires_on_time(service: Service) -> None:
    clock = VirtualClock(service.stack)
    seen: list[tuple[str, float]] = []
    client = service.client(clock=clock)

    def note(what: Expiring | Ended) -> None:
        seen.append((what.reason if isinstance(what, Ended) else "expiring", clock.monotonic()))

    service.requests.clear()
    with client.start(AGENT, USER, on_expiring=note, on_end=note, background=False) as talk:
        began = clock.monotonic()
        hour(service, talk, clock, lambda minute: minute < 12)
        expires_at = talk.session.expires_at.timestamp()
    assert [what for what, _ in seen] == ["expiring", "idle_timeout"]
    assert service.asked("POST", "/heartbeat") <= 2
    assert expires_at <= began + (12 + 11 + 30) * MINUTE  # one beat after the last activity, at most
    for (_, at), moment in zip(seen, (expires_at - 5 * MINUTE, expires_at), strict=True):
        assert 0 <= at - moment <= 10  # a second of the rule, and the time that a busy machine takes
    clock.sleep(3 * MINUTE)
    assert service.events(talk.session.session_id)[-2:] == ["expiring", "expired"]


def test_nobody_is_kept_alive_who_does_nothing(service: Service) -> None:
    clock = VirtualClock(service.stack)
    service.requests.clear()
    with service.client(clock=clock).start(AGENT, USER, background=False) as talk:
        hour(service, talk, clock, lambda _: False)
        assert talk.ended is not None
    assert service.asked("POST", "/heartbeat") == 0


def test_words_of_the_user_renew_by_themselves_and_need_no_heartbeat(service: Service) -> None:
    clock = VirtualClock(service.stack)
    service.requests.clear()
    with service.client(clock=clock).start(AGENT, USER, background=False) as talk:
        for _ in range(12):
            talk.active()
            talk.send("still here")
            hour(service, talk, clock, lambda _: False, minutes=5)
        assert talk.ended is None
        assert service.client().get_session(talk.session.session_id).renew_after == talk.session.renew_after
    assert service.asked("POST", "/heartbeat") == 0


def test_a_laptop_that_sleeps_for_ten_minutes_wakes_up_right(service: Service) -> None:
    clock = VirtualClock(service.stack)
    warned: list[Expiring] = []
    with service.client(clock=clock).start(AGENT, USER, on_expiring=warned.append, background=False) as talk:
        hour(service, talk, clock, lambda _: True, minutes=9)
        clock.sleep(10 * MINUTE)
        service.requests.clear()
        talk.step()
        # Typing before the sleep keeps nothing alive after it. The state is read, and the next key stroke counts.
        assert (service.asked("GET", ""), service.asked("POST", "/heartbeat")) == (1, 0)
        hour(service, talk, clock, lambda minute: minute > 2, minutes=20)
        assert talk.ended is None
        assert warned == []
        assert service.asked("POST", "/heartbeat") == 2


def test_a_laptop_that_sleeps_past_the_end_learns_of_it_when_it_wakes(service: Service) -> None:
    clock = VirtualClock(service.stack)
    ends: list[Ended] = []
    with service.client(clock=clock).start(AGENT, USER, on_end=ends.append, background=False) as talk:
        hour(service, talk, clock, lambda _: True, minutes=5)
        clock.sleep(40 * MINUTE)
        talk.active()
        talk.step()
    assert [end.reason for end in ends] == ["idle_timeout"]


def test_a_session_at_its_cap_is_warned_and_ends_with_that_reason(service: Service) -> None:
    clock = VirtualClock(service.stack)
    client = service.client(clock=clock)
    warned: list[Expiring] = []
    with client.start(AGENT, USER, max_duration_minutes=50, on_expiring=warned.append, background=False) as talk:
        hour(service, talk, clock, lambda _: True)
        assert talk.ended is not None
        assert talk.ended.reason == "max_duration"
    assert len(warned) == 1
    assert warned[0].session.expires_at == warned[0].session.ends_at


def test_a_session_that_is_deleted_ends_with_that_reason(service: Service) -> None:
    clock = VirtualClock(service.stack)
    with service.client(clock=clock).start(AGENT, USER, background=False) as talk:
        service.client().delete_session(talk.session.session_id)
        hour(service, talk, clock, lambda _: False)
        assert talk.ended is not None
        assert talk.ended.reason == "deleted"


def test_a_session_without_room_for_its_warning_gets_one_heartbeat_a_minute(service: Service) -> None:
    clock = VirtualClock(service.stack)
    service.requests.clear()
    with service.client(clock=clock).start(AGENT, USER, timeout_minutes=5, background=False) as talk:
        hour(service, talk, clock, lambda _: True, minutes=10)
        assert talk.ended is None
    assert service.asked("POST", "/heartbeat") <= 11  # the last may fall on the end of the tenth minute


def test_a_heartbeat_whose_answer_was_lost_is_not_sent_twice(service: Service) -> None:
    clock = VirtualClock(service.stack)
    lose = [True]

    def losing(request: httpx.Request) -> httpx.Response:
        answer = service.answer(request)
        if request.url.path.endswith("/heartbeat") and lose:
            lose.clear()
            raise httpx.ReadTimeout("no answer")
        return answer

    service.requests.clear()
    with service.client(losing, clock=clock).start(AGENT, USER, background=False) as talk:
        hour(service, talk, clock, lambda _: True, minutes=12)
        assert service.asked("POST", "/heartbeat") == 1
        assert talk.session.renewal_count == 1


def test_an_outage_is_outlasted_and_not_taken_for_the_end(service: Service) -> None:
    clock = VirtualClock(service.stack)
    began = clock.monotonic()

    def failing(request: httpx.Request) -> httpx.Response:
        if 10 * MINUTE < clock.monotonic() - began < 14 * MINUTE:
            return httpx.Response(503, json={"message": "Service Unavailable"})
        return service.answer(request)

    with service.client(failing, clock=clock).start(AGENT, USER, background=False) as talk:
        hour(service, talk, clock, lambda _: True, minutes=20)
        assert talk.ended is None
        assert talk.session.renewal_count == 1


def answering(service: Service, session_id: str, text: str) -> Callable[[httpx.Request], httpx.Response]:
    """A transport to the stack on whose other end an agent answers each question when it is looked for."""
    agent = service.client()

    def handler(request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path.endswith("/messages"):
            page = agent.read_messages(session_id)
            if page.awaiting_reply:
                question = page.messages[0]
                agent.send_message(session_id, text, role="agent", in_reply_to=question.id, idempotency_key=question.id)
        return service.answer(request)

    return handler


def test_ask_returns_the_reply_to_its_own_question(service: Service) -> None:
    session_id = service.client().create_session(AGENT, USER).session_id
    clock = VirtualClock(service.stack)
    client = service.client(answering(service, session_id, "On its way."), clock=clock)
    with client.conversation(session_id, background=False) as talk:
        assert talk.ask("Where is my parcel?").content == "On its way."


def test_a_reply_that_comes_late_is_not_lost(service: Service) -> None:
    clock = VirtualClock(service.stack)
    client = service.client(clock=clock)
    with client.start(AGENT, USER, background=False) as talk:
        with pytest.raises(errors.ReplyTimeout) as caught:
            talk.ask("Anybody there?", timeout_seconds=20)
        question = client.get_message(talk.session.session_id, caught.value.message_id)
        client.send_message(talk.session.session_id, "Yes.", role="agent", in_reply_to=question.id)
        assert talk.reply_to(question).content == "Yes."


def test_messages_and_the_end_come_as_events_in_order(service: Service) -> None:
    clock = VirtualClock(service.stack)
    with service.client(clock=clock).start(AGENT, USER, background=False) as talk:
        talk.send("one")
        for number in range(2, 121):
            service.client().send_message(talk.session.session_id, str(number), role="agent")
        seen: list[Any] = []
        for event in talk.events():
            seen.append(event)
            if isinstance(event, Message) and event.sequence == 120:
                service.client().delete_session(talk.session.session_id)
    assert [event.sequence for event in seen[:-1]] == [*range(1, 121)]
    assert isinstance(seen[-1], Ended)
    assert seen[-1].reason == "deleted"


def test_the_thread_and_the_task_of_a_conversation_deliver_and_end(service: Service) -> None:
    session_id = service.client().create_session(AGENT, USER).session_id
    agent: SessionsClient = service.client()
    agent.send_message(session_id, "hello", role="agent")
    with service.client().conversation(session_id, after_sequence=0) as talk:
        events = talk.events()
        first = next(events)
        assert isinstance(first, Message)
        assert first.content == "hello"
    assert list(events) == []

    async def scenario() -> list[str]:
        got: list[str] = []
        async with async_client_of(service.answer) as client:
            async with client.conversation(session_id, after_sequence=0) as talk:
                async for event in talk.events():
                    assert isinstance(event, Message)
                    got.append(event.content)
                    await talk.close()
            async with client.start(AGENT, USER) as other:
                sent = await other.send("hi")
                assert (await client.get_message(other.session.session_id, sent.message.id)).content == "hi"
        return got

    assert asyncio.run(scenario()) == ["hello"]


def test_a_callback_that_swallows_its_cancellation_does_not_keep_a_conversation_open(service: Service) -> None:
    session_id = service.client().create_session(AGENT, USER).session_id
    service.client().send_message(session_id, "hello", role="agent")

    async def scenario() -> None:
        called = asyncio.Event()

        async def stubborn(_message: Message) -> None:
            called.set()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

        async with (
            async_client_of(service.answer) as client,
            client.conversation(session_id, after_sequence=0, on_message=stubborn),
        ):
            await called.wait()

    asyncio.run(scenario())


def test_the_async_conversation_follows_the_same_rules(service: Service) -> None:
    clock = VirtualClock(service.stack)
    service.requests.clear()

    async def scenario() -> None:
        async with async_client_of(service.answer, clock=clock) as client:
            ended: list[str] = []

            async def note(end: Ended) -> None:
                ended.append(end.reason)

            async with client.start(AGENT, USER, on_end=note, background=False) as talk:
                began = clock.monotonic()
                while talk.ended is None:
                    if clock.monotonic() - began < 12 * MINUTE:
                        talk.active()
                    await clock.sleep_async(await talk.step())
            assert ended == ["idle_timeout"]
            assert clock.monotonic() - began >= timedelta(minutes=30).total_seconds()

    asyncio.run(scenario())
    assert 1 <= service.asked("POST", "/heartbeat") <= 2
