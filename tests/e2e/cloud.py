"""An AWS on this machine (ministack), the built template deployed to it with `sam deploy`, and ways to reach both."""

import itertools
import json
import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import boto3
from botocore.config import Config

from tests.e2e.serving import free_port
from tests.template_reader import PATH, REGION

ROOT: Final = PATH.parent
BUILD: Final = ROOT / ".aws-sam" / "build"
MINISTACK: Final = ROOT / ".venv-ministack" / "bin"
SAM: Final = ROOT / ".venv-sam" / "bin"
LAMBDA_RUNTIME: Final = ROOT / ".cache" / "lambda-runtime"
STACK: Final = "agent-sessions"
BUCKET: Final = "packages"
SECONDS: Final = 300
"""What takes longer counts as never: the machine may be busy."""

_T = TypeVar("_T")


def patiently(ask: Callable[[], _T], is_refusal: Callable[[_T], bool]) -> _T:
    """Ask again while the answer is a refusal that the contract allows; return the last answer.

    The built functions wait a second for DynamoDB, and have some seconds for their own answer, as in Lambda. A machine
    that stands still for so long makes a 503 of it, or the gateway gives them up: then a client repeats its request.
    """
    give_up, pause = time.monotonic() + SECONDS, threading.Event()
    while is_refusal(answer := ask()) and time.monotonic() < give_up:
        pause.wait(1)
    return answer


@contextmanager
def running(command: list[str | Path], port: int, environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """Run a program in a folder until the block ends; the block begins once the program listens at `port`."""
    with TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, env=dict(environment), cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            if not _listens(port, process):
                output.seek(0)
                raise AssertionError(output.read())
            yield
        finally:
            process.terminate()
            process.wait(SECONDS)


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    give_up, pause = time.monotonic() + SECONDS, threading.Event()
    while process.poll() is None and time.monotonic() < give_up:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        pause.wait(0.05)
    return False


@dataclass(frozen=True)
class Answer:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    text: str
    is_repeat: bool = False
    """Whether the request was sent more than once: then it may have been carried out before."""

    @classmethod
    def of(cls, response: HTTPResponse) -> Self:
        headers = {name.lower(): value for name, value in response.getheaders()}
        return cls(response.status, headers, response.read().decode())

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def is_refusal(self) -> bool:
        """Whether the service was unavailable, or the gateway gave the function up: only the service names an error."""
        return self.status == 503 or (self.status >= 500 and "error" not in self.json)


@dataclass(frozen=True)
class Cloud:
    """Where the AWS of this machine is."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which AWS's tools and SDKs use it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
        }

    def client(self, service: str) -> Any:
        patient = Config(connect_timeout=SECONDS, read_timeout=SECONDS)
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, config=patient)  # type: ignore[call-overload]


@contextmanager
def cloud(folder: Path) -> Iterator[Cloud]:
    """Start one, in a folder for what it writes."""
    here = Cloud(free_port())
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(here.port),
        "EDGE_PORT": str(here.port),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "MINISTACK_REGION": REGION,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PATH": os.pathsep.join([str(MINISTACK), os.environ["PATH"]]),
    }
    with running([MINISTACK / "ministack"], here.port, environment, folder):
        yield here


@dataclass(frozen=True)
class Stack:
    """The deployed template."""

    cloud: Cloud
    outputs: Mapping[str, str]

    def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request to the API, and repeat it as clients do: a POST has a key, so that it is carried out once."""
        sent = {"host": urlsplit(self.outputs["ApiUrl"]).netloc, "content-type": "application/json", **(headers or {})}
        if key is not None:
            sent["x-api-key"] = key
        if method == "POST":
            sent["idempotency-key"] = uuid.uuid4().hex

        sendings = itertools.count()

        def send() -> Answer:
            connection = HTTPConnection("127.0.0.1", self.cloud.port, timeout=SECONDS)
            try:
                connection.request(method, path, None if body is None else json.dumps(body), sent)
                return replace(Answer.of(connection.getresponse()), is_repeat=next(sendings) > 0)
            finally:
                connection.close()

        return patiently(send, lambda answer: answer.is_refusal)

    def function(self, logical_id: str) -> str:
        """The name of a function."""
        described = self.cloud.client("cloudformation").describe_stack_resource(
            StackName=STACK, LogicalResourceId=logical_id
        )
        name: str = described["StackResourceDetail"]["PhysicalResourceId"]
        return name

    def invoke(self, logical_id: str, event: Any) -> Any:
        """What a function answers to an event; it must not fail, but for want of a store that answers."""
        client, name = self.cloud.client("lambda"), self.function(logical_id)

        def invoke() -> Any:
            return json.loads(client.invoke(FunctionName=name, Payload=json.dumps(event).encode())["Payload"].read())

        return patiently(invoke, refuses)


def refuses(payload: Any) -> bool:
    """Whether a function that was invoked is to be invoked again: it met no store, or did not end in its time."""
    if "errorMessage" in payload:
        return payload.get("errorType") == "ServiceUnavailable" or "timed out" in payload["errorMessage"]
    return payload.get("statusCode") == 503 or bool(payload.get("batchItemFailures"))


def deploy(here: Cloud, folder: Path, **parameters: str) -> Stack:
    """Deploy the built template as a team would, with these parameters."""
    here.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    # Quotes inside a value need a backslash, or the SAM CLI takes them for its own.
    escaped = {name: value.replace('"', '\\"') for name, value in parameters.items()}
    settings = [f'{name}="{value}"' for name, value in escaped.items()]
    command: list[str | Path] = [SAM / "sam", "deploy", "--template-file", BUILD / "template.yaml"]
    command += ["--stack-name", STACK, "--s3-bucket", BUCKET, "--no-confirm-changeset", "--no-progressbar"]
    command += ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--parameter-overrides", *settings]
    deployed = subprocess.run(
        command,
        cwd=folder,
        env=here.environment | {"SAM_CLI_TELEMETRY": "0", "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    (stack,) = here.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    return Stack(here, {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]})
