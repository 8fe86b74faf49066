"""The count of live sessions: a pass of its own, kept where health reads it."""

import pytest
from agent_sessions.errors import ServiceUnavailable
from botocore.exceptions import ClientError

from tests.engines import faults
from tests.unit.sweep_world import SweepWorld
from tests.unit.world import MINUTE, TABLE, sample


def test_the_gauge_counts_live_sessions_and_those_with_an_appointment_soon() -> None:
    world = SweepWorld()
    world.to_warn(3)
    world.to_wait(2)
    world.to_rearm(4, due_in_ms=20 * MINUTE)
    assert world.sweep(sample("sweep-gauge")) == {"pass": "gauge", "activeSessions": 9, "expiringSoon": 5}


@pytest.mark.parametrize("threshold, soon", [("5", 1), ("6.5", 2), ("30", 3)])
def test_soon_is_the_default_threshold_of_the_service(threshold: str, soon: int) -> None:
    world = SweepWorld(SESSION_WARNING_THRESHOLD_MINUTES=threshold)
    for minutes in (5, 6.5, 30, 30.001):
        world.put(expires_in_ms=60 * MINUTE, due_in_ms=round(minutes * MINUTE))
    assert world.sweep({"pass": "gauge"})["expiringSoon"] == soon


def test_what_is_announced_or_deleted_is_not_live_any_more() -> None:
    world = SweepWorld()
    world.to_expire(3)
    session = world.new()
    assert world.sweep({"pass": "gauge"})["activeSessions"] == 4
    world.sweep()
    world.delete(session["sessionId"])
    assert world.sweep({"pass": "gauge"})["activeSessions"] == 0


def test_the_gauge_needs_no_claim_and_touches_none() -> None:
    world = SweepWorld()
    world.sweep()
    before = world.dynamo.peek(TABLE, "sweep")
    world.sweep({"pass": "gauge"})
    after = world.dynamo.peek(TABLE, "sweep")
    assert before is not None
    assert after is not None
    assert {name: value for name, value in after.items() if name in before} == before
    assert after.keys() - before.keys() == {"activeSessions", "expiringSoon", "gaugeAt"}


def test_a_gauge_of_one_page_costs_two_counts_a_shard_and_one_write() -> None:
    world = SweepWorld()
    world.to_warn(30)
    with world.counted() as calls:
        world.sweep({"pass": "gauge"})
    assert calls == {"query": 4, "update_item": 1}
    assert world.published == []


def test_a_count_goes_on_where_a_query_s_megabyte_ends() -> None:
    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    world.to_warn(7)

    class SmallPages(faults.Hook):
        def before(self, call: str, request: dict[str, object]) -> None:  # type: ignore[override]
            if call == "query":
                request["Limit"] = 2

    world.dynamo.add_hook(SmallPages())
    assert world.sweep({"pass": "gauge"})["activeSessions"] == 7


def test_a_gauge_that_fails_leaves_the_last_one_and_says_so() -> None:
    world = SweepWorld()
    world.to_warn(2)
    world.sweep({"pass": "gauge"})
    world.dynamo.add_hook(faults.throttle("query"))
    with pytest.raises(ServiceUnavailable):
        world.sweep({"pass": "gauge"})
    world.dynamo.hooks[:] = [faults.fail("query", "AccessDeniedException")]
    with pytest.raises(ClientError):
        world.sweep({"pass": "gauge"})
    assert world.health().json["activeSessions"] == 2
