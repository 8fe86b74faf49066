"""AWS inside the process: no call leaves it, the subscriber gets every event, and tables are made once."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from local.aws import EmbeddedAws, NotEmbeddedError
from local.events import EventInbox, FilterPolicyError
from local.store import LocalStore, OtherSchemaError
from template_reader import Template
from tests.engines.fake_dynamo import FakeDynamo


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


def test_a_filter_policy_that_sns_refuses_is_refused_in_its_words(aws: EmbeddedAws, topic: str) -> None:
    inbox = EventInbox(aws.sns(), aws.sqs(), topic)
    with pytest.raises(FilterPolicyError, match="type"):
        inbox.filter({"type": "no list"})
    assert inbox.filter_policy is None


# --- the tables


def test_tables_are_made_once_and_found_again() -> None:
    client = FakeDynamo().as_client()
    store = LocalStore(client, {"SessionsTable": "s", "ApiKeysTable": "k"}, due_shards=1)
    store.create_missing(Template())
    client.put_item(TableName="s", Item={"sessionId": {"S": "a"}})
    store.create_missing(Template())
    assert sorted(client.list_tables()["TableNames"]) == ["k", "s"]
    assert client.scan(TableName="s")["Count"] == 1


def test_a_kept_table_of_another_shape_is_refused() -> None:
    client = FakeDynamo().as_client()
    client.create_table(
        TableName="s",
        KeySchema=[{"AttributeName": "sessionId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "sessionId", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    with pytest.raises(OtherSchemaError, match="kept table s"):
        LocalStore(client, {"SessionsTable": "s"}, due_shards=1).create_missing(Template())
