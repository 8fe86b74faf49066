"""DynamoDB in memory, behind the calls of boto3's low-level client: quick enough to live through a day in a test.

It is strict: what AWS refuses is refused, and what the engine has not learnt is a NotImplementedError. The suite in
tests/integration/test_engines_agree.py holds it to DynamoDB Local.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import ParamValidationError

from local.dynamo import reads, writes
from local.dynamo.engine import Clock, Engine, Request, Response
from local.dynamo.refusals import Refused
from local.dynamo.storage import Table, write_units
from local.dynamo.stream import Record
from local.dynamo.writes import Write

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_BATCH: Final = frozenset({"RequestItems", "ReturnConsumedCapacity"})
_BATCH_STATEMENTS: Final = frozenset({"Statements", "ReturnConsumedCapacity"})
_TRANSACTION: Final = frozenset({"TransactItems", "ClientRequestToken"})
_TOKEN_MS: Final = 600_000
_CREATE: Final = frozenset(
    {
        "TableName",
        "KeySchema",
        "AttributeDefinitions",
        "BillingMode",
        "GlobalSecondaryIndexes",
        "StreamSpecification",
    }
)
_TTL: Final = frozenset({"TableName", "TimeToLiveSpecification"})
_NAME_ONLY: Final = frozenset({"TableName"})


class MemoryDynamo(Engine):
    """A DynamoDB client that keeps its tables in memory.

    `index_lag_ms` is how long a change takes to reach an index by the clock: a number, or a function that is called for
    each change.
    """

    def __init__(self, clock: Clock | None = None, index_lag_ms: int | Callable[[], int] = 0) -> None:
        super().__init__("dynamodb", clock)
        self.index_lag_ms = index_lag_ms
        self._tables: dict[str, Table] = {}
        self._tokens: dict[str, tuple[int, str]] = {}

    def as_client(self) -> "DynamoDBClient":
        """This engine, for what is typed to take boto3's client."""
        return cast("DynamoDBClient", self)

    def stream_records(self, table: str, after: str | None = None) -> list[Record]:
        """The records of a table's stream behind a SequenceNumber, oldest first, as a function's event holds them.

        None gives all that the last 24 hours brought. A table without a stream has none.
        """
        with self._lock:
            stream = self._tables[table].stream
            return [] if stream is None else stream.records(after)

    def create_table(self, **request: Any) -> Response:
        """Create a table; it is there at once."""
        return self._call("create_table", request, _CREATE, self._create_table)

    def describe_table(self, **request: Any) -> Response:
        """A table's schema and state."""
        return self._call("describe_table", request, _NAME_ONLY, self._describe_table)

    def list_tables(self, **request: Any) -> Response:
        """The names of all tables."""
        return self._call("list_tables", request, frozenset(), self._list_tables)

    def delete_table(self, **request: Any) -> Response:
        """Remove a table and all that is in it."""
        return self._call("delete_table", request, _NAME_ONLY, self._delete_table)

    def update_time_to_live(self, **request: Any) -> Response:
        """Accepted, and without effect: nothing is deleted here by TTL."""
        return self._call("update_time_to_live", request, _TTL, self._update_time_to_live)

    def get_item(self, **request: Any) -> Response:
        """GetItem."""
        return self._call("get_item", request, reads.GET, lambda asked: reads.get_item(self._table(asked), asked))

    def put_item(self, **request: Any) -> Response:
        """PutItem."""
        return self._call("put_item", request, writes.PUT, lambda asked: self._write(asked, writes.put))

    def update_item(self, **request: Any) -> Response:
        """UpdateItem."""
        return self._call("update_item", request, writes.UPDATE, lambda asked: self._write(asked, writes.update))

    def delete_item(self, **request: Any) -> Response:
        """DeleteItem."""
        return self._call("delete_item", request, writes.DELETE, lambda asked: self._write(asked, writes.delete))

    def batch_get_item(self, **request: Any) -> Response:
        """BatchGetItem."""
        return self._call("batch_get_item", request, _BATCH, self._batch_get_item)

    def batch_write_item(self, **request: Any) -> Response:
        """BatchWriteItem."""
        return self._call("batch_write_item", request, _BATCH, self._batch_write_item)

    def transact_write_items(self, **request: Any) -> Response:
        """TransactWriteItems."""
        return self._call("transact_write_items", request, _TRANSACTION, self._transact_write_items)

    def query(self, **request: Any) -> Response:
        """Query, of an index or of the table."""
        return self._call(
            "query", request, reads.QUERY, lambda asked: reads.query(self._table(asked), asked, self.clock.now_ms)
        )

    def scan(self, **request: Any) -> Response:
        """Scan, of the table."""
        return self._call("scan", request, reads.SCAN, lambda asked: reads.scan(self._table(asked), asked))

    def batch_execute_statement(self, **request: Any) -> Response:
        """BatchExecuteStatement, of UPDATE statements."""
        return self._call("batch_execute_statement", request, _BATCH_STATEMENTS, self._batch_execute_statement)

    # --- tables

    def _table(self, request: Request) -> Table:
        if "TableName" not in request:
            raise ParamValidationError(report='Missing required parameter in input: "TableName"')
        return self._find_table(request["TableName"])

    def _find_table(self, name: str) -> Table:
        try:
            return self._tables[name]
        except KeyError:
            raise Refused("ResourceNotFoundException", "Cannot do operations on a non-existent table") from None

    def _create_table(self, request: Request) -> Response:
        name = request["TableName"]
        if name in self._tables:
            raise Refused("ResourceInUseException", f"Table already exists: {name}")
        if request.get("BillingMode") != "PAY_PER_REQUEST":
            raise NotImplementedError("the engine knows PAY_PER_REQUEST only")
        self._tables[name] = Table(request, self.clock.now_ms())
        return {"TableDescription": self._described(self._tables[name])}

    def _describe_table(self, request: Request) -> Response:
        return {"Table": self._described(self._table(request))}

    def _described(self, table: Table) -> dict[str, Any]:
        described = {
            name: value
            for name, value in table.definition.items()
            if name not in ("BillingMode", "GlobalSecondaryIndexes")
        }
        described |= {
            "TableStatus": "ACTIVE",
            "TableArn": table.arn,
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
            "ItemCount": len(table.items),
            "TableSizeBytes": sum(table.sizes.values()),
        }
        if table.indexes:
            described["GlobalSecondaryIndexes"] = [
                {**index, "IndexStatus": "ACTIVE"} for index in table.definition["GlobalSecondaryIndexes"]
            ]
        if table.stream is not None:
            described["LatestStreamArn"] = table.stream.arn
        return described

    def _list_tables(self, _request: Request) -> Response:
        return {"TableNames": sorted(self._tables)}

    def _delete_table(self, request: Request) -> Response:
        table = self._table(request)
        del self._tables[table.name]
        return {"TableDescription": self._described(table)}

    def _update_time_to_live(self, request: Request) -> Response:
        self._table(request)
        return {"TimeToLiveSpecification": request["TimeToLiveSpecification"]}

    # --- items

    def _write(self, request: Request, prepare: Callable[[Table, Request], Write]) -> Response:
        table = self._table(request)
        write = prepare(table, request)
        size = table.sizes.get(write.key, 0)
        costs = self._store(write)
        return writes.answer(request, write, (size, table.sizes.get(write.key, 0)), costs)

    def _store(self, write: Write) -> dict[str, float]:
        return writes.store(write, self.clock.now_ms, self._visible_at)

    def _visible_at(self) -> int | None:
        lag = self.index_lag_ms
        if lag == 0:
            return None
        return self.clock.now_ms() + (lag() if callable(lag) else lag)

    def _batch_get_item(self, request: Request) -> Response:
        return reads.batch_get_item(self._find_table, request, lambda key: self._refused("batch_get_item", key))

    def _batch_write_item(self, request: Request) -> Response:
        unprocessed: dict[str, list[Mapping[str, Any]]] = {}
        units: dict[str, float] = {}
        for name, entry, write in writes.batch(self._find_table, request):
            if self._refused("batch_write_item", entry):
                unprocessed.setdefault(name, []).append(entry)
                continue
            sizes = write.table.sizes
            before = sizes.get(write.key, 0)
            costs = self._store(write)
            spent = write_units(max(before, sizes.get(write.key, 0))) + sum(costs.values())
            units[name] = units.get(name, 0) + spent
        response: Response = {"UnprocessedItems": unprocessed}
        if request.get("ReturnConsumedCapacity", "NONE") != "NONE":
            response["ConsumedCapacity"] = [
                {"TableName": name, "CapacityUnits": spent} for name, spent in units.items()
            ]
        return response

    def _transact_write_items(self, request: Request) -> Response:
        token = request.get("ClientRequestToken")
        if token is not None and self._is_repeat(token, repr(request["TransactItems"])):
            return {}
        for write in writes.transaction(self._find_table, request):
            self._store(write)
        if token is not None:
            self._tokens[token] = (self.clock.now_ms(), repr(request["TransactItems"]))
        return {}

    def _is_repeat(self, token: str, wanted: str) -> bool:
        """Whether a transaction of this token was carried out in the last ten minutes."""
        while self._tokens and self.clock.now_ms() - next(iter(self._tokens.values()))[0] >= _TOKEN_MS:
            del self._tokens[next(iter(self._tokens))]
        if token in self._tokens and self._tokens[token][1] != wanted:
            raise Refused("IdempotentParameterMismatchException", "The token was used with other parameters")
        return token in self._tokens

    def _batch_execute_statement(self, request: Request) -> Response:
        prepared = writes.statements(self._tables, request)
        return {"Responses": [self._executed(*pair) for pair in zip(request["Statements"], prepared, strict=True)]}

    def _executed(self, entry: Mapping[str, Any], one: writes.Statement | Refused) -> dict[str, Any]:
        if isinstance(one, Refused):
            return {"Error": {"Code": one.code, "Message": one.message}}
        answer: dict[str, Any] = {"TableName": one.table.name}
        if self._refused("batch_execute_statement", entry):
            return answer | {"Error": {"Code": "ThrottlingError", "Message": "made to fail"}}
        try:
            self._store(writes.executed(one))
        except Refused as refused:
            code = "ValidationError" if refused.code == "ValidationException" else refused.code
            return answer | {"Error": {"Code": code, "Message": refused.message}}
        return answer
