"""Events that SNS posts to an HTTPS endpoint. Nothing in a request is believed before its signature is verified.

What is checked, in this order: the kind of message, the topic, the age, the address of the certificate, the time in
which it is valid, the signature. Needs the extra `sns`.
"""

import base64
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import urlsplit

from agent_sessions_client.errors import ClientError
from agent_sessions_client.events.deliveries import parse
from agent_sessions_client.events.kinds import Event
from agent_sessions_client.timestamps import Clock, SystemClock, parse_time

_CERTIFICATE: Final = re.compile(r"/SimpleNotificationService-[0-9a-f]+\.pem")
_NOTIFICATION: Final = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Final = {
    "Notification": _NOTIFICATION,
    "SubscriptionConfirmation": _CONFIRMATION,
    "UnsubscribeConfirmation": _CONFIRMATION,
}
REPLAY_WINDOW_SECONDS: Final = 3600
"""SNS retries for less than an hour by default. What is older is no retry."""
_AHEAD_SECONDS: Final = 300
_CERTIFICATES_KEPT: Final = 16


class Rejected(ClientError):
    """The message is not one that SNS sent for this topic now. Answer 403, and do nothing else with it."""


@dataclass(frozen=True)
class Confirmation:
    """SNS asks whether the endpoint wants the topic. `confirm` of the receiver answers yes."""

    topic_arn: str
    subscribe_url: str


class HttpsReceiver:
    """Verifies what SNS posts, and returns the event in it. Threads may share it."""

    def __init__(
        self,
        topic_arns: Iterable[str],
        *,
        replay_window_seconds: float = REPLAY_WINDOW_SECONDS,
        certificate_hosts: Collection[str] = (),
        fetch: Callable[[str], bytes] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Accept messages of these topics alone.

        `certificate_hosts` are further hosts, with their ports, from which a certificate may come, over plain HTTP too:
        for a local stack, never for production. `fetch` gets the bytes at an address; by default with httpx.
        """
        self._topics = frozenset(topic_arns)
        self._window = replay_window_seconds
        self._hosts = frozenset(certificate_hosts)
        self._fetch = fetch or _fetched
        self._clock: Clock = clock or SystemClock()
        self._certificates: dict[str, Any] = {}

    def receive(self, body: str | bytes) -> Event | Confirmation | None:
        """Verify the body of a request. Return the event, or what SNS asks, or None where it asks nothing.

        Raises:
            Rejected: the message must not be believed.
            MalformedEvent: SNS signed it, but it is no event of the service.

        """
        message = self._verified(body)
        if message["Type"] == "Notification":
            return parse(message["Message"])
        if message["Type"] == "SubscriptionConfirmation":
            return Confirmation(message["TopicArn"], message["SubscribeURL"])
        return None

    def confirm(self, confirmation: Confirmation) -> None:
        """Tell SNS that the endpoint wants the topic.

        Raises:
            Rejected: the address that was sent to confirm at is not one of SNS.

        """
        self._check_address(confirmation.subscribe_url, confirmation.topic_arn)
        self._fetch(confirmation.subscribe_url)

    def _verified(self, body: str | bytes) -> Mapping[str, str]:
        message = _texts(body)
        names = _SIGNED.get(message.get("Type", ""))
        if names is None:
            raise Rejected("the message must be a notification or a confirmation of SNS; raw delivery is not signed")
        lacking = {"Signature", "SigningCertURL", "Timestamp", "TopicArn", *names} - {"Subject"} - message.keys()
        if lacking:
            raise Rejected(f"the message must have {', '.join(sorted(lacking))}")
        if message["TopicArn"] not in self._topics:
            raise Rejected(f"the topic {message['TopicArn']} is not one of this endpoint's")
        self._check_age(message["Timestamp"])
        self._check_signature(message, names)
        return message

    def _check_age(self, timestamp: str) -> None:
        try:
            age = self._clock.wall() - parse_time(timestamp).timestamp()
        except ValueError as error:
            raise Rejected("the Timestamp must be a time") from error
        if not -_AHEAD_SECONDS <= age <= self._window:
            raise Rejected(f"the message is {age:.0f} seconds old; it may be up to {self._window:g}")

    def _check_address(self, address: str, topic_arn: str) -> None:
        """Check that SNS in the topic's region answers there."""
        parts = urlsplit(address)
        if parts.netloc in self._hosts and parts.scheme in {"http", "https"}:
            return
        _, partition, _, region, *_ = [*topic_arn.split(":"), "", "", "", ""]
        domain = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
        if parts.scheme != "https" or not region or parts.netloc != f"sns.{region}.{domain}":
            raise Rejected(f"{address} is not an address of SNS in the region of {topic_arn}")

    def _check_signature(self, message: Mapping[str, str], names: Iterable[str]) -> None:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415

        algorithms: dict[str | None, hashes.HashAlgorithm] = {
            "1": hashes.SHA1(),  # noqa: S303 - version 1 of SNS's signatures is this, and still its default
            "2": hashes.SHA256(),
        }
        algorithm = algorithms.get(message.get("SignatureVersion"))
        if algorithm is None:
            raise Rejected("the SignatureVersion must be 1 or 2")
        key = self._certificate(message["SigningCertURL"], message["TopicArn"]).public_key()
        text = "".join(f"{name}\n{message[name]}\n" for name in names if name in message)
        try:
            signature = base64.b64decode(message["Signature"], validate=True)
        except ValueError as error:
            raise Rejected("the Signature must be base64") from error
        if not isinstance(key, rsa.RSAPublicKey):
            raise Rejected("the certificate must have an RSA key")
        try:
            key.verify(signature, text.encode(), padding.PKCS1v15(), algorithm)
        except InvalidSignature as error:
            raise Rejected("the signature does not fit the message") from error

    def _certificate(self, address: str, topic_arn: str) -> Any:  # noqa: ANN401 - a certificate of cryptography, which is an extra
        from cryptography import x509  # noqa: PLC0415 - an extra

        self._check_address(address, topic_arn)
        parts = urlsplit(address)
        if parts.netloc not in self._hosts and not (_CERTIFICATE.fullmatch(parts.path) and not parts.query):
            raise Rejected(f"{address} is not the address of a certificate of SNS")
        certificate = self._certificates.get(address)
        if certificate is None:
            try:
                certificate = x509.load_pem_x509_certificate(self._fetch(address))
            except ValueError as error:
                raise Rejected(f"what is at {address} is no certificate") from error
            if len(self._certificates) >= _CERTIFICATES_KEPT:
                self._certificates.clear()
            self._certificates[address] = certificate
        now = datetime.fromtimestamp(self._clock.wall(), timezone.utc)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise Rejected("the certificate is not valid now")
        return certificate


def _texts(body: str | bytes) -> Mapping[str, str]:
    try:
        message = json.loads(body)
    except ValueError as error:
        raise Rejected("the message must be JSON") from error
    if not isinstance(message, dict):
        raise Rejected("the message must be a JSON object")
    return {name: value for name, value in message.items() if isinstance(value, str)}


def _fetched(address: str) -> bytes:
    import httpx  # noqa: PLC0415 - slow to import

    answer = httpx.get(address, timeout=10)
    answer.raise_for_status()
    return answer.content
