"""What calls to DynamoDB cost, as the engine reports it: asked for on every call, behind the back of the code."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient


@dataclass(frozen=True)
class Call:
    """One call that was answered, and the capacity units it consumed. A refused write does not tell its own."""

    operation: str
    table_units: float
    index_units: Mapping[str, float]
    refused: bool


class Bill:
    """The calls of a stretch of a test."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = list(calls)

    @property
    def operations(self) -> list[str]:
        return [call.operation for call in self.calls]

    @property
    def table_units(self) -> float:
        return sum(call.table_units for call in self.calls)

    @property
    def index_units(self) -> dict[str, float]:
        """Units by index, without those that had none to pay."""
        units: Counter[str] = Counter()
        for call in self.calls:
            units.update(call.index_units)
        return {name: cost for name, cost in units.items() if cost}


class Meter:
    """Reads the meter of one client. Calls of several threads are all noted."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self._calls: list[Call] = []
        client.meta.events.register("provide-client-params.dynamodb.*", self._ask)
        client.meta.events.register("after-call.dynamodb.*", self._note)

    @contextmanager
    def running(self) -> Iterator[Bill]:
        """Note what is called meanwhile; the bill is complete when the block is left."""
        start = len(self._calls)
        bill = Bill([])
        yield bill
        bill.calls = self._calls[start:]

    @staticmethod
    def _ask(params: dict[str, Any], model: Any, **_: Any) -> None:
        if "ReturnConsumedCapacity" in model.input_shape.members:
            params["ReturnConsumedCapacity"] = "INDEXES"

    def _note(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        if "ReturnConsumedCapacity" not in model.input_shape.members:
            return
        consumed = parsed.get("ConsumedCapacity", [])
        table_units = 0.0
        index_units: Counter[str] = Counter()
        for part in consumed if isinstance(consumed, list) else [consumed]:
            table_units += part["Table"]["CapacityUnits"]
            for name, index in part.get("GlobalSecondaryIndexes", {}).items():
                index_units[name] += index["CapacityUnits"]
        self._calls.append(Call(model.name, table_units, dict(index_units), "Error" in parsed))


class Metered(NamedTuple):
    """A client and its meter."""

    client: "DynamoDBClient"
    meter: Meter
