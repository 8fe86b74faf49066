"""What each route costs on DynamoDB Local: calls, and the capacity units that the engine reports for them."""

import math
import sys
from collections import Counter
from typing import Any, Final

import pytest

from local.dynamo.values import size_of_item
from tests.integration.deployed import Deployed
from tests.integration.metering import Meter
from tests.unit.world import AGENT, NOWHERE, SESSION_ROUTES, USER

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
    with meter.running() as bill:
        session = session_with(deployed, 0)
    assert size_of_item(deployed.item(session["sessionId"])) <= 1_024
    assert bill.operations == ["PutItem"]
    assert (bill.table_units, bill.index_units) == (1.0, ONE_EACH)


@pytest.mark.parametrize("answer", ["again", "reused"])
def test_a_repeated_create_is_one_call_that_writes_no_index(deployed: Deployed, meter: Meter, answer: str) -> None:
    deployed.create(key="k")
    with meter.running() as bill:
        status = deployed.create(key="k", metadata={} if answer == "again" else {"another": "request"}).status
    assert status == {"again": 200, "reused": 422}[answer]
    assert bill.operations == ["PutItem"]
    assert (bill.calls[0].refused, bill.index_units) == (True, {})


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


def test_a_get_is_one_call_and_one_read_unit(deployed: Deployed, meter: Meter) -> None:
    session_id = session_with(deployed, 0)["sessionId"]
    with meter.running() as bill:
        for _ in range(100):
            assert deployed.get(session_id).status == 200
    assert Counter(bill.operations) == {"GetItem": 100}
    assert {(call.table_units, *call.index_units.items()) for call in bill.calls} == {(1.0,)}


def test_a_manual_renewal_of_a_session_that_renews_itself_not_is_one_call_as_well(
    deployed: Deployed, meter: Meter
) -> None:
    session_id = deployed.new(autoRenew=False)["sessionId"]
    with meter.running() as bill:
        assert deployed.renew(session_id).status == 200
    assert bill.operations == ["UpdateItem"]
    assert (bill.table_units, bill.index_units) == (1.0, {})


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


@pytest.mark.parametrize("timeouts", [{"autoRenew": False}, {"maxDurationMinutes": 30}], ids=["not renewed", "at cap"])
def test_a_heartbeat_that_renews_nothing_is_two_calls_and_writes_no_index(
    deployed: Deployed, meter: Meter, timeouts: dict[str, Any]
) -> None:
    session_id = deployed.new(**timeouts)["sessionId"]
    deployed.clock.advance(1)
    with meter.running() as bill:
        assert deployed.heartbeat(session_id).status == 200
    assert [(call.operation, call.refused) for call in bill.calls] == [("UpdateItem", True), ("UpdateItem", False)]
    assert (bill.table_units, bill.index_units) == (1.0, {})


def test_a_patch_is_one_read_and_one_write_and_moves_one_index(deployed: Deployed, meter: Meter) -> None:
    session_id = deployed.new()["sessionId"]
    with meter.running() as bill:
        assert deployed.patch(session_id, {"timeoutMinutes": 60}).status == 200
    assert bill.operations == ["GetItem", "UpdateItem"]
    assert [call.table_units for call in bill.calls] == [1.0, 1.0]
    assert bill.index_units.keys() == {"due"}


def test_a_patch_that_changes_nothing_is_one_read(deployed: Deployed, meter: Meter) -> None:
    session_id = deployed.new()["sessionId"]
    with meter.running() as bill:
        assert deployed.patch(session_id, {}).status == 200
    assert (bill.operations, bill.table_units) == (["GetItem"], 1.0)


def test_a_delete_is_one_call_and_leaves_no_index_entry(deployed: Deployed, meter: Meter) -> None:
    session_id = deployed.new()["sessionId"]
    with meter.running() as bill:
        assert deployed.delete(session_id).status == 200
    assert bill.operations == ["DeleteItem"]
    assert (bill.table_units, bill.index_units) == (1.0, ONE_EACH)


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


# --- by size ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metadata_bytes", [0, 300, 1_024, 10_240])
def test_units_grow_with_every_kilobyte_of_the_item_that_begins(
    deployed: Deployed, meter: Meter, metadata_bytes: int
) -> None:
    with meter.running() as created:
        session_id = session_with(deployed, metadata_bytes)["sessionId"]
    size = size_of_item(deployed.item(session_id))
    with meter.running() as read:
        deployed.get(session_id)
    with meter.running() as beaten:
        deployed.heartbeat(session_id)
    with meter.running() as patched:
        deployed.patch(session_id, {"timeoutMinutes": 60})
    with meter.running() as deleted:
        deployed.delete(session_id)
    writes = math.ceil(size / 1_024)
    assert (created.table_units, created.index_units) == (writes, ONE_EACH)
    assert read.table_units == math.ceil(size / 4_096)
    assert (beaten.table_units, beaten.index_units) == (writes, {})
    assert patched.table_units == math.ceil(size / 4_096) + writes
    assert deleted.table_units == writes
    sys.stdout.write(
        f"\nmetadata {metadata_bytes} B: item {size} B; create {created.table_units:g} + {created.index_units}, "
        f"get {read.table_units:g}, heartbeat {beaten.table_units:g} + {beaten.index_units}, "
        f"patch {patched.table_units:g} + {patched.index_units}, delete {deleted.table_units:g} + "
        f"{deleted.index_units}\n"
    )


# --- nobody learns from the cost whether a session exists -------------------------------------------------------------


@pytest.mark.parametrize("route", SESSION_ROUTES)
def test_another_tenants_session_costs_what_an_unknown_one_costs(deployed: Deployed, meter: Meter, route: str) -> None:
    session_id = deployed.new()["sessionId"]
    body = {"body": {"timeoutMinutes": 60}} if route == "patch" else {}
    with meter.running() as unknown:
        no_session = SESSION_ROUTES[route](deployed, NOWHERE, **body)
    with meter.running() as anothers:
        no_access = SESSION_ROUTES[route](deployed, session_id, tenant="other", **body)
    assert no_session.status == no_access.status == 404
    assert no_session.text == no_access.text
    assert unknown.calls == anothers.calls
    assert len(unknown.calls) == 1


@pytest.mark.parametrize("query", [{}, {"userId": USER}, {"agentId": AGENT}, {"userId": USER, "agentId": AGENT}])
def test_a_list_costs_a_tenant_without_sessions_the_same_whatever_others_have(
    deployed: Deployed, meter: Meter, query: dict[str, str]
) -> None:
    with meter.running() as before:
        empty = deployed.page(tenant="other", **query)
    for _ in range(20):
        deployed.new()
    with meter.running() as after:
        still_empty = deployed.page(tenant="other", **query)
    assert empty.text == still_empty.text
    assert before.calls == after.calls
