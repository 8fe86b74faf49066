"""What reads of a table answer: GetItem, BatchGetItem, Query and Scan."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import ParamValidationError

from local.dynamo.engine import Request, Response
from local.dynamo.plans import NAMES_AND_VALUES, Plan, plan_of
from local.dynamo.ranges import key_range, start_position
from local.dynamo.refusals import validation
from local.dynamo.storage import Index, Key, Table, read_units
from local.dynamo.values import Item, given, size_of_item

_PAGE_BYTES: Final = 1024 * 1024
_BATCH_GET_KEYS: Final = 100
_BATCH_GET_BYTES: Final = 16 * 1024 * 1024
_PAGE: Final = ("FilterExpression", "ProjectionExpression", "Select", "Limit", "ExclusiveStartKey", "ConsistentRead")
_COMMON: Final = ("TableName", "ReturnConsumedCapacity")
GET: Final = frozenset({*_COMMON, "Key", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"})
QUERY: Final = frozenset(
    {*_COMMON, "IndexName", "KeyConditionExpression", "ScanIndexForward", *_PAGE, *NAMES_AND_VALUES}
)
SCAN: Final = frozenset({*_COMMON, *_PAGE, *NAMES_AND_VALUES})


def get_item(table: Table, request: Request) -> Response:
    """GetItem."""
    plan, _ = plan_of(request)
    key = table.key_of(request.get("Key"))
    item = table.items.get(key)
    response: Response = {}
    if item is not None:
        response["Item"] = _projected(item, plan.projection)
    if "ReturnConsumedCapacity" in request:
        consistent = bool(request.get("ConsistentRead"))
        report(request, response, table, read_units(table.sizes.get(key, 0), consistent=consistent), {})
    return response


def batch_get_item(
    find_table: Callable[[str], Table], request: Request, leaves: Callable[[Mapping[str, Any]], bool]
) -> Response:
    """BatchGetItem; `leaves` picks keys that come back under UnprocessedKeys."""
    wanted = request["RequestItems"]
    if not wanted:
        raise validation("BatchGetItem must have some requests set")
    if sum(len(part["Keys"]) for part in wanted.values()) > _BATCH_GET_KEYS:
        raise validation("Too many items requested for the BatchGetItem call")
    response: Response = {"Responses": {}, "UnprocessedKeys": {}}
    capacities = []
    room = _BATCH_GET_BYTES
    for name, part in wanted.items():
        table = find_table(name)
        keys = _batch_keys(table, part)
        plan, _ = plan_of({field: value for field, value in part.items() if field not in ("Keys", "ConsistentRead")})
        found, unprocessed, units = [], [], 0.0
        for key, request_key in zip(keys, part["Keys"], strict=True):
            size = table.sizes.get(key, 0)
            if size > room or leaves(request_key):
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


def _batch_keys(table: Table, part: Mapping[str, Any]) -> list[Key]:
    unknown = part.keys() - {"Keys", "ConsistentRead", "ProjectionExpression", "ExpressionAttributeNames"}
    if unknown:
        raise NotImplementedError(f"the engine does not know {sorted(unknown)} of batch_get_item")
    if not part["Keys"]:
        raise ParamValidationError(report=f"Invalid length for parameter RequestItems.{table.name}.Keys, value: 0")
    keys = [table.key_of(key) for key in part["Keys"]]
    if len(set(keys)) < len(keys):
        raise validation("Provided list of item keys contains duplicates")
    return keys


def query(table: Table, request: Request, now_ms: Callable[[], int]) -> Response:
    """Query, of the table or of an index as old as its lag makes it."""
    plan, values = plan_of(request)
    if not plan.key_tests:
        raise validation("Either the KeyConditions or KeyConditionExpression parameter must be specified")
    name = request.get("IndexName")
    source: Table | Index = table
    if name is not None:
        source = index = table.index(name)
        if request.get("ConsistentRead"):
            raise validation("Consistent reads are not supported on global secondary indexes")
        _must_be_projected(request, index, plan)
        index.catch_up(now_ms())
    hash_value, within = key_range(table, source.hash_name, source.range_name, plan.key_tests, values)
    if plan.filter_attributes & {source.hash_name, source.range_name}:
        raise validation("Filter Expression can only contain non-primary key attributes")
    positions = source.positions(hash_value)
    low, high = within.of(positions)
    backwards = request.get("ScanIndexForward", True) is False
    start = request.get("ExclusiveStartKey")
    if start is not None:
        position = start_position(table, source, start, hash_value, within)
        if source is table and within.ends_at(position[0], backwards=backwards):
            raise validation("The provided starting key does not match the range key predicate")
        if backwards:
            high = min(high, bisect_left(positions, position))
        else:
            low = max(low, bisect_right(positions, position))
    order = range(high - 1, low - 1, -1) if backwards else range(low, high)
    found = (source.item_at(positions[at]) for at in order)
    response = _page(request, plan, values, found, table=table, source=source)
    if source is table and "LastEvaluatedKey" in response:
        last, _ = positions[order[response["ScannedCount"] - 1]]
        if table.range_name is None or within.ends_at(last, backwards=backwards):
            del response["LastEvaluatedKey"]
    return response


def scan(table: Table, request: Request) -> Response:
    """Scan, of the table."""
    plan, values = plan_of(request)
    order = table.scan_order()
    start = request.get("ExclusiveStartKey")
    at = 0
    if start is not None:
        key = table.key_of(start)
        at = bisect_right(order, (table.scan_hash(key), key))
    found = (table.items[key] for _, key in order[at:])
    return _page(request, plan, values, found, table=table, source=table)


def _projected(item: Item, names: Sequence[str] | None) -> Item:
    if names is None:
        return given(item)
    return given({name: item[name] for name in names if name in item})


def report(request: Request, response: Response, table: Table, units: float, index_units: Mapping[str, float]) -> None:
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
    *,
    table: Table,
    source: Table | Index,
) -> Response:
    """One page: up to the limit or a megabyte of what was found, the filter after that."""
    limit = request.get("Limit", math.inf)
    if limit < 1:
        raise ParamValidationError(report=f"Invalid value for parameter Limit, value: {limit}, valid min value: 1")
    select = request.get("Select", "ALL_ATTRIBUTES")
    examined: list[Item] = []
    size = 0
    goes_on = False
    for item in found:
        examined.append(item)
        size += size_of_item(item)
        if len(examined) >= limit:
            goes_on = True  # perhaps to an empty page, as in DynamoDB
            break
        if size >= _PAGE_BYTES:
            goes_on = next(found, None) is not None
            break
    matching = [item for item in examined if plan.filter is None or plan.filter(item, values)]
    response: Response = {"Count": len(matching), "ScannedCount": len(examined)}
    if select != "COUNT":
        response["Items"] = [_projected(item, plan.projection) for item in matching]
    if goes_on:
        response["LastEvaluatedKey"] = given({name: examined[-1][name] for name in source.key_names})
    if "ReturnConsumedCapacity" in request:
        units = read_units(size, consistent=bool(request.get("ConsistentRead")))
        costs = {source.name: units} if isinstance(source, Index) else {}
        report(request, response, table, 0.0 if costs else units, costs)
    return response
