"""The engine around the decision: pages and batches, order, marks, retries, the orderly stop, and loud failures."""

import threading
from collections.abc import Mapping
from typing import Any

import pytest
from agent_sessions.sessions.model import Session
from agent_sessions.settings import SweepSettings
from agent_sessions.sweep import claim
from agent_sessions.sweep.calls import MARK_BATCH, PAGE, PUBLISH_BATCH
from agent_sessions.sweep.claim import ATTEMPTS, WORK_MS, pause_seconds
from botocore.exceptions import ClientError

from local.dynamo.refusals import service_model
from tests.engines import faults
from tests.engines.faults import Hook
from tests.template_reader import template
from tests.unit.sweep_world import SweepWorld, expiries_of, warnings_of
from tests.unit.world import MINUTE, TABLE


def one_shard() -> SweepWorld:
    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    return world


class Sizes(Hook):
    """How many entries each batch had, by call."""

    def __init__(self) -> None:
        self.of: dict[str, list[int]] = {}

    def before(self, call: str, request: Mapping[str, Any]) -> None:
        entries = {
            "batch_get_item": lambda: request["RequestItems"][TABLE]["Keys"],
            "publish_batch": lambda: request["PublishBatchRequestEntries"],
            "batch_execute_statement": lambda: request["Statements"],
        }
        if call in entries:
            self.of.setdefault(call, []).append(len(entries[call]()))


# --- the work ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_an_idle_sweep_costs_one_query_a_shard_and_its_claim(shards: int) -> None:
    world = SweepWorld(DUE_SHARDS=str(shards))
    world.put(expires_in_ms=60 * MINUTE)
    world.dynamo.calls.clear()
    summary = world.sweep()
    assert world.dynamo.calls == {"query": shards, "update_item": 2}
    assert not world.sns.calls
    assert summary["due"] == 0


def test_batches_are_as_full_as_aws_lets_them_be() -> None:
    world = one_shard()
    sessions = world.to_warn(230)
    sizes = Sizes()
    world.hook(sizes)
    assert world.sweep()["warned"] == len(sessions)
    assert (PAGE, PUBLISH_BATCH, MARK_BATCH) == (100, 10, 25)
    assert sizes.of == {
        "batch_get_item": [100, 100, 30],
        "publish_batch": [10] * 23,
        "batch_execute_statement": [25] * 4 + [25] * 4 + [25, 5],
    }
    assert world.dynamo.calls["query"] == 3
    assert world.told == warnings_of(sessions)


def test_reads_are_consistent_and_queries_take_the_oldest_first() -> None:
    world = SweepWorld()
    world.to_warn(1)
    log = faults.Log()
    world.hook(log)
    world.sweep()
    requests = dict(log.calls)
    assert requests["batch_get_item"]["RequestItems"][TABLE]["ConsistentRead"] is True
    assert requests["query"].get("ScanIndexForward", True) is True
    assert requests["query"]["IndexName"] == "due"


def test_events_go_out_oldest_first() -> None:
    world = one_shard()
    for minutes in (3, 1, 4, 1.5, 5, 0.9, 2.6):
        world.put(expires_in_ms=round(minutes * MINUTE), warning_minutes=5)
    world.sweep()
    expiries = [event["data"]["expiresAt"] for event in world.events]
    assert expiries == sorted(expiries)
    assert len(expiries) == 7


def test_marks_change_one_attribute_and_nothing_else() -> None:
    world = SweepWorld()
    warned, rearmed, expired = world.to_warn() + world.to_rearm() + world.to_expire()
    before = {session.session_id: world.item(session.session_id) for session in (warned, rearmed, expired)}
    world.sweep()

    def changes(session: Session) -> dict[str, Any]:
        old, new = before[session.session_id], world.item(session.session_id)
        return {name: new.get(name) for name in old.keys() | new.keys() if old.get(name) != new.get(name)}

    assert changes(warned) == {"dueAt": {"N": str(warned.expires_at_ms)}}
    assert changes(rearmed) == {"dueAt": {"N": str(rearmed.warning_at_ms)}}
    assert changes(expired) == {"listedAt": {"N": str(-expired.created_at_ms)}, "dueShard": None}


def test_an_expiry_leaves_the_lists_before_it_leaves_the_index_of_what_is_due() -> None:
    world = SweepWorld()
    [session] = world.to_expire()
    world.hook(faults.Kill(0, "after", "batch_execute_statement"))
    with pytest.raises(faults.Killed):
        world.sweep()
    item = world.item(session.session_id)
    assert item["listedAt"] == {"N": str(-session.created_at_ms)}
    assert "dueShard" in item, "so that the next sweep tells it again rather than never"


def test_a_session_that_beats_all_day_moves_in_the_index_once_in_twenty_two_minutes() -> None:
    """The point of lazy re-arming: heartbeats leave the index alone."""
    world = SweepWorld()
    session_id = world.new(maxDurationMinutes=2_880)["sessionId"]
    rearmed = 0
    for _ in range(600):
        world.clock.advance(minutes=1)
        assert world.heartbeat(session_id).status == 200
        rearmed += world.sweep()["rearmed"]
    assert world.events == []
    assert 600 / 25 <= rearmed <= 600 / 21


def test_threads_share_the_shards_and_tell_the_same() -> None:
    world = SweepWorld(DUE_SHARDS="8", SWEEP_THREADS="4")
    world.shards_of_new_sessions = 8
    sessions = world.to_warn(200)
    expired = world.to_expire(100)
    seen = set()

    class Threads(Hook):
        def before(self, call: str, request: object) -> None:
            seen.add(threading.current_thread().name)

    world.hook(Threads())
    summary = world.sweep()
    assert (summary["warned"], summary["expired"], summary["failed"]) == (200, 100, 0)
    assert world.told == warnings_of(sessions) + expiries_of(expired)
    assert 1 < len(seen) <= 5


# --- time -------------------------------------------------------------------------------------------------------------


def slow(world: SweepWorld, milliseconds: int) -> None:
    world.hook(faults.Latency(world.clock, milliseconds))


def test_a_run_stops_in_good_order_and_says_what_is_left() -> None:
    world = SweepWorld()
    sessions = world.to_warn(900)
    slow(world, 1_000)
    began_ms = world.clock.now_ms()
    summary = world.sweep()
    took_ms = world.clock.now_ms() - began_ms
    assert WORK_MS <= took_ms < WORK_MS + 15_000, "a page that was told is marked, even when the time is up"
    assert 0 < summary["warned"] < len(sessions)
    assert summary["unfinishedShards"] != []
    assert summary["warned"] == len(world.published) == len(world.told)
    unmarked = [item for item in world.dynamo.items(TABLE) if "dueAt" in item and item["dueAt"] != item["expiresAt"]]
    assert summary["left"] == len(unmarked) == len(sessions) - summary["warned"]
    assert "claimedUntil0" not in (world.dynamo.peek(TABLE, "sweep") or {}), "and its claim is given up"


def test_a_backlog_is_worked_off_over_several_runs_oldest_first_and_each_once() -> None:
    world = one_shard()
    sessions = [world.put(expires_in_ms=-10_000 - 1_000 * number) for number in range(700)]
    slow(world, 1_000)
    runs: list[dict[str, Any]] = []
    while not runs or runs[-1]["left"] > 0:
        runs.append(world.sweep())
    assert len(runs) > 2
    assert world.told == expiries_of(sessions)
    expiries = [event["data"]["expiresAt"] for event in world.events]
    assert expiries == sorted(expiries)
    assert sum(run["expired"] for run in runs) == len(sessions)
    lefts = [run["left"] for run in runs]
    assert lefts == sorted(lefts, reverse=True)
    assert world.due == set()


def test_what_one_call_a_shard_sees_is_counted_and_no_more() -> None:
    class SmallPages(faults.Hook):
        def before(self, call: str, request: Any) -> None:
            if call == "query" and "Select" in request:
                request["Limit"] = 5

    world = SweepWorld(DUE_SHARDS="1")
    world.shards_of_new_sessions = 1
    world.to_warn(PAGE + 7)
    world.hook(SmallPages(), faults.Latency(world.clock, WORK_MS + 1, "batch_get_item"))
    assert world.sweep()["left"] == PAGE + 5


@pytest.mark.parametrize("failures, longest", [(0, 0.2), (1, 0.4), (2, 0.8), (3, 1.6)])
def test_pauses_double_and_half_of_each_is_chance(failures: int, longest: float) -> None:
    assert pause_seconds(failures, 1.0) == pytest.approx(longest)
    assert pause_seconds(failures, 0.0) == pytest.approx(longest / 2)


@pytest.mark.parametrize("call", ["query", "batch_get_item", "publish_batch", "batch_execute_statement"])
def test_a_call_is_tried_five_times_with_pauses_and_no_more(call: str) -> None:
    world = one_shard()
    world.to_warn(1)
    world.hook(faults.throttle(call))
    began_ms = world.clock.now_ms()
    world.sweep()
    counts = world.dynamo.calls + world.sns.calls
    assert counts[call] == (ATTEMPTS + 1 if call == "query" else ATTEMPTS), "and one query counts what is left"
    assert 1_400 <= world.clock.now_ms() - began_ms <= 3_100


@pytest.mark.parametrize("call", ["query", "batch_get_item", "publish_batch"])
def test_nothing_is_tried_again_when_the_time_is_up(call: str) -> None:
    world = one_shard()
    world.to_warn(1)
    world.hook(faults.Latency(world.clock, 2 * WORK_MS, call), faults.throttle(call))
    world.sweep()
    counts = world.dynamo.calls + world.sns.calls
    assert counts[call] == (2 if call == "query" else 1), "and one query counts what is left"


# --- loud failures ----------------------------------------------------------------------------------------------------


class Breaks(Hook):
    """An error that nobody foresaw, at the calls whose request says so."""

    def __init__(self, call: str, which: set[int]) -> None:
        self._call = call
        self._which = which
        self._seen = 0

    def before(self, call: str, request: object) -> None:
        if call == self._call:
            self._seen += 1
            if self._seen - 1 in self._which:
                raise RuntimeError("nobody foresaw this")


@pytest.mark.parametrize("threads", ["1", "4"])
@pytest.mark.parametrize("call", ["batch_get_item", "publish_batch", "batch_execute_statement"])
def test_an_error_that_nobody_foresaw_is_logged_with_its_stack_and_tried_again(
    call: str, threads: str, caplog: pytest.LogCaptureFixture
) -> None:
    world = SweepWorld(SWEEP_THREADS=threads)
    sessions = world.to_warn(420)
    world.hook(Breaks(call, {0}))
    summary = world.sweep()
    assert (summary["warned"], summary["failed"], summary["passedOver"]) == (420, 0, 0)
    assert world.told == warnings_of(sessions)
    [stack] = [record.exc_text or str(record.exc_info) for record in caplog.records if record.exc_info]
    assert "nobody foresaw this" in stack
    assert "claimedUntil0" not in (world.dynamo.peek(TABLE, "sweep") or {})


@pytest.mark.parametrize("threads", ["1", "4"])
def test_a_shard_that_cannot_be_asked_stops_no_other_and_fails_the_run_loudly(threads: str) -> None:
    world = SweepWorld(SWEEP_THREADS=threads)
    sessions = world.to_warn(40)

    class NotPermitted(Hook):
        def before(self, call: str, request: Mapping[str, Any]) -> None:
            if call == "query" and request["ExpressionAttributeValues"][":shard"] == {"N": "0"}:
                raise RuntimeError("not permitted")

    world.hook(NotPermitted())
    with pytest.raises(ExceptionGroup, match="Some of the sweep was left undone"):
        world.sweep()
    assert 0 < len(world.told) < len(sessions)
    record = world.dynamo.peek(TABLE, "sweep") or {}
    assert "sweptAt1" in record
    assert "sweptAt0" not in record, "it does not count as swept"
    assert "claimedUntil0" not in record


def test_a_permission_that_is_missing_is_not_taken_for_a_busy_service() -> None:
    world = SweepWorld()
    world.to_warn(3)
    world.hook(faults.fail("batch_execute_statement", "AccessDeniedException"))
    with pytest.raises(ExceptionGroup) as error:
        world.sweep()
    assert all(isinstance(crash, ClientError) for crash in error.value.exceptions)


def test_the_times_of_a_run_fit_into_each_other_and_into_the_function_s() -> None:
    function = template()["Resources"]["ExpirySweeperFunction"]["Properties"]
    assert WORK_MS < claim.CLAIM_WAIT_MS, "a run outlasts the one before it"
    assert claim.RENEW_AFTER_MS + 2 * claim.LONGEST_CALL_MS <= claim.CLAIM_MS, "a claim outlives the call before it"
    last_call_ms = claim.CLAIM_WAIT_MS + claim.LONGEST_CALL_MS + WORK_MS + claim.COUNT_MS
    assert function["Timeout"] * 1_000 >= last_call_ms + 2 * claim.LONGEST_CALL_MS
    assert function["EventInvokeConfig"]["MaximumRetryAttempts"] == 0
    assert function["EventInvokeConfig"]["MaximumEventAgeInSeconds"] <= 60


def test_the_look_ahead_covers_the_longest_time_between_two_sweeps() -> None:
    """The interval, the scheduler's freedom inside its minute, the longest run, the index; never over three minutes."""
    ahead = template()["Parameters"]["SweepLookAheadSeconds"]
    assert 60 + 60 + WORK_MS / 1_000 + 1 < ahead["MinValue"] <= ahead["Default"] <= ahead["MaxValue"] <= 180
    defaults = SweepSettings.from_env({"SESSIONS_TABLE": "t", "EVENTS_TOPIC_ARN": "t", "EVENT_SOURCE": "/s"})
    assert defaults.sweep_look_ahead_seconds == ahead["Default"]


def test_every_error_of_a_statement_is_known_to_pass_or_to_stay() -> None:
    """Each code that botocore knows of a statement's error: those that pass are tried again within the run."""
    codes = service_model("dynamodb").shape_for("BatchStatementErrorCodeEnum").enum  # type: ignore[attr-defined]
    passing = set()
    for code in codes:
        world = one_shard()
        world.to_warn(1)

        class Answers(Hook):
            left = 1
            error = code

            def after(self, call: str, request: object, response: dict[str, Any]) -> None:
                if call == "batch_execute_statement" and self.left:
                    self.left -= 1
                    response["Responses"][0]["Error"] = {"Code": self.error, "Message": "no"}

        world.hook(Answers())
        summary = world.sweep()
        if world.dynamo.calls["batch_execute_statement"] == 2:
            passing.add(code)
            assert summary["failed"] == 0
        else:
            assert summary["passedOver"] == (0 if code == "ConditionalCheckFailed" else 1)
    assert passing == {
        "InternalServerError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "ThrottlingError",
        "TransactionConflict",
    }
