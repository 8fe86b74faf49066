"""DynamoDB's own deletion, switched on: it never takes a live session, and no caller sees whether it has been there.

DynamoDB Local deletes by the machine's clock, within seconds. So the sessions here live by a clock of their own that
starts two days ago: whatever may be deleted by now goes while a test looks on, and what must not stays.
"""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest
from agent_sessions.clock import SystemClock

from tests.engines.fixtures import Table
from tests.engines.tables import create_sessions_table
from tests.integration.deployed import Deployed
from tests.unit.world import MINUTE, SESSION_ROUTES

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

RETENTION_MINUTES: Final = 60
DAYS_MINUTES: Final = 48 * 60
BEAT_MINUTES: Final = 20
DELETED_WITHIN_SECONDS: Final = 600


def two_days_ago(table: Table) -> Deployed:
    deployed = Deployed(table, SESSION_RETENTION_MINUTES=str(RETENTION_MINUTES))
    deployed.clock.at_ms = SystemClock().now_ms() - DAYS_MINUTES * MINUTE
    return deployed


@pytest.fixture
def purging(local_client: "DynamoDBClient") -> Iterator[Deployed]:
    """A deployment whose table deletes what is past its `purgeAt`."""
    name = create_sessions_table(local_client, f"purging-{uuid.uuid4().hex}", time_to_live=True)
    yield two_days_ago(Table(local_client, name, "dynamodb-local"))
    local_client.delete_table(TableName=name)


def wait_until(happens: Callable[[], bool]) -> None:
    """Ask a few times a second, for a bounded time: the engine deletes when it likes."""
    deadline = time.monotonic() + DELETED_WITHIN_SECONDS
    pause = threading.Event()
    while not happens():
        pause.wait(0.2)
        assert time.monotonic() < deadline, f"not within {DELETED_WITHIN_SECONDS} seconds"


def milliseconds(item: Any, name: str) -> int:
    return int(item[name]["N"])


def test_a_session_renewed_for_two_days_is_never_deleted_alive(purging: Deployed) -> None:
    kept = purging.new(timeoutMinutes=30, maxDurationMinutes=DAYS_MINUTES)["sessionId"]
    first = purging.new(timeoutMinutes=30, maxDurationMinutes=30)["sessionId"]
    beats = DAYS_MINUTES // BEAT_MINUTES - 1
    for beat in range(beats):
        purging.clock.advance(minutes=BEAT_MINUTES)
        assert purging.heartbeat(kept).json["renewalCount"] == beat + 1
        item = purging.item(kept)
        remembered_until = milliseconds(item, "expiresAt") + RETENTION_MINUTES * MINUTE
        assert milliseconds(item, "purgeAt") * 1000 >= remembered_until
    # The engine is at work: it takes what ended two days ago, and then something that was written after the last beat.
    wait_until(lambda: purging.item(first) is None)
    last = purging.item(kept) | {
        "sessionId": {"S": str(uuid.uuid4())},
        "purgeAt": {"N": str(SystemClock().now_ms() // 1000 - 60)},
    }
    purging.table.client.put_item(TableName=purging.table.name, Item=last)
    wait_until(lambda: purging.item(last["sessionId"]["S"]) is None)
    assert purging.get(kept).json["renewalCount"] == beats
    purging.clock.advance(minutes=BEAT_MINUTES + 1)
    assert purging.get(kept).details["reason"] == "max_duration"


@pytest.mark.parametrize("is_purged", [True, False], ids=["purged", "still there"])
def test_no_caller_sees_whether_a_retired_session_was_purged(
    purging: Deployed,
    engine: Table,
    is_purged: bool,  # noqa: FBT001
) -> None:
    world = purging if is_purged else two_days_ago(engine)
    session = world.create(key="k", timeoutConfig={"maxDurationMinutes": 30}).json
    session_id = session["sessionId"]
    world.clock.advance(minutes=30 + RETENTION_MINUTES - 1)
    assert world.get(session_id).details == {"expiresAt": session["expiresAt"], "reason": "max_duration"}
    world.clock.advance(minutes=1)
    if is_purged:
        wait_until(lambda: world.item(session_id) is None)
    assert (world.item(session_id) is None) == is_purged
    for route in ("get", "heartbeat", "renew", "patch"):
        assert SESSION_ROUTES[route](world, session_id).code == "SESSION_NOT_FOUND"
    assert world.page().json["sessions"] == []
    again = world.create(key="k", timeoutConfig={"maxDurationMinutes": 2880}, metadata={"another": "request"})
    assert (again.status, again.json["sessionId"]) == (201, session_id)
    assert world.get(session_id).json["metadata"] == {"another": "request"}
    assert world.delete(session_id).status == 200
    assert world.delete(session_id).code == "SESSION_NOT_FOUND"
