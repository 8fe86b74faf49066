"""A consumer to start from: a queue of session events, acted on without repeats and without what is out of date.

Put what your product does into `act`. What has been seen is kept in a table with one small item a session, so that any
number of consumers share it.
"""
# ruff: noqa: INP001 - a function's folder is a deployment unit, not a package

import json
import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

Event = Mapping[str, Any]

EXPIRING: Final = "agent-sessions.session.expiring"
EXPIRED: Final = "agent-sessions.session.expired"
KEEP_SECONDS: Final = 30 * 24 * 3600
"""How long a session is remembered after an event: longer than queue and dead-letter queue together keep a message."""


class Fact(NamedTuple):
    """What an event tells, so that two events of one session compare: within a lease the expiry comes last."""

    lease: int
    rank: int


def fact_of(event: Event) -> Fact:
    """Return what the event tells."""
    return Fact(event["data"]["lease"], {EXPIRING: 1, EXPIRED: 2}[event["type"]])


def session_of(event: Event) -> str:
    """Return the session's name in the table: id and creation, as an idempotency key can bring an id back."""
    session_and_creation: str = event["id"].rsplit(":", 2)[0]
    return f"{event['source']}#{session_and_creation}"


class Seen:
    """The latest fact acted on, by session."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Use `client` on `table`, whose key is `session`."""
        self._client = client
        self._table = table

    def latest(self, event: Event) -> Fact:
        """Read the latest fact of the event's session."""
        key = {"session": {"S": session_of(event)}}
        item = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return Fact(int(item["lease"]["N"]), int(item["seenRank"]["N"])) if item else Fact(0, 0)

    def remember(self, event: Event, now_seconds: int) -> None:
        """Keep the event's fact, unless another consumer has kept a later one meanwhile."""
        fact = fact_of(event)
        later = "lease < :lease OR (lease = :lease AND seenRank < :rank)"
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"session": {"S": session_of(event)}},
                UpdateExpression="SET lease = :lease, seenRank = :rank, forgetAt = :forget",
                ConditionExpression=f"attribute_not_exists(lease) OR {later}",
                ExpressionAttributeValues={
                    ":lease": {"N": str(fact.lease)},
                    ":rank": {"N": str(fact.rank)},
                    ":forget": {"N": str(now_seconds + KEEP_SECONDS)},
                },
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise


def consume(batch: Event, seen: Seen, act: Callable[[Event], None]) -> dict[str, Any]:
    """Act on what is new in a batch of SQS; name the messages that failed, which then come back on their own.

    Acting comes before remembering. A crash in between repeats the act, and loses none.
    """
    failures = []
    for record in batch["Records"]:
        try:
            event = json.loads(record["body"])
            if fact_of(event) > seen.latest(event):
                act(event)
                seen.remember(event, int(record["attributes"]["SentTimestamp"]) // 1000)
        except Exception as failure:  # noqa: BLE001 - one bad message must not take the others back into the queue
            print(json.dumps({"message": "not consumed", "messageId": record["messageId"], "why": repr(failure)}))  # noqa: T201
            failures.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failures}


def act(event: Event) -> None:
    """Do what your product does: show a banner, save a draft, close the conversation."""
    data = event["data"]
    what = "can be renewed" if event["type"] == EXPIRING and data["renewable"] else "ends"
    print(json.dumps({"message": event["type"], "sessionId": data["sessionId"], "at": data["expiresAt"], "it": what}))  # noqa: T201


@cache
def _seen() -> Seen:
    return Seen(boto3.client("dynamodb"), os.environ["SEEN_TABLE"])


def handler(batch: dict[str, Any], _context: object) -> dict[str, Any]:
    """Consume a batch of SQS."""
    return consume(batch, _seen(), act)
