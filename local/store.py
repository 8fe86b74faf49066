"""What the local stack itself asks of the sessions table: that it is there, what is due next, what the page shows."""

import heapq
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.dynamo_store import BATCH_GET_LIMIT, read_many
from agent_sessions.sessions.model import Session

from template_reader import Template, create_tables

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


_DUE_PAGE: Final = 25


class OtherSchemaError(Exception):
    """A kept table is not what the template says; the message says what to do."""


class LocalStore:
    """The tables of the template, through a client of any engine."""

    def __init__(self, client: "DynamoDBClient", names: dict[str, str], *, due_shards: int) -> None:
        """`names` maps logical ids to table names."""
        self._client = client
        self._names = names
        self._sessions = names["SessionsTable"]
        self._due_shards = due_shards

    def create_missing(self, template: Template) -> None:
        """Create the tables that are not there yet. TTL stays off: its clock is not ours.

        Raises:
            OtherSchemaError: one is there, with other keys or indexes.

        """
        there = set(self._client.list_tables()["TableNames"])
        for logical_id, name in self._names.items():
            if name not in there:
                create_tables(self._client, template.path, {logical_id: name})
                continue
            wanted = _schema(template.table(logical_id))
            if _schema(self._client.describe_table(TableName=name)["Table"]) != wanted:
                message = f"the kept table {name} has not the keys and indexes that {template.path.name} gives it"
                raise OtherSchemaError(message)

    def next_due_ms(self, after_ms: int | None = None) -> int | None:
        """The earliest moment in the due index, or the earliest after a moment; None where there is none."""
        condition = f"{items.DUE_SHARD} = :shard"
        values = {}
        if after_ms is not None:
            condition += f" AND {items.DUE_AT} > :after"
            values[":after"] = {"N": str(after_ms)}
        found = []
        for shard in range(self._due_shards):
            entries = self._client.query(
                TableName=self._sessions,
                IndexName=items.DUE_INDEX,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values | {":shard": {"N": str(shard)}},
                Limit=1,
            )["Items"]
            found += [int(entry[items.DUE_AT]["N"]) for entry in entries]
        return min(found, default=None)

    def due(self) -> Iterator[tuple[int, Session | None]]:
        """The entries of the due index, earliest first: each entry's moment and its session, None where it is gone."""
        shards = [self._due_in(shard) for shard in range(self._due_shards)]
        for due_at_ms, session_id in heapq.merge(*shards):
            yield due_at_ms, self.read([session_id]).get(session_id)

    def _due_in(self, shard: int) -> Iterator[tuple[int, str]]:
        start: Any = {}
        while True:
            page = self._client.query(
                TableName=self._sessions,
                IndexName=items.DUE_INDEX,
                KeyConditionExpression=f"{items.DUE_SHARD} = :shard",
                ExpressionAttributeValues={":shard": {"N": str(shard)}},
                Limit=_DUE_PAGE,
                **start,
            )
            for entry in page["Items"]:
                yield int(entry[items.DUE_AT]["N"]), entry[items.SESSION_ID]["S"]
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def read(self, session_ids: Iterable[str]) -> dict[str, Session]:
        """The sessions that there are of these ids."""
        wanted = list(session_ids)
        found: dict[str, Session] = {}
        while wanted:
            read = read_many(self._client, self._sessions, wanted[:BATCH_GET_LIMIT])
            found |= read.found
            wanted = read.unread + wanted[BATCH_GET_LIMIT:]
        return found

    def session_ids(self) -> list[str]:
        """The ids of all sessions in the table, oldest first."""
        pages = self._client.get_paginator("scan").paginate(
            TableName=self._sessions, ProjectionExpression=f"{items.SESSION_ID}, createdAt"
        )
        found = [item for page in pages for item in page["Items"] if "createdAt" in item]
        return [item[items.SESSION_ID]["S"] for item in sorted(found, key=lambda item: int(item["createdAt"]["N"]))]


def _schema(table: Any) -> Any:
    """The part of a table that code relies on, from the template or from the engine's description."""

    def keys(schema: Any) -> list[tuple[str, str]]:
        return [(key["AttributeName"], key["KeyType"]) for key in schema]

    def projected(projection: Any) -> tuple[str, tuple[str, ...]]:
        return projection["ProjectionType"], tuple(sorted(projection.get("NonKeyAttributes", ())))

    return (
        keys(table["KeySchema"]),
        {
            index["IndexName"]: (keys(index["KeySchema"]), projected(index["Projection"]))
            for index in table.get("GlobalSecondaryIndexes", ())
        },
    )
