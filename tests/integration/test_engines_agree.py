"""The fake keeps DynamoDB's contract: whatever is asked of both, it answers as DynamoDB Local does.

Where DynamoDB Local takes what DynamoDB itself refuses, the fake sides with DynamoDB, and the generators leave it out:
an update that gives an index key the wrong type, and a statement with more parameters than it has marks.
"""

import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engines.fake_dynamo import FakeDynamo
from tests.integration.agreement import (
    NUMBERS,
    PLAIN_PATHS,
    RANGE,
    SETTINGS,
    STRINGS,
    VALUES,
    Both,
    Draft,
    agree,
    by_content,
    normal,
    outcome,
)

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

KEYS = ("k0", "k1", "k2", "k3")
SHARDS = (1, 2)
START = {
    "k0": {"a": {"S": "ab"}, "n": {"N": "5"}, "m": {"N": "10"}, "f": {"BOOL": True}, "h": {"N": "1"}, "r": {"N": "7"}},
    "k1": {"a": {"S": "b"}, "n": {"N": "1.5"}, "h": {"N": "1"}, "r": {"N": "3"}, "mm": {"M": {"x": {"N": "5"}}}},
    "k2": {"n": {"S": "5"}, "m": {"N": "-1"}, "h": {"N": "2"}, "b": {"B": b"a"}, "l": {"L": [{"N": "1"}]}},
}
CONDITIONS = (
    *("n=?", "n<>?", "m>?", "zz<>?", "NOT zz=?", "m BETWEEN ? AND ?", "(n=? OR m=?)"),
    *("n=5", "a='ab'", "zz IS MISSING", "n IS NOT MISSING", "h<r", '"n"=?'),
)


@pytest.fixture(scope="module")
def both(local_client: "DynamoDBClient") -> Iterator[Both]:
    fake = FakeDynamo()
    name = f"agree-{uuid.uuid4().hex}"
    definition: Any = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
        "AttributeDefinitions": [
            {"AttributeName": attribute, "AttributeType": kind}
            for attribute, kind in (("k", "S"), ("h", "N"), ("r", "N"))
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": index,
                "KeySchema": [{"AttributeName": "h", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}],
                "Projection": projection,
            }
            for index, projection in (
                ("keys", {"ProjectionType": "KEYS_ONLY"}),
                ("some", {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["a", "n"]}),
                ("all", {"ProjectionType": "ALL"}),
            )
        ],
    }
    fake.create_table(**definition)
    local_client.create_table(**definition)
    yield Both(fake, local_client, name)
    local_client.delete_table(TableName=name)


def reset(both: Both) -> None:
    for client in (both.fake.as_client(), both.real):
        for key in KEYS:
            if key in START:
                item: Any = {"k": {"S": key}, **START[key]}
                client.put_item(TableName=both.table, Item=item)
            else:
                client.delete_item(TableName=both.table, Key={"k": {"S": key}})


def same_state(both: Both) -> None:
    for key in KEYS:
        agree(both, "get_item", Key={"k": {"S": key}})
    for index in ("keys", "some", "all"):
        for shard in SHARDS:
            assert by_position(both.fake, both.table, index, shard) == by_position(both.real, both.table, index, shard)


def by_position(client: Any, table: str, index: str, shard: int, **query: Any) -> list[Any]:
    """What an index holds of a partition, page by page; what shares a position in one order."""
    found: list[Any] = []
    query |= {
        "TableName": table,
        "IndexName": index,
        "KeyConditionExpression": "h = :shard",
        "ExpressionAttributeValues": {":shard": {"N": str(shard)}},
    }
    while True:
        page = client.query(**query)
        found += page["Items"]
        if "LastEvaluatedKey" not in page:
            return sorted(normal(found), key=lambda item: (Decimal(item["r"]["N"]), item["k"]["S"]))
        query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


# --- what is asked ----------------------------------------------------------------------------------------------------


@st.composite
def writes(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    draft = Draft(draw)
    call = draft.pick("update_item", "update_item", "update_item", "put_item", "delete_item")
    request: dict[str, Any] = {}
    key = draft.pick(*KEYS)
    if call == "put_item":
        some = draw(st.dictionaries(st.sampled_from(PLAIN_PATHS), st.sampled_from(VALUES), max_size=4))
        indexed = draw(st.dictionaries(st.sampled_from(("h", "r")), st.sampled_from(VALUES[:8])))
        request["Item"] = {"k": {"S": key}, **some, **indexed}
    else:
        request["Key"] = {"k": {"S": key}}
    if call == "update_item" and draft.pick(True, True, True, False):
        request["UpdateExpression"] = draft.update()
    if draft.pick(True, False):
        request["ConditionExpression"] = draft.condition()
    more = ("ALL_NEW", "UPDATED_OLD", "UPDATED_NEW") if "UpdateExpression" in request else ()
    request["ReturnValues"] = draft.pick("NONE", "ALL_OLD", *more)
    request["ReturnValuesOnConditionCheckFailure"] = draft.pick("ALL_OLD", "NONE")
    return call, draft.with_values(request)


@st.composite
def queries(draw: st.DrawFn) -> dict[str, Any]:
    draft = Draft(draw)
    key = f"h = {draft.value(({'S': 'a'},) if draft.rarely() else ({'N': '1'}, {'N': '1'}, {'N': '2'}))}"
    shape = draft.pick("", " AND r {op} {0}", " AND r {op} {0}", " AND r BETWEEN {0} AND {1}")
    if draft.rarely():
        shape = draft.pick(" AND zz = {0}", " AND r <> {0}", " AND r BETWEEN {1} AND {0}")
    if shape:
        low, high = draft.value(RANGE[:3]), draft.value(RANGE[2:]) if "{1}" in shape else ""
        key += shape.format(low, high, op=draft.pick("=", "<", "<=", ">", ">="))
    request: dict[str, Any] = {
        "IndexName": draft.pick("keys", *["some", "all"] * 4),
        "KeyConditionExpression": key,
        "ScanIndexForward": draft.pick(True, False),
    }
    if draft.pick(True, False):
        request["Limit"] = draft.pick(1, 2, 3, 100)
    if draft.pick(True, False, False):
        request["Select"] = draft.pick("COUNT", "ALL_PROJECTED_ATTRIBUTES")
    elif draft.pick(True, False, False):
        request["ProjectionExpression"] = (
            draft.pick("zz", "a, a") if draft.rarely() else draft.pick("k", "k, r", "a, n")
        )
    if draft.pick(True, False, False):
        form = draft.pick("m = {0}", "r = {0}") if draft.rarely() else draft.pick("a = {0}", "n > {0}", "NOT n = {0}")
        request["FilterExpression"] = form.format(draft.value((*NUMBERS, *STRINGS)))
    if draft.pick(True, False, False, False):
        start = {
            "k": {"S": draft.pick("k0", "zz")},
            "h": {"N": draft.pick("1", "1", "2")},
            "r": {"N": draft.pick("2", "5", "5")},
        }
        if draft.rarely():
            del start["h"]
        request["ExclusiveStartKey"] = start
    return draft.with_values(request)


@st.composite
def batches_of_statements(draw: st.DrawFn, table: str) -> list[dict[str, Any]]:
    draft = Draft(draw)

    def one(key: str) -> dict[str, Any]:
        parameters: list[Any] = []

        def mark(choices: Any = VALUES) -> str:
            parameters.append(draft.pick(*choices))
            return "?"

        change = draft.pick("SET a={0}", "SET h={n}", "SET r={n}", "SET zz=n", "REMOVE n", "REMOVE h")
        text = f'UPDATE "{table}" ' + change.replace("{0}", mark() if "{0}" in change else "").replace(
            "{n}", mark(NUMBERS) if "{n}" in change else ""
        )
        conditions = ["k=?"]
        parameters.append({"S": key})
        for shape in draw(
            st.lists(
                st.sampled_from(CONDITIONS),
                max_size=2,
            )
        ):
            marks = ({"N": "1"}, {"N": "5"}) if "BETWEEN" in shape else (VALUES[1:9])
            parameters.extend(
                sorted((draft.pick(*marks) for _ in range(shape.count("?"))), key=lambda n: Decimal(n.get("N", "0")))
            )
            conditions.append(shape)
        return {"Statement": f"{text} WHERE {' AND '.join(conditions)}", "Parameters": parameters}

    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4))
    return [one(key) for key in keys]


# --- the tests --------------------------------------------------------------------------------------------------------


@SETTINGS
@given(st.lists(writes(), min_size=1, max_size=3))
def test_conditional_writes_end_alike(both: Both, asked: list[tuple[str, dict[str, Any]]]) -> None:
    reset(both)
    for call, request in asked:
        agree(both, call, **request)
    same_state(both)


@SETTINGS
@given(queries())
def test_queries_find_alike(both: Both, asked: dict[str, Any]) -> None:
    reset(both)
    agree(both, "query", **asked)


@SETTINGS
@given(st.data())
def test_batches_of_statements_end_alike(both: Both, data: st.DataObject) -> None:
    reset(both)
    asked = data.draw(batches_of_statements(both.table))
    request = {"Statements": asked}
    mine, theirs = (without_messages(outcome(client, "batch_execute_statement", request)) for client in both[:2])
    assert mine == theirs, asked
    if isinstance(theirs, list):  # a batch that is refused whole may have been begun
        same_state(both)


def statement(both: Both, change: str, condition: str, *parameters: dict[str, Any]) -> dict[str, Any]:
    text = f'UPDATE "{both.table}" {change} WHERE {condition}'
    return {"Statement": text, **({"Parameters": list(parameters)} if parameters else {})}


@pytest.mark.parametrize(
    "change, condition, parameters",
    [
        ("SET k=?", "k=?", [{"S": "a"}, {"S": "k0"}]),
        ("REMOVE k", "k=?", [{"S": "k0"}]),
        ("SET a=zz", "k=?", [{"S": "k0"}]),
        ("SET a=?", "a=?", [{"S": "a"}, {"S": "ab"}]),
        ("SET a=?", "k=? OR a=?", [{"S": "a"}, {"S": "k0"}, {"S": "ab"}]),
        ("SET a=?", "k=?", [{"S": "a"}]),
        ("SET a=?", "k=?", []),
        ("SET a=?", "k=?", [{"S": "a"}, {"N": "1"}]),
        ("SET a", "k=?", [{"S": "k0"}]),
        ("PUT a=?", "k=?", [{"S": "a"}, {"S": "k0"}]),
        ("SET a=?", "k=? AND", [{"S": "a"}, {"S": "k0"}]),
        ("SET a=?", "k=?", [{"S": "a"}, {"S": "there-is-none"}]),
        ("REMOVE n", "k=? AND n=?", [{"S": "k0"}, {"N": "6"}]),
    ],
)
def test_a_statement_fails_alike(both: Both, change: str, condition: str, parameters: list[dict[str, Any]]) -> None:
    reset(both)
    request = {"Statements": [statement(both, change, condition, *parameters)]}
    mine, theirs = (without_messages(outcome(client, "batch_execute_statement", request)) for client in both[:2])
    assert mine == theirs
    assert mine != [None]
    same_state(both)


def without_messages(answer: Any) -> Any:
    if isinstance(answer, tuple):
        return answer
    return [response.get("Error", {}).get("Code") for response in answer["Responses"]]


@settings(SETTINGS, max_examples=30)
@given(
    st.lists(st.sampled_from((*KEYS, "")), min_size=1, max_size=5),
    st.sampled_from((None, "a", "k, n", "n, n", "name")),
    st.booleans(),
)
def test_batches_of_keys_are_read_alike(both: Both, keys: list[str], projection: str | None, consistent: bool) -> None:  # noqa: FBT001
    reset(both)
    part: dict[str, Any] = {"Keys": [{"k": {"S": key}} for key in keys], "ConsistentRead": consistent}
    if projection:
        part["ProjectionExpression"] = projection
    request = {"RequestItems": {both.table: part}}
    mine, theirs = outcome(both.fake, "batch_get_item", request), outcome(both.real, "batch_get_item", request)
    if isinstance(theirs, dict):
        assert mine["UnprocessedKeys"] == theirs["UnprocessedKeys"] == {}
        mine, theirs = (sorted(answer["Responses"][both.table], key=by_content) for answer in (mine, theirs))
    assert mine == theirs


@pytest.mark.parametrize("length", [0, 900, 960, 1000, 1100, 3000, 5000])
def test_reads_and_writes_cost_alike(both: Both, length: int) -> None:
    reset(both)
    report = {"ReturnConsumedCapacity": "INDEXES"}
    key = {"k": {"S": "k0"}}
    item = {**key, **START["k0"], "text": {"S": "é" * (length // 2)}}
    agree(both, "put_item", Item=item, **report)
    for update in (
        "SET n = n + :one",
        "SET h = h + :one",
        "SET r = r - :one",
        "SET zz = :one",
        "REMOVE zz",
        "REMOVE h",
    ):
        values = {"ExpressionAttributeValues": {":one": {"N": "1"}}} if ":one" in update else {}
        agree(both, "update_item", Key=key, UpdateExpression=update, **values, **report)
    for consistent in (True, False):
        agree(both, "get_item", Key=key, ConsistentRead=consistent, **report)
    agree(both, "delete_item", Key=key, **report)
    agree(both, "delete_item", Key=key, **report)


@pytest.mark.parametrize(
    "text", ["", "1.50", "1e3", "-0", "+5", "1E-5", ".5", "5.", "abc", "1_0", " 1", "9" * 39, "1e125"]
)
def test_numbers_are_kept_alike(both: Both, text: str) -> None:
    agree(both, "put_item", Item={"k": {"S": "k0"}, "n": {"N": text}})
    agree(both, "get_item", Key={"k": {"S": "k0"}})


@pytest.mark.parametrize(
    "call, request_",
    [
        ("get_item", {"Key": {"k": {"N": "1"}}}),
        ("get_item", {"Key": {"k": {"S": ""}}}),
        ("get_item", {"Key": {"a": {"S": "a"}}}),
        ("get_item", {"Key": {"k": {"S": "k0"}, "a": {"S": "a"}}}),
        ("get_item", {"Key": {}}),
        ("get_item", {}),
        ("get_item", {"Key": {"k": {"S": "k0"}}, "Nonsense": 1}),
        ("get_item", {"Key": {"k": {"S": "k0"}}, "TableName": "there-is-none"}),
        ("get_item", {"Key": {"k": {"S": "k0"}}, "ExpressionAttributeNames": {"#a": "a"}}),
        ("get_item", {"Key": {"k": {"S": "k0"}}, "ExpressionAttributeNames": {"a": "a"}, "ProjectionExpression": "a"}),
        ("put_item", {"Item": {"a": {"S": "a"}}}),
        ("put_item", {"Item": {"k": {"S": "k"}, "a": {}}}),
        ("put_item", {"Item": {"k": {"S": "k"}, "h": {"S": "1"}}}),
        ("put_item", {"Item": {"k": {"S": "k"}}, "ReturnValues": "ALL_NEW"}),
        ("put_item", {"Item": {"k": {"S": "k"}}, "ExpressionAttributeValues": {":a": {"S": "a"}}}),
        ("put_item", {"Item": {"k": {"S": "k"}}, "ConditionExpression": ""}),
        ("put_item", {"Item": {"k": {"S": "k"}}, "ConditionExpression": "name = k"}),
        ("put_item", {"Item": {"k": {"S": "k"}}, "ConditionExpression": "attribute_exists k"}),
        ("put_item", {"Item": {"k": {"S": "k"}}, "ConditionExpression": "_x = k"}),
        ("put_item", {"Item": {"k": {"S": "k"}}, "ConditionExpression": "nonsense(k)"}),
        ("put_item", {"Item": {"k": {"S": "k"}, "a": {"S": "x" * 410_000}}}),
        ("update_item", {"Key": {"k": {"S": "k0"}}, "UpdateExpression": ""}),
        ("update_item", {"Key": {"k": {"S": "k0"}}, "UpdateExpression": "SET a"}),
        ("update_item", {"Key": {"k": {"S": "k0"}}, "UpdateExpression": "SET a = n m = n"}),
        ("update_item", {"Key": {"k": {"S": "k0"}}, "UpdateExpression": "SET data = n"}),
        ("update_item", {"Key": {"k": {"S": "k0"}}, "UpdateExpression": "INCREMENT n"}),
        ("update_item", {"Key": {"k": {"S": "k0"}}, "UpdateExpression": "REMOVE k"}),
        ("query", {"IndexName": "keys"}),
        ("query", {"IndexName": "none", "KeyConditionExpression": "h = r"}),
        ("query", {"KeyConditionExpression": "h = :h", "ExpressionAttributeValues": {":h": {"N": "1"}}}),
        (
            "query",
            {
                "IndexName": "keys",
                "KeyConditionExpression": "h = :h",
                "ExpressionAttributeValues": {":h": {"N": "1"}},
                "ConsistentRead": True,
            },
        ),
        (
            "query",
            {
                "IndexName": "keys",
                "KeyConditionExpression": "h = :h",
                "ExpressionAttributeValues": {":h": {"N": "1"}},
                "Select": "ALL_ATTRIBUTES",
            },
        ),
        ("batch_get_item", {"RequestItems": {}}),
        ("batch_execute_statement", {"Statements": []}),
    ],
)
def test_what_is_refused_is_refused_alike(both: Both, call: str, request_: dict[str, Any]) -> None:
    reset(both)
    refusal = agree(both, call, **request_)
    assert not isinstance(refusal, dict)


def test_a_batch_takes_a_hundred_keys_and_twenty_five_statements_on_both(both: Both) -> None:
    keys = [{"k": {"S": str(number)}} for number in range(101)]
    agree(both, "batch_get_item", RequestItems={both.table: {"Keys": keys}})
    agree(both, "batch_get_item", RequestItems={both.table: {"Keys": keys[:100]}})
    statements = [statement(both, "SET a=?", "k=?", {"S": "a"}, {"S": str(number)}) for number in range(26)]
    agree(both, "batch_execute_statement", Statements=statements)
    agree(both, "batch_execute_statement", Statements=statements[:25])
