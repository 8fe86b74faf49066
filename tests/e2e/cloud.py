"""An AWS on this machine (ministack), the built template deployed to it with `sam deploy`, and ways to reach both."""

import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final, Self
from urllib.parse import urlsplit

import boto3

from tests.template_reader import PATH, REGION

ROOT: Final = PATH.parent
BUILD: Final = ROOT / ".aws-sam" / "build"
MINISTACK: Final = ROOT / ".venv-ministack" / "bin"
SAM: Final = ROOT / ".venv-sam" / "bin"
LAMBDA_RUNTIME: Final = ROOT / ".cache" / "lambda-runtime"
STACK: Final = "agent-sessions"
BUCKET: Final = "packages"


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
            process.wait(300)


def _listens(port: int, process: subprocess.Popen[bytes]) -> bool:
    give_up, pause = time.monotonic() + 300, threading.Event()
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

    @classmethod
    def of(cls, response: HTTPResponse) -> Self:
        headers = {name.lower(): value for name, value in response.getheaders()}
        return cls(response.status, headers, response.read().decode())

    @property
    def json(self) -> Any:
        return json.loads(self.text)


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
        return boto3.client(service, endpoint_url=self.url, region_name=REGION)  # type: ignore[call-overload]


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
        """Send a request to the API."""
        connection = HTTPConnection("127.0.0.1", self.cloud.port, timeout=300)
        sent = {"host": urlsplit(self.outputs["ApiUrl"]).netloc, "content-type": "application/json", **(headers or {})}
        if key is not None:
            sent["x-api-key"] = key
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            return Answer.of(connection.getresponse())
        finally:
            connection.close()

    def function(self, logical_id: str) -> str:
        """The name of a function."""
        described = self.cloud.client("cloudformation").describe_stack_resource(
            StackName=STACK, LogicalResourceId=logical_id
        )
        name: str = described["StackResourceDetail"]["PhysicalResourceId"]
        return name

    def invoke(self, logical_id: str, event: Any) -> Any:
        """What a function answers to an event; it must not fail."""
        answer = self.cloud.client("lambda").invoke(
            FunctionName=self.function(logical_id), Payload=json.dumps(event).encode()
        )
        payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, payload
        return payload


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
