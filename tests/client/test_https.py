"""Only what SNS signed, for this topic and now, comes in over HTTPS."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest
from agent_sessions_client.events import Confirmation, HttpsReceiver, MalformedEvent, Rejected, SessionExpiring

from tests.client.service import ManualClock
from tests.client.signing import CERTIFICATE_URL, TOPIC, Signer
from tests.client.test_events import leased

SNS: Final = Signer(ManualClock().wall())
SOMEBODY: Final = Signer(ManualClock().wall())
EVENT: Final = leased("expiring", 1)
Message = dict[str, Any]


class Internet:
    """What is at which address, and what was fetched."""

    def __init__(self) -> None:
        self.pages = {CERTIFICATE_URL: SNS.certificate}
        self.fetched: list[str] = []

    def __call__(self, address: str) -> bytes:
        self.fetched.append(address)
        return self.pages.get(address, b"<html>")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def internet() -> Internet:
    return Internet()


@pytest.fixture
def receiver(internet: Internet, clock: ManualClock) -> HttpsReceiver:
    return HttpsReceiver([TOPIC], fetch=internet, clock=clock)


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("more", [{}, {"Subject": "a subject"}])
def test_what_sns_signed_comes_in_and_the_certificate_is_fetched_once(
    receiver: HttpsReceiver, internet: Internet, version: str, more: dict[str, str]
) -> None:
    for _ in range(2):
        event = receiver.receive(json.dumps(SNS.notification(EVENT, version, **more)))
        assert isinstance(event, SessionExpiring)
        assert event.id == EVENT["id"]
    assert internet.fetched == [CERTIFICATE_URL]


def changed(**values: Any) -> Callable[[Message], Message]:
    return lambda message: {name: value for name, value in {**message, **values}.items() if value is not None}


TAMPERED: Final = {
    "another event": changed(Message=json.dumps(leased("expired", 9))),
    "another id": changed(MessageId="other"),
    "a subject that was not signed": changed(Subject="new"),
    "another time": changed(Timestamp="2027-01-15T08:00:01.000Z"),
    "another kind": changed(Type="UnsubscribeConfirmation", SubscribeURL="https://x", Token="t"),
    "an unknown kind": changed(Type="Other"),
    "another topic": changed(TopicArn=TOPIC + "-other"),
    "no signature": changed(Signature=None),
    "an empty signature": changed(Signature=""),
    "a signature that is no base64": changed(Signature="!!"),
    "the signature of somebody else": lambda message: (
        message | {"Signature": SOMEBODY.notification(EVENT)["Signature"]}
    ),
    "the other version's signature": changed(SignatureVersion="1"),
    "an unknown version": changed(SignatureVersion="3"),
    "no time": changed(Timestamp=None),
    "a certificate elsewhere": changed(SigningCertURL="https://evil.example/SimpleNotificationService-0a.pem"),
    "a certificate of another region": changed(SigningCertURL=CERTIFICATE_URL.replace("eu-central-1", "us-east-1")),
    "a host that only looks right": changed(SigningCertURL=CERTIFICATE_URL.replace(".com/", ".com.evil.example/")),
    "a host behind a user": changed(SigningCertURL=CERTIFICATE_URL.replace("https://", "https://x@")),
    "a user that looks like the host": changed(
        SigningCertURL="https://sns.eu-central-1.amazonaws.com@evil.example/SimpleNotificationService-0a.pem"
    ),
    "a certificate without TLS": changed(SigningCertURL=CERTIFICATE_URL.replace("https", "http")),
    "a path of a caller's own": changed(SigningCertURL="https://sns.eu-central-1.amazonaws.com/?Action=Anything"),
    "an address without a certificate": changed(SigningCertURL=CERTIFICATE_URL.replace("0123", "3210")),
}


@pytest.mark.parametrize("tamper", TAMPERED.values(), ids=TAMPERED)
def test_a_message_that_was_tampered_with_is_rejected(
    receiver: HttpsReceiver, internet: Internet, tamper: Callable[[Message], Message]
) -> None:
    with pytest.raises(Rejected):
        receiver.receive(json.dumps(tamper(SNS.notification(EVENT))))
    assert all(address.startswith("https://sns.eu-central-1.amazonaws.com/Simple") for address in internet.fetched)


def test_a_message_of_somebody_elses_certificate_is_rejected(receiver: HttpsReceiver) -> None:
    with pytest.raises(Rejected):
        receiver.receive(json.dumps(SOMEBODY.notification(EVENT)))


@pytest.mark.parametrize("body", [b"", b"[]", b"\xff", json.dumps(EVENT)], ids=["empty", "list", "bytes", "raw event"])
def test_what_is_no_message_of_sns_is_rejected(receiver: HttpsReceiver, body: str | bytes) -> None:
    with pytest.raises(Rejected):
        receiver.receive(body)


@pytest.mark.parametrize("seconds, is_taken", [(-301, False), (-299, True), (3599, True), (3601, False)])
def test_an_old_message_is_a_replay(clock: ManualClock, internet: Internet, seconds: float, *, is_taken: bool) -> None:
    receiver = HttpsReceiver([TOPIC], fetch=internet, clock=clock)
    clock.seconds += seconds
    if is_taken:
        assert receiver.receive(json.dumps(SNS.notification(EVENT)))
    else:
        with pytest.raises(Rejected, match="seconds old"):
            receiver.receive(json.dumps(SNS.notification(EVENT)))


def test_a_certificate_counts_only_in_its_time(internet: Internet, clock: ManualClock) -> None:
    receiver = HttpsReceiver([TOPIC], fetch=internet, clock=clock, replay_window_seconds=1e9)
    clock.seconds += 2 * 24 * 3600
    with pytest.raises(Rejected, match="certificate"):
        receiver.receive(json.dumps(SNS.notification(EVENT)))


def confirmation(address: str) -> str:
    message = {"Type": "SubscriptionConfirmation", "Message": "?", "Token": "t", "SubscribeURL": address}
    return json.dumps(SNS.signed(message))


def test_a_subscription_is_confirmed_where_sns_asks_for_it(receiver: HttpsReceiver, internet: Internet) -> None:
    address = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=t"
    asked = receiver.receive(confirmation(address))
    assert asked == Confirmation(TOPIC, address)
    assert isinstance(asked, Confirmation)
    receiver.confirm(asked)
    assert internet.fetched[-1] == address


def test_nothing_is_fetched_from_elsewhere_to_confirm_a_subscription(
    receiver: HttpsReceiver, internet: Internet
) -> None:
    asked = receiver.receive(confirmation("https://169.254.169.254/latest/meta-data"))
    assert isinstance(asked, Confirmation)
    with pytest.raises(Rejected):
        receiver.confirm(asked)
    assert internet.fetched == [CERTIFICATE_URL]


def test_the_end_of_a_subscription_asks_nothing(receiver: HttpsReceiver) -> None:
    message = {"Type": "UnsubscribeConfirmation", "Message": "?", "Token": "t", "SubscribeURL": "https://x"}
    assert receiver.receive(json.dumps(SNS.signed(message))) is None


def test_a_signed_message_that_is_no_event_is_malformed(receiver: HttpsReceiver) -> None:
    with pytest.raises(MalformedEvent):
        receiver.receive(json.dumps(SNS.signed({"Message": "hello"})))


def test_a_local_stack_may_sign_with_a_certificate_of_its_own(clock: ManualClock) -> None:
    address = "http://127.0.0.1:3000/_local/certificate.pem"
    internet = Internet()
    internet.pages[address] = SNS.certificate
    local = SNS.notification(EVENT, SigningCertURL=address)
    receiver = HttpsReceiver([TOPIC], fetch=internet, clock=clock, certificate_hosts=["127.0.0.1:3000"])
    assert isinstance(receiver.receive(json.dumps(local)), SessionExpiring)
    with pytest.raises(Rejected):
        HttpsReceiver([TOPIC], fetch=internet, clock=clock).receive(json.dumps(local))
