"""Sign messages as SNS does, with a certificate made here."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

TOPIC: Final = "arn:aws:sns:eu-central-1:123456789012:agent-sessions"
CERTIFICATE_URL: Final = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123456789abcdef.pem"


class Signer:
    """A key pair with its certificate."""

    def __init__(self, now: float) -> None:
        self._now = datetime.fromtimestamp(now, UTC)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(7)
            .not_valid_before(self._now - timedelta(days=1))
            .not_valid_after(self._now + timedelta(days=1))
            .sign(self._key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )

    def signed(self, message: dict[str, Any], version: str = "2") -> dict[str, Any]:
        """Return a whole message with its signature."""
        whole = {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Timestamp": self._now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "SignatureVersion": version,
            "SigningCertURL": CERTIFICATE_URL,
            "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
        } | message
        names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
        text = "".join(f"{name}\n{whole[name]}\n" for name in names if name in whole)
        digest = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303 - as SNS does
        whole["Signature"] = base64.b64encode(self._key.sign(text.encode(), padding.PKCS1v15(), digest)).decode()
        return whole

    def notification(self, body: dict[str, Any], version: str = "2", **more: Any) -> dict[str, Any]:
        return self.signed({"Message": json.dumps(body), **more}, version)
