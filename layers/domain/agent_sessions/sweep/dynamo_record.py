"""The sweep's own record in the sessions table: claims, the state of each shard, and the last gauge."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from agent_sessions.aws_clients.failures import FailedCondition, translated
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sessions.dynamo_item import Item, number
from agent_sessions.sweep.health import EventLag, Gauge, ShardSweep, SweepRecord

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

RECORD: Final = "sweep"
"""Key of the record. No session id can look like it."""
_CLAIMED_UNTIL: Final = "claimedUntil"
_CLAIMED_BY: Final = "claimedBy"
_SWEPT_AT: Final = "sweptAt"
_LAG: Final = "lag"
_PASSED_OVER: Final = "passedOver"
_EVENT_LAG: Final = "eventLag"
_EVENT_LAG_AT: Final = "eventLagAt"
_LAG_STANDS_MS: Final = 60_000
_SHARDS: Final = 32
"""Shards there may be (`settings`)."""
_UNREADABLE: Final = (KeyError, TypeError, ValueError)
_FARTHEST_CLAIM_MS: Final = 120_000
"""A claim that ends later was not written by a run: none lasts longer than the function's own timeout."""


class DynamoSweepRecord:
    """Reads and writes the sweep's record. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Use `client` on `table`, the sessions table."""
        self._client = client
        self._table = table

    def sweep_record(self) -> SweepRecord:
        """Read the sweep's record: half a read unit up to 4 KB."""
        try:
            with translated():
                answer = self._client.get_item(TableName=self._table, Key=items.session_key(RECORD))
        except Exception as error:  # whatever the reason, the table cannot be read: that is what health asks
            raise ServiceUnavailable from error
        item = dict(answer.get("Item", {}))
        found = {shard: _shard_sweep(item, shard) for shard in range(_SHARDS)}
        return SweepRecord(
            {shard: sweep for shard, sweep in found.items() if sweep is not None}, _gauge(item), _event_lag(item)
        )

    def claim(self, shards: Sequence[int], run_id: str, now_ms: int, until_ms: int) -> bool:
        """Claim all of `shards` until `until_ms`, or none: one conditional write. False while a claim on any holds.

        A claim of the same run is no obstacle: a run renews its claim, and the SDK repeats a call whose answer was
        lost. A claim holds while its end lies between now and two minutes from now. BETWEEN is false, so that the shard
        is free, for an end that is missing, past, no number, or further away than any run claims.
        """
        free = " AND ".join(
            f"(NOT {_CLAIMED_UNTIL}{shard} BETWEEN :now AND :farthest OR {_CLAIMED_BY}{shard} = :run)"
            for shard in shards
        )
        changes = ", ".join(f"{_CLAIMED_UNTIL}{shard} = :until, {_CLAIMED_BY}{shard} = :run" for shard in shards)
        values = {
            ":now": number(now_ms),
            ":farthest": number(now_ms + _FARTHEST_CLAIM_MS),
            ":until": number(until_ms),
            ":run": {"S": run_id},
        }
        return self._write_if(free, f"SET {changes}", values)

    def release(self, shards: Sequence[int], run_id: str, swept: Mapping[int, ShardSweep]) -> bool:
        """Give up the claim of `run_id` and record how the `swept` shards fared; False if the claim was lost."""
        values: dict[str, Any] = {":run": {"S": run_id}}
        changes = []
        for shard, sweep in swept.items():
            changes.append(
                f"{_SWEPT_AT}{shard} = :at{shard}, {_LAG}{shard} = :lag{shard}, {_PASSED_OVER}{shard} = :over{shard}"
            )
            values[f":at{shard}"] = number(sweep.swept_at_ms)
            values[f":over{shard}"] = number(sweep.passed_over)
            values[f":lag{shard}"] = {"N": str(round(sweep.lag_seconds, 3))}
        ours = " AND ".join(f"{_CLAIMED_BY}{shard} = :run" for shard in shards)
        removed = ", ".join(f"{_CLAIMED_UNTIL}{shard}, {_CLAIMED_BY}{shard}" for shard in shards)
        update = ("SET " + ", ".join(changes) + " " if changes else "") + f"REMOVE {removed}"
        return self._write_if(ours, update, values)

    def write_gauge(self, gauge: Gauge) -> None:
        """Keep a new count."""
        self._write(
            "SET activeSessions = :active, expiringSoon = :soon, gaugeAt = :at",
            {
                ":active": number(gauge.active_sessions),
                ":soon": number(gauge.expiring_soon),
                ":at": number(gauge.taken_at_ms),
            },
        )

    def report_event_lag(self, lag_seconds: float, now_ms: int) -> None:
        """Keep how late events are, unless a larger lag was reported in the last minute.

        Several publishers report, each for its part of the stream. What is kept is the largest lag of a minute.
        """
        self._write_if(
            f"NOT {_EVENT_LAG_AT} BETWEEN :before AND :now OR {_EVENT_LAG} <= :lag",
            f"SET {_EVENT_LAG} = :lag, {_EVENT_LAG_AT} = :now",
            {
                ":lag": {"N": str(round(lag_seconds, 3))},
                ":now": number(now_ms),
                ":before": number(now_ms - _LAG_STANDS_MS),
            },
        )

    def _write_if(self, condition: str, update: str, values: Item) -> bool:
        try:
            self._write(update, values, condition)
        except FailedCondition:
            return False
        return True

    def _write(self, update: str, values: Item, condition: str | None = None) -> None:
        options = {} if condition is None else {"ConditionExpression": condition}
        with translated():
            self._client.update_item(
                TableName=self._table,
                Key=items.session_key(RECORD),
                UpdateExpression=update,
                ExpressionAttributeValues=values,
                **options,  # type: ignore[arg-type]
            )


def _shard_sweep(item: Item, shard: int) -> ShardSweep | None:
    """Return what the record holds of a shard; None where it has nothing of it, or nothing that can be read."""
    try:
        lag_seconds = float(item[f"{_LAG}{shard}"]["N"])
        passed_over = int(item.get(f"{_PASSED_OVER}{shard}", {"N": "0"})["N"])
        return ShardSweep(items.moment(item, f"{_SWEPT_AT}{shard}"), lag_seconds, passed_over)
    except _UNREADABLE:
        return None


def _gauge(item: Item) -> Gauge | None:
    try:
        return Gauge(
            active_sessions=int(item["activeSessions"]["N"]),
            expiring_soon=int(item["expiringSoon"]["N"]),
            taken_at_ms=items.moment(item, "gaugeAt"),
        )
    except _UNREADABLE:
        return None


def _event_lag(item: Item) -> EventLag | None:
    try:
        return EventLag(float(item[_EVENT_LAG]["N"]), items.moment(item, _EVENT_LAG_AT))
    except _UNREADABLE:
        return None
