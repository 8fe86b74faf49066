"""The service's own records: claims on shards, what sweeps tell of themselves, the gauge, the secret of cursors."""

from typing import Any, Final

import pytest
from agent_sessions.lists import dynamo_secret
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sweep import dynamo_record
from agent_sessions.sweep.dynamo_record import DynamoSweepRecord
from agent_sessions.sweep.health import Gauge, ShardSweep, SweepRecord

from tests.store_suite.examples import NOW, Table, item, records_on, secret_on

UNTIL: Final = NOW + 70_000


@pytest.fixture
def table(engine: Table) -> Table:
    return engine


@pytest.fixture
def records(table: Table) -> DynamoSweepRecord:
    return records_on(table)


# --- claims -----------------------------------------------------------------------------------------------------------


def test_before_the_first_sweep_the_record_is_empty(records: DynamoSweepRecord) -> None:
    assert records.sweep_record() == SweepRecord({}, None)


def test_a_claim_holds_until_its_last_millisecond(records: DynamoSweepRecord) -> None:
    assert records.claim(range(8), "first", NOW, UNTIL)
    assert not records.claim(range(8), "second", NOW, UNTIL)
    assert not records.claim(range(8), "second", UNTIL, UNTIL + 70_000)
    assert records.claim(range(8), "second", UNTIL + 1, UNTIL + 70_001)


@pytest.mark.parametrize("wanted", [[0], [3], [3, 4], [2, 3, 4, 5], range(8)], ids=str)
def test_shards_are_claimed_all_or_none(records: DynamoSweepRecord, wanted: list[int]) -> None:
    records.claim([0, 3], "first", NOW, UNTIL)
    assert not records.claim(wanted, "second", NOW, UNTIL)
    assert records.claim([1, 2, 4, 5, 6, 7], "third", NOW, UNTIL)


def test_a_claim_that_was_repeated_because_its_answer_was_lost_still_holds(records: DynamoSweepRecord) -> None:
    assert records.claim([0, 1], "first", NOW, UNTIL)
    assert records.claim([0, 1], "first", NOW, UNTIL)
    assert not records.claim([1], "second", NOW, UNTIL)


@pytest.mark.parametrize(
    "value",
    [{"N": str(NOW + 10**12)}, {"N": "1E+100"}, {"N": "-1E+100"}, {"N": f"{NOW}.5"}, {"NULL": True}],
    ids=str,
)
def test_a_claim_that_no_run_can_have_written_holds_nobody_up_for_long(
    table: Table, records: DynamoSweepRecord, value: dict[str, Any]
) -> None:
    table.client.update_item(
        TableName=table.name,
        Key=items.session_key(dynamo_record.RECORD),
        UpdateExpression="SET claimedUntil0 = :value, sweptAtX = :value, sweptAt1 = :value, gaugeAt = :value",
        ExpressionAttributeValues={":value": value},
    )
    assert records.sweep_record() == SweepRecord({}, None)
    assert records.claim([0], "first", NOW + 1, UNTIL)
    assert not records.claim([0], "second", NOW + 2, UNTIL)
    swept = {0: ShardSweep(NOW, 1.5, 7)}
    assert records.release([0], "first", swept)
    assert records.sweep_record().shards == swept


def test_a_released_claim_is_free_at_once_and_tells_how_the_sweep_went(records: DynamoSweepRecord) -> None:
    records.claim([0, 1, 2], "first", NOW, UNTIL)
    swept = {0: ShardSweep(NOW, 0.0), 1: ShardSweep(NOW, 1.25)}
    assert records.release([0, 1, 2], "first", swept)
    assert records.sweep_record() == SweepRecord(swept, None)
    assert records.claim([0, 1, 2], "second", NOW, UNTIL)


def test_a_sweep_keeps_what_is_known_of_other_shards(records: DynamoSweepRecord) -> None:
    for shard, moment in ((0, NOW), (7, NOW + 5)):
        records.claim([shard], "first", moment, UNTIL)
        records.release([shard], "first", {shard: ShardSweep(moment, 2.0)})
    records.claim([0], "second", NOW + 9, UNTIL)
    records.release([0], "second", {0: ShardSweep(NOW + 9, 0.5)})
    assert records.sweep_record().shards == {0: ShardSweep(NOW + 9, 0.5), 7: ShardSweep(NOW + 5, 2.0)}


def test_a_lost_claim_releases_nothing_and_tells_nothing(table: Table, records: DynamoSweepRecord) -> None:
    records.claim([0, 1], "first", NOW, UNTIL)
    records.claim([1], "second", UNTIL + 1, UNTIL + 70_001)
    before = item(table, dynamo_record.RECORD)
    assert not records.release([0, 1], "first", {0: ShardSweep(NOW, 0.0), 1: ShardSweep(NOW, 0.0)})
    assert item(table, dynamo_record.RECORD) == before


# --- gauge ------------------------------------------------------------------------------------------------------------


def test_the_last_gauge_stands_beside_sweeps_and_claims(records: DynamoSweepRecord) -> None:
    records.claim([0], "first", NOW, UNTIL)
    records.write_gauge(Gauge(active_sessions=12, expiring_soon=3, taken_at_ms=NOW))
    records.write_gauge(Gauge(active_sessions=11, expiring_soon=0, taken_at_ms=NOW + 1))
    assert not records.claim([0], "second", NOW, UNTIL)
    records.release([0], "first", {0: ShardSweep(NOW, 0.0)})
    assert records.sweep_record() == SweepRecord({0: ShardSweep(NOW, 0.0)}, Gauge(11, 0, NOW + 1))


# --- the secret -------------------------------------------------------------------------------------------------------


def test_every_process_signs_with_one_secret(table: Table, records: DynamoSweepRecord) -> None:
    process = secret_on(table)
    secret = process.read()
    assert len(secret) >= 32
    assert secret_on(table).read() == secret
    assert process.read() == secret


@pytest.mark.parametrize(
    "held",
    [{"S": "secret"}, {"N": "7"}, {"B": b""}, {"B": b"short"}, {"NULL": True}, {"M": {}}, {"L": [{"B": b"x" * 32}]}],
    ids=str,
)
def test_a_secret_that_this_service_cannot_have_written_is_replaced_once_for_all_processes(
    table: Table, held: dict[str, Any]
) -> None:
    table.client.put_item(TableName=table.name, Item={**items.session_key(dynamo_secret.RECORD), "secret": held})
    secret = secret_on(table).read()
    assert len(secret) == 32
    assert secret_on(table).read() == secret


@pytest.mark.parametrize("held", [None, {"S": "secret"}], ids=str)
def test_a_process_that_was_slower_takes_the_secret_of_the_other(table: Table, held: dict[str, Any] | None) -> None:
    key = items.session_key(dynamo_secret.RECORD)
    if held is not None:
        table.client.put_item(TableName=table.name, Item={**key, "secret": held})
    slow = secret_on(table)
    other = secret_on(table).read()
    assert slow._replace(key, held)["B"] == other
    assert secret_on(table).read() == other


def test_a_process_remembers_the_secret(table: Table, records: DynamoSweepRecord) -> None:
    process = secret_on(table)
    secret = process.read()
    table.client.delete_item(TableName=table.name, Key=items.session_key(dynamo_secret.RECORD))
    assert process.read() == secret


def test_the_records_are_in_no_index_and_never_purged(table: Table, records: DynamoSweepRecord) -> None:
    secret_on(table).read()
    records.claim(range(8), "first", NOW, UNTIL)
    indexed = {items.DUE_SHARD, items.DUE_AT, items.TENANT_USER, items.TENANT_SHARD, items.LISTED_AT}
    for key in (dynamo_record.RECORD, dynamo_secret.RECORD):
        assert not (indexed | {items.TTL}) & set(item(table, key))
