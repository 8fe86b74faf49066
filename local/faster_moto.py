"""Two things that moto's DynamoDB does far too slowly for a stack that people use, done otherwise.

Its PartiQL copies every table for every statement, and does not report a condition that failed: the one form that the
sweep uses is carried out on its one item instead. And it walks through every attribute of every item that
it answers with, which is the JSON to be sent already. What is not on this page is left to moto.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.utilities import dynamo_json_dump
from moto.dynamodb.responses import DynamoResult

_UPDATE: Final = re.compile(
    r'UPDATE "(?P<table>[^"]+)" (?:SET (?P<set>\w+) = \?|REMOVE (?P<remove>\w+))'
    r" WHERE (?P<where>\w+ = \?(?: AND \w+ = \?)*)"
)
_ITEM_OPERATIONS: Final = frozenset({"BatchGetItem", "DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"})

Answer = dict[str, Any]


@contextmanager
def improved(account: str, region: str) -> Iterator[None]:
    """Improve moto's DynamoDB of this account and region for the time of the block, in which moto is started."""
    backend: DynamoDBBackend = dynamodb_backends[account][region]
    by_moto = backend.batch_execute_statement

    def batch_execute_statement(statements: Sequence[dict[str, Any]]) -> list[Answer]:
        return [_execute(backend, statement, by_moto) for statement in statements]

    backend.batch_execute_statement = batch_execute_statement  # type: ignore[method-assign]
    DynamoResult.execute_result = _execute_result  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        vars(backend).pop("batch_execute_statement", None)
        DynamoResult.execute_result = _execute_result_by_moto  # type: ignore[method-assign]


def _execute(backend: DynamoDBBackend, statement: dict[str, Any], by_moto: Callable[[Any], list[Answer]]) -> Answer:
    found = _UPDATE.fullmatch(statement["Statement"])
    if found is None or found["table"] not in backend.tables:
        return by_moto([statement])[0]
    table = backend.tables[found["table"]]
    values = [DynamoType(value) for value in statement.get("Parameters", ())]
    new = values.pop(0) if found["set"] else None
    wanted = dict(zip(re.findall(r"(\w+) = \?", found["where"]), values, strict=True))
    item = table.get_item(wanted.pop(table.hash_key_attr))
    if item is None or any(item.attrs.get(name) != value for name, value in wanted.items()):
        refused = {"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"}
        return {"TableName": table.name, "Error": refused}
    if new is None:
        item.attrs.pop(found["remove"], None)
    else:
        item.attrs[found["set"]] = new
    return {"TableName": table.name}


_execute_result_by_moto: Final = DynamoResult.execute_result


def _execute_result(self: DynamoResult, context: Any) -> Any:
    """The status, headers and body of an answer."""
    if context.operation_model.name not in _ITEM_OPERATIONS or not isinstance(self.result, dict):
        return _execute_result_by_moto(self, context)
    return 200, {"Content-Type": "application/x-amz-json-1.0"}, dynamo_json_dump(self.result)
