"""Events to SNS: what is sent, and what each answer of SNS means for each event."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

import botocore.auth
import botocore.awsrequest
import pytest
from agent_sessions.aws_clients.tuning import client_config, lean_session
from agent_sessions.errors import ServiceUnavailable
from agent_sessions.events.cloud_events import BatchRefused, Event, PublishOutcome
from agent_sessions.events.sns_topic import SnsPublisher
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from botocore.session import Session

from local.dynamo.refusals import service_model
from tests.engines import faults
from tests.engines.fake_sns import FakeSns

if TYPE_CHECKING:
    from types_boto3_sns import SNSClient

TOPIC = "arn:aws:sns:eu-central-1:123456789012:session-events"
SENT, BUSY, REFUSED = PublishOutcome.SENT, PublishOutcome.BUSY, PublishOutcome.REFUSED


def events(count: int) -> list[Event]:
    return [
        Event(f"id-{number}", f'{{"id":"id-{number}"}}', {"type": "expiring", "tenantId": f"tenant-{number}"})
        for number in range(count)
    ]


class Answering:
    """An SNS client that answers as it is told to."""

    def __init__(self, failed: Sequence[dict[str, Any]]) -> None:
        self._failed = failed

    def publish_batch(self, **_request: Any) -> dict[str, Any]:
        return {"Successful": [], "Failed": list(self._failed)}


def outcomes(*failed: dict[str, Any]) -> list[PublishOutcome]:
    return SnsPublisher(cast("SNSClient", Answering(failed)), TOPIC).publish(events(3))


def failure(entry: int, code: str, *, sender_fault: bool) -> dict[str, Any]:
    return {"Id": str(entry), "Code": code, "Message": "no", "SenderFault": sender_fault}


def test_each_event_is_a_message_with_its_attributes() -> None:
    sns = FakeSns()
    assert SnsPublisher(sns.as_client(), TOPIC).publish(events(10)) == [SENT] * 10
    assert sns.calls == {"publish_batch": 1}
    assert [(sent.topic, sent.message, sent.attributes) for sent in sns.published] == [
        (TOPIC, event.body, event.attributes) for event in events(10)
    ]


@pytest.mark.parametrize(
    "answer, outcome",
    [
        (failure(1, "InternalError", sender_fault=False), BUSY),
        (failure(1, "InternalError", sender_fault=True), BUSY),
        (failure(1, "SomethingNew", sender_fault=False), BUSY),
        (failure(1, "Throttled", sender_fault=True), BUSY),
        (failure(1, "KMSThrottling", sender_fault=True), BUSY),
        (failure(1, "InvalidParameter", sender_fault=True), REFUSED),
        (failure(1, "KMSDisabled", sender_fault=True), REFUSED),
        (failure(1, "AuthorizationError", sender_fault=True), REFUSED),
    ],
)
def test_what_passes_is_busy_and_what_will_not_pass_is_refused(answer: dict[str, Any], outcome: PublishOutcome) -> None:
    assert outcomes(answer) == [SENT, outcome, SENT]


@pytest.mark.parametrize(
    "error",
    [
        EndpointConnectionError(endpoint_url="https://sns"),
        ReadTimeoutError(endpoint_url="https://sns"),
    ],
)
def test_a_topic_that_cannot_be_reached_is_unavailable(error: Exception) -> None:
    class Unreachable(faults.Hook):
        def before(self, call: str, request: object) -> None:
            raise error

    sns = FakeSns()
    sns.add_hook(Unreachable())
    with pytest.raises(ServiceUnavailable):
        SnsPublisher(sns.as_client(), TOPIC).publish(events(1))


@pytest.mark.parametrize("code", ["BatchRequestTooLong", "InvalidParameter", "ParameterValueInvalid"])
def test_an_event_that_is_refused_alone_has_that_for_its_outcome(code: str) -> None:
    sns = FakeSns()
    sns.add_hook(faults.fail("publish_batch", code))
    publisher = SnsPublisher(sns.as_client(), TOPIC)
    assert publisher.publish(events(1)) == [REFUSED]
    with pytest.raises(BatchRefused):
        publisher.publish(events(2))


@pytest.mark.parametrize("code", ["NotFound", "AuthorizationError", "KMSDisabled"])
def test_what_nobody_foresaw_is_not_hidden(code: str) -> None:
    sns = FakeSns()
    sns.add_hook(faults.fail("publish_batch", code))
    with pytest.raises(ClientError):
        SnsPublisher(sns.as_client(), TOPIC).publish(events(1))


def test_every_error_of_sns_is_either_busy_or_a_fault_that_stays() -> None:
    """Each code that botocore knows of SNS; a new one that says "throttl" must be one that is tried again."""
    passing = set()
    for shape in service_model("sns").error_shapes:
        code = shape.metadata.get("error", {}).get("code", shape.name)
        [_, outcome, _] = outcomes(failure(1, code, sender_fault=True))
        if outcome is BUSY:
            passing.add(code)
    assert passing == {"Throttled", "KMSThrottling", "InternalError"}


class Raw(BytesIO):
    """What botocore reads of urllib3's answer."""

    def __init__(self) -> None:
        super().__init__(b"<PublishBatchResponse><PublishBatchResult/></PublishBatchResponse>")

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def test_what_is_sent_is_botocores_own_and_is_encoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: datetime(2026, 1, 1, tzinfo=UTC))
    body = '{"text": "a+b & 50 % \u2603 \U0001f600 \\n~"}'
    entries = [Event(f"id-{number}", body, {"type": "expiring", "tenantId": "t/1"}) for number in range(10)]
    sent: list[Any] = []
    requests: list[Any] = []

    def answer(request: Any, **_: Any) -> AWSResponse:
        requests.append(request)
        return AWSResponse("", 200, {}, Raw())  # type: ignore[arg-type]

    for session in (lean_session(), Session()):
        session.set_credentials("key", "secret", "token")
        client: Any = session.create_client("sns", region_name="eu-central-1", config=client_config())
        encoded = mock.Mock(wraps=botocore.awsrequest.urlencode)
        client.meta.events.register("before-send.sns", answer)
        with mock.patch("botocore.awsrequest.urlencode", encoded):
            SnsPublisher(client, TOPIC).publish(entries)
        request = requests.pop()
        content = request.body if isinstance(request.body, bytes) else request.body.encode()
        headers = {name: value for name, value in request.headers.items() if not name.startswith("amz-sdk")}
        sent.append((content, headers, encoded.call_count))
    assert sent[0][:2] == sent[1][:2]
    assert (sent[0][2], sent[1][2]) == (0, 2)
