"""Moving the local stack's clock: the same events at the same times as a sweep at every minute, for less work."""

import threading
from collections.abc import Iterator
from typing import Any, Final

import pytest
from agent_sessions.bootstrap import wiring
from agent_sessions.bootstrap.wiring import Wiring
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.expiry_sweeper import app as sweeper
from functions.session_api import app as api
from local.clock import MovableClock
from local.schedule import MoveStoppedError, Scheduler, Turnstile, scheduled_event
from local.store import LocalStore
from local.upcoming import next_event
from template_reader import Schedule
from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.fake_sns import FakeSns
from tests.engines.tables import create_agent_policies_table, create_sessions_table
from tests.unit.world import AGENT, BASE, MINUTE, START_MS, USER, at, gateway_event, sample

LOOK_AHEAD_MS: Final = 175_000
RULES: Final = [Schedule("Sweep", 1, None), Schedule("Gauge", 5, '{"pass":"gauge"}')]


class Stack:
    """The deployed functions on fakes, with a real time that stands still: only moves let time pass."""

    def __init__(self) -> None:
        self.clock = MovableClock(lambda: START_MS + 30_500, lambda _: None)
        self.dynamo = FakeDynamo(self.clock)
        self.sns = FakeSns(self.clock)
        self.table = create_sessions_table(self.dynamo.as_client())
        self.runs: list[tuple[int, str]] = []
        self.sessions: list[str] = []
        environ = {
            "SESSIONS_TABLE": self.table,
            "AGENT_POLICIES_TABLE": create_agent_policies_table(self.dynamo.as_client()),
            "EVENTS_TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:t",
            "EVENT_SOURCE": "/s",
            "DUE_SHARDS": "2",
            "SWEEP_THREADS": "1",
        }
        wiring.wire(Wiring(environ, self.clock, {"dynamodb": self.dynamo, "sns": self.sns}))
        self.store = LocalStore(self.dynamo.as_client(), {"SessionsTable": self.table}, due_shards=2)
        self.failures: list[BaseException] = []
        self.turnstile = Turnstile()
        self.scheduler = Scheduler(
            sweeper=self.sweep,
            rules=RULES,
            clock=self.clock,
            next_due_ms=self.store.next_due_ms,
            look_ahead_ms=LOOK_AHEAD_MS,
            on_failure=self.failures.append,
            turnstile=self.turnstile,
        )
        self.scheduler._done_ms = START_MS  # as if it had been started then

    def sweep(self, event: dict[str, Any]) -> Any:
        self.runs.append((self.clock.now_ms(), "gauge" if event.get("pass") else "sweep"))
        return sweeper.handler(event, None)

    def move(self, minutes: float) -> None:
        self.scheduler.advance(round(minutes * MINUTE))

    def call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        with self.turnstile.shared():
            return api.handler(gateway_event("create-minimal", method=method, path=BASE + path, body=body), None)

    def create(self, timeout: float, warning: float, *, auto_renew: bool = True) -> None:
        config = {"timeoutMinutes": timeout, "warningThresholdMinutes": warning, "autoRenew": auto_renew}
        answer = self.call("POST", "", {"agentId": AGENT, "userId": USER, "timeoutConfig": config})
        assert answer["statusCode"] == 201, answer
        self.sessions.append(answer["headers"]["location"].rpartition("/")[2])

    def told(self) -> list[tuple[int, str, int]]:
        """When which kind of event was published about which session."""
        return sorted(
            (event.at_ms, event.attributes["type"].rpartition(".")[2], self.sessions.index(subject))
            for event in self.sns.published
            for subject in [next(known for known in self.sessions if known in event.message)]
        )


class EveryMinute(Stack):
    """Sweeps at every minute that passes, as EventBridge does."""

    def move(self, minutes: float) -> None:
        with self.clock.held():
            target = self.clock.now_ms() + round(minutes * MINUTE)
            while self.scheduler._done_ms + MINUTE <= target:
                self.scheduler._done_ms += MINUTE
                self.clock.move_to(self.scheduler._done_ms)
                for rule in RULES:
                    if self.scheduler._done_ms % (rule.every_minutes * MINUTE) == 0:
                        self.sweep(scheduled_event(rule, self.clock.now_ms()))
            self.clock.move_to(target)


@pytest.fixture(autouse=True)
def _unwired() -> Iterator[None]:
    yield
    wiring.wire(Wiring({}))


timeouts = st.sampled_from([5, 5.5, 7.25, 12, 30, 61])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("create"), timeouts, st.sampled_from([1, 1.5, 4, 5]), st.booleans()),
        st.tuples(st.sampled_from(["heartbeat", "renew", "end"]), st.integers(0, 5)),
        st.tuples(st.just("move"), st.one_of(st.integers(1, 40), st.floats(0.01, 20))),
    ),
    min_size=2,
    max_size=10,
)


def play(stack: Stack, story: list[Any], rest: int = 75) -> None:
    for step in story:
        match step:
            case ("create", timeout, warning, auto_renew):
                stack.create(timeout, warning, auto_renew=auto_renew)
            case ("move", minutes):
                stack.move(minutes)
            case (what, number) if stack.sessions:
                path = f"/{stack.sessions[number % len(stack.sessions)]}"
                stack.call("DELETE", path) if what == "end" else stack.call("POST", f"{path}/{what}")
    if rest:
        stack.move(rest)


@settings(max_examples=12)
@given(steps)
def test_a_move_gives_the_events_and_times_of_a_sweep_at_every_minute(story: list[Any]) -> None:
    moved, swept = Stack(), EveryMinute()
    for stack in (swept, moved):  # one after the other: a process has one composition
        wiring.wire(Wiring(wiring._wiring.environ, stack.clock, {"dynamodb": stack.dynamo, "sns": stack.sns}))
        play(stack, story)
    assert moved.failures == []
    assert moved.told() == swept.told()
    assert moved.clock.now_ms() == swept.clock.now_ms()


def test_minutes_in_which_nothing_is_due_are_left_out() -> None:
    stack = Stack()
    stack.create(30, 5)
    stack.move(1440)
    sweeps = [moment for moment, kind in stack.runs if kind == "sweep"]
    assert [at(moment) for moment, _, _ in stack.told()] == ["2026-06-27T08:23:00.000Z", "2026-06-27T08:31:00.000Z"]
    assert len(sweeps) <= 5


@settings(max_examples=12)
@given(steps)
def test_what_comes_next_is_known_before_it_is_published(story: list[Any]) -> None:
    stack = Stack()
    play(stack, story, rest=0)
    while True:
        first_minute_ms = stack.scheduler.next_minute_ms
        upcoming = next_event(stack.store.due(), first_minute_ms=first_minute_ms, look_ahead_ms=LOOK_AHEAD_MS)
        before = stack.told()
        move = stack.scheduler.advance_to_event()
        published = [event for event in stack.told() if event not in before]
        if upcoming is None:
            assert published == []
            return
        named = (upcoming.at_ms, upcoming.kind, stack.sessions.index(upcoming.session_id))
        assert move.end_ms == upcoming.at_ms
        assert named in published


def test_a_sweep_that_fails_is_told_and_the_next_minute_is_the_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack()
    stack.create(5, 5)
    calls = iter([RuntimeError("once")])
    handler = sweeper.handler

    def once(event: dict[str, Any], context: object) -> Any:
        for error in calls:
            raise error
        return handler(event, context)

    monkeypatch.setattr(sweeper, "handler", once)
    stack.move(10)
    assert [str(failure) for failure in stack.failures] == ["once"]
    assert [kind for _, kind, _ in stack.told()] == ["expiring", "expired"]


def test_a_caller_in_the_midst_of_a_move_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack()
    handler = sweeper.handler
    minutes = iter([True])

    def with_caller(event: dict[str, Any], context: object) -> Any:
        summary = handler(event, context)
        for _ in minutes:
            stack.create(5, 5)  # after the sweep has looked, before the clock goes on
        return summary

    monkeypatch.setattr(sweeper, "handler", with_caller)
    stack.move(1440)
    [(warned, _, _), (expired, _, _)] = stack.told()
    assert warned == START_MS + 2 * MINUTE
    assert expired == START_MS + 7 * MINUTE


def test_an_ending_stack_stops_a_move() -> None:
    stack = Stack()
    stack.scheduler.stop()
    with pytest.raises(MoveStoppedError):
        stack.move(10)
    assert stack.scheduler.progress is None


def test_the_ticker_sweeps_when_a_minute_has_passed() -> None:
    swept = threading.Event()
    now = [START_MS]
    runs: list[dict[str, Any]] = []

    def sweep(event: dict[str, Any]) -> dict[str, Any]:
        runs.append(event)
        if len(runs) > 2:
            swept.set()
        return {}

    clock = MovableClock(lambda: now[0])
    scheduler = Scheduler(
        sweeper=sweep, rules=RULES, clock=clock, next_due_ms=lambda _: None, look_ahead_ms=LOOK_AHEAD_MS
    )
    scheduler.start()
    assert len(runs) == 2, "both rules run at the start"
    now[0] += MINUTE
    assert swept.wait(300)
    scheduler.stop()
    assert len(runs) == 3


def test_the_sweeper_gets_what_eventbridge_sends() -> None:
    wanted = sample("sweep-schedule")
    got = scheduled_event(RULES[0], START_MS)
    assert got.keys() == wanted.keys()
    assert got["time"] == "2026-06-27T08:00:00Z"
    assert scheduled_event(RULES[1], START_MS) == sample("sweep-gauge")


def test_who_passes_alone_waits_for_those_inside_and_keeps_others_out() -> None:
    turnstile = Turnstile()
    order: list[str] = []
    inside, leave = threading.Event(), threading.Event()

    def caller() -> None:
        with turnstile.shared():
            inside.set()
            leave.wait()
            order.append("caller")

    def mover() -> None:
        with turnstile.alone():
            order.append("mover")

    threads = [threading.Thread(target=caller), threading.Thread(target=mover)]
    threads[0].start()
    inside.wait()
    threads[1].start()
    leave.set()
    for thread in threads:
        thread.join()
    assert order == ["caller", "mover"]
    with turnstile.shared(), turnstile.shared():
        assert turnstile.passed == 3
