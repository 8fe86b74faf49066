"""What writes do to a table: each is prepared from its request, with its condition checked, and then stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ParamValidationError

from local.dynamo import expressions, partiql
from local.dynamo.engine import Request, Response
from local.dynamo.plans import NAMES_AND_VALUES, Plan, plan_of
from local.dynamo.reads import report
from local.dynamo.refusals import Refused, validation
from local.dynamo.storage import Key, Table, write_units
from local.dynamo.values import Item, Value, given, kept, kept_item, size_of_attribute, size_of_item

_CONDITION: Final = ("TableName", "ConditionExpression", *NAMES_AND_VALUES, "ReturnValuesOnConditionCheckFailure")
_ANSWER: Final = ("ReturnConsumedCapacity", "ReturnValues")
PUT: Final = frozenset({"Item", *_CONDITION, *_ANSWER})
UPDATE: Final = frozenset({"Key", "UpdateExpression", *_CONDITION, *_ANSWER})
DELETE: Final = frozenset({"Key", *_CONDITION, *_ANSWER})
_BATCH: Final = 25
_TRANSACTION: Final = 100

FindTable = Callable[[str], Table]


@dataclass(frozen=True)
class Write:
    """One write whose condition holds: what is there, and what will be."""

    table: Table
    key: Key
    old: Item | None
    new: Item | None
    touched: frozenset[str] | None = None
    """The attributes that may differ; None: all."""


def put(table: Table, request: Request) -> Write:
    """PutItem."""
    plan, values = plan_of(request)
    _must_return(request, ("NONE", "ALL_OLD"))
    item = kept_item(request["Item"])
    key = table.key_in(item)
    table.check_index_keys(item, table.index_keys)
    return Write(table, key, _checked(table, key, plan, values, request), item)


def update(table: Table, request: Request) -> Write:
    """UpdateItem."""
    plan, values = plan_of(request)
    _must_return(request, ("NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"))
    key = table.key_of(request.get("Key"))
    touched: frozenset[str] = plan.update.attributes if plan.update else frozenset()
    _must_not_touch_key(table, touched)
    old = _checked(table, key, plan, values, request)
    return Write(table, key, old, _updated(table, request["Key"], old, plan.update, values), touched)


def delete(table: Table, request: Request) -> Write:
    """DeleteItem."""
    plan, values = plan_of(request)
    _must_return(request, ("NONE", "ALL_OLD"))
    key = table.key_of(request.get("Key"))
    return Write(table, key, _checked(table, key, plan, values, request), None)


def _check(table: Table, request: Request) -> Write:
    """The ConditionCheck of a transaction: a write that leaves the item as it is."""
    plan, values = plan_of(request)
    key = table.key_of(request.get("Key"))
    old = _checked(table, key, plan, values, request)
    return Write(table, key, old, old, frozenset())


def store(write: Write, now_ms: Callable[[], int], visible_at: Callable[[], int | None]) -> dict[str, float]:
    """Carry a write out; return the write units of each index."""
    table = write.table
    touched = None if write.old is None else write.touched
    costs = table.store(write.key, write.new, _size_after(write), visible_at, touched)
    if table.stream is not None:
        table.stream.add(write.old, write.new, now_ms())
    return costs


def answer(request: Request, write: Write, sizes: tuple[int, int], costs: Mapping[str, float]) -> Response:
    """The answer to a single write; `sizes` are the item's before and after it."""
    response: Response = {}
    attributes = _returned(request.get("ReturnValues", "NONE"), write.old, write.new, write.touched)
    if attributes is not None:
        response["Attributes"] = given(attributes)
    if "ReturnConsumedCapacity" in request:
        report(request, response, write.table, write_units(max(sizes)), costs)
    return response


# --- batches ----------------------------------------------------------------------------------------------------------


def batch(find_table: FindTable, request: Request) -> list[tuple[str, Mapping[str, Any], Write]]:
    """The writes of a BatchWriteItem, each with its table and its request."""
    wanted = request["RequestItems"]
    if not wanted:
        raise validation("BatchWriteItem must have some requests set")
    for name, entries in wanted.items():
        if not entries:
            raise ParamValidationError(report=f"Invalid length for parameter RequestItems.{name}, value: 0")
    if sum(map(len, wanted.values())) > _BATCH:
        raise validation("Too many items requested for the BatchWriteItem call")
    prepared = [(name, entry, _batched(find_table(name), entry)) for name, part in wanted.items() for entry in part]
    _must_be_distinct([write for _, _, write in prepared])
    return prepared


def _batched(table: Table, entry: Mapping[str, Any]) -> Write:
    members = {kind: one.keys() for kind, one in entry.items()}
    if not members.items() <= {"PutRequest": {"Item"}, "DeleteRequest": {"Key"}}.items():
        raise ParamValidationError(report=f"Unknown or missing parameter in a request of a batch: {members}")
    if len(entry) != 1:
        raise validation("Supplied write request must contain exactly one of PutRequest and DeleteRequest")
    return put(table, entry["PutRequest"]) if "PutRequest" in entry else delete(table, entry["DeleteRequest"])


def _must_be_distinct(writes: Sequence[Write]) -> None:
    targets = [(write.table.name, write.key) for write in writes]
    if len(set(targets)) < len(targets):
        raise validation("Provided list of item keys contains duplicates")


_KINDS: Final[dict[str, tuple[Callable[[Table, Request], Write], frozenset[str]]]] = {
    "Put": (put, PUT.difference(_ANSWER)),
    "Update": (update, UPDATE.difference(_ANSWER)),
    "Delete": (delete, DELETE.difference(_ANSWER)),
    "ConditionCheck": (_check, DELETE.difference(_ANSWER)),
}


def transaction(find_table: FindTable, request: Request) -> list[Write]:
    """The writes of a TransactWriteItems, all of whose conditions hold."""
    entries = request["TransactItems"]
    if not entries:
        raise ParamValidationError(report="Invalid length for parameter TransactItems, value: 0")
    if len(entries) > _TRANSACTION:
        raise validation("Member must have length less than or equal to 100")
    targets: list[tuple[str, Key]] = []
    writes: list[Write] = []
    reasons: list[dict[str, Any]] = []
    for entry in entries:
        table, one, prepare = _transacted(find_table, entry)
        targets.append((table.name, table.key_of(_key_of(table, one))))
        try:
            writes.append(prepare(table, one))
            reasons.append({"Code": "None"})
        except Refused as refused:
            code = "ValidationError" if refused.code == "ValidationException" else "ConditionalCheckFailed"
            reasons.append({"Code": code, "Message": refused.message, **refused.facts})
    if len(set(targets)) < len(targets):
        raise validation("Transaction request cannot include multiple operations on one item")
    if len(writes) < len(entries):
        codes = ", ".join(reason["Code"] for reason in reasons)
        message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{codes}]"
        raise Refused("TransactionCanceledException", message, {"CancellationReasons": reasons})
    return writes


def _transacted(
    find_table: FindTable, entry: Mapping[str, Any]
) -> tuple[Table, Request, Callable[[Table, Request], Write]]:
    if len(entry) != 1 or not entry.keys() <= _KINDS.keys():
        raise validation("TransactItems can only contain one of Check, Put, Update or Delete")
    ((kind, one),) = entry.items()
    prepare, allowed = _KINDS[kind]
    if not one.keys() <= allowed:
        raise ParamValidationError(report=f"Unknown parameter in {kind}: {sorted(one.keys() - allowed)}")
    plan_of(one)  # an expression that is wrong refuses the whole call
    return find_table(one["TableName"]), one, prepare


def _key_of(table: Table, one: Request) -> Any:
    if "Item" not in one:
        return one.get("Key")
    return {name: one["Item"][name] for name in table.key_names if name in one["Item"]}


# --- statements -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statement:
    """A statement that found its table and its key."""

    table: Table
    key: Key
    compiled: partiql.Statement
    parameters: list[Value]


def statements(tables: Mapping[str, Table], request: Request) -> list[Statement | Refused]:
    """The statements of a BatchExecuteStatement, each prepared or refused."""
    entries = request["Statements"]
    if not entries:
        raise ParamValidationError(report="Invalid length for parameter Statements, value: 0")
    if len(entries) > _BATCH:
        raise validation("Member must have length less than or equal to 25")
    prepared = [_prepared(tables, entry) for entry in entries]
    targets = [(one.table.name, one.key) for one in prepared if isinstance(one, Statement)]
    if len(set(targets)) < len(targets):
        raise validation("Provided list of item keys contains duplicates")
    return prepared


def _prepared(tables: Mapping[str, Table], entry: Mapping[str, Any]) -> Statement | Refused:
    unknown = entry.keys() - {"Statement", "Parameters", "ConsistentRead"}
    if unknown:
        raise NotImplementedError(f"the engine does not know {sorted(unknown)} of a statement")
    if "Parameters" in entry and not entry["Parameters"]:
        raise ParamValidationError(report="Invalid length for parameter Parameters, value: 0")
    try:
        text = entry["Statement"]
        table = tables.get(partiql.table_of(text))
        if table is None:
            return Refused("ResourceNotFound", "Cannot do operations on a non-existent table")
        compiled = partiql.statement(text, table.key_names)
        parameters = [kept(value) for value in entry.get("Parameters", ())]
        if len(parameters) != compiled.parameters:
            raise partiql.wrong("Number of parameters in request and statement don't match.")
        return Statement(table, table.key_of(partiql.key_of(compiled, parameters)), compiled, parameters)
    except Refused as refused:
        return Refused("ValidationError", refused.message)


def executed(one: Statement) -> Write:
    """The write of a statement, whose conditions hold.

    Raises:
        Refused: they do not, or the item cannot take the value.

    """
    old = one.table.items.get(one.key)
    if old is None or not one.compiled.test(old, one.parameters):
        raise Refused("ConditionalCheckFailed", "The conditional request failed")
    touched = frozenset({one.compiled.attribute})
    item = old.copy()
    _must_not_touch_key(one.table, touched)
    if one.compiled.value is None:
        item.pop(one.compiled.attribute, None)
    else:
        value = one.compiled.value(old, one.parameters)
        if value is None:
            raise validation("The provided expression refers to an attribute that does not exist in the item")
        item[one.compiled.attribute] = value
    one.table.check_index_keys(item, touched)
    return Write(one.table, one.key, old, item, touched)


# --- parts ------------------------------------------------------------------------------------------------------------


def _must_return(request: Request, allowed: Sequence[str]) -> None:
    if request.get("ReturnValues", "NONE") not in allowed:
        raise validation("Return values set to invalid value")
    if request.get("ReturnValuesOnConditionCheckFailure", "NONE") not in ("NONE", "ALL_OLD"):
        raise validation("ReturnValuesOnConditionCheckFailure set to invalid value")


def _must_not_touch_key(table: Table, touched: frozenset[str]) -> None:
    for name in table.key_names:
        if name in touched:
            raise validation(
                f"One or more parameter values were invalid: Cannot update attribute {name}. "
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


def _size_after(write: Write) -> int:
    """The size of the new item; where only some attributes were touched, by what those changed."""
    old, new, touched = write.old, write.new, write.touched
    if new is None:
        return 0
    if old is None or touched is None:
        return size_of_item(new)
    return write.table.sizes[write.key] + sum(
        (size_of_attribute(name, new[name]) if name in new else 0)
        - (size_of_attribute(name, old[name]) if name in old else 0)
        for name in touched
    )


def _returned(which: str, old: Item | None, new: Item | None, touched: frozenset[str] | None) -> Item | None:
    if which == "NONE":
        return None
    source = old if which.endswith("OLD") else new
    if source is None:
        return None
    if which.startswith("ALL"):
        return source
    return {name: source[name] for name in touched or () if name in source} or None
