"""What EventBridge and operators may send to the sweeper, the fan-out, and what each run tells."""

import contextlib
import json
import logging
from typing import Any

import pytest
from agent_sessions.errors import ServiceUnavailable, SettingsError
from agent_sessions.sweep.claim import Claim
from agent_sessions.sweep.dynamo_record import DynamoSweepRecord
from agent_sessions.sweep.handler import HIGHEST_SHARD, split
from agent_sessions.telemetry import metrics
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from tests.engines import faults
from tests.unit.sweep_world import SweepWorld
from tests.unit.world import TABLE, sample

SUMMARY = {
    "shards", "claimed", "due", "warned", "expired", "rearmed", "waiting", "gone", "failed", "left", "passedOver",
    "oldestLagSeconds", "unfinishedShards",
}  # fmt: skip


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Every log line, as Powertools writes it."""
    [handler] = logging.getLogger("agent-sessions").handlers
    return [json.loads(handler.format(record)) for record in caplog.records]


def published_metrics(capsys: pytest.CaptureFixture[str]) -> list[dict[str, float]]:
    """Each set of metrics that was published, by name, declared in CloudWatch's embedded format."""
    sets = []
    for line in capsys.readouterr().out.splitlines():
        written = json.loads(line)
        if "_aws" not in written:
            continue
        [directive] = written["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "AgentSessions"
        assert directive["Dimensions"] == [["service"]]
        for metric in directive["Metrics"]:
            assert metric["Unit"] == ("Seconds" if metric["Name"].endswith("Seconds") else "Count")
        sets.append({metric["Name"]: written[metric["Name"]][0] for metric in directive["Metrics"]})
    return sets


# --- which pass, which shards -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("event", [{}, sample("sweep-schedule"), {"detail-type": "Scheduled Event"}])
def test_the_scheduled_event_sweeps_every_shard(event: dict[str, Any]) -> None:
    world = SweepWorld(DUE_SHARDS="4")
    world.shards_of_new_sessions = 4
    world.to_warn(20)
    summary = world.sweep(event)
    assert summary.keys() == SUMMARY
    assert (summary["shards"], summary["warned"]) == ([0, 1, 2, 3], 20)


def test_an_event_that_names_shards_sweeps_those_alone() -> None:
    world = SweepWorld(DUE_SHARDS="8")
    world.shards_of_new_sessions = 8
    world.to_warn(64)
    wanted = sample("sweep-shards")["shards"]
    with world.counted() as calls:
        some = world.sweep(sample("sweep-shards"))
    rest = world.sweep({"shards": [shard for shard in range(8) if shard not in wanted]})
    assert some["shards"] == wanted
    assert calls["query"] == len(wanted)
    assert 0 < some["warned"] < 64
    assert some["warned"] + rest["warned"] == 64


@pytest.mark.parametrize(
    "shards", [None, "0", 0, {}, [], [0, 0], [-1], [HIGHEST_SHARD + 1], ["0"], [True], [1.0], [0, None], [[0]]]
)
def test_shards_that_are_none_are_refused(shards: object, caplog: pytest.LogCaptureFixture) -> None:
    world = SweepWorld()
    world.to_warn(1)
    with pytest.raises(ValueError, match="shards must be a list of different numbers from 0 to 31"):
        world.sweep({"shards": shards})
    assert not world.dynamo.calls
    [line] = logged(caplog)
    assert line["level"] == "ERROR"


@pytest.mark.parametrize("name", ["", "Gauge", "sweep", None, 1])
def test_a_pass_that_does_not_exist_is_refused(name: object) -> None:
    world = SweepWorld()
    with pytest.raises(ValueError, match="there is no pass called"):
        world.sweep({"pass": name})
    assert not world.dynamo.calls


def test_shards_beyond_those_in_use_can_be_swept_to_drain_them() -> None:
    world = SweepWorld()
    world.shards_of_new_sessions = 32
    world.to_warn(40)
    few = world.sweep()["warned"]
    assert few < 40
    world.restart(SWEEP_SHARDS="32")
    assert world.sweep()["warned"] == 40 - few


# --- fan-out ----------------------------------------------------------------------------------------------------------


def test_a_scheduled_run_that_fans_out_invokes_itself_once_for_each_range_and_sweeps_nothing() -> None:
    world = SweepWorld(DUE_SHARDS="8", SWEEP_FAN_OUT="3")
    world.to_warn(8)
    assert world.sweep(sample("sweep-schedule")) == {"fanOut": [[0, 1], [2, 3, 4], [5, 6, 7]]}
    assert not world.dynamo.calls
    assert [invocation["FunctionName"] for invocation in world.aws_lambda.invocations] == ["sweeper"] * 3
    assert {invocation["InvocationType"] for invocation in world.aws_lambda.invocations} == {"Event"}
    payloads = [json.loads(invocation["Payload"]) for invocation in world.aws_lambda.invocations]
    assert payloads == [{"shards": [0, 1]}, {"shards": [2, 3, 4]}, {"shards": [5, 6, 7]}]


def test_a_run_that_is_named_its_shards_never_invokes() -> None:
    world = SweepWorld(DUE_SHARDS="8", SWEEP_FAN_OUT="8")
    world.shards_of_new_sessions = 8
    world.to_warn(30)
    world.sweep()
    invocations = list(world.aws_lambda.invocations)
    swept = [world.sweep(json.loads(invocation["Payload"])) for invocation in invocations]
    assert sum(summary["warned"] for summary in swept) == 30
    assert world.aws_lambda.invocations == invocations, "no loops"


def test_more_ranges_than_shards_are_refused_at_the_start() -> None:
    world = SweepWorld(DUE_SHARDS="2", SWEEP_FAN_OUT="3")
    with pytest.raises(SettingsError, match=r"SWEEP_FAN_OUT \(3\) must not be larger than the 2 shards"):
        world.sweep()


@given(st.integers(1, 32).flatmap(lambda shards: st.tuples(st.just(shards), st.integers(1, shards))))
def test_ranges_share_the_shards_evenly_and_leave_none_out(sizes: tuple[int, int]) -> None:
    shards, parts = sizes
    ranges = split(range(shards), parts)
    assert [shard for part in ranges for shard in part] == list(range(shards))
    assert len(ranges) == parts
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1


# --- the time of a run ------------------------------------------------------------------------------------------------


def test_a_run_makes_no_pause_that_would_outlast_it() -> None:
    world = SweepWorld()
    claims = DynamoSweepRecord(world.dynamo.as_client(), TABLE)
    claim = Claim(claims, world.clock, lambda: 1.0, [0], "a run")
    assert claim.take()
    world.clock.at_ms = claim.stop_at_ms - 201
    assert claim.pause(0)
    assert world.clock.now_ms() == claim.stop_at_ms - 1
    assert not claim.pause(0)
    assert world.clock.now_ms() == claim.stop_at_ms - 1


# --- what a run tells -------------------------------------------------------------------------------------------------


def test_a_run_logs_its_summary_as_one_line_and_publishes_its_metrics(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    world = SweepWorld()
    world.to_warn(3)
    world.to_rearm(2)
    world.to_wait(1)
    world.to_expire(4, expires_in_ms=-66_000)
    summary = world.sweep()
    assert summary == {
        "shards": [0, 1],
        "claimed": True,
        "due": 10,
        "warned": 3,
        "expired": 4,
        "rearmed": 2,
        "waiting": 1,
        "gone": 0,
        "failed": 0,
        "left": 0,
        "passedOver": 0,
        "oldestLagSeconds": 66.0,
        "unfinishedShards": [],
    }
    [line] = logged(caplog)
    assert (line["level"], line["message"]) == ("INFO", "sweep")
    assert {name: line[name] for name in SUMMARY} == summary
    assert "metadata" not in json.dumps(line)
    assert published_metrics(capsys) == [
        {
            metrics.SWEEP_RUNS: 1,
            metrics.SWEEP_LAG_SECONDS: 66,
            metrics.SWEEP_BACKLOG: 0,
            metrics.SWEEP_FAILURES: 0,
            metrics.SWEEP_PASSED_OVER: 0,
            metrics.WARNINGS_PUBLISHED: 3,
            metrics.SESSIONS_EXPIRED: 4,
        }
    ]


def test_a_run_that_could_not_work_is_counted_as_failed_and_fails_loudly(capsys: pytest.CaptureFixture[str]) -> None:
    world = SweepWorld()
    world.dynamo.add_hook(faults.throttle("update_item"))
    with pytest.raises(ServiceUnavailable):
        world.sweep()
    assert published_metrics(capsys) == [{metrics.SWEEP_RUNS: 1, metrics.SWEEP_FAILURES: 1}]


def test_a_permission_that_is_missing_fails_the_run_loudly(caplog: pytest.LogCaptureFixture) -> None:
    world = SweepWorld()
    world.dynamo.add_hook(faults.fail("update_item", "AccessDeniedException"))
    with pytest.raises(ClientError):
        world.sweep()
    [line] = logged(caplog)
    assert line["level"] == "ERROR"
    assert "AccessDeniedException" in line["exception"]


def test_a_run_without_the_claim_tells_so_and_counts_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    world = SweepWorld()
    world.to_warn(1)
    until = str(world.clock.now_ms() + 70_000)
    world.dynamo.update_item(
        TableName=TABLE,
        Key={"sessionId": {"S": "sweep"}},
        UpdateExpression="SET claimedUntil0 = :until, claimedBy0 = :who",
        ExpressionAttributeValues={":until": {"N": until}, ":who": {"S": "another"}},
    )
    assert world.sweep()["claimed"] is False
    assert published_metrics(capsys) == []


# --- health -----------------------------------------------------------------------------------------------------------


def test_a_shard_that_could_not_be_asked_does_not_count_as_swept() -> None:
    world = SweepWorld()
    world.sweep()
    world.dynamo.add_hook(faults.throttle("query"))
    world.sweep_minutes(4)
    assert world.health().json["status"] == "degraded"


@pytest.mark.parametrize("call", ["batch_get_item", "publish_batch"])
@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_a_sweeper_that_only_fails_is_not_healthy_however_often_it_runs(call: str, code: str) -> None:
    world = SweepWorld()
    world.to_warn(5)
    world.sweep()
    world.to_warn(5)
    for engine in (world.dynamo, world.sns):
        engine.add_hook(faults.fail(call, code))
    for _ in range(4):
        with contextlib.suppress(ExceptionGroup):
            world.sweep_minutes(1)
    assert world.health().json["status"] == "degraded"
