"""What messages cost on DynamoDB Local: calls, and the capacity units that the engine reports for them."""

from collections import Counter
from typing import Any, Final

import pytest

from local.dynamo.values import size_of_item
from tests.integration.deployed import Deployed, messages_table
from tests.integration.metering import Bill, Meter

UNIT: Final = 1_024
CONTENT_OF_ONE_UNIT: Final = 750
"""Bytes of content that leave a message's item within 1 KB: what its own attributes take is some 260."""
METADATA_OF_ONE_UNIT: Final = 414
"""Bytes of metadata with which a session that is talked in, and renewed for a long time, still costs one write unit."""


def reads_and_writes(bill: Bill) -> tuple[float, float]:
    reads = sum(call.table_units for call in bill.calls if call.operation in {"GetItem", "Query"})
    return reads, bill.table_units - reads


def items(deployed: Deployed) -> list[Any]:
    return deployed.table.client.scan(TableName=messages_table(deployed.table))["Items"]


@pytest.mark.parametrize("role", ["user", "agent", "system", "tool"])
def test_an_append_within_a_kilobyte_is_two_write_units_and_no_read(talking: Deployed, meter: Meter, role: str) -> None:
    session_id = talking.new()["sessionId"]
    for _ in range(3):
        talking.clock.advance(1_000)
        with meter.running() as bill:
            answer = talking.say(session_id, "x" * CONTENT_OF_ONE_UNIT, role=role)
        assert answer.status == 201
        assert bill.operations == ["UpdateItem", "PutItem"]
        assert (bill.table_units, bill.index_units) == (2.0, {})
    assert max(size_of_item(item) for item in items(talking)) <= UNIT


def test_a_reply_that_names_the_question_needs_no_read_either(talking: Deployed, meter: Meter) -> None:
    session_id = talking.new()["sessionId"]
    question = talking.say(session_id).json["message"]["id"]
    talking.clock.advance(1_000)
    with meter.running() as bill:
        assert talking.say(session_id, "So.", role="agent", inReplyTo=question).status == 201
    assert (bill.operations, bill.table_units) == (["UpdateItem", "PutItem"], 2.0)


def test_an_append_with_a_key_is_three_write_units_and_one_read_unit(talking: Deployed, meter: Meter) -> None:
    session_id = talking.new()["sessionId"]
    headers = {"idempotency-key": "k" * 255}
    with meter.running() as bill:
        assert talking.say(session_id, "x" * CONTENT_OF_ONE_UNIT, headers=headers).status == 201
    assert bill.operations == ["GetItem", "GetItem", "UpdateItem", "PutItem", "PutItem"]
    assert reads_and_writes(bill) == (1.0, 3.0)
    with meter.running() as bill:
        assert talking.say(session_id, "x" * CONTENT_OF_ONE_UNIT, headers=headers).status == 200
    assert reads_and_writes(bill) == (2.0, 0.0)


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "k" * 255}], ids=["no key", "key"])
def test_a_batch_is_one_write_for_its_numbers_and_one_transaction_of_small_puts(
    talking: Deployed, meter: Meter, headers: dict[str, str]
) -> None:
    """DynamoDB takes two write units for each KB that a transaction puts: for each message, and for the key.

    DynamoDB Local reports the same units for one put as for ten, so that the sizes stand for the units here.
    """
    session_id = talking.new()["sessionId"]
    messages = [{"content": "x" * CONTENT_OF_ONE_UNIT, "role": role} for role in ("user", "tool", "agent")]
    with meter.running() as bill:
        assert talking.post_batch(session_id, messages, headers=headers).status == 201
    reads = ["GetItem", "GetItem"] if headers else ["GetItem"]
    assert bill.operations == [*reads, "UpdateItem", "TransactWriteItems"]
    assert [call.table_units for call in bill.calls[:-1]] == [0.5] * len(reads) + [1.0]
    sizes = [size_of_item(item) for item in items(talking)]
    assert (len(sizes), max(sizes) <= UNIT) == (len(messages) + len(headers), True)


def test_a_poll_that_finds_nothing_new_is_one_read_unit(talking: Deployed, meter: Meter) -> None:
    session_id = talking.new()["sessionId"]
    talking.say(session_id)
    queries: list[dict[str, Any]] = [{"afterSequence": 1}, {"after": talking.clock.now_ms()}]
    for query in queries:
        talking.clock.advance(60_000)
        with meter.running() as bill:
            assert talking.messages(session_id, **query).json["messages"] == []
        assert (bill.operations, bill.table_units) == (["GetItem"], 1.0)


@pytest.mark.parametrize("query", [{}, {"afterSequence": 0}])
def test_a_page_of_fifty_short_messages_is_at_most_six_read_units(
    talking: Deployed, meter: Meter, query: dict[str, Any]
) -> None:
    session_id = talking.new()["sessionId"]
    for _ in range(60):
        talking.say(session_id, "A short message, as people write them.")
    talking.clock.advance(minutes=1)
    with meter.running() as bill:
        assert len(talking.messages(session_id, **query).json["messages"]) == 50
    assert bill.operations == ["GetItem", "Query"]
    assert bill.table_units <= 6


def test_a_round_of_a_wait_is_half_a_read_unit(talking: Deployed, meter: Meter) -> None:
    session_id = talking.new()["sessionId"]
    with meter.running() as bill:
        talking.say(session_id, transport="http")
    rounds = bill.operations.count("GetItem")
    assert 20 <= rounds <= 30
    assert reads_and_writes(bill) == (rounds / 2, 2.0)


def test_heartbeat_get_and_create_cost_what_they_did_also_where_there_is_talk(talking: Deployed, meter: Meter) -> None:
    talking.clock.advance(457)  # zeros at the end of a number take no room, and moments rarely have them
    session_id = talking.create(metadata=metadata_of(METADATA_OF_ONE_UNIT)).json["sessionId"]
    talking.clock.advance(minutes=1)
    for role in ("agent", "user"):
        talking.say(session_id, role=role)
    talking.clock.advance(1_000)
    numbers = {":last": {"N": "9999"}, ":count": {"N": "99999"}}
    talking.table.client.update_item(
        TableName=talking.table.name,
        Key={"sessionId": {"S": session_id}},
        UpdateExpression="SET lastSeq = :last, openSeq = :last, renewalCount = :count, lease = :count",
        ExpressionAttributeValues=numbers,
    )
    talking.create()  # what the function remembers of the agent's policy is read anew
    with meter.running() as bill:
        talking.create()
        talking.heartbeat(session_id)
        talking.say(session_id)
        talking.get(session_id)
    assert Counter(bill.operations) == {"PutItem": 2, "UpdateItem": 2, "GetItem": 1}
    assert {call.table_units for call in bill.calls} == {1.0}
    assert UNIT - 8 <= size_of_item(talking.item(session_id)) <= UNIT


def test_emptying_a_message_is_a_read_and_a_write_for_each_kilobyte_that_it_had(
    talking: Deployed, meter: Meter
) -> None:
    session_id = talking.new()["sessionId"]
    for size in (100, 3_000):
        message_id = talking.say(session_id, "x" * size, role="agent").json["message"]["id"]
        with meter.running() as bill:
            assert talking.redact(session_id, message_id).json["data"]["redacted"] == 1
        assert bill.operations == ["GetItem", "UpdateItem"]
        assert reads_and_writes(bill) == (1.0, 1.0 if size == 100 else 4.0)
    assert all("content" not in item for item in items(talking))


def test_a_part_of_an_export_is_a_read_of_the_session_and_one_query(talking: Deployed, meter: Meter) -> None:
    session_id = talking.new()["sessionId"]
    for _ in range(20):
        talking.say(session_id, "A short message, as people write them.")
    talking.clock.advance(minutes=1)
    with meter.running() as bill:
        assert len(talking.export(session_id).json["messages"]) == 20
    assert bill.operations == ["GetItem", "Query"]
    assert bill.table_units <= 3


def metadata_of(size: int) -> dict[str, str]:
    return {"k": "x" * (size - len('{"k":""}'))}
