"""What each route costs on DynamoDB Local: calls, and the capacity units that the engine reports for them."""

import math
import sys
from collections import Counter
from typing import Any, Final

import pytest

from local.dynamo.values import size_of_item
from tests.integration.deployed import Deployed
from tests.integration.metering import Meter
from tests.unit.world import USER

HEARTBEATS: Final = 1_000
ONE_EACH: Final = {"due": 1.0, "byUser": 1.0, "byTenant": 1.0}


def metadata_of(size: int) -> dict[str, str]:
    """Metadata that takes so many bytes as compact JSON."""
    empty = len('{"k":""}')
    return {"k": "x" * (size - empty)} if size >= empty else {}


def session_with(deployed: Deployed, metadata_bytes: int) -> Any:
    answer = deployed.create(metadata=metadata_of(metadata_bytes))
    assert answer.status == 201
    return answer.json


def test_a_create_of_a_small_session_is_one_call_one_unit_and_one_for_each_index(
    deployed: Deployed, meter: Meter
) -> None:
    session_with(deployed, 0)  # so that the process knows of the agent's policy that there is none
    with meter.running() as bill:
        session = session_with(deployed, 0)
    assert size_of_item(deployed.item(session["sessionId"])) <= 1_024
    assert bill.operations == ["PutItem"]
    assert (bill.table_units, bill.index_units) == (1.0, ONE_EACH)


def test_a_thousand_heartbeats_are_a_thousand_calls_and_units_and_no_index_write(
    deployed: Deployed, meter: Meter
) -> None:
    session_id = session_with(deployed, 0)["sessionId"]
    with meter.running() as bill:
        for _ in range(HEARTBEATS):
            deployed.clock.advance(1_000)
            assert deployed.heartbeat(session_id).status == 200
    assert Counter(bill.operations) == {"UpdateItem": HEARTBEATS}
    assert {call.table_units for call in bill.calls} == {1.0}
    assert (bill.table_units, bill.index_units) == (HEARTBEATS, {})
    assert deployed.get(session_id).json["renewalCount"] == HEARTBEATS


def test_a_renewal_after_the_warning_is_a_second_call_and_moves_one_index(deployed: Deployed, meter: Meter) -> None:
    session_id = deployed.new()["sessionId"]
    deployed.warn(session_id)
    deployed.clock.advance(minutes=26)
    with meter.running() as bill:
        assert deployed.heartbeat(session_id).status == 200
    assert [(call.operation, call.refused) for call in bill.calls] == [("UpdateItem", True), ("UpdateItem", False)]
    assert bill.table_units == 1.0
    assert bill.index_units.keys() == {"due"}
    with meter.running() as bill:
        assert deployed.heartbeat(session_id).status == 200
    assert (bill.operations, bill.index_units) == (["UpdateItem"], {})


@pytest.mark.parametrize("query, partitions", [({}, 4), ({"userId": USER}, 1)], ids=["tenant", "user"])
def test_a_list_is_one_query_a_partition_and_one_consistent_read_of_its_sessions(
    deployed: Deployed, meter: Meter, query: dict[str, str], partitions: int
) -> None:
    for _ in range(10):
        deployed.new()
    with meter.running() as bill:
        assert len(deployed.page(**query).json["sessions"]) == 10
    assert bill.operations == ["Query"] * partitions + ["BatchGetItem"]
    assert 0 < sum(bill.index_units.values()) <= partitions / 2  # an empty partition costs nothing here
    assert bill.table_units == 10.0


def test_health_is_one_read_of_half_a_unit(deployed: Deployed, meter: Meter) -> None:
    with meter.running() as bill:
        deployed.health()
    assert (bill.operations, bill.table_units) == (["GetItem"], 0.5)


def test_a_policy_costs_a_unit_a_call_and_a_create_under_one_that_is_remembered_its_write_alone(
    deployed: Deployed, meter: Meter
) -> None:
    with meter.running() as put:
        assert deployed.put_policy(tenant="billed").status == 200
    with meter.running() as first:
        assert deployed.create(tenant="billed").json["timeoutConfig"]["timeoutMinutes"] == 15
    with meter.running() as created:
        assert deployed.create(tenant="billed").status == 201
    with meter.running() as read:
        assert deployed.policy(tenant="billed").status == 200
    with meter.running() as listed:
        assert len(deployed.policies(tenant="billed").json["agents"]) == 1
    with meter.running() as deleted:
        assert deployed.delete_policy(tenant="billed").status == 200
    with meter.running() as without:
        assert deployed.create(tenant="billed").json["timeoutConfig"]["timeoutMinutes"] == 30
    bills = [(bill.operations, bill.table_units) for bill in (put, first, created, read, listed, deleted, without)]
    assert bills == [
        (["PutItem"], 1.0),
        (["GetItem", "PutItem"], 2.0),
        (["PutItem"], 1.0),
        (["GetItem"], 1.0),
        (["Query"], 1.0),
        (["DeleteItem"], 1.0),
        (["GetItem", "PutItem"], 2.0),
    ]


# --- by size ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metadata_bytes", [0, 300, 1_024, 10_240])
def test_units_grow_with_every_kilobyte_of_the_item_that_begins(
    deployed: Deployed, meter: Meter, metadata_bytes: int
) -> None:
    session_with(deployed, 0)
    with meter.running() as created:
        session_id = session_with(deployed, metadata_bytes)["sessionId"]
    size = size_of_item(deployed.item(session_id))
    with meter.running() as read:
        deployed.get(session_id)
    with meter.running() as beaten:
        deployed.heartbeat(session_id)
    with meter.running() as patched:
        deployed.patch(session_id, {"timeoutMinutes": 60})
    with meter.running() as merged:
        assert deployed.patch_metadata(session_id, {"k": None} if metadata_bytes else {"k": 1}).status == 200
    with meter.running() as deleted:
        deployed.delete(session_id)
    writes = math.ceil(size / 1_024)
    assert (created.table_units, created.index_units) == (writes, ONE_EACH)
    assert read.table_units == math.ceil(size / 4_096)
    assert (beaten.table_units, beaten.index_units) == (writes, {})
    assert patched.table_units == math.ceil(size / 4_096) + writes
    assert (merged.table_units, merged.index_units) == (math.ceil(size / 4_096) + writes, {})
    assert deleted.table_units == (1 if metadata_bytes else writes), "its metadata is gone"
    sys.stdout.write(
        f"\nmetadata {metadata_bytes} B: item {size} B; create {created.table_units:g} + {created.index_units}, "
        f"get {read.table_units:g}, heartbeat {beaten.table_units:g} + {beaten.index_units}, "
        f"patch {patched.table_units:g} + {patched.index_units}, delete {deleted.table_units:g} + "
        f"{deleted.index_units}\n"
    )


# --- nobody learns from the cost whether a session exists -------------------------------------------------------------
