"""AWS inside this process: boto3's own clients, answered by moto. Nothing of it can reach a real account.

moto's backends lose updates when two threads use them, so one thread does all their work, in the order it comes.
boto3's part of a call (checking, signing, reading the answer) stays in the thread of the caller.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import boto3
import botocore.session
from botocore.config import Config
from moto import mock_aws
from moto.core.models import botocore_stubber

from local import faster_moto

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_sns import SNSClient
    from types_boto3_sqs import SQSClient

REGION = "eu-west-1"
ACCOUNT = "123456789012"


class NotEmbeddedError(Exception):
    """A call went to something that moto does not stand in for; it was not sent."""


def forget_real_accounts() -> None:
    """Take profiles, keys and endpoints of real accounts out of this process's environment; give it made-up ones."""
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
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="moto")
        self._session = botocore.session.Session()
        emitter = self._session.get_component("event_emitter")
        emitter.unregister("before-send", botocore_stubber)  # moto's own way in, in the thread of the caller
        emitter.register("before-send", self._answer)
        self._boto3 = boto3.session.Session(
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 - made up
            region_name=REGION,
            botocore_session=self._session,
        )

    def __enter__(self) -> Self:
        """Start empty."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and forget everything."""
        self.stop()

    def start(self) -> None:
        """Let moto stand in for AWS in the whole process, from an empty start."""
        self._running.enter_context(self._mock)
        self._running.enter_context(faster_moto.improved(ACCOUNT, REGION))

    def stop(self) -> None:
        """Give the process back."""
        self._running.close()
        self._worker.shutdown()

    def dynamodb(self) -> "DynamoDBClient":
        """A client of DynamoDB."""
        return self._boto3.client("dynamodb", config=_config())

    def sns(self) -> "SNSClient":
        """A client of SNS."""
        return self._boto3.client("sns", config=_config())

    def sqs(self) -> "SQSClient":
        """A client of SQS."""
        return self._boto3.client("sqs", config=_config())

    def _answer(self, event_name: str, request: "AWSPreparedRequest", **_: Any) -> "AWSResponse":
        """Stand in for the network: hand the finished request to moto in its thread."""
        answer = self._worker.submit(botocore_stubber, event_name, request).result()
        if answer is None:
            message = f"{request.url} is not part of the local stack"
            raise NotEmbeddedError(message)
        return answer


def _config() -> Config:
    """Parameters are checked against AWS's own models: what passes here, AWS reads. Repeats would only hide faults."""
    return Config(parameter_validation=True, retries={"mode": "standard", "total_max_attempts": 1}, proxies={})
