"""The sweep's view of the sessions table: what is due, shard by shard, and marks as batches of conditions."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from agent_sessions.aws_clients.failures import translated
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.dynamo_store import read_many
from agent_sessions.sessions.service import ReadMany
from agent_sessions.sweep.ports import DueEntry, DuePage, Mark, MarkKind, MarkOutcome, PageKey, PassedOver

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

# Of one lease of one creation: an idempotency key may have brought a deleted session's id back meanwhile.
_SAME_LEASE: Final = f"{items.SESSION_ID} = ? AND lease = ? AND createdAt = ?"
_SAME_APPOINTMENT: Final = f"{_SAME_LEASE} AND {items.DUE_AT} = ?"

_BUSY_STATEMENT: Final = frozenset(
    {
        "InternalServerError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "ThrottlingError",
        "TransactionConflict",
    }
)
"""Codes of a statement to send again (the service model's `BatchStatementErrorCodeEnum`; a call's codes differ)."""


class DynamoDueStore:
    """`DueStore` on the sessions table. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Use `client` on `table`."""
        self._client = client
        self._table = table

    def due(self, shard: int, until_ms: int, after: PageKey | None, limit: int) -> DuePage:
        """Read up to `limit` entries of a shard that are due by `until_ms`, oldest first, from behind `after`."""
        query = self._query(shard, until_ms) | {"Limit": limit}
        if after is not None:
            query["ExclusiveStartKey"] = after
        with translated():
            answer = self._client.query(**query)
        entries: list[DueEntry] = []
        damaged: list[PassedOver] = []
        for item in answer["Items"]:
            session_id = str(item[items.SESSION_ID]["S"])
            try:
                entries.append(DueEntry(session_id, items.moment(item, items.DUE_AT)))
            except (KeyError, TypeError, ValueError) as error:
                damaged.append(PassedOver(session_id, "entry of the due index cannot be read", str(error)))
        return DuePage(entries, damaged, answer.get("LastEvaluatedKey"))

    def count(
        self, shard: int, until_ms: int | None, after: PageKey | None = None, max_calls: int | None = None
    ) -> int:
        """Count a shard's entries behind `after`, all of them or those due by `until_ms`.

        Reads keys only, 1 MB a call; with `max_calls` the count is what so many calls could see.
        """
        query = self._query(shard, until_ms) | {"Select": "COUNT"}
        if after is not None:
            query["ExclusiveStartKey"] = after
        total = 0
        calls = 0
        while calls != max_calls:
            with translated():
                answer = self._client.query(**query)
            calls += 1
            total += answer["Count"]
            if "LastEvaluatedKey" not in answer:
                break
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
        return total

    def read_many(self, session_ids: Iterable[str]) -> ReadMany:
        """Read up to 100 sessions, consistently; what does not exist is left out."""
        return read_many(self._client, self._table, session_ids)

    def mark(self, marks: Sequence[Mark]) -> list[MarkOutcome]:
        """Carry out up to 25 marks, each with a condition and an outcome of its own; no session twice."""
        with translated():
            answer = self._client.batch_execute_statement(Statements=[self._statement(mark) for mark in marks])
        return [_outcome(response.get("Error")) for response in answer["Responses"]]

    def _query(self, shard: int, until_ms: int | None) -> dict[str, Any]:
        condition = f"{items.DUE_SHARD} = :shard"
        values = {":shard": {"N": str(shard)}}
        if until_ms is not None:
            condition += f" AND {items.DUE_AT} <= :until"
            values[":until"] = {"N": str(until_ms)}
        return {
            "TableName": self._table,
            "IndexName": items.DUE_INDEX,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
        }

    def _statement(self, mark: Mark) -> Any:  # noqa: ANN401 - botocore's shape of a PartiQL statement
        """Write one mark: one SET or one REMOVE of one attribute is what every engine of PartiQL accepts."""
        session = mark.session
        same_lease = [
            {"S": session.session_id},
            {"N": str(session.lease)},
            {"N": str(session.created_at_ms)},
        ]
        change, where, parameters = f"REMOVE {items.DUE_SHARD}", _SAME_LEASE, same_lease
        if mark.kind is MarkKind.CLOSED:
            change, parameters = f"SET {items.LISTED_AT} = ?", [{"N": str(-session.created_at_ms)}, *same_lease]
        elif mark.kind is MarkKind.WARNED:
            change, parameters = f"SET {items.DUE_AT} = ?", [{"N": str(session.expires_at_ms)}, *same_lease]
        elif mark.kind is MarkKind.REARMED:
            change, where = f"SET {items.DUE_AT} = ?", _SAME_APPOINTMENT
            parameters = [{"N": str(session.warning_at_ms)}, *same_lease, {"N": str(session.due_at_ms)}]
        return {"Statement": f'UPDATE "{self._table}" {change} WHERE {where}', "Parameters": parameters}


def _outcome(error: Any) -> MarkOutcome:  # noqa: ANN401 - botocore's BatchStatementError, where there is one
    if not error:
        return MarkOutcome.DONE
    code = error.get("Code", "")
    if code == "ConditionalCheckFailed":
        return MarkOutcome.REFUSED
    return MarkOutcome.BUSY if code in _BUSY_STATEMENT else MarkOutcome.FAILED
