"""The sweep's own record in the sessions table: claims, the state of each shard, and the last gauge."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from agent_sessions.aws_clients.failures import is_failed_condition, translated
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.sessions import dynamo_item as items
from agent_sessions.sweep.health import Gauge, ShardSweep, SweepRecord

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

RECORD: Final = "sweep"
"""Key of the record. No session id can look like it."""
_CLAIMED_UNTIL: Final = "claimedUntil"
_CLAIMED_BY: Final = "claimedBy"
_SWEPT_AT: Final = "sweptAt"
_LAG: Final = "lag"


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
        except ClientError as error:  # whatever the reason, the table cannot be read: that is what health asks
            raise ServiceUnavailable from error
        item: Mapping[str, Any] = answer.get("Item", {})
        shards = {
            int(name.removeprefix(_SWEPT_AT)): ShardSweep(
                swept_at_ms=int(value["N"]),
                lag_seconds=float(item[f"{_LAG}{name.removeprefix(_SWEPT_AT)}"]["N"]),
            )
            for name, value in item.items()
            if name.startswith(_SWEPT_AT)
        }
        if "gaugeAt" not in item:
            return SweepRecord(shards)
        gauge = Gauge(
            active_sessions=int(item["activeSessions"]["N"]),
            expiring_soon=int(item["expiringSoon"]["N"]),
            taken_at_ms=int(item["gaugeAt"]["N"]),
        )
        return SweepRecord(shards, gauge)

    def claim(self, shards: Sequence[int], run_id: str, now_ms: int, until_ms: int) -> bool:
        """Claim all of `shards` until `until_ms`, or none: one conditional write. False while a claim on any holds.

        A claim of the same run is no obstacle: the SDK repeats a call whose answer was lost.
        """
        free = " AND ".join(
            f"(attribute_not_exists({_CLAIMED_UNTIL}{shard}) OR {_CLAIMED_UNTIL}{shard} < :now"
            f" OR {_CLAIMED_BY}{shard} = :run)"
            for shard in shards
        )
        changes = ", ".join(f"{_CLAIMED_UNTIL}{shard} = :until, {_CLAIMED_BY}{shard} = :run" for shard in shards)
        values = {":now": {"N": str(now_ms)}, ":until": {"N": str(until_ms)}, ":run": {"S": run_id}}
        return self._write_if(free, f"SET {changes}", values)

    def release(self, shards: Sequence[int], run_id: str, swept: Mapping[int, ShardSweep]) -> bool:
        """Give up the claim of `run_id` and tell how the `swept` shards fared; False if the claim was lost."""
        values: dict[str, Any] = {":run": {"S": run_id}}
        changes = []
        for shard, sweep in swept.items():
            changes.append(f"{_SWEPT_AT}{shard} = :at{shard}, {_LAG}{shard} = :lag{shard}")
            values[f":at{shard}"] = {"N": str(sweep.swept_at_ms)}
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
                ":active": {"N": str(gauge.active_sessions)},
                ":soon": {"N": str(gauge.expiring_soon)},
                ":at": {"N": str(gauge.taken_at_ms)},
            },
        )

    def _write_if(self, condition: str, update: str, values: items.Item) -> bool:
        try:
            self._write(update, values, condition)
        except ClientError as error:
            if not is_failed_condition(error):
                raise
            return False
        return True

    def _write(self, update: str, values: items.Item, condition: str | None = None) -> None:
        options = {} if condition is None else {"ConditionExpression": condition}
        with translated():
            self._client.update_item(
                TableName=self._table,
                Key=items.session_key(RECORD),
                UpdateExpression=update,
                ExpressionAttributeValues=values,
                **options,  # type: ignore[arg-type]
            )
