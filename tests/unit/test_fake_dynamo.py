"""What the fake DynamoDB has and DynamoDB Local lacks: a lag of its indexes, faults on request, a clock that is moved.

tests/integration/test_engines_agree.py and test_composite_keys_agree.py hold all else to DynamoDB Local.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.engines import faults
from tests.engines.fake_dynamo import FakeDynamo
from tests.engines.tables import create_sessions_table

TABLE = "sessions"


class HandClock:
    """Moves when it is told to, and when somebody sleeps."""

    def __init__(self) -> None:
        self.at_ms = 1_000_000

    def now_ms(self) -> int:
        return self.at_ms

    def sleep(self, seconds: float) -> None:
        self.at_ms += round(seconds * 1000)


def key(session_id: str) -> dict[str, Any]:
    return {"sessionId": {"S": session_id}}


def session(session_id: str, due_at: int = 5, **more: Any) -> dict[str, Any]:
    return {**key(session_id), "dueShard": {"N": "1"}, "dueAt": {"N": str(due_at)}, "lease": {"N": "1"}, **more}


def due(client: Any, until: int = 100, **more: Any) -> list[str]:
    """Who is due by the index, in its order."""
    answer = client.query(
        TableName=TABLE,
        IndexName="due",
        KeyConditionExpression="dueShard = :one AND dueAt <= :until",
        ExpressionAttributeValues={":one": {"N": "1"}, ":until": {"N": str(until)}},
        **more,
    )
    return [item["sessionId"]["S"] for item in answer["Items"]]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def fake(clock: HandClock) -> FakeDynamo:
    fake = FakeDynamo(clock)
    create_sessions_table(fake.as_client(), TABLE)
    return fake


# --- strictness -------------------------------------------------------------------------------------------------------


def test_an_index_key_of_the_wrong_type_is_refused_and_changes_nothing(fake: FakeDynamo) -> None:
    """As DynamoDB does; DynamoDB Local lets it pass."""
    fake.put_item(TableName=TABLE, Item=session("a"))
    with pytest.raises(ClientError, match="ValidationException"):
        fake.update_item(
            TableName=TABLE,
            Key=key("a"),
            UpdateExpression="SET dueAt = :v",
            ExpressionAttributeValues={":v": {"S": "x"}},
        )
    assert fake.peek(TABLE, "a") == session("a")


def test_nobody_can_change_what_lies_in_the_table_from_outside(fake: FakeDynamo) -> None:
    item = session("a", map={"M": {"x": {"N": "1"}}})
    fake.put_item(TableName=TABLE, Item=item)
    item["lease"]["N"] = "99"
    answer = fake.get_item(TableName=TABLE, Key=key("a"))["Item"]
    answer["lease"]["N"] = "99"
    answer["map"]["M"]["x"] = {"N": "99"}
    assert fake.peek(TABLE, "a") == session("a", map={"M": {"x": {"N": "1"}}})


# --- the index's lag --------------------------------------------------------------------------------------------------


def test_an_index_shows_a_change_once_it_is_older_than_the_lag(clock: HandClock) -> None:
    fake = FakeDynamo(clock, index_lag_ms=1000)
    create_sessions_table(fake.as_client(), TABLE)
    fake.put_item(TableName=TABLE, Item=session("a"))
    clock.at_ms += 999
    assert due(fake) == []
    clock.at_ms += 1
    assert due(fake) == ["a"]
    fake.update_item(TableName=TABLE, Key=key("a"), UpdateExpression="REMOVE dueShard")
    assert due(fake) == ["a"]
    clock.at_ms += 1000
    assert due(fake) == []


def test_the_changes_of_one_item_reach_an_index_in_their_order(clock: HandClock) -> None:
    lags = iter((5000, 0, 0))
    fake = FakeDynamo(clock, index_lag_ms=lambda: next(lags))
    create_sessions_table(fake.as_client(), TABLE)
    fake.put_item(TableName=TABLE, Item=session("slow", 5))
    fake.put_item(TableName=TABLE, Item=session("quick", 6))
    fake.update_item(
        TableName=TABLE,
        Key=key("slow"),
        UpdateExpression="SET dueAt = :later",
        ExpressionAttributeValues={":later": {"N": "7"}},
    )
    assert due(fake) == ["quick"]
    clock.at_ms += 5000
    assert due(fake) == ["quick", "slow"]


# --- sort keys, batches of writes and streams: the rest in tests/integration/test_composite_keys_agree.py

NOTES = "notes"


def note(life: str, seq: int, **more: Any) -> dict[str, Any]:
    return {"life": {"S": life}, "seq": {"N": str(seq)}, **more}


@pytest.fixture
def notes(clock: HandClock) -> FakeDynamo:
    fake = FakeDynamo(clock)
    fake.create_table(
        TableName=NOTES,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[{"AttributeName": "life", "KeyType": "HASH"}, {"AttributeName": "seq", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "life", "AttributeType": "S"},
            {"AttributeName": "seq", "AttributeType": "N"},
        ],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )
    return fake


def sequence_of(fake: FakeDynamo, life: str, **more: Any) -> list[int]:
    answer = fake.query(
        TableName=NOTES,
        KeyConditionExpression="life = :life",
        ExpressionAttributeValues={":life": {"S": life}},
        **more,
    )
    return [int(item["seq"]["N"]) for item in answer["Items"]]


def test_writes_that_a_batch_leaves_undone_come_back(notes: FakeDynamo) -> None:
    notes.put_item(TableName=NOTES, Item=note("a", 3))
    notes.add_hook(faults.unprocessed_items(times=2))
    asked: list[Any] = [
        {"DeleteRequest": {"Key": note("a", 3)}},
        {"PutRequest": {"Item": note("a", 10)}},
        {"PutRequest": {"Item": note("a", 9)}},
    ]
    answer = notes.batch_write_item(RequestItems={NOTES: asked})
    assert answer["UnprocessedItems"] == {NOTES: asked[:2]}
    assert sequence_of(notes, "a") == [3, 9]
    assert notes.batch_write_item(RequestItems=answer["UnprocessedItems"])["UnprocessedItems"] == {}
    assert sequence_of(notes, "a", ScanIndexForward=False) == [10, 9]


def test_a_stream_keeps_a_day(notes: FakeDynamo, clock: HandClock) -> None:
    notes.put_item(TableName=NOTES, Item=note("a", 1))
    clock.at_ms += 24 * 60 * 60 * 1000 - 1
    notes.put_item(TableName=NOTES, Item=note("a", 2))
    first, second = notes.stream_records(NOTES)
    clock.at_ms += 1
    notes.put_item(TableName=NOTES, Item=note("a", 3))
    kept = notes.stream_records(NOTES, first["dynamodb"]["SequenceNumber"])
    assert kept == notes.stream_records(NOTES)
    assert [record["dynamodb"]["Keys"]["seq"]["N"] for record in kept] == ["2", "3"]
    assert kept[0] == second


def test_sixteen_threads_that_count_up_leave_no_gap_and_lose_no_update(notes: FakeDynamo) -> None:
    def append(number: int) -> None:
        counter = notes.update_item(
            TableName=NOTES,
            Key=note("counter", 0),
            UpdateExpression="SET lastSeq = if_not_exists(lastSeq, :zero) + :one",
            ExpressionAttributeValues={":zero": {"N": "0"}, ":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )["Attributes"]["lastSeq"]
        notes.put_item(
            TableName=NOTES,
            Item={"life": {"S": "a"}, "seq": counter, "by": {"N": str(number)}},
            ConditionExpression="attribute_not_exists(seq)",
        )

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(append, range(1600)))
    assert sequence_of(notes, "a") == list(range(1, 1601))
    numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in notes.stream_records(NOTES)]
    assert len(numbers) == 3200
    assert numbers == sorted(set(numbers))
