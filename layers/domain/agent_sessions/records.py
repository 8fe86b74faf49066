"""The service's own records in the sessions table: the sweep's claims, state and gauge, and the secret of cursors."""

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from agent_sessions import items
from agent_sessions.aws import is_failed_condition, translated
from agent_sessions.health import Gauge, ShardSweep, SweepRecord

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_CLAIMED_UNTIL: Final = "claimedUntil"
_SWEPT_AT: Final = "sweptAt"
_LAG: Final = "lag"
_SECRET: Final = "secret"  # noqa: S105 - the name of an attribute
_SECRET_BYTES: Final = 32


class DynamoRecords:
    """Reads and writes the service's records. Raises `ServiceUnavailable` where DynamoDB does not answer."""

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        """Use `client` on `table`, the sessions table."""
        self._client = client
        self._table = table
        self._secret: bytes | None = None

    def sweep_record(self) -> SweepRecord:
        """Read the sweep's record: half a read unit up to 4 KB."""
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=items.session_key(items.SWEEP_RECORD))
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

    def claim(self, shards: Iterable[int], now_ms: int, until_ms: int) -> bool:
        """Claim all of `shards` until `until_ms`, or none: one conditional write. False while a claim on any holds."""
        names = [f"{_CLAIMED_UNTIL}{shard}" for shard in shards]
        free = " AND ".join(f"(attribute_not_exists({name}) OR {name} < :now)" for name in names)
        try:
            self._write(
                "SET " + ", ".join(f"{name} = :until" for name in names),
                {":now": {"N": str(now_ms)}, ":until": {"N": str(until_ms)}},
                free,
            )
        except ClientError as error:
            if not is_failed_condition(error):
                raise
            return False
        return True

    def release(self, shards: Iterable[int], until_ms: int, swept: Mapping[int, ShardSweep]) -> bool:
        """Give up the claim made until `until_ms` and tell how the `swept` shards fared; False if it was lost."""
        names = [f"{_CLAIMED_UNTIL}{shard}" for shard in shards]
        values: dict[str, Any] = {":until": {"N": str(until_ms)}}
        changes = []
        for shard, sweep in swept.items():
            changes.append(f"{_SWEPT_AT}{shard} = :at{shard}, {_LAG}{shard} = :lag{shard}")
            values[f":at{shard}"] = {"N": str(sweep.swept_at_ms)}
            values[f":lag{shard}"] = {"N": str(round(sweep.lag_seconds, 3))}
        update = ("SET " + ", ".join(changes) + " " if changes else "") + "REMOVE " + ", ".join(names)
        try:
            self._write(update, values, " AND ".join(f"{name} = :until" for name in names))
        except ClientError as error:
            if not is_failed_condition(error):
                raise
            return False
        return True

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

    def cursor_secret(self) -> bytes:
        """Return the secret that signs list cursors: made once per table, read once per process."""
        if self._secret is None:
            key = items.session_key(items.CURSOR_RECORD)
            with translated():
                answer = self._client.get_item(TableName=self._table, Key=key, ConsistentRead=True)
                if "Item" not in answer:
                    answer = {"Item": self._make_secret(key)}  # type: ignore[typeddict-item]
            self._secret = bytes(answer["Item"][_SECRET]["B"])
        return self._secret

    def _make_secret(self, key: items.Item) -> items.Item:
        """Write a secret unless another process was quicker; return the one that stands."""
        written = self._client.update_item(
            TableName=self._table,
            Key=key,
            UpdateExpression=f"SET {_SECRET} = if_not_exists({_SECRET}, :fresh)",
            ExpressionAttributeValues={":fresh": {"B": os.urandom(_SECRET_BYTES)}},
            ReturnValues="ALL_NEW",
        )
        return dict(written["Attributes"])

    def _write(self, update: str, values: items.Item, condition: str | None = None) -> None:
        options = {} if condition is None else {"ConditionExpression": condition}
        with translated():
            self._client.update_item(
                TableName=self._table,
                Key=items.session_key(items.SWEEP_RECORD),
                UpdateExpression=update,
                ExpressionAttributeValues=values,
                **options,  # type: ignore[arg-type]
            )
