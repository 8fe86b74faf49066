"""The lean client of DynamoDB beside botocore's: the same requests, answers, refusals and repetitions; no network."""

import json
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final

import botocore.auth
import botocore.endpoint
import botocore.session
import pytest
from agent_sessions.aws_clients.failures import FailedCondition, FailedTransaction, translated
from agent_sessions.aws_clients.lean_dynamodb import DynamoDbError
from agent_sessions.aws_clients.lean_http import HttpAnswer
from agent_sessions.bootstrap import wiring
from agent_sessions.errors import ServiceUnavailable
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.retries.quota import RetryQuota
from hypothesis import given
from hypothesis import strategies as st

from tests.engines.lean import KEYS, NotedPauses, lean_client

METHODS: Final = {
    "PutItem": "put_item",
    "GetItem": "get_item",
    "UpdateItem": "update_item",
    "DeleteItem": "delete_item",
    "Query": "query",
    "BatchGetItem": "batch_get_item",
    "BatchWriteItem": "batch_write_item",
    "TransactWriteItems": "transact_write_items",
}
ONCE: Final = frozenset({"PutItem", "TransactWriteItems"})
"""Calls that are never repeated."""
URL: Final = "https://dynamodb.eu-west-1.amazonaws.com/"
Reply = Callable[[], HttpAnswer]


class Side:
    """One of the two clients, with the network taken away: `sent` has what it sends, `reply` answers."""

    def __init__(self) -> None:
        self.sent: list[tuple[dict[str, str], bytes]] = []
        self.reply: Reply = lambda: HttpAnswer(200, {}, b"{}")
        self.pauses: list[float] = []
        self.client: Any = None

    def answer(self, headers: Mapping[str, Any], body: bytes) -> HttpAnswer:
        texts = {
            name.lower(): value.decode() if isinstance(value, bytes) else str(value) for name, value in headers.items()
        }
        self.sent.append((texts, body))
        return self.reply()


class Lean(Side):
    def __init__(self) -> None:
        super().__init__()
        self.clock = NotedPauses()
        self.environ = dict(KEYS)
        self.client = lean_client(clock=self.clock, environ=self.environ)
        self.client._connections.post = self.answer
        self.pauses = self.clock.pauses

    def sign_as(self, keys: Credentials, now: datetime) -> None:
        self.environ |= {"AWS_ACCESS_KEY_ID": keys.access_key, "AWS_SECRET_ACCESS_KEY": keys.secret_key}
        self.environ["AWS_SESSION_TOKEN"] = keys.token or ""
        self.client._credentials._environ = self.environ
        self.clock.now_ms = lambda: round(now.timestamp() * 1000)  # type: ignore[method-assign]


class Botocores(Side):
    """Botocore's client as the functions make it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.patch = patch
        for name, value in KEYS.items():
            patch.setenv(name, value)
        patch.setattr(wiring, "_wiring", wiring.Wiring())
        patch.setattr(botocore.endpoint, "time", SimpleNamespace(sleep=self.pauses.append))
        # After many failures botocore stops repeating calls; the lean client does not (docs/decisions.md).
        patch.setattr(RetryQuota, "acquire", lambda *_: True)
        self.client = wiring.client("dynamodb")
        self.client.meta.events.register("before-send.dynamodb.*", self._send)

    def _send(self, request: Any, **_: Any) -> AWSResponse:
        status, headers, body = self.answer(request.headers, request.body)
        return AWSResponse(request.url, status, HTTPHeaders.from_dict(headers), _Raw(body))

    def sign_as(self, keys: Credentials, now: datetime) -> None:
        self.client._request_signer._credentials = keys
        self.patch.setattr(botocore.auth, "get_current_datetime", lambda: now.replace(tzinfo=None))


class _Raw:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, **_: Any) -> Iterator[bytes]:
        yield self._body


@pytest.fixture(scope="module")
def _patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def both(_patch: pytest.MonkeyPatch) -> tuple[Lean, Botocores]:
    return Lean(), Botocores(_patch)


@pytest.fixture
def sides(both: tuple[Lean, Botocores]) -> tuple[Lean, Botocores]:
    """Both, with nothing sent yet."""
    for side in both:
        side.sent.clear()
        side.pauses.clear()
    return both


def outcome(side: Side, operation: str, request: Mapping[str, Any], reply: Reply) -> Any:
    """What a call returns or is refused with, as the caller sees it."""
    side.reply = reply
    try:
        result = getattr(side.client, METHODS[operation])(**request)
    except (ClientError, DynamoDbError) as error:
        result = {**error.response, "operation": error.operation_name}
        result.pop("message", None)  # botocore repeats it for errors that it has a class for
    result["ResponseMetadata"].pop("MaxAttemptsReached", None)  # botocore's word for what RetryAttempts says too
    return result


# --- requests ---------------------------------------------------------------------------------------------------------

texts = st.text(max_size=20)
names = st.text("abcXYZ_", min_size=1, max_size=8)
values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        texts.map(lambda text: {"S": text}),
        st.integers().map(lambda number: {"N": str(number)}),
        st.binary(max_size=20).map(lambda octets: {"B": octets}),
        st.booleans().map(lambda flag: {"BOOL": flag}),
        st.just({"NULL": True}),
        st.lists(st.binary(max_size=5), min_size=1, max_size=3).map(lambda octets: {"BS": octets}),
        st.lists(texts, min_size=1, max_size=3).map(lambda several: {"SS": several}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda several: {"L": several}),
        st.dictionaries(st.one_of(names, st.sampled_from(["B", "S", "BS"])), inner, max_size=3).map(
            lambda several: {"M": several}
        ),
    ),
    max_leaves=6,
)
items = st.dictionaries(st.one_of(names, st.sampled_from(["B", "BS"])), values, max_size=5)


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A call, with parameters of every kind that the stores send."""
    operation = draw(st.sampled_from(sorted(METHODS)))
    item = draw(items)
    if operation == "BatchGetItem":
        return operation, {"RequestItems": {"table": {"Keys": [item, item], "ConsistentRead": draw(st.booleans())}}}
    if operation == "BatchWriteItem":
        return operation, {"RequestItems": {"table": [{"DeleteRequest": {"Key": item}}]}}
    if operation == "TransactWriteItems":
        puts = [{"Put": {"TableName": draw(texts), "Item": item, "ConditionExpression": draw(texts)}}]
        return operation, {"TransactItems": puts, "ClientRequestToken": draw(texts)}
    part = {"PutItem": "Item", "Query": "ExclusiveStartKey"}.get(operation, "Key")
    request: dict[str, Any] = {"TableName": draw(texts), part: item}
    if operation in {"GetItem", "Query"}:
        request["ConsistentRead"] = draw(st.booleans())
    if operation == "Query":
        request |= {"Limit": draw(st.integers(1, 1000)), "KeyConditionExpression": draw(texts)}
    if operation != "GetItem":
        request["ExpressionAttributeValues"] = draw(items)
    return operation, request


keys = st.builds(
    Credentials,
    access_key=st.text("ABCXYZ123", min_size=1, max_size=20),
    secret_key=st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=40),
    token=st.one_of(st.none(), st.text("abcXYZ123+/=", min_size=1, max_size=400)),
)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


@given(keys, moments, requests())
def test_requests_and_signatures_are_botocores_byte_by_byte(
    both: tuple[Lean, Botocores], keys: Credentials, now: datetime, asked: tuple[str, dict[str, Any]]
) -> None:
    sent = []
    for side in both:
        side.sign_as(keys, now.replace(microsecond=0))
        outcome(side, *asked, lambda: HttpAnswer(200, {}, b"{}"))
        headers, body = side.sent[-1]
        signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
        sent.append(({name: headers.get(name) for name in ["authorization", *signed] if name != "host"}, body))
    lean, theirs = sent
    assert lean == theirs


def asking(operation: str) -> dict[str, Any]:
    """The least that botocore takes for a call."""
    if operation == "TransactWriteItems":
        return {"TransactItems": [], "ClientRequestToken": "token"}
    return {"RequestItems": {"table": {}}} if operation.startswith("Batch") else {"TableName": "table"}


# --- answers ----------------------------------------------------------------------------------------------------------


def reply_of(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    text = json.dumps(body, default=lambda octets: b64encode(octets).decode()).encode()
    given_headers = {"x-amzn-requestid": "ABC", "x-amz-crc32": str(zlib.crc32(text)), **(headers or {})}
    return lambda: HttpAnswer(status, given_headers, text)


@given(operation=st.sampled_from(sorted(METHODS)), item=items, more=st.booleans())
def test_answers_are_read_as_botocore_reads_them(
    both: tuple[Lean, Botocores], operation: str, item: Any, *, more: bool
) -> None:
    answers: dict[str, Any] = {
        "GetItem": {"Item": item},
        "Query": {"Items": [item, item], "Count": 2, "ScannedCount": 3} | ({"LastEvaluatedKey": item} if more else {}),
        "BatchGetItem": {
            "Responses": {"table": [item]},
            "UnprocessedKeys": {"table": {"Keys": [item]}} if more else {},
        },
        "BatchWriteItem": {"UnprocessedItems": {"table": [{"DeleteRequest": {"Key": item}}]} if more else {}},
    }
    answers["TransactWriteItems"] = {}
    reply = reply_of(200, answers.get(operation, {"Attributes": item} if more else {}))
    lean, theirs = (outcome(side, operation, asking(operation), reply) for side in both)
    assert lean == theirs


CODES: Final = (
    "AccessDeniedException", "ConditionalCheckFailedException", "IdempotentParameterMismatchException",
    "ItemCollectionSizeLimitExceededException", "ProvisionedThroughputExceededException", "RequestLimitExceeded",
    "ResourceNotFoundException", "ThrottlingException", "UnrecognizedClientException", "ValidationException",
)  # fmt: skip


@given(st.sampled_from(["GetItem", "PutItem", "UpdateItem", "DeleteItem"]), st.sampled_from(CODES), texts, items)
def test_refusals_are_reported_and_repeated_as_botocore_does(
    both: tuple[Lean, Botocores], operation: str, code: str, message: str, item: Any
) -> None:
    """`Item` is what a failed condition met."""
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message}
    met = {"Item": item} if code == "ConditionalCheckFailedException" else {}
    reply = reply_of(400, body | met)
    for side in both:
        side.sent.clear()
        side.pauses.clear()
    lean, theirs = (outcome(side, operation, {"TableName": "t"}, reply) for side in both)
    counts = [(len(side.sent), len(side.pauses)) for side in both]
    assert counts[0] == counts[1]
    assert lean == theirs


@pytest.mark.parametrize("operation", METHODS)
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_is_repeated_as_botocore_does(
    sides: tuple[Lean, Botocores], operation: str, status: int
) -> None:
    reply = reply_of(status, {"__type": "com.amazon.coral.service#OfAnotherName", "message": "no"})
    lean, theirs = (outcome(side, operation, asking(operation), reply) for side in sides)
    assert lean == theirs
    repeats = 0 if operation in ONCE else 1
    assert [len(side.sent) for side in sides] == [1 + repeats] * 2
    assert [len(side.pauses) for side in sides] == [repeats] * 2


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_that_is_no_json_makes_the_service_unavailable(
    sides: tuple[Lean, Botocores], status: int
) -> None:
    for side in sides:
        side.reply = lambda: HttpAnswer(status, {}, b"<html>no</html>")
        with pytest.raises(ServiceUnavailable), translated():
            side.client.get_item(TableName="t")
        assert len(side.sent) == 2


def test_a_failed_condition_carries_the_item_that_it_met(sides: tuple[Lean, Botocores]) -> None:
    item = {"attempt": {"B": b"\x00\x01"}}
    code = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"
    for side in sides:
        side.reply = reply_of(400, {"__type": code, "message": "no", "Item": item})
        with pytest.raises(FailedCondition) as caught, translated():
            side.client.put_item(TableName="t")
        assert caught.value.item == item


def test_a_cancelled_transaction_carries_what_each_write_met(both: tuple[Lean, Botocores]) -> None:
    item = {"attempt": {"B": b"\x00\x01"}}
    reasons: list[dict[str, Any]] = [
        {"Code": "None"},
        {"Code": "ConditionalCheckFailed", "Message": "no", "Item": item},
    ]
    for side in both:
        side.reply = cancelled(reasons)
        with pytest.raises(FailedTransaction) as caught, translated():
            side.client.transact_write_items(TransactItems=[], ClientRequestToken="token")
        assert caught.value.items == [None, item]


@pytest.mark.parametrize("code", ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"])
def test_a_transaction_that_met_others_may_be_tried_again_and_is_not_by_the_client(
    both: tuple[Lean, Botocores], code: str
) -> None:
    for side in both:
        side.sent.clear()
        side.reply = cancelled([{"Code": "None"}, {"Code": code, "Message": "busy"}])
        with pytest.raises(ServiceUnavailable), translated():
            side.client.transact_write_items(TransactItems=[], ClientRequestToken="token")
        assert len(side.sent) == 1


def test_a_transaction_that_cannot_succeed_is_a_fault_of_ours(both: tuple[Lean, Botocores]) -> None:
    for side in both:
        side.reply = cancelled([{"Code": "TransactionConflict"}, {"Code": "ValidationError", "Message": "too large"}])
        with pytest.raises(Exception, match="TransactionCanceledException"), translated():
            side.client.transact_write_items(TransactItems=[], ClientRequestToken="token")


def cancelled(reasons: list[dict[str, Any]]) -> Reply:
    code = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException"
    return reply_of(400, {"__type": code, "Message": "cancelled", "CancellationReasons": reasons})


# --- answers that did not come whole ----------------------------------------------------------------------------------

SPOILT: Final[dict[str, Reply]] = {
    "another checksum": lambda: HttpAnswer(200, {"x-amz-crc32": "1"}, b"{}"),
    "no number for a checksum": lambda: HttpAnswer(200, {"x-amz-crc32": "x"}, b"{}"),
    "truncated JSON": lambda: HttpAnswer(200, {}, b'{"Item": {"a'),
    "no JSON object": lambda: HttpAnswer(200, {}, b"[]"),
    "no UTF-8": lambda: HttpAnswer(200, {}, b'{"\xff": 1}'),
    "nothing": lambda: HttpAnswer(200, {}, b""),
    "a refusal that is truncated": lambda: HttpAnswer(400, {}, b'{"__type": "Val'),
}


@pytest.mark.parametrize("name", SPOILT)
@pytest.mark.parametrize("operation", ["GetItem", "PutItem"])
def test_an_answer_that_is_not_whole_counts_as_none(sides: tuple[Lean, Botocores], operation: str, name: str) -> None:
    lean, _ = sides
    lean.reply = SPOILT[name]
    with pytest.raises(ServiceUnavailable), translated():
        getattr(lean.client, METHODS[operation])(TableName="t")
    assert len(lean.sent) == (1 if operation == "PutItem" else 2)


def test_the_second_answer_counts_where_the_first_was_not_whole(sides: tuple[Lean, Botocores]) -> None:
    lean, _ = sides
    replies = iter([HttpAnswer(200, {"x-amz-crc32": "1"}, b"{}"), HttpAnswer(200, {}, b'{"Count": 1}')])
    result = outcome(lean, "Query", {"TableName": "t"}, lambda: next(replies))
    assert (result["Count"], result["ResponseMetadata"]["RetryAttempts"]) == (1, 1)
    assert lean.pauses == [0.5]


# --- signatures that are refused --------------------------------------------------------------------------------------

EXPIRED: Final = {"__type": "com.amazon.coral.service#ExpiredTokenException", "message": "The token is expired"}
SKEWED: Final = {
    "__type": "com.amazon.coral.service#InvalidSignatureException",
    "message": "Signature expired: 20260101T000000Z is now earlier than 20260101T000500Z",
}


def test_a_call_whose_credentials_had_expired_is_signed_with_new_ones_at_once(sides: tuple[Lean, Botocores]) -> None:
    """A PutItem too: what is refused was not done."""
    lean, _ = sides
    replies = iter([reply_of(400, EXPIRED)(), HttpAnswer(200, {}, b"{}")])

    def reply() -> HttpAnswer:
        lean.environ["AWS_ACCESS_KEY_ID"] = "RENEWED"
        return next(replies)

    outcome(lean, "PutItem", {"TableName": "t"}, reply)
    assert "Credential=RENEWED/" in lean.sent[1][0]["authorization"]
    assert lean.pauses == []


def test_a_clock_that_is_wrong_is_corrected_by_dynamodbs(sides: tuple[Lean, Botocores]) -> None:
    lean, _ = sides
    lean.sign_as(Credentials("id", "secret"), datetime(2026, 1, 1, tzinfo=UTC))
    theirs = {"date": "Thu, 01 Jan 2026 00:10:00 GMT"}
    replies = iter([reply_of(400, SKEWED, theirs)(), HttpAnswer(200, {}, b"{}"), HttpAnswer(200, {}, b"{}")])
    outcome(lean, "PutItem", {"TableName": "t"}, lambda: next(replies))
    outcome(lean, "GetItem", {"TableName": "t"}, lambda: next(replies))
    moments = [headers["x-amz-date"] for headers, _ in lean.sent]
    assert moments == ["20260101T000000Z", "20260101T001000Z", "20260101T001000Z"]
    assert lean.pauses == []
    lean.client._ahead_seconds = 0.0


@pytest.mark.parametrize("body", [EXPIRED, SKEWED], ids=["expired", "skewed"])
@pytest.mark.parametrize("headers", [{}, {"date": "never"}, {"date": "Thu, 01 Jan 2026 00:10:00 GMT"}])
@pytest.mark.parametrize("operation", ["GetItem", "PutItem"])
def test_a_signature_that_stays_refused_makes_the_service_unavailable(
    sides: tuple[Lean, Botocores], operation: str, headers: dict[str, str], body: Any
) -> None:
    lean, _ = sides
    lean.reply = reply_of(400, body, headers)
    with pytest.raises(ServiceUnavailable), translated():
        getattr(lean.client, METHODS[operation])(TableName="t")
    assert len(lean.sent) <= 3
    lean.client._ahead_seconds = 0.0


# --- which calls there are --------------------------------------------------------------------------------------------


def test_a_value_that_dynamodb_does_not_know_is_refused_before_it_is_sent(sides: tuple[Lean, Botocores]) -> None:
    lean, _ = sides
    with pytest.raises(TypeError):
        lean.client.put_item(TableName="t", Item={"a": {"S": object()}})
    assert lean.sent == []
