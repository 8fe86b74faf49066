"""Tables with a sort key: the DynamoDB in memory answers as DynamoDB Local does, and its stream has the same records.

Where DynamoDB Local differs from DynamoDB itself, the DynamoDB in memory sides with DynamoDB, and the drafts leave it
out: a page without items costs nothing, a batch pays two units to delete what is not there, a transaction may name an
item twice and refuses whole what it should report as a reason, and a condition is checked before the expression.
"""

import base64
import uuid
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.dynamo.stream import Record
from local.dynamodb_local import DynamoDbLocal
from tests.engines.fake_dynamo import FakeDynamo
from tests.integration.agreement import NUMBERS, SETTINGS, VALUES, Both, Draft, agree, by_content, normal, outcome

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

SORTS: dict[str, tuple[dict[str, Any], ...]] = {
    "N": tuple({"N": text} for text in ("-12", "-1.5", "0", "1e1", "11", "9007199254740993")),
    "S": tuple({"S": text} for text in ("10", "9", "A", "a", "ab", "ü")),
    "B": tuple({"B": octets} for octets in (b"\x00", b"\x01\xff", b"a", b"ab", b"\x7f", b"\xff")),
}
PARTITIONS = ({"S": "p0"}, {"S": "p0"}, {"S": "p0"}, {"S": "p1"}, {"S": "p2"})
FILLED = {"p0": range(6), "p1": (1, 4)}


class Composite(NamedTuple):
    """A table with a sort key in both, and the values that its sort key takes."""

    both: Both
    sorts: tuple[dict[str, Any], ...]

    def key(self, partition: str, sort: int) -> dict[str, Any]:
        return {"p": {"S": partition}, "s": self.sorts[sort]}


def definition(name: str, kind: str, view: str = "NEW_AND_OLD_IMAGES") -> Any:
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
        "AttributeDefinitions": [
            {"AttributeName": "p", "AttributeType": "S"},
            {"AttributeName": "s", "AttributeType": kind},
        ],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": view},
    }


@pytest.fixture(scope="module", params=list(SORTS))
def table(request: pytest.FixtureRequest, local_client: "DynamoDBClient") -> Iterator[Composite]:
    fake = FakeDynamo()
    name = f"agree-{uuid.uuid4().hex}"
    for client in (fake.as_client(), local_client):
        client.create_table(**definition(name, request.param))
    yield Composite(Both(fake, local_client, name), SORTS[request.param])
    local_client.delete_table(TableName=name)


def reset(table: Composite) -> None:
    for client in (table.both.fake.as_client(), table.both.real):
        for partition in ("p0", "p1", "p2"):
            for sort in range(len(table.sorts)):
                key = table.key(partition, sort)
                if sort in FILLED.get(partition, ()):
                    item: Any = {**key, "n": {"N": str(sort)}, "a": {"S": "ab"}}
                    client.put_item(TableName=table.both.table, Item=item)
                else:
                    client.delete_item(TableName=table.both.table, Key=key)


def everything(table: Composite, client: Any) -> list[Any]:
    """Every item, by partition and sort key."""
    return [
        normal(item)
        for partition in ("p0", "p1", "p2")
        for item in client.query(
            TableName=table.both.table,
            KeyConditionExpression="p = :p",
            ExpressionAttributeValues={":p": {"S": partition}},
            ConsistentRead=True,
        )["Items"]
    ]


def clients(table: Composite) -> list[Any]:
    return [table.both.fake, table.both.real]


def same_state(table: Composite) -> None:
    assert everything(table, table.both.fake) == everything(table, table.both.real)


# --- what is asked ----------------------------------------------------------------------------------------------------


@st.composite
def writes(draw: st.DrawFn, table: Composite) -> tuple[str, dict[str, Any]]:
    draft = Draft(draw)
    call = draft.pick("update_item", "update_item", "put_item", "put_item", "delete_item")
    key = {"p": draft.pick(*PARTITIONS), "s": draft.pick(*table.sorts)}
    if draft.rarely():
        key["s"] = draft.pick({"S": ""}, {"BOOL": True}, {"L": []})
    if draft.rarely():
        del key[draft.pick("p", "s")]
    request: dict[str, Any] = {"Key": key}
    if call == "put_item":
        some = draw(st.dictionaries(st.sampled_from(("a", "n")), st.sampled_from(VALUES), max_size=2))
        request = {"Item": {**key, **some}}
    if call == "update_item" and not draft.rarely():
        request["UpdateExpression"] = draft.pick(
            f"SET n = if_not_exists(n, {draft.value(NUMBERS)}) + {draft.value(NUMBERS)}",
            f"SET a = {draft.value()}, n = {draft.value(NUMBERS)}",
            f"ADD n {draft.value(NUMBERS)} REMOVE a",
        )
    if call == "update_item" and draft.rarely():
        request["UpdateExpression"] = draft.pick("REMOVE p", "REMOVE s")
    elif draft.pick(True, True, False):
        request["ConditionExpression"] = draft.pick(
            "attribute_not_exists(s)", "attribute_exists(p) AND attribute_exists(s)", draft.condition(1)
        )
    used = " ".join(str(request.get(name)) for name in ("UpdateExpression", "ConditionExpression"))
    if not draft.rarely():
        draft.values = {name: value for name, value in draft.values.items() if name in used}
        draft.names = {name: value for name, value in draft.names.items() if name in used}
    request["ReturnValues"] = draft.pick("NONE", "ALL_OLD", *["ALL_NEW"] * ("UpdateExpression" in request))
    request["ReturnValuesOnConditionCheckFailure"] = draft.pick("ALL_OLD", "NONE")
    return call, draft.with_values(request)


@st.composite
def queries(draw: st.DrawFn, table: Composite) -> dict[str, Any]:
    draft = Draft(draw)
    key = f"p = {draft.value(PARTITIONS)}"
    shape = draft.pick("", *[" AND s {op} {0}"] * 4, " AND s BETWEEN {0} AND {1}")
    if draft.rarely():
        shape = draft.pick(" AND zz = {0}", " AND s <> {0}", " AND s BETWEEN {1} AND {0}", " AND p = {0}")
    if shape:
        first, second = sorted((draft.pick(*range(6)), draft.pick(*range(6))))
        ordered = sorted(table.sorts, key=_order)
        low = draft.value((ordered[first],) if not draft.rarely() else VALUES)
        high = draft.value((ordered[second],)) if "{1}" in shape else ""
        key += shape.format(low, high, op=draft.pick("=", "<", "<=", ">", ">="))
    request: dict[str, Any] = {
        "KeyConditionExpression": key,
        "ScanIndexForward": draft.pick(True, False),
        "ConsistentRead": draft.pick(True, False),
    }
    if draft.pick(True, False):
        request["Limit"] = draft.pick(1, 2, 3, 100)
    if draft.pick(True, False, False):
        request["Select"] = draft.pick("COUNT", "ALL_ATTRIBUTES")
    elif draft.pick(True, False, False):
        request["ProjectionExpression"] = draft.pick("s", "p, s, n", "a, zz")
    if draft.pick(True, False, False):
        form = "s = {0}" if draft.rarely() else draft.pick("n > {0}", "NOT n = {0}")
        request["FilterExpression"] = form.format(draft.value(NUMBERS))
    if draft.pick(True, False, False):
        start = {"p": draft.pick(*PARTITIONS), "s": draft.pick(*table.sorts)}
        if draft.rarely():
            start = draft.pick({"p": start["p"]}, {**start, "s": {"BOOL": True}}, {**start, "n": {"N": "1"}})
        request["ExclusiveStartKey"] = start
    return draft.with_values(request)


def _order(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    return float(content) if kind == "N" else content.encode() if kind == "S" else content


# --- the tests --------------------------------------------------------------------------------------------------------


@settings(SETTINGS, max_examples=70)
@given(st.data())
def test_conditional_writes_of_two_keys_end_alike(table: Composite, data: st.DataObject) -> None:
    reset(table)
    for _ in range(data.draw(st.integers(1, 3))):
        call, request = data.draw(writes(table))
        agree(table.both, call, **request)
    same_state(table)


@settings(SETTINGS, max_examples=70)
@given(st.data())
def test_queries_of_a_table_find_alike(table: Composite, data: st.DataObject) -> None:
    agree(table.both, "query", **data.draw(queries(table)))


@pytest.fixture(autouse=True)
def _filled(table: Composite) -> None:
    reset(table)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 3, 6])
def test_a_partition_is_paged_alike(table: Composite, limit: int, *, backwards: bool) -> None:
    pages: list[list[Any]] = [[], []]
    for found, client in zip(pages, clients(table), strict=True):
        request: Any = {
            "TableName": table.both.table,
            "KeyConditionExpression": "p = :p AND s >= :low",
            "ExpressionAttributeValues": {":p": {"S": "p0"}, ":low": sorted(table.sorts, key=_order)[1]},
            "ScanIndexForward": not backwards,
            "Limit": limit,
        }
        while True:
            page: Any = client.query(**request)
            found.append(normal(page))
            if "LastEvaluatedKey" not in page:
                break
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    assert pages[0] == pages[1]
    assert sum(page["Count"] for page in pages[0]) == 5


def test_a_page_of_large_items_ends_at_the_same_one(table: Composite) -> None:
    sizes = (399_000, 300_000, 350_000, 399_000, 200_000, 100_000)
    for sort, size in enumerate(sizes):
        agree(table.both, "put_item", Item={**table.key("large", sort), "text": {"S": "x" * size}})
    for forward in (True, False):
        start: dict[str, Any] = {}
        pages = 0
        while True:
            page = agree(
                table.both,
                "query",
                KeyConditionExpression="p = :p",
                ExpressionAttributeValues={":p": {"S": "large"}},
                ScanIndexForward=forward,
                ReturnConsumedCapacity="TOTAL",
                ProjectionExpression="s",
                **start,
            )
            pages += 1
            if "LastEvaluatedKey" not in page:
                break
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
        assert pages >= 2


@pytest.mark.parametrize("limit", [1, 4, 100])
def test_a_scan_reads_everything_once(table: Composite, limit: int) -> None:
    seen: list[list[Any]] = [[], []]
    for found, client in zip(seen, clients(table), strict=True):
        request: Any = {"TableName": table.both.table, "Limit": limit, "FilterExpression": "attribute_exists(n)"}
        while True:
            page = client.scan(**request)
            found.extend(normal(page["Items"]))
            if "LastEvaluatedKey" not in page:
                break
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]
    assert sorted(seen[0], key=by_content) == sorted(seen[1], key=by_content)
    assert len(seen[0]) == 8


@settings(SETTINGS, max_examples=40)
@given(st.data())
def test_batches_of_writes_end_alike(table: Composite, data: st.DataObject) -> None:
    draft = Draft(data.draw)  # type: ignore[arg-type]
    entries = []
    for _ in range(draft.pick(1, 2, 3, 5)):
        key = {"p": draft.pick(*PARTITIONS), "s": draft.pick(*table.sorts)}
        if draft.rarely():
            del key["s"]
        put = {"PutRequest": {"Item": {**key, "n": draft.pick(*VALUES)}}}
        entries.append(put if draft.pick(True, False) else {"DeleteRequest": {"Key": key}})
    agree(table.both, "batch_write_item", RequestItems={table.both.table: entries})
    same_state(table)


@pytest.mark.parametrize("count", [0, 25, 26])
def test_a_batch_takes_twenty_five_writes(table: Composite, count: int) -> None:
    entries = [{"PutRequest": {"Item": {"p": {"S": str(number)}, "s": table.sorts[0]}}} for number in range(count)]
    agree(table.both, "batch_write_item", RequestItems={table.both.table: entries})


def test_a_batch_of_writes_costs_alike(table: Composite) -> None:
    entries: Any = [
        {"PutRequest": {"Item": {**table.key("p2", 0), "text": {"S": "x" * 3000}}}},
        {"DeleteRequest": {"Key": table.key("p0", 0)}},
    ]
    agree(table.both, "batch_write_item", RequestItems={table.both.table: entries}, ReturnConsumedCapacity="TOTAL")


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"PutRequest": {"Item": {"p": {"S": "a"}}}},
        {"PutRequest": {}},
        {"DeleteRequest": {"Key": {}}},
        {"Nonsense": {}},
    ],
)
def test_a_wrong_entry_of_a_batch_is_refused_alike(table: Composite, entry: dict[str, Any]) -> None:
    refusal = agree(table.both, "batch_write_item", RequestItems={table.both.table: [entry]})
    assert not isinstance(refusal, dict)


def test_a_transaction_of_a_token_is_carried_out_once_by_both(table: Composite) -> None:
    name, token = table.both.table, uuid.uuid4().hex
    key = {"p": {"S": "token"}, "s": table.sorts[0]}
    puts = [{"Put": {"TableName": name, "Item": key, "ConditionExpression": "attribute_not_exists(s)"}}]
    for _ in range(2):
        assert isinstance(agree(table.both, "transact_write_items", TransactItems=puts, ClientRequestToken=token), dict)
    others = [{"Delete": {"TableName": name, "Key": key}}]
    agree(table.both, "transact_write_items", TransactItems=others, ClientRequestToken=token)
    agree(table.both, "transact_write_items", TransactItems=puts, ClientRequestToken=uuid.uuid4().hex)
    agree(table.both, "delete_item", Key=key)
    same_state(table)


@settings(SETTINGS, max_examples=40)
@given(st.data())
def test_transactions_end_alike(table: Composite, data: st.DataObject) -> None:
    draft = Draft(data.draw)  # type: ignore[arg-type]
    entries = []
    for sort in data.draw(st.lists(st.sampled_from(table.sorts), min_size=1, max_size=3, unique_by=str)):
        key = {"p": draft.pick(*PARTITIONS), "s": sort}
        kind = draft.pick("Put", "Put", "Update", "Delete", "ConditionCheck")
        one: dict[str, Any] = {"TableName": table.both.table}
        one |= {"Item": {**key, "n": {"N": "7"}}} if kind == "Put" else {"Key": key}
        if kind == "Update":
            one["UpdateExpression"] = draft.pick("REMOVE a", "SET m = :m", "SET")
        if kind == "ConditionCheck" or draft.pick(True, False):
            one["ConditionExpression"] = draft.pick(*["attribute_not_exists(s)", "attribute_exists(s)"] * 12, "s =")
            one["ReturnValuesOnConditionCheckFailure"] = draft.pick("ALL_OLD", "NONE")
        if ":m" in one.get("UpdateExpression", ""):
            one["ExpressionAttributeValues"] = {":m": {"N": "1"}}
        entries.append({kind: one})
    agree(table.both, "transact_write_items", TransactItems=entries)
    same_state(table)


@pytest.mark.parametrize("change", ["SET n=?", "REMOVE n"])
@pytest.mark.parametrize("condition", ["p=? AND s=?", "s=? AND p=?", "p=?", "p=? AND s>?", "p=? OR s=?"])
def test_a_statement_names_both_keys_alike(table: Composite, change: str, condition: str) -> None:
    by_name = table.key("p0", 2)
    parameters = [{"N": "3"}] * change.count("?")
    parameters += [by_name[name] for name in ("ps" if condition.startswith("p") else "sp")][: condition.count("?")]
    text = f'UPDATE "{table.both.table}" {change} WHERE {condition}'
    request: Any = {"Statements": [{"Statement": text, "Parameters": parameters}]}
    mine, theirs = (outcome(client, "batch_execute_statement", request) for client in table.both[:2])
    assert [answer["Responses"][0].get("Error", {}).get("Code") for answer in (mine, theirs)] in (
        [None, None],
        ["ValidationError", "ValidationError"],
    )
    same_state(table)


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def streams(dynamo_local: DynamoDbLocal) -> Iterator[Any]:
    client = boto3.client("dynamodbstreams", endpoint_url=dynamo_local.endpoint_url, region_name="eu-central-1")
    yield client
    client.close()


def records_of(streams: Any, table: str) -> list[Any]:
    """All records that DynamoDB Local has of a table."""
    ((arn,),) = [[stream["StreamArn"] for stream in streams.list_streams(TableName=table)["Streams"]]]
    found: list[Any] = []
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            page = streams.get_records(ShardIterator=iterator)
            found += page["Records"]
            iterator = page.get("NextShardIterator") if page["Records"] else None
    return found


def as_json(value: Any) -> Any:
    """Bytes in base64, as an event of Lambda has them."""
    if isinstance(value, Mapping):
        return {name: as_json(inner) for name, inner in value.items()}
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def changed(record: Mapping[str, Any]) -> Any:
    images = {name: as_json(normal(record["dynamodb"].get(name))) for name in ("Keys", "NewImage", "OldImage")}
    return record["eventName"], record["dynamodb"]["StreamViewType"], images


@settings(SETTINGS, max_examples=15)
@given(st.data(), st.sampled_from(("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")))
def test_a_stream_has_the_same_records(
    local_client: "DynamoDBClient", streams: Any, data: st.DataObject, view: str
) -> None:
    fake = FakeDynamo()
    name = f"stream-{uuid.uuid4().hex}"
    both = Both(fake, local_client, name)
    for client in (fake.as_client(), local_client):
        client.create_table(**definition(name, "N", view))
    table = Composite(both, SORTS["N"][:2])
    written = 0
    for _ in range(data.draw(st.integers(4, 10))):
        call, request = data.draw(writes(table))
        written += isinstance(agree(both, call, **request), dict)
    theirs = [changed(record) for record in records_of(streams, name)]
    mine: list[Record] = fake.stream_records(name)
    local_client.delete_table(TableName=name)
    assert [changed(record) for record in mine] == theirs
    assert len(theirs) <= written
