"""A run that dies at any of its calls loses nothing: the next ones tell what it left, under the same ids."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from agent_sessions.sessions.model import Session
from agent_sessions.sweep.calls import PAGE

from tests.engines import faults
from tests.engines.faults import Hook, When
from tests.unit.sweep_world import SweepWorld, expiries_of, warnings_of
from tests.unit.world import MINUTE

CALLS = 22
"""What a run over `Mixed` calls in all, which `test_a_run_makes_as_many_calls_as_are_tried_here` holds true."""
PUBLISH_BATCH = 10


class Mixed(NamedTuple):
    """Sessions for every decision, on two shards."""

    warn: list[Session]
    rearm: list[Session]
    wait: list[Session]
    expire: list[Session]

    @property
    def all(self) -> list[Session]:
        return [*self.warn, *self.rearm, *self.wait, *self.expire]


def mixed(world: SweepWorld) -> Mixed:
    return Mixed(
        world.to_warn(43, expires_in_ms=20 * MINUTE, warning_minutes=20),
        world.to_rearm(9),
        world.to_wait(2),
        [*world.to_expire(32), *world.to_expire(2, due_in_ms=-5 * MINUTE)],  # the last two were never warned
    )


def without_time(message: str) -> Any:
    event = json.loads(message)
    del event["time"], event["data"]["timeRemaining"]
    return event


def check_that_all_is_told(world: SweepWorld, sessions: Mixed) -> None:
    """From wherever things stand: the next sweeps tell what is due, and in the end every session is done with."""
    world.hook()
    world.sweep_minutes(3)
    assert world.told >= warnings_of(sessions.warn) + expiries_of(sessions.expire)
    for minutes in (17, 4, 2, 6):  # until the warned end, the renewed are to be warned, and to end
        world.clock.advance(minutes=minutes)
        world.sweep_minutes(2)
    expected = warnings_of([*sessions.warn, *sessions.rearm]) + expiries_of(sessions.all)
    assert world.told.keys() == expected.keys()
    assert world.due == set(), "no session is left behind"
    bodies: dict[str, Any] = {}
    for published in world.published:
        event = without_time(published.message)
        assert bodies.setdefault(event["id"], event) == event, "a repeat tells the same"
    told = len(world.published)
    world.sweep_minutes(2)
    assert len(world.published) == told, "and nothing is told for ever"


def repeats(world: SweepWorld) -> Counter[str]:
    return world.told - Counter(world.told.keys())


def test_a_run_makes_as_many_calls_as_are_tried_here() -> None:
    world = SweepWorld()
    sessions = mixed(world)
    counter = faults.Kill(1_000, "before")
    world.hook(counter)
    world.sweep()
    assert counter.seen == CALLS
    check_that_all_is_told(world, sessions)
    assert not repeats(world)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(CALLS))
def test_a_run_killed_at_any_call_loses_nothing(nth: int, when: When) -> None:
    world = SweepWorld()
    sessions = mixed(world)
    world.hook(faults.Kill(nth, when))
    with pytest.raises(faults.Killed):
        world.sweep()
    check_that_all_is_told(world, sessions)
    assert max(world.told.values()) <= 2
    assert len(repeats(world)) <= PAGE, "at most what one page had told and not yet marked"


@pytest.mark.parametrize("nth", range(CALLS))
def test_one_throttled_call_anywhere_costs_the_run_nothing(nth: int) -> None:
    world = SweepWorld()
    sessions = mixed(world)
    fault = faults.throttle(None, times=1, skip=nth)
    world.dynamo.add_hook(fault)
    world.sns.add_hook(fault)
    summary = world.sweep()
    assert (summary["failed"], summary["left"], summary["unfinishedShards"]) == (0, 0, [])
    assert world.told == warnings_of(sessions.warn) + expiries_of(sessions.expire)
    check_that_all_is_told(world, sessions)
    assert not repeats(world)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("nth", range(CALLS))
def test_one_connection_lost_anywhere_costs_at_most_a_repeat(nth: int, when: When) -> None:
    world = SweepWorld()
    sessions = mixed(world)
    world.hook(faults.connection_lost(None, when, skip=nth))
    summary = world.sweep()
    assert (summary["failed"], summary["left"], summary["unfinishedShards"]) == (0, 0, [])
    check_that_all_is_told(world, sessions)
    assert len(repeats(world)) <= (PUBLISH_BATCH if when == "after" else 0)


@pytest.mark.parametrize(
    "hook",
    [
        lambda: faults.unprocessed_keys(7),
        lambda: faults.statements_throttled(9),
        lambda: faults.messages_failed(5),
        lambda: faults.fail("publish_batch", "Throttled", times=3),
        lambda: faults.fail("publish_batch", "InternalError", times=3),
        lambda: faults.fail("publish_batch", "KMSThrottling", times=2),
        lambda: faults.fail("batch_execute_statement", "RequestLimitExceeded", times=4),
        lambda: faults.fail("batch_get_item", "InternalServerError", times=4),
        lambda: faults.fail("query", "ThrottlingException", times=4),
    ],
)
def test_what_a_batch_leaves_undone_is_tried_again_within_the_run(hook: Callable[[], Hook]) -> None:
    world = SweepWorld()
    sessions = mixed(world)
    world.hook(hook())
    began_ms = world.clock.now_ms()
    summary = world.sweep()
    assert (summary["failed"], summary["left"], summary["gone"]) == (0, 0, 0)
    assert world.told == warnings_of(sessions.warn) + expiries_of(sessions.expire)
    assert world.clock.now_ms() - began_ms < 10_000
    check_that_all_is_told(world, sessions)
    assert not repeats(world)


@pytest.mark.parametrize(
    "hook",
    [
        lambda: faults.unprocessed_keys(None),
        lambda: faults.statements_throttled(None),
        lambda: faults.messages_failed(None),
        lambda: faults.throttle("query"),
        lambda: faults.throttle("batch_get_item"),
        lambda: faults.throttle("batch_execute_statement"),
        lambda: faults.fail("publish_batch", "Throttled"),
        lambda: faults.connection_lost("batch_execute_statement", "after", None),
        lambda: faults.connection_lost("publish_batch", "after", None),
        lambda: faults.fail("batch_execute_statement", "AccessDeniedException"),
    ],
)
def test_what_stays_undone_all_the_run_is_left_to_the_next_and_said(hook: Callable[[], Hook]) -> None:
    world = SweepWorld()
    sessions = mixed(world)
    world.hook(hook())
    began_ms = world.clock.now_ms()
    try:
        summary = world.sweep()
    except ExceptionGroup:
        pass
    else:
        assert summary["left"] > 0 or summary["passedOver"] > 0 or summary["unfinishedShards"] == [0, 1]
    assert world.clock.now_ms() - began_ms < 50_000
    check_that_all_is_told(world, sessions)


class Refuses(Hook):
    """The topic refuses the events of some sessions."""

    def __init__(self, session_ids: set[str]) -> None:
        self._session_ids = session_ids

    def after(self, call: str, request: Any, response: dict[str, Any]) -> None:
        if call == "publish_batch":
            response["Failed"] += [
                {"Id": entry["Id"], "Code": "InvalidParameter", "Message": "no", "SenderFault": True}
                for entry in request["PublishBatchRequestEntries"]
                if json.loads(entry["Message"])["subject"] in self._session_ids
            ]


def test_events_that_the_topic_refuses_are_counted_and_hold_up_nobody_else() -> None:
    world = SweepWorld()
    sessions = mixed(world)
    refused = {session.session_id for session in sessions.warn[:3]}

    world.hook(Refuses(refused))
    summary = world.sweep()
    assert (summary["passedOver"], summary["left"], summary["warned"], summary["expired"]) == (3, 0, 40, 34)
    assert refused <= world.due
    world.hook()
    assert world.sweep()["warned"] == 3


def test_an_expiry_counts_as_late_when_it_is_announced() -> None:
    world = SweepWorld()
    [late] = world.to_expire(expires_in_ms=-10 * MINUTE)
    world.hook(Refuses({late.session_id}))
    summary = world.sweep()
    assert (summary["passedOver"], summary["oldestLagSeconds"]) == (1, 0)
    world.hook()
    summary = world.sweep()
    assert (summary["expired"], summary["oldestLagSeconds"]) == (1, 600)
