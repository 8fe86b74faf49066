"""SNS and SQS inside this process: boto3's own clients, answered by moto. Nothing can reach a real account.

moto's backends lose updates when two threads use them, so a lock lets one request at a time into them. boto3's part of
a call (checking, signing, reading the answer) needs no lock.
"""

import os
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import boto3
import botocore.session
from botocore.config import Config
from moto import mock_aws
from moto.core.models import botocore_stubber

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient

REGION = "eu-west-1"
ACCOUNT = "123456789012"


class NotEmbeddedError(Exception):
    """A call went to a service that moto does not replace; it was not sent."""


def forget_real_accounts() -> None:
    """Take profiles, keys and endpoints of real accounts out of this process's environment; set made-up ones."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


class EmbeddedAws:
    """moto, and clients of it. For use in `with`."""

    def __init__(self) -> None:
        """Nothing runs before `start`."""
        self._mock = mock_aws()
        self._running = ExitStack()
        self._one_at_a_time = threading.Lock()
        self._session = botocore.session.Session()
        emitter = self._session.get_component("event_emitter")
        emitter.unregister("before-send", botocore_stubber)  # moto's own hook, which takes no lock
        emitter.register("before-send", self._answer)
        self._boto3 = boto3.session.Session(
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - made up
            region_name=REGION,
            botocore_session=self._session,
        )

    def __enter__(self) -> Self:
        """Start without any topic or queue."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and forget everything."""
        self.stop()

    def start(self) -> None:
        """Let moto answer for AWS in the whole process, from an empty start."""
        self._running.enter_context(self._mock)

    def stop(self) -> None:
        """Undo `start`."""
        self._running.close()

    def sns(self) -> "SNSClient":
        """A client of SNS."""
        return self._boto3.client("sns", config=_config())

    def sqs(self) -> "SQSClient":
        """A client of SQS."""
        return self._boto3.client("sqs", config=_config())

    def _answer(self, event_name: str, request: "AWSPreparedRequest", **_: Any) -> "AWSResponse":
        """Take the place of the network: give the finished request to moto."""
        with self._one_at_a_time:
            answer = botocore_stubber(event_name, request)
        if answer is None:
            message = f"{request.url} is not part of the local stack"
            raise NotEmbeddedError(message)
        return answer


def _config() -> Config:
    """Parameters are checked against AWS's own models, and a call is not repeated: that would only hide faults."""
    return Config(parameter_validation=True, retries={"mode": "standard", "total_max_attempts": 1}, proxies={})
