"""SNS's part for a subscriber by HTTP: posts what the topic delivers, signed, and again where that fails.

The endpoint gets what SNS would send it: first a SubscriptionConfirmation, then Notifications, with the same headers,
envelope and signature (version 2: RSA with SHA-256). The key is made at the start; the stack serves its certificate.
What is published before the subscription is confirmed is not delivered, as with SNS.
"""

import base64
import datetime as dt
import http.client
import json
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

PATH: Final = "/_local/sns"
CERTIFICATE_PATH: Final = f"{PATH}/certificate.pem"
RETRIES: Final = 3
RETRY_SECONDS: Final = 20.0
"""SNS's default for HTTP: three retries, each twenty seconds after the failure before it."""
_ANSWER_SECONDS: Final = 15
_POSTS_AT_A_TIME: Final = 8
_KEY_BITS: Final = 2048
_SIGNED: Final = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
"""The parts of an envelope that its signature covers, in their order."""

Envelope = dict[str, str]
Post = Callable[[str, Mapping[str, str], bytes], int]
Later = Callable[[float, Callable[[], None]], None]


class Signer:
    """A key, and the certificate of it."""

    def __init__(self) -> None:
        """Make a key, whose certificate is valid for a year from yesterday on."""
        self._key = rsa.generate_private_key(public_exponent=65_537, key_size=_KEY_BITS)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent-sessions, local stack")])
        yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(yesterday)
            .not_valid_after(yesterday + dt.timedelta(days=365))
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    def signature(self, envelope: Envelope) -> str:
        """Sign an envelope as SNS does in signature version 2; return base64."""
        parts = [name for name in _SIGNED[envelope["Type"]] if name in envelope]
        text = "".join(f"{name}\n{envelope[name]}\n" for name in parts)
        return base64.b64encode(self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


class Forwarder:
    """One subscription by HTTP. Safe for any number of threads."""

    def __init__(
        self,
        endpoint: str,
        stack_url: str,
        topic_arn: str,
        show: Callable[[str], None],
        *,
        post: Post | None = None,
        later: Later | None = None,
    ) -> None:
        """Post to `endpoint`; `stack_url` is where the endpoint finds this stack."""
        self.signer = Signer()
        self.endpoint = endpoint
        self._url = stack_url
        self._topic_arn = topic_arn
        self._show = show
        self._post = post or _post
        self._later = later or _later
        self._token = uuid.uuid4().hex * 4
        self._subscription_arn = f"{topic_arn}:{uuid.uuid4()}"
        self._confirmed = False
        self._confirming = False
        self._lock = threading.Lock()
        self._poster = ThreadPoolExecutor(_POSTS_AT_A_TIME, thread_name_prefix="forward")

    def stop(self) -> None:
        """Post nothing more."""
        self._poster.shutdown(wait=False, cancel_futures=True)

    def confirm(self) -> None:
        """Ask the endpoint to confirm the subscription, unless it was asked and has not answered yet."""
        with self._lock:
            if self._confirming or self._confirmed:
                return
            self._confirming = True
        query = {"Action": "ConfirmSubscription", "TopicArn": self._topic_arn, "Token": self._token}
        envelope = {
            "Type": "SubscriptionConfirmation",
            "MessageId": str(uuid.uuid4()),
            "Token": self._token,
            "TopicArn": self._topic_arn,
            "Message": f"You have chosen to subscribe to the topic {self._topic_arn}.\n"
            "To confirm the subscription, visit the SubscribeURL included in this message.",
            "SubscribeURL": f"{self._url}{PATH}?{urlencode(query)}",
            "Timestamp": _timestamp(),
        }
        self._send(self._signed(envelope), {}, self._asked)

    def take(self, body: str) -> None:
        """Post what the topic delivered, an envelope of SNS's."""
        if not self._confirmed:
            self._show(f"  forward  {self.endpoint} has not confirmed its subscription: an event was not delivered")
            self.confirm()
            return
        envelope: dict[str, Any] = json.loads(body)
        query = {"Action": "Unsubscribe", "SubscriptionArn": self._subscription_arn}
        signed = self._signed(envelope) | {"UnsubscribeURL": f"{self._url}{PATH}?{urlencode(query)}"}
        self._send(signed, {"x-amz-sns-subscription-arn": self._subscription_arn}, lambda: None)

    def answer(self, query: str) -> tuple[int, str]:
        """Answer a request to SubscribeURL or UnsubscribeURL: a status, and SNS's XML."""
        asked = {name: values[0] for name, values in parse_qs(query).items()}
        match asked.get("Action"):
            case "ConfirmSubscription" if asked.get("Token") == self._token:
                self._confirmed = True
                self._show(f"  forward  {self.endpoint} has confirmed its subscription")
                result = f"<SubscriptionArn>{self._subscription_arn}</SubscriptionArn>"
            case "Unsubscribe" if asked.get("SubscriptionArn") == self._subscription_arn:
                self._confirmed = False
                self._show(f"  forward  {self.endpoint} has ended its subscription")
                result = ""
            case _:
                return (
                    HTTPStatus.BAD_REQUEST,
                    "<ErrorResponse><Error><Code>InvalidParameter</Code></Error></ErrorResponse>",
                )
        action = asked["Action"]
        return HTTPStatus.OK, f"<{action}Response><{action}Result>{result}</{action}Result></{action}Response>"

    def _signed(self, envelope: Mapping[str, Any]) -> dict[str, Any]:
        signed = {**envelope, "SignatureVersion": "2", "SigningCertURL": f"{self._url}{CERTIFICATE_PATH}"}
        return signed | {"Signature": self.signer.signature(signed)}

    def _asked(self) -> None:
        self._confirming = False

    def _send(self, envelope: Mapping[str, Any], headers: Mapping[str, str], done: Callable[[], None]) -> None:
        all_headers = {
            "x-amz-sns-message-type": envelope["Type"],
            "x-amz-sns-message-id": envelope["MessageId"],
            "x-amz-sns-topic-arn": self._topic_arn,
            "Content-Type": "text/plain; charset=UTF-8",
            "User-Agent": "Amazon Simple Notification Service Agent",
            **headers,
        }
        body = json.dumps(envelope, indent=2, ensure_ascii=False).encode()

        def attempt(retries_left: int) -> None:
            problem = self._problem(all_headers, body)
            if problem is not None and retries_left:
                self._later(RETRY_SECONDS, lambda: self._submit(lambda: attempt(retries_left - 1)))
                return
            if problem is not None:
                self._show(f"  forward  {self.endpoint} did not take {envelope['Type']}: {problem}")
            done()

        self._submit(lambda: attempt(RETRIES))

    def _submit(self, work: Callable[[], None]) -> None:
        try:
            self._poster.submit(work)
        except RuntimeError:  # the stack has ended
            return

    def _problem(self, headers: Mapping[str, str], body: bytes) -> str | None:
        """Post once; return what is wrong, None where SNS would be content: any status from 200 to 499."""
        try:
            status = self._post(self.endpoint, headers, body)
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__
        return None if HTTPStatus.OK <= status < HTTPStatus.INTERNAL_SERVER_ERROR else f"status {status}"


def _post(url: str, headers: Mapping[str, str], body: bytes) -> int:
    request = urllib.request.Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310 - checked by the options
    try:
        with _OPENER.open(request, timeout=_ANSWER_SECONDS) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def _later(seconds: float, work: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, work)
    timer.daemon = True
    timer.start()


def _timestamp() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the signed message is for the endpoint alone."""

    def redirect_request(self, *_: Any) -> None:
        return


# Without proxies: the endpoint is on this machine, or where the caller says that it is.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
