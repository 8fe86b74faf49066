"""DynamoDB in memory, behind the calls of boto3's low-level client: quick enough to live through a day in a test.

It is strict: what AWS refuses is refused, and what this fake has not learnt is a NotImplementedError. The suite in
tests/integration/test_engines_agree.py holds it to DynamoDB Local. It knows tables with a partition key alone.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import ParamValidationError

from tests.engines import expressions, partiql
from tests.engines.engine import Engine, Request, Response
from tests.engines.faults import Clock
from tests.engines.plans import NAMES_AND_VALUES, Plan, plan_of
from tests.engines.ranges import key_range, start_position
from tests.engines.refusals import Refused, validation
from tests.engines.storage import Index, Table, read_units, scan_hash, write_units
from tests.engines.values import (
    Item,
    Value,
    given,
    kept,
    kept_item,
    kind_of,
    size_of_attribute,
    size_of_item,
    sort_value,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

_PAGE_BYTES: Final = 1024 * 1024
_BATCH_GET_KEYS: Final = 100
_BATCH_GET_BYTES: Final = 16 * 1024 * 1024
_STATEMENTS: Final = 25


def _parameters(*names: str) -> frozenset[str]:
    return frozenset({"TableName", "ReturnConsumedCapacity", *names})


_WRITE: Final = (
    "ConditionExpression",
    *NAMES_AND_VALUES,
    "ReturnValues",
    "ReturnValuesOnConditionCheckFailure",
)
_GET: Final = _parameters("Key", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames")
_PUT: Final = _parameters("Item", *_WRITE)
_UPDATE: Final = _parameters("Key", "UpdateExpression", *_WRITE)
_DELETE: Final = _parameters("Key", *_WRITE)
_PAGE: Final = ("FilterExpression", "ProjectionExpression", "Select", "Limit", "ExclusiveStartKey", "ConsistentRead")
_QUERY: Final = _parameters("IndexName", "KeyConditionExpression", "ScanIndexForward", *_PAGE, *NAMES_AND_VALUES)
_SCAN: Final = _parameters(*_PAGE, *NAMES_AND_VALUES)
_BATCH_GET: Final = frozenset({"RequestItems", "ReturnConsumedCapacity"})
_BATCH_STATEMENTS: Final = frozenset({"Statements", "ReturnConsumedCapacity"})
_CREATE: Final = frozenset({"TableName", "KeySchema", "AttributeDefinitions", "BillingMode", "GlobalSecondaryIndexes"})
_TTL: Final = frozenset({"TableName", "TimeToLiveSpecification"})
_NAME_ONLY: Final = frozenset({"TableName"})


class FakeDynamo(Engine):
    """A DynamoDB client that keeps its tables in memory.

    `index_lag_ms` is how long a change takes to reach an index by the clock: a number, or something that is asked for
    each change.
    """

    def __init__(self, clock: Clock | None = None, index_lag_ms: int | Callable[[], int] = 0) -> None:
        super().__init__("dynamodb", clock)
        self.index_lag_ms = index_lag_ms
        self._tables: dict[str, Table] = {}

    def as_client(self) -> "DynamoDBClient":
        """This fake, for what is typed to take boto3's client."""
        return cast("DynamoDBClient", self)

    def items(self, table: str) -> Iterator[Item]:
        """A copy of every item, past all hooks and counts: for a test's own eyes."""
        with self._lock:
            return iter([given(item) for item in self._tables[table].items.values()])

    def peek(self, table: str, key: Any) -> Item | None:
        """A copy of one item by the value of its key, past all hooks and counts: for a test's own eyes."""
        with self._lock:
            item = self._tables[table].items.get(key)
            return None if item is None else given(item)

    def create_table(self, **request: Any) -> Response:
        """Create a table; it is there at once."""
        return self._call("create_table", request, _CREATE, self._create_table)

    def describe_table(self, **request: Any) -> Response:
        """A table's schema and state."""
        return self._call("describe_table", request, _NAME_ONLY, self._describe_table)

    def delete_table(self, **request: Any) -> Response:
        """Remove a table and all that is in it."""
        return self._call("delete_table", request, _NAME_ONLY, self._delete_table)

    def update_time_to_live(self, **request: Any) -> Response:
        """Accepted, and without effect: nothing is deleted here by TTL."""
        return self._call("update_time_to_live", request, _TTL, self._update_time_to_live)

    def get_item(self, **request: Any) -> Response:
        """GetItem."""
        return self._call("get_item", request, _GET, self._get_item)

    def put_item(self, **request: Any) -> Response:
        """PutItem."""
        return self._call("put_item", request, _PUT, self._put_item)

    def update_item(self, **request: Any) -> Response:
        """UpdateItem."""
        return self._call("update_item", request, _UPDATE, self._update_item)

    def delete_item(self, **request: Any) -> Response:
        """DeleteItem."""
        return self._call("delete_item", request, _DELETE, self._delete_item)

    def batch_get_item(self, **request: Any) -> Response:
        """BatchGetItem."""
        return self._call("batch_get_item", request, _BATCH_GET, self._batch_get_item)

    def query(self, **request: Any) -> Response:
        """Query, of an index or of the table."""
        return self._call("query", request, _QUERY, self._query)

    def scan(self, **request: Any) -> Response:
        """Scan, of the table."""
        return self._call("scan", request, _SCAN, self._scan)

    def batch_execute_statement(self, **request: Any) -> Response:
        """BatchExecuteStatement, of UPDATE statements."""
        return self._call("batch_execute_statement", request, _BATCH_STATEMENTS, self._batch_execute_statement)

    # --- tables

    def _table(self, request: Request) -> Table:
        try:
            return self._tables[request["TableName"]]
        except KeyError:
            if "TableName" not in request:
                raise ParamValidationError(report='Missing required parameter in input: "TableName"') from None
            raise Refused("ResourceNotFoundException", "Cannot do operations on a non-existent table") from None

    def _create_table(self, request: Request) -> Response:
        name = request["TableName"]
        if name in self._tables:
            raise Refused("ResourceInUseException", f"Table already exists: {name}")
        if request.get("BillingMode") != "PAY_PER_REQUEST":
            raise NotImplementedError("this fake knows PAY_PER_REQUEST only")
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
            "TableArn": f"arn:aws:dynamodb:eu-central-1:000000000000:table/{table.name}",
            "BillingModeSummary": {"BillingMode": "PAY_PER_REQUEST"},
            "ItemCount": len(table.items),
            "TableSizeBytes": sum(table.sizes.values()),
        }
        if table.indexes:
            described["GlobalSecondaryIndexes"] = [
                {**index, "IndexStatus": "ACTIVE"} for index in table.definition["GlobalSecondaryIndexes"]
            ]
        return described

    def _delete_table(self, request: Request) -> Response:
        table = self._table(request)
        del self._tables[table.name]
        return {"TableDescription": self._described(table)}

    def _update_time_to_live(self, request: Request) -> Response:
        self._table(request)
        return {"TimeToLiveSpecification": request["TimeToLiveSpecification"]}

    # --- single items

    def _get_item(self, request: Request) -> Response:
        table = self._table(request)
        plan, _ = plan_of(request)
        key = table.key_value(request.get("Key"))
        item = table.items.get(key)
        response: Response = {}
        if item is not None:
            response["Item"] = _projected(item, plan.projection)
        if "ReturnConsumedCapacity" in request:
            consistent = bool(request.get("ConsistentRead"))
            units = read_units(table.sizes.get(key, 0), consistent=consistent)
            _report(request, response, table, units, {})
        return response

    def _put_item(self, request: Request) -> Response:
        table = self._table(request)
        plan, values = plan_of(request)
        _must_return(request, ("NONE", "ALL_OLD"))
        item = kept_item(request["Item"])
        value = item.get(table.key_name)
        if value is None:
            raise validation(f"One or more parameter values were invalid: Missing the key {table.key_name} in the item")
        if kind_of(value) != table.types[table.key_name]:
            raise validation(
                f"One or more parameter values were invalid: Type mismatch for key {table.key_name} "
                f"expected: {table.types[table.key_name]} actual: {kind_of(value)}"
            )
        table.not_empty(table.key_name, value)
        table.check_index_keys(item, table.index_keys)
        key = sort_value(value)
        old = _checked(table, key, plan, values, request)
        return self._written(request, table, key, old, item, None)

    def _update_item(self, request: Request) -> Response:
        table = self._table(request)
        plan, values = plan_of(request)
        _must_return(request, ("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"))
        key = table.key_value(request.get("Key"))
        touched: frozenset[str] = plan.update.attributes if plan.update else frozenset()
        _must_not_touch_key(table, touched)
        old = _checked(table, key, plan, values, request)
        item = _updated(table, request["Key"], old, plan.update, values)
        return self._written(request, table, key, old, item, touched)

    def _delete_item(self, request: Request) -> Response:
        table = self._table(request)
        plan, values = plan_of(request)
        _must_return(request, ("NONE", "ALL_OLD"))
        key = table.key_value(request.get("Key"))
        old = _checked(table, key, plan, values, request)
        return self._written(request, table, key, old, None, None)

    def _written(
        self,
        request: Request,
        table: Table,
        key: Any,
        old: Item | None,
        item: Item | None,
        touched: frozenset[str] | None,
    ) -> Response:
        """Store what was written (None: nothing is left), and make the answer."""
        old_size = table.sizes.get(key, 0)
        size = _size_after(old, old_size, item, touched)
        costs = table.store(key, item, size, self._visible_at, None if old is None else touched)
        response: Response = {}
        attributes = _returned(request.get("ReturnValues", "NONE"), old, item, touched)
        if attributes is not None:
            response["Attributes"] = given(attributes)
        if "ReturnConsumedCapacity" in request:
            _report(request, response, table, write_units(max(size, old_size)), costs)
        return response

    def _visible_at(self) -> int | None:
        lag = self.index_lag_ms
        if lag == 0:
            return None
        return self.clock.now_ms() + (lag() if callable(lag) else lag)

    # --- batches

    def _batch_get_item(self, request: Request) -> Response:
        wanted = request["RequestItems"]
        if not wanted:
            raise validation("BatchGetItem must have some requests set")
        if sum(len(part["Keys"]) for part in wanted.values()) > _BATCH_GET_KEYS:
            raise validation("Too many items requested for the BatchGetItem call")
        response: Response = {"Responses": {}, "UnprocessedKeys": {}}
        capacities = []
        room = _BATCH_GET_BYTES
        for name, part in wanted.items():
            table, keys = self._batch_keys(name, part)
            plan, _ = plan_of(
                {field: value for field, value in part.items() if field not in ("Keys", "ConsistentRead")}
            )
            found, unprocessed, units = [], [], 0.0
            for key, request_key in zip(keys, part["Keys"], strict=True):
                size = table.sizes.get(key, 0)
                if size > room or self._refused("batch_get_item", request_key):
                    unprocessed.append(request_key)
                    continue
                room -= size
                units += read_units(size, consistent=bool(part.get("ConsistentRead")))
                if key in table.items:
                    found.append(_projected(table.items[key], plan.projection))
            response["Responses"][name] = found
            if unprocessed:
                response["UnprocessedKeys"][name] = {**part, "Keys": unprocessed}
            capacities.append({"TableName": name, "CapacityUnits": units})
        if request.get("ReturnConsumedCapacity", "NONE") != "NONE":
            response["ConsumedCapacity"] = capacities
        return response

    def _batch_keys(self, name: str, part: Mapping[str, Any]) -> tuple[Table, list[Any]]:
        table = self._table({"TableName": name})
        unknown = part.keys() - {"Keys", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"}
        if unknown:
            raise NotImplementedError(f"this fake does not know {sorted(unknown)} of batch_get_item")
        if not part["Keys"]:
            raise ParamValidationError(report=f"Invalid length for parameter RequestItems.{name}.Keys, value: 0")
        keys = [table.key_value(key) for key in part["Keys"]]
        if len(set(keys)) < len(keys):
            raise validation("Provided list of item keys contains duplicates")
        return table, keys

    def _batch_execute_statement(self, request: Request) -> Response:
        statements = request["Statements"]
        if not statements:
            raise ParamValidationError(report="Invalid length for parameter Statements, value: 0")
        if len(statements) > _STATEMENTS:
            raise validation("Member must have length less than or equal to 25")
        prepared = [self._prepared(entry) for entry in statements]
        targets = [(one.table.name, one.key) for one in prepared if isinstance(one, _Prepared)]
        if len(set(targets)) < len(targets):
            raise validation("Provided list of item keys contains duplicates")
        return {"Responses": [self._executed(entry, one) for entry, one in zip(statements, prepared, strict=True)]}

    def _prepared(self, entry: Mapping[str, Any]) -> "_Prepared | Refused":
        unknown = entry.keys() - {"Statement", "Parameters", "ConsistentRead"}
        if unknown:
            raise NotImplementedError(f"this fake does not know {sorted(unknown)} of a statement")
        if "Parameters" in entry and not entry["Parameters"]:
            raise ParamValidationError(report="Invalid length for parameter Parameters, value: 0")
        try:
            text = entry["Statement"]
            name = partiql.table_of(text)
            table = self._tables.get(name)
            if table is None:
                return Refused("ResourceNotFound", "Cannot do operations on a non-existent table")
            compiled = partiql.statement(text, table.key_name)
            parameters = [kept(value) for value in entry.get("Parameters", ())]
            if len(parameters) != compiled.parameters:
                raise partiql.wrong("Number of parameters in request and statement don't match.")
            return _Prepared(table, table.key_value(partiql.key_of(compiled, parameters)), compiled, parameters)
        except Refused as refused:
            return Refused("ValidationError", refused.message)

    def _executed(self, entry: Mapping[str, Any], one: "_Prepared | Refused") -> dict[str, Any]:
        if isinstance(one, Refused):
            return {"Error": {"Code": one.code, "Message": one.message}}
        answer: dict[str, Any] = {"TableName": one.table.name}
        if self._refused("batch_execute_statement", entry):
            return answer | {"Error": {"Code": "ThrottlingError", "Message": "made to fail"}}
        old = one.table.items.get(one.key)
        if old is None or not one.compiled.test(old, one.parameters):
            error = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
            return answer | {"Error": error}
        touched = frozenset({one.compiled.attribute})
        item = old.copy()
        try:
            _must_not_touch_key(one.table, touched)
            if one.compiled.value is None:
                item.pop(one.compiled.attribute, None)
            else:
                value = one.compiled.value(old, one.parameters)
                if value is None:
                    raise validation("The provided expression refers to an attribute that does not exist in the item")
                item[one.compiled.attribute] = value
            one.table.check_index_keys(item, touched)
            size = _size_after(old, one.table.sizes[one.key], item, touched)
            one.table.store(one.key, item, size, self._visible_at, touched)
        except Refused as refused:
            return answer | {"Error": {"Code": "ValidationError", "Message": refused.message}}
        return answer

    # --- queries and scans

    def _query(self, request: Request) -> Response:
        table = self._table(request)
        plan, values = plan_of(request)
        if not plan.key_tests:
            raise validation("Either the KeyConditions or KeyConditionExpression parameter must be specified")
        name = request.get("IndexName")
        if name is None:
            return self._query_table(request, table, plan, values)
        index = table.index(name)
        if request.get("ConsistentRead"):
            raise validation("Consistent reads are not supported on global secondary indexes")
        _must_be_projected(request, index, plan)
        index.catch_up(self.clock.now_ms())
        hash_value, within = key_range(table, index.hash_name, index.range_name, plan.key_tests, values)
        if plan.filter_attributes & {index.hash_name, index.range_name}:
            raise validation("Filter Expression can only contain non-primary key attributes")
        positions = index.partitions.get(hash_value, [])
        low, high = within.of(positions)
        backwards = request.get("ScanIndexForward", True) is False
        start = request.get("ExclusiveStartKey")
        if start is not None:
            position = start_position(table, index, start, hash_value, within)
            if backwards:
                high = min(high, bisect_left(positions, position))
            else:
                low = max(low, bisect_right(positions, position))
        chosen = positions[low:high]
        if backwards:
            chosen.reverse()
        found = (index.entries[position[1]].item for position in chosen)
        return _page(request, plan, values, found, index.key_names, table, index.name)

    def _query_table(self, request: Request, table: Table, plan: Plan, values: Item) -> Response:
        if "ExclusiveStartKey" in request:
            raise NotImplementedError("a query of the table's own key finds one item: there is no second page")
        key, _ = key_range(table, table.key_name, None, plan.key_tests, values)
        if table.key_name in plan.filter_attributes:
            raise validation("Filter Expression can only contain non-primary key attributes")
        found = [table.items[key]] if key in table.items else []
        without_limit = {field: value for field, value in request.items() if field != "Limit"}
        return _page(without_limit, plan, values, iter(found), (table.key_name,), table, None)

    def _scan(self, request: Request) -> Response:
        table = self._table(request)
        plan, values = plan_of(request)
        order = table.scan_order()
        start = request.get("ExclusiveStartKey")
        at = 0
        if start is not None:
            key = table.key_value(start)
            at = bisect_right(order, (scan_hash(key), key))
        found = (table.items[key] for _, key in order[at:])
        return _page(request, plan, values, found, (table.key_name,), table, None)


@dataclass(frozen=True)
class _Prepared:
    """A statement that found its table and its key."""

    table: Table
    key: Any
    compiled: partiql.Statement
    parameters: list[Value]


def _projected(item: Item, names: Sequence[str] | None) -> Item:
    if names is None:
        return given(item)
    return given({name: item[name] for name in names if name in item})


def _must_return(request: Request, allowed: Sequence[str]) -> None:
    if request.get("ReturnValues", "NONE") not in allowed:
        raise validation("Return values set to invalid value")
    if request.get("ReturnValuesOnConditionCheckFailure", "NONE") not in ("NONE", "ALL_OLD"):
        raise validation("ReturnValuesOnConditionCheckFailure set to invalid value")


def _must_not_touch_key(table: Table, touched: frozenset[str]) -> None:
    if table.key_name in touched:
        raise validation(
            f"One or more parameter values were invalid: Cannot update attribute {table.key_name}. "
            "This attribute is part of the key"
        )


def _checked(table: Table, key: Any, plan: Plan, values: Item, request: Request) -> Item | None:
    """The item that a write meets, once its condition held."""
    old = table.items.get(key)
    if plan.condition is None or plan.condition({} if old is None else old, values):
        return old
    facts = {}
    if old is not None and request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
        facts["Item"] = given(old)
    raise Refused("ConditionalCheckFailedException", "The conditional request failed", facts)


def _updated(
    table: Table, key: Mapping[str, Any], old: Item | None, update: expressions.Update | None, values: Item
) -> Item:
    start = kept_item(key) if old is None else old
    if update is None:
        return start
    item = update.apply(start, values)
    table.check_index_keys(item, update.attributes)
    return item


def _size_after(old: Item | None, old_size: int, item: Item | None, touched: Iterable[str] | None) -> int:
    """The size of the new item; where only some attributes were touched, by what those changed."""
    if item is None:
        return 0
    if old is None or touched is None:
        return size_of_item(item)
    size = old_size
    for name in touched:
        if name in old:
            size -= size_of_attribute(name, old[name])
        if name in item:
            size += size_of_attribute(name, item[name])
    return size


def _returned(which: str, old: Item | None, new: Item | None, touched: frozenset[str] | None) -> Item | None:
    if which == "NONE":
        return None
    source = old if which.endswith("OLD") else new
    if source is None:
        return None
    if which.startswith("ALL"):
        return source
    return {name: source[name] for name in touched or () if name in source} or None


def _report(request: Request, response: Response, table: Table, units: float, index_units: Mapping[str, float]) -> None:
    """Put the consumed capacity on the answer, as far as it was asked for."""
    which = request.get("ReturnConsumedCapacity", "NONE")
    if which == "NONE":
        return
    capacity: dict[str, Any] = {"TableName": table.name, "CapacityUnits": units + sum(index_units.values())}
    if which == "INDEXES":
        capacity["Table"] = {"CapacityUnits": units}
        if index_units:
            capacity["GlobalSecondaryIndexes"] = {name: {"CapacityUnits": cost} for name, cost in index_units.items()}
    response["ConsumedCapacity"] = capacity


def _must_be_projected(request: Request, index: Index, plan: Plan) -> None:
    if index.projected is None:
        return
    if request.get("Select") == "ALL_ATTRIBUTES":
        raise validation(
            "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for global "
            f"secondary index {index.name} because its projection type is not ALL"
        )
    absent = plan.filter_attributes.union(plan.projection or ()) - index.projected
    if absent:
        raise validation(
            f"One or more parameter values were invalid: Global secondary index {index.name} does not project "
            f"{sorted(absent)}"
        )


def _page(
    request: Request,
    plan: Plan,
    values: Item,
    found: Iterator[Item],
    key_names: Sequence[str],
    table: Table,
    index: str | None,
) -> Response:
    """One page: up to the limit or a megabyte of what was found, the filter after that."""
    limit = request.get("Limit", math.inf)
    if limit < 1:
        raise ParamValidationError(report=f"Invalid value for parameter Limit, value: {limit}, valid min value: 1")
    select = request.get("Select", "ALL_ATTRIBUTES")
    examined: list[Item] = []
    size = 0
    for item in found:
        examined.append(item)
        size += size_of_item(item)
        if len(examined) >= limit or size >= _PAGE_BYTES:
            break
    matching = [item for item in examined if plan.filter is None or plan.filter(item, values)]
    response: Response = {"Count": len(matching), "ScannedCount": len(examined)}
    if select != "COUNT":
        response["Items"] = [_projected(item, plan.projection) for item in matching]
    if examined and (len(examined) >= limit or size >= _PAGE_BYTES):
        response["LastEvaluatedKey"] = given({name: examined[-1][name] for name in key_names})
    if "ReturnConsumedCapacity" in request:
        units = read_units(size, consistent=bool(request.get("ConsistentRead")))
        costs = {} if index is None else {index: units}
        _report(request, response, table, units if index is None else 0.0, costs)
    return response
