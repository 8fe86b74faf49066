"""The events of messages from DynamoDB Local's own stream: what the engine in memory shows holds on Amazon's too."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import pytest

from functions.message_publisher import app as publisher
from local.dynamodb_local import DynamoDbLocal
from local.stream import DynamoDbLocalStream, StreamMapping
from template_reader import Template
from tests.engines import faults
from tests.engines.fixtures import Table
from tests.engines.tables import create_messages_table
from tests.integration.deployed import Deployed, messages_table

[MAPPED] = Template().streams("MessagePublisherFunction")
DEAD_LETTERS: Final = "https://sqs.eu-west-1.amazonaws.com/123456789012/dead"


class Publishing(Deployed):
    """A deployment whose messages' stream is DynamoDB Local's. The clock stands still, the stream's is the real one."""

    def __init__(self, table: Table, server: DynamoDbLocal) -> None:
        super().__init__(table, MESSAGE_EVENTS_DEAD_LETTERS_URL=DEAD_LETTERS)
        arn = table.client.describe_table(TableName=messages_table(table))["Table"]["LatestStreamArn"]
        stream = DynamoDbLocalStream(server.streams(), arn, lambda: 0)
        self.mapping = StreamMapping(MAPPED, stream, lambda event: publisher.handler(event, None))

    def first_published(self) -> dict[str, list[int]]:
        """Each session's numbers in the order in which they were published first."""
        found: dict[str, list[int]] = {}
        for published in self.sns.published:
            event = json.loads(published.message)
            numbers = found.setdefault(event["subject"], [])
            if event["data"]["message"]["sequence"] not in numbers:
                numbers.append(event["data"]["message"]["sequence"])
        return found


@pytest.fixture
def publishing(engine: Table, dynamo_local: DynamoDbLocal) -> Iterator[Publishing]:
    name = create_messages_table(engine.client, messages_table(engine))
    yield Publishing(engine, dynamo_local)
    engine.client.delete_table(TableName=name)


def test_a_publisher_that_dies_at_any_call_loses_no_event_and_no_poison_holds_it_up(publishing: Publishing) -> None:
    said: dict[str, list[int]] = {}
    table = messages_table(publishing.table)
    for nth, when in ((0, "before"), (0, "after"), (1, "before"), (1, "after"), (2, "after")):
        for _ in range(2):
            session_id = publishing.new()["sessionId"]
            for _ in range(3):
                assert publishing.say(session_id, headers={"idempotency-key": f"key-{nth}"}).status in {200, 201}
                assert publishing.say(session_id).status == 201
            said[session_id] = [1, 2, 3, 4]
            poison: Any = {"life": {"S": f"{session_id}#00"}, "seq": {"N": "1"}, "role": {"S": "user"}}
            publishing.table.client.put_item(TableName=table, Item=poison)
        kill = publishing.sns.add_hook(faults.Kill(nth, when))  # type: ignore[arg-type]
        with suppress(faults.Killed):
            publishing.mapping.deliver()
        assert kill.dead
        publishing.sns.remove_hook(kill)
        assert publishing.mapping.deliver()
    assert publishing.first_published() == said
    letters = [json.loads(body) for _, body in publishing.queue.waiting]
    assert {letter["key"]["seq"] for letter in letters} == {"1"}
    assert len({letter["key"]["life"] for letter in letters}) == 10
