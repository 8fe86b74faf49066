"""Sweeps that overlap: one works, the other waits, and a claim that ran out costs repeats only."""

import random
from collections import Counter
from dataclasses import dataclass

import pytest
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.model import MS_PER_MINUTE, Session, TimeoutConfig, minutes_to_ms

from tests.engines import faults
from tests.simulation.stage import AGENT, START_MS, TENANT, USER, Stage

LAG_MS = 1_000
STEPS = ("claim", "query", "batch_get_item", "publish_batch", "batch_execute_statement")


@dataclass
class Stall:
    """A run's pace: a millisecond each way, but for the first call of one step, which takes `ms` on its way there."""

    step: str
    ms: int

    def __call__(self, call: str) -> int:
        step = "claim" if call == "update_item" else call
        if step == self.step and self.ms:
            taken, self.ms = self.ms, 0
            return taken
        return 1


def stage() -> Stage:
    return Stage(random.Random(1), LAG_MS)


def put(stage: Stage, *, warning_at_ms: int, warning_minutes: float = 5, number: int = 1) -> Session:
    """A session whose first lease asks for its warning at that moment, made long before."""
    timeout = TimeoutConfig(
        1_440, auto_renew=True, max_duration_minutes=2_880, warning_threshold_minutes=warning_minutes
    )
    expires_ms = warning_at_ms + minutes_to_ms(warning_minutes)
    created_ms = expires_ms - timeout.timeout_ms
    session = Session(
        session_id=f"{number:08x}-0000-4000-8000-000000000000",
        tenant_id=TENANT,
        agent_id=AGENT,
        user_id=USER,
        metadata_json="{}",
        request_hash=b"",
        attempt=b"",
        timeout=timeout,
        created_at_ms=created_ms,
        last_activity_ms=created_ms,
        renewed_at_ms=created_ms,
        expires_at_ms=expires_ms,
        ends_at_ms=created_ms + timeout.max_duration_ms,
        renewal_count=0,
        lease=1,
        due_at_ms=warning_at_ms,
        purge_at_seconds=4_000_000_000,
    )
    item = items.session_item(session, due_shards=len(stage.shards), tenant_shards=4)
    stage.dynamo.put_item(TableName=stage.table, Item=item)
    return session


def many(world: Stage, count: int = 40) -> list[Session]:
    return [put(world, warning_at_ms=START_MS + 60_000, number=number) for number in range(count)]


def sent(world: Stage) -> Counter[str]:
    return Counter(world.witness.ids)


@pytest.mark.parametrize("apart_ms", [0, 1, 3, 40, 1_000])
@pytest.mark.parametrize("step", STEPS)
def test_of_two_runs_at_the_same_time_one_works_and_nothing_is_sent_twice(apart_ms: int, step: str) -> None:
    world = stage()
    sessions = many(world)
    world.timeline.run_until(START_MS + 2_000)
    one = world.fire(START_MS + 3_000, Stall(step, 4_500))
    two = world.fire(START_MS + 3_000 + apart_ms, Stall(step, 0))
    world.timeline.run_until(START_MS + 2 * MS_PER_MINUTE)
    assert sorted([one.summary["warned"], two.summary["warned"]]) == [0, len(sessions)]
    assert set(sent(world).values()) == {1}
    assert len(sent(world)) == len(sessions)


def test_a_run_waits_for_the_one_before_it_and_then_works() -> None:
    world = stage()
    many(world)
    world.timeline.run_until(START_MS + 2_000)
    one = world.fire(START_MS + 49_999, lambda _call: 1_500)
    two = world.fire(START_MS + 60_000, Stall("claim", 0))
    world.timeline.run_until(START_MS + 4 * MS_PER_MINUTE)
    assert one.ended_ms is not None
    assert two.began_ms is not None
    assert one.ended_ms - one.fired_ms > 25_000, "longer than one claim lasts: it was renewed"
    assert -1_500 <= two.began_ms - one.ended_ms <= 2_600, "the release is done before its answer arrives"
    assert two.summary["claimed"]


def test_a_run_that_finds_its_shards_claimed_all_the_time_stops_and_says_so() -> None:
    world = stage()
    many(world)
    world.timeline.run_until(START_MS + 2_000)
    now_ms = world.timeline.now_ms()
    claims = world.sweep._claims
    claims.claim(world.shards, "somebody", now_ms, now_ms + 90_000)
    run = world.fire(now_ms, Stall("claim", 0))
    world.timeline.run_until(START_MS + 2 * MS_PER_MINUTE)
    assert run.summary["claimed"] is False
    assert run.ended_ms is not None
    assert 50_000 < run.ended_ms - run.fired_ms <= 55_200
    assert world.sns.published == []


@pytest.mark.parametrize("shards", [[0], [3, 4], [7]])
def test_a_claim_on_one_shard_keeps_out_whoever_wants_it_and_nobody_else(shards: list[int]) -> None:
    world = stage()
    claims = world.sweep._claims
    assert claims.claim([3, 4, 5], "one", START_MS, START_MS + 70_000)
    assert claims.claim(shards, "two", START_MS + 1, START_MS + 70_001) is (3 not in shards)
    assert claims.claim([6], "three", START_MS + 1, START_MS + 70_001)
    assert claims.claim([5, 6], "four", START_MS + 70_002, START_MS + 80_000), "claims run out"


@pytest.mark.parametrize("step", STEPS[1:])
def test_a_run_whose_claim_ran_out_costs_repeats_only(step: str) -> None:
    world = stage()
    sessions = many(world)
    world.timeline.run_until(START_MS + 2_000)
    frozen = world.fire(START_MS + 3_000, Stall(step, 90_000))
    two = world.fire(START_MS + 60_000, Stall("query", 0))
    three = world.fire(START_MS + 95_000, Stall("query", 0))
    four = world.fire(START_MS + 150_000, Stall("query", 0))
    world.timeline.run_until(START_MS + 5 * MS_PER_MINUTE)
    assert two.summary["claimed"] is False or two.summary["warned"] == len(sessions)
    assert all(run.ended_ms is not None for run in (frozen, two, three, four))
    assert len(sent(world)) == len(sessions)
    assert max(sent(world).values()) <= 2
    due = {item["sessionId"]["S"]: item for item in world.dynamo.items(world.table) if "dueShard" in item}
    assert {session.session_id for session in sessions} == due.keys()
    assert all(item["dueAt"] == item["expiresAt"] for item in due.values()), "each is marked as warned"


def test_a_run_whose_claim_ran_out_does_not_give_up_the_next_one_s() -> None:
    world = stage()
    many(world)
    world.timeline.run_until(START_MS + 2_000)
    world.fire(START_MS + 3_000, Stall("batch_get_item", 90_000))
    world.fire(START_MS + 80_000, Stall("batch_get_item", 40_000))
    world.timeline.run_until(START_MS + 100_000)
    record = world.dynamo.peek(world.table, "sweep")
    assert record is not None
    assert "claimedUntil0" in record, "the first run is over, the second one's claim holds"


def test_a_store_that_never_answers_to_the_claim_fails_the_run_within_its_time() -> None:
    world = stage()
    world.dynamo.add_hook(faults.throttle("update_item"))
    world.fire(START_MS, Stall("claim", 0))
    with pytest.raises(ServiceUnavailable):
        world.timeline.run_until(START_MS + 56_000)
