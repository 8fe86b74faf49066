"""AWS inside the process: nothing leaves it, threads do no harm, and what was made faster answers as moto does."""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ParamValidationError
from moto import mock_aws

from local.aws import REGION, EmbeddedAws, NotEmbeddedError, forget_real_accounts
from local.events import EventInbox, FilterPolicyError
from local.store import LocalStore, OtherSchemaError
from template_reader import Template
from tests.engines.tables import create_sessions_table

THREADS = 4


@pytest.fixture
def aws() -> Iterator[EmbeddedAws]:
    with EmbeddedAws() as embedded:
        yield embedded


@pytest.fixture
def topic(aws: EmbeddedAws) -> str:
    return aws.sns().create_topic(Name="events")["TopicArn"]


def entry(number: int, kind: str = "a") -> Any:
    attributes = {"type": {"DataType": "String", "StringValue": kind}}
    return {"Id": str(number), "Message": json.dumps({"number": number}), "MessageAttributes": attributes}


def test_a_call_to_anything_else_is_not_sent(aws: EmbeddedAws) -> None:
    client = aws._boto3.client("dynamodb", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(NotEmbeddedError):
        client.list_tables()


def test_parameters_are_checked_against_the_service_model(aws: EmbeddedAws) -> None:
    with pytest.raises(ParamValidationError):
        aws.dynamodb().get_item(TableName="t", Key={"a": "no type"})


def test_profiles_and_keys_of_real_accounts_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, "real")
    try:
        forget_real_accounts()
        after = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    finally:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            del os.environ[name]
        os.environ.update(before)
    assert "real" not in after.values()
    assert after["AWS_ACCESS_KEY_ID"] == "local"
    assert after["AWS_CONFIG_FILE"] == os.devnull


def test_threads_lose_no_conditional_update(aws: EmbeddedAws) -> None:
    client = aws.dynamodb()
    table = create_sessions_table(client)
    key = {"sessionId": {"S": "counter"}}
    client.put_item(TableName=table, Item=key | {"count": {"N": "0"}})

    def count(times: int) -> None:
        while times:
            found = client.get_item(TableName=table, Key=key)["Item"]["count"]["N"]
            with contextlib.suppress(ClientError):
                client.update_item(
                    TableName=table,
                    Key=key,
                    UpdateExpression="SET #c = :new",
                    ConditionExpression="#c = :old",
                    ExpressionAttributeNames={"#c": "count"},
                    ExpressionAttributeValues={":new": {"N": str(int(found) + 1)}, ":old": {"N": found}},
                )
                times -= 1

    threads = [threading.Thread(target=count, args=(5,)) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get_item(TableName=table, Key=key)["Item"]["count"]["N"] == str(5 * THREADS)


# --- faster than moto, and alike

ITEM: dict[str, Any] = {
    "sessionId": {"S": "ü"},
    "n": {"N": "1.5"},
    "b": {"B": b"\x00\xff"},
    "f": {"BOOL": False},
    "z": {"NULL": True},
    "l": {"L": [{"S": "x"}, {"B": b"1"}]},
    "m": {"M": {"k": {"N": "7"}}},
    "ns": {"NS": ["1", "2"]},
    "dueShard": {"N": "0"},
    "dueAt": {"N": "5"},
}


def answers(client: Any) -> list[Any]:
    """What every operation that was made faster answers, and how it refuses."""
    table = create_sessions_table(client)
    key = {"sessionId": ITEM["sessionId"]}
    said: list[Any] = [
        client.put_item(TableName=table, Item=ITEM),
        client.put_item(TableName=table, Item=ITEM | {"n": {"N": "2"}}, ReturnValues="ALL_OLD"),
        client.get_item(TableName=table, Key=key),
        client.get_item(TableName=table, Key={"sessionId": {"S": "nobody"}}),
        client.batch_get_item(RequestItems={table: {"Keys": [key, {"sessionId": {"S": "nobody"}}]}}),
        client.scan(TableName=table),
        client.query(
            TableName=table,
            IndexName="due",
            KeyConditionExpression="dueShard = :s",
            ExpressionAttributeValues={":s": {"N": "0"}},
        ),
        client.query(
            TableName=table,
            KeyConditionExpression="sessionId = :s",
            ExpressionAttributeValues={":s": key["sessionId"]},
            Select="COUNT",
        ),
        client.update_item(
            TableName=table,
            Key=key,
            UpdateExpression="SET dueAt = :n REMOVE f",
            ExpressionAttributeValues={":n": {"N": "9"}},
            ReturnValues="ALL_NEW",
        ),
        client.delete_item(TableName=table, Key=key, ReturnValues="ALL_OLD"),
    ]
    client.put_item(TableName=table, Item=ITEM)
    refusals: tuple[Callable[[], Any], ...] = (
        lambda: client.put_item(
            TableName=table,
            Item=ITEM,
            ConditionExpression="attribute_not_exists(sessionId)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        ),
        lambda: client.get_item(TableName="nowhere", Key=key),
        lambda: client.update_item(TableName=table, Key=key, UpdateExpression="SOMETHING else"),
    )
    for refused in refusals:
        with pytest.raises(ClientError) as failure:
            refused()
        said.append(failure.value.response)
    for answer in said:
        answer.pop("ResponseMetadata")
    return said


def test_operations_answer_as_moto_does(aws: EmbeddedAws) -> None:
    mine = answers(aws.dynamodb())
    aws.stop()
    with mock_aws():
        theirs = answers(boto3.client("dynamodb", region_name=REGION))
    assert mine == theirs


def statement(text: str, *parameters: Any) -> Any:
    return {"Statement": text} | ({"Parameters": list(parameters)} if parameters else {})


def test_the_sweeps_statements_change_what_they_name_and_say_when_their_condition_failed(aws: EmbeddedAws) -> None:
    client = aws.dynamodb()
    table = create_sessions_table(client)
    client.put_item(TableName=table, Item=ITEM)
    update = f'UPDATE "{table}" SET dueAt = ? WHERE sessionId = ? AND n = ?'  # noqa: S608 - PartiQL of a test
    remove = f'UPDATE "{table}" REMOVE dueShard WHERE sessionId = ? AND n = ? AND dueAt = ?'
    key = ITEM["sessionId"]
    answer = client.batch_execute_statement(
        Statements=[
            statement(update, {"N": "8"}, key, {"N": "1.5"}),
            statement(update, {"N": "9"}, key, {"N": "99"}),
            statement(update, {"N": "9"}, {"S": "nobody"}, {"N": "1.5"}),
            statement(remove, key, {"N": "1.5"}, {"N": "8"}),
            statement(remove.replace(table, "nowhere"), key, {"N": "1.5"}, {"N": "8"}),
        ]
    )
    assert [entry.get("Error", {}).get("Code") for entry in answer["Responses"]] == [
        None,
        "ConditionalCheckFailed",
        "ConditionalCheckFailed",
        None,
        "ResourceNotFound",
    ]
    item = client.get_item(TableName=table, Key={"sessionId": key})["Item"]
    assert item["dueAt"] == {"N": "8"}
    assert "dueShard" not in item
    assert "Item" not in client.get_item(TableName=table, Key={"sessionId": {"S": "nobody"}})


def test_other_statements_are_left_to_moto(aws: EmbeddedAws) -> None:
    client = aws.dynamodb()
    create_sessions_table(client)
    insert = statement("""INSERT INTO "sessions" VALUE {'sessionId': 'a'}""")
    client.batch_execute_statement(Statements=[insert])
    assert "Item" in client.get_item(TableName="sessions", Key={"sessionId": {"S": "a"}})


# --- the subscriber


def test_events_come_as_they_are_published_in_order_however_many(aws: EmbeddedAws, topic: str) -> None:
    sns = aws.sns()
    seen: list[Any] = []
    inbox = EventInbox(sns, aws.sqs(), topic, seen.append)
    for start in (0, 10):
        sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[entry(start + number) for number in range(10)])
    assert [event["number"] for event in inbox.events()] == list(range(20))
    assert seen == inbox.events()
    assert [event["number"] for event in inbox.events(18)] == [18, 19]
    assert len(inbox) == 20


def test_a_filter_policy_lets_through_what_matches(aws: EmbeddedAws, topic: str) -> None:
    sns = aws.sns()
    inbox = EventInbox(sns, aws.sqs(), topic)
    inbox.filter({"type": ["b"]})
    assert inbox.filter_policy == {"type": ["b"]}
    sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[entry(1), entry(2, "b")])
    assert [event["number"] for event in inbox.events()] == [2]
    inbox.filter(None)
    sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[entry(3)])
    assert [event["number"] for event in inbox.events()] == [2, 3]
    assert inbox.filter_policy is None


def test_a_filter_policy_that_sns_refuses_is_refused_in_its_words(aws: EmbeddedAws, topic: str) -> None:
    inbox = EventInbox(aws.sns(), aws.sqs(), topic)
    with pytest.raises(FilterPolicyError, match="type"):
        inbox.filter({"type": "no list"})
    assert inbox.filter_policy is None


# --- the tables


def test_tables_are_made_once_and_found_again(aws: EmbeddedAws) -> None:
    client = aws.dynamodb()
    store = LocalStore(client, {"SessionsTable": "s", "ApiKeysTable": "k"}, due_shards=1)
    store.create_missing(Template())
    client.put_item(TableName="s", Item={"sessionId": {"S": "a"}})
    store.create_missing(Template())
    assert sorted(client.list_tables()["TableNames"]) == ["k", "s"]
    assert client.scan(TableName="s")["Count"] == 1


def test_a_kept_table_of_another_shape_is_refused(aws: EmbeddedAws) -> None:
    client = aws.dynamodb()
    client.create_table(
        TableName="s",
        KeySchema=[{"AttributeName": "sessionId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "sessionId", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(OtherSchemaError, match="kept table s"):
        LocalStore(client, {"SessionsTable": "s"}, due_shards=1).create_missing(Template())


def test_the_next_due_moment_is_the_earliest_of_all_shards(aws: EmbeddedAws) -> None:
    client = aws.dynamodb()
    store = LocalStore(client, {"SessionsTable": create_sessions_table(client)}, due_shards=2)
    assert store.next_due_ms() is None
    for number, (shard, due) in enumerate([(0, 300), (1, 200), (1, 400)]):
        item = {"sessionId": {"S": str(number)}, "dueShard": {"N": str(shard)}, "dueAt": {"N": str(due)}}
        client.put_item(TableName="sessions", Item=item)
    assert store.next_due_ms() == 200
    assert store.next_due_ms(200) == 300
    assert store.next_due_ms(400) is None
